import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { text } from '../../core/bytes.ts';
import { directConversationRaw } from '../../core/ids.ts';
import { RECORD } from '../../core/record.ts';
import { RowView } from '../../core/row.ts';
import { idOf } from '../conversation/test-kit.ts';
import type { StandingRow } from './contract.ts';
import { ALL, ANA, DIRECT, hello, sendMany } from './testing/talk.ts';
import { TestNode } from './testing/test-node.ts';

function bodies(rows: readonly StandingRow[]): string[] {
  return rows.map(({ row }) => text(new RowView(row).body));
}

describe('a store with more than it can hold', () => {
  it('too much under way is refused before it is proposed, with a time to come back', async () => {
    const node = await TestNode.started({ limits: { uncommittedShardBytesMax: 8192 } });
    const gateway = node.gateway();
    const syncs = node.holdSyncs();
    const requests = sendMany(gateway, 1, 30);
    await node.time.settle();
    const refused = requests.filter((request) => gateway.answer(request) !== undefined);
    assert.ok(refused.length > 0 && refused.length < 30);
    for (const request of refused) {
      const error = gateway.refused(request);
      assert.equal(error.reason, 'OVERLOADED');
      assert.ok((error.retryAfterMs ?? 0) > 0);
    }
    syncs.release();
    await node.time.settle();
    assert.equal(node.store.budget.bytes, 0);
    const accepted = requests.length - refused.length;
    const rows = await node.until(node.store.reads.rows(DIRECT, ALL));
    assert.equal(rows.length, accepted);
    const retried = sendMany(gateway, accepted + 1, 5);
    await node.time.settle();
    for (const request of retried) assert.ok(gateway.committed(request).sequence > 0);
  });

  it('the log in memory begins where the state is durable', async () => {
    const node = await TestNode.started();
    sendMany(node.gateway(), 1, 50);
    await node.flushed();
    const unit = node.store.units[node.store.map.shardOf(DIRECT)];
    assert.ok(unit !== undefined && unit.flushedIndex > 50);
    assert.equal(unit.log.status.first, unit.flushedIndex + 1);
  });

  it('a state store that cannot follow is felt by who sends, not by memory', async () => {
    const node = await TestNode.started({ limits: { flushBytesMax: 4096 } });
    const gateway = node.gateway();
    const first = sendMany(gateway, 1, 30);
    await node.time.settle();
    const release = node.holdState();
    await node.time.advance(2000);
    const requests: number[] = [];
    for (let round = 0; round < 60; round++) {
      requests.push(...sendMany(gateway, 31 + round * 10, 10));
      await node.time.settle();
    }
    assert.ok(node.store.hotTail.unflushedBytes < 3 * 4096);
    const last = gateway.refused(requests.at(-1) ?? 0);
    assert.equal(last.reason, 'OVERLOADED');
    const accepted = requests.filter((request) => gateway.answer(request)?.kind === RECORD.commit);
    assert.ok(accepted.length > 50 && accepted.length < requests.length);
    release();
    await node.time.advance(2000);
    const head = first.length + accepted.length;
    const again = sendMany(gateway, head + 1, 5);
    await node.time.settle();
    assert.equal(gateway.committed(again.at(-1) ?? 0).sequence, head + 5);
  });

  it('little memory slows it down and loses nothing', async () => {
    const limits = { residentBytesMax: 1, hotTailBytesMax: 1, blockCacheBytesMax: 1 };
    const node = await TestNode.started({ limits });
    const gateway = node.gateway();
    const peers = Array.from({ length: 30 }, (_, i) => idOf(500 + i));
    for (let round = 1; round <= 4; round++) {
      const requests = peers.map((peer) =>
        gateway.command(hello(round, { to: directConversationRaw(ANA, peer), peer })),
      );
      await node.flushed();
      for (const request of requests) assert.equal(gateway.committed(request).sequence, round);
    }
    assert.ok((node.store.residency?.evictions ?? 0) > 30);
    for (const peer of peers) {
      const to = directConversationRaw(ANA, peer);
      const rows = await node.until(node.store.reads.rows(to, ALL));
      assert.deepEqual(bodies(rows), ['hello 1', 'hello 2', 'hello 3', 'hello 4']);
    }
  });
});
