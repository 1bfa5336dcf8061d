import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { text } from '../../core/bytes.ts';
import { directConversationRaw } from '../../core/ids.ts';
import { RECORD } from '../../core/record.ts';
import { RowView } from '../../core/row.ts';
import type { ConversationMachine } from '../conversation/contract.ts';
import { createConversationMachine } from '../conversation/machine.ts';
import type { StandingRow } from './contract.ts';
import { ALL, ANA, BO, CEM, DIRECT, hello, sendMany } from './testing/talk.ts';
import { type TestGateway, rowOfRecord } from './testing/test-gateway.ts';
import { TestNode } from './testing/test-node.ts';

function sequences(gateway: TestGateway): number[] {
  return gateway.of(RECORD.row).map((record) => new RowView(rowOfRecord(record).row).sequence);
}

function bodies(rows: readonly StandingRow[]): string[] {
  return rows.map(({ row }) => text(new RowView(row).body));
}

describe('a store where power, disk or a shard fails', () => {
  it('acknowledged sends survive power cuts, dense and in order (R016, R144, CONTRACT 5)', async () => {
    const node = await TestNode.started();
    let sent = 0;
    for (let round = 0; round < 6; round++) {
      const gateway = node.gateway();
      gateway.routes([[12, BO]]);
      const requests = sendMany(gateway, sent + 1, 20);
      sent += 20;
      await node.time.settle();
      const expected = requests.map((_, i) => sent - 20 + i + 1);
      assert.deepEqual(
        requests.map((request) => gateway.committed(request).sequence),
        expected,
      );
      assert.deepEqual(sequences(gateway), expected);
      if (round % 2 === 1) await node.flushed();
      await node.restart();
      const rows = await node.until(node.store.reads.rows(DIRECT, ALL));
      assert.deepEqual(
        bodies(rows),
        Array.from({ length: sent }, (_, i) => `hello ${i + 1}`),
      );
    }
    assert.equal(node.fatal, undefined);
  });

  it('what was not durable at a power cut was not acknowledged (R016)', async () => {
    const node = await TestNode.started();
    const gateway = node.gateway();
    const syncs = node.holdSyncs();
    const requests = sendMany(gateway, 1, 5);
    await node.time.settle();
    assert.equal(syncs.held(), 1);
    assert.deepEqual(
      requests.map((request) => gateway.answer(request)),
      Array(5).fill(undefined),
    );
    await node.restart();
    const again = node.gateway();
    const retried = sendMany(again, 1, 5);
    await node.time.settle();
    assert.deepEqual(
      retried.map((request) => again.committed(request).sequence),
      [1, 2, 3, 4, 5],
    );
    const rows = await node.until(node.store.reads.rows(DIRECT, ALL));
    assert.equal(rows.length, 5);
  });

  it('a retry gets the original commit, before and after a restart (R138, CONTRACT 6, 12)', async () => {
    const node = await TestNode.started();
    const gateway = node.gateway();
    const first = gateway.command(hello(1));
    await node.time.settle();
    const original = gateway.committed(first);
    const other = node.gateway();
    const second = other.command(hello(1));
    await node.time.settle();
    const { sequence, timeMs } = original;
    const replayed = other.committed(second);
    assert.deepEqual(
      [replayed.sequence, replayed.timeMs, replayed.replayed],
      [sequence, timeMs, true],
    );
    for (const wait of [0, 1500]) {
      await node.time.advance(wait);
      await node.restart();
      const later = node.gateway();
      const third = later.command(hello(1));
      await node.time.settle();
      const answer = later.committed(third);
      assert.deepEqual([answer.sequence, answer.timeMs, answer.replayed], [sequence, timeMs, true]);
      const conflict = later.command(hello(1, { text: 'something else' }));
      await node.time.settle();
      assert.equal(later.refused(conflict).reason, 'IDEMPOTENCY_CONFLICT');
    }
  });

  it('a failed sync ends the store and acknowledges nothing (R016)', async () => {
    const node = await TestNode.started();
    const gateway = node.gateway();
    node.disk.faults.beforeSync = (path) => {
      if (path.startsWith('wal/')) throw Object.assign(new Error('EIO'), { code: 'EIO' });
    };
    const request = gateway.command(hello(1));
    await node.time.advance(500);
    assert.equal(gateway.answer(request), undefined);
    assert.ok(node.fatal !== undefined);
  });

  it('a log that fails while the store stops is no good end, and is not waited for', async () => {
    const node = await TestNode.started();
    const gateway = node.gateway();
    const syncs = node.holdSyncs();
    const request = gateway.command(hello(1));
    await node.time.settle();
    node.disk.faults.beforeSync = (path) => {
      if (path.startsWith('wal/')) throw Object.assign(new Error('EIO'), { code: 'EIO' });
    };
    const startedMs = node.time.monotonicMs();
    const stopped = node.store.stop();
    syncs.release();
    await assert.rejects(node.until(stopped), { reason: 'BACKEND_UNAVAILABLE' });
    assert.equal(gateway.answer(request), undefined);
    assert.ok(node.time.monotonicMs() - startedMs < 1000);
  });

  it('a fault in apply stops that shard alone, naming the index', async () => {
    const machine = (): ConversationMachine => {
      const real = createConversationMachine();
      const { apply } = real;
      real.apply = (index, command) => {
        if (Buffer.from(command).includes('poison')) throw new Error('a fault');
        return apply.call(real, index, command);
      };
      return real;
    };
    const node = await TestNode.started({ machine });
    const gateway = node.gateway();
    const unit = node.store.units[node.store.map.shardOf(DIRECT)];
    const { flushedIndex = 0 } = unit ?? {};
    gateway.command(hello(1));
    await node.time.settle();
    const poison = gateway.command(hello(2, { text: 'poison' }));
    await node.time.settle();
    assert.equal(gateway.refused(poison).reason, 'COMMIT_UNKNOWN');
    const next = gateway.command(hello(3));
    const [shard, other] = [node.store.map.shardOf(DIRECT), CEM];
    const elsewhere = directConversationRaw(ANA, other);
    const fine = gateway.command(hello(1, { to: elsewhere, peer: other, text: 'fine' }));
    await node.time.settle();
    assert.equal(gateway.refused(next).reason, 'SHARD_UNAVAILABLE');
    assert.notEqual(node.store.map.shardOf(elsewhere), shard);
    assert.equal(gateway.committed(fine).sequence, 1);
    await node.flushed();
    assert.equal(node.fatal, undefined);
    assert.ok(unit !== undefined && unit.shard.applied > flushedIndex);
    assert.equal(unit.flushedIndex, flushedIndex, 'half an entry is never flushed');
    await assert.rejects(node.until(node.store.reads.rows(DIRECT, ALL)), {
      reason: 'SHARD_UNAVAILABLE',
    });
  });

  it('leadership lost before the outcome is known is said so, never a refusal (CONTRACT 12)', async () => {
    const node = await TestNode.started();
    const gateway = node.gateway();
    const syncs = node.holdSyncs();
    const request = gateway.command(hello(1));
    await node.time.settle();
    const unit = node.store.units[node.store.map.shardOf(DIRECT)];
    assert.ok(unit !== undefined);
    unit.shard.reignChanged(0);
    await node.time.settle();
    assert.equal(gateway.refused(request).reason, 'COMMIT_UNKNOWN');
    await assert.rejects(unit.shard.readIndex(), { reason: 'NOT_LEADER' });
    syncs.release();
    await node.time.settle();
    // It did commit: nobody is told twice, and the log has it.
    assert.equal(gateway.got.filter((record) => record.request === request).length, 1);
    await node.restart();
    const again = node.gateway();
    const retried = again.command(hello(1));
    await node.time.settle();
    assert.equal(again.committed(retried).replayed, true);
  });
});
