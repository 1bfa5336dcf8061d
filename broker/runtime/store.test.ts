import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { text } from '../../core/bytes.ts';
import { directConversationRaw, groupConversationRaw } from '../../core/ids.ts';
import { RECORD } from '../../core/record.ts';
import { BODY_KIND, RowView } from '../../core/row.ts';
import { MemoryStateStore } from '../../storage-engine/memory-state-store.ts';
import { PREFIX, prefixRange } from '../../storage-engine/keys.ts';
import { decodeSparse, SPARSE } from '../../storage-engine/sparse.ts';
import { idOf, markCommand } from '../conversation/test-kit.ts';
import { ALL, ANA, BO, DIRECT, createGroup, hello, sendMany } from './testing/talk.ts';
import { rowOfRecord } from './testing/test-gateway.ts';
import { TestNode } from './testing/test-node.ts';

function byNumber(a: number, b: number): number {
  return a - b;
}

function unread(node: TestNode, user: Uint8Array): Promise<number | undefined> {
  return node.until(
    node.store.reads.conversation(DIRECT).then((view) => view?.me(user)?.unreadCount),
  );
}

describe('a store on one node', () => {
  it('a first message makes the direct, commits as sequence 1 and goes to both (R001, R140)', async () => {
    const node = await TestNode.started();
    const gateway = node.gateway();
    gateway.routes([
      [11, ANA],
      [12, BO],
    ]);
    const request = gateway.command(hello(1));
    await node.time.settle();
    const commit = gateway.committed(request);
    assert.equal(commit.sequence, 1);
    assert.equal(commit.queued, 0);
    const [row] = gateway.of(RECORD.row);
    assert.ok(row !== undefined);
    const { handles, row: bytes } = rowOfRecord(row);
    assert.deepEqual(handles.toSorted(byNumber), [11, 12]);
    assert.equal(text(new RowView(bytes).body), 'hello 1');
    const kinds = gateway.got.map(({ kind }) => kind);
    const told = gateway.of(RECORD.conversation).map(({ handle }) => handle);
    assert.deepEqual(told.toSorted(byNumber), [11, 12]);
    assert.ok(kinds.lastIndexOf(RECORD.conversation) < kinds.indexOf(RECORD.row));
  });

  it('two who write first at once meet in one conversation with one order (R139, CONTRACT 1)', async () => {
    const node = await TestNode.started();
    const a = node.gateway();
    const b = node.gateway();
    const fromAna = a.command(hello(1));
    const fromBo = b.command(
      hello(1, { from: BO, peer: ANA, outbox: idOf(2, 7), clientMessageId: idOf(77, 9) }),
    );
    await node.time.settle();
    assert.deepEqual(
      [a.committed(fromAna).sequence, b.committed(fromBo).sequence].toSorted(byNumber),
      [1, 2],
    );
  });

  it('a conversation that is being loaded keeps the order of its commands (R139, R141)', async () => {
    const node = await TestNode.started();
    const gateway = node.gateway();
    sendMany(gateway, 1, 3);
    await node.flushed();
    await node.restart();
    const cold = node.gateway();
    // Nothing is resident: all of these queue behind the load, control rows among them.
    const requests = [
      cold.command(hello(4)),
      cold.command(hello(5, { bodyKind: BODY_KIND.edit, target: 2, text: 'edited' })),
      cold.command(hello(6)),
      cold.command(markCommand(DIRECT, BO, { read: 3 })),
      cold.command(hello(7)),
    ];
    await node.time.settle();
    assert.deepEqual(
      [0, 1, 2, 4].map((i) => cold.committed(requests[i] ?? 0).sequence),
      [4, 5, 6, 7],
    );
    assert.equal(await unread(node, BO), 3);
  });

  it('stamps never fall, whatever the clock does, also over a restart', async () => {
    const node = await TestNode.started();
    const times: number[] = [];
    let peers = 0;
    const day = 24 * 3_600_000;
    for (const jump of [0, 31 * day, -day / 24, 0, 60 * day, 0]) {
      node.time.wallOffsetMs = jump;
      await node.restart();
      // In a conversation of its own, which has no older stamp to go on from.
      const peer = idOf(50 + ++peers);
      const gateway = node.gateway();
      const to = directConversationRaw(ANA, peer);
      const request = gateway.command(hello(1, { to, peer }));
      await node.time.advance(20);
      times.push(gateway.committed(request).timeMs);
      // Of some the state remembers the stamp, of others the log.
      if (peers % 2 === 0) await node.flushed();
    }
    assert.deepEqual(times, times.toSorted(byNumber));
  });

  it('a slow sync gathers what arrives meanwhile into one frame', async () => {
    const node = await TestNode.started();
    const gateway = node.gateway();
    const made = gateway.command(hello(1));
    await node.time.settle();
    const syncs = node.holdSyncs();
    const first = gateway.command(hello(2));
    await node.time.settle();
    const { frames } = node.store.loop;
    const rest = [];
    for (let i = 3; i <= 30; i++) {
      rest.push(gateway.command(hello(i)));
      await node.time.settle();
    }
    assert.equal(node.store.loop.frames, frames);
    syncs.release();
    await node.time.settle();
    assert.equal(node.store.loop.frames, frames + 1);
    assert.deepEqual(
      [made, first, ...rest].map((request) => gateway.committed(request).sequence),
      Array.from({ length: 30 }, (_, i) => i + 1),
    );
  });

  it('joins reach the account logs, also those that a crash caught on their way', async () => {
    const node = await TestNode.started();
    const members = Array.from({ length: 40 }, (_, i) => idOf(100 + i));
    for (let round = 0; round < 4; round++) {
      const gateway = node.gateway();
      const made = Array.from({ length: 5 }, (_, i) => idOf(round * 10 + i, 6));
      for (const requestId of made) gateway.command(createGroup(requestId, members));
      if (round === 0) await node.time.settle();
      else for (let turn = 0; turn < round * 2; turn++) await new Promise(setImmediate);
      if (round === 2) await node.time.advance(1100);
      // Answered = durable, though its members may not have heard of it.
      const known = made.filter((_, i) => gateway.answer(i + 1)?.kind === RECORD.commit);
      await node.restart();
      await node.time.advance(300);
      for (const user of [ANA, ...members]) {
        const directory = await node.until(node.store.reads.directory(user));
        const open = Buffer.from(directory?.open() ?? []).toString('hex');
        for (const requestId of known) {
          const id = Buffer.from(groupConversationRaw(ANA, requestId)).toString('hex');
          assert.ok(open.includes(id), `round ${round}`);
        }
      }
    }
  });

  it('a clean stop answers what is under way, flushes, and the next start replays nothing', async () => {
    const node = await TestNode.started();
    const gateway = node.gateway();
    const requests = sendMany(gateway, 1, 10);
    await new Promise(setImmediate);
    await node.time.settle();
    await node.stop();
    for (const request of requests) assert.ok(gateway.committed(request).sequence > 0);
    assert.ok(gateway.isClosed);
    await node.restart();
    const unit = node.store.units[node.store.map.shardOf(DIRECT)];
    assert.ok(unit !== undefined && unit.flushedIndex >= 10);
    const rows = await node.until(node.store.reads.rows(DIRECT, ALL));
    assert.equal(rows.length, 10);
  });

  it('stores what it keeps of conversations and accounts without their zeros', async () => {
    const node = await TestNode.started();
    sendMany(node.gateway(), 1, 10);
    await node.time.settle();
    await node.flushed();
    await node.stop();
    const state = new MemoryStateStore({ medium: node.medium });
    await state.open();
    for (const prefix of [PREFIX.header, PREFIX.account]) {
      const entries = await state.range(prefixRange(Uint8Array.of(prefix)));
      assert.ok(entries.length > 0);
      for (const { value } of entries) {
        assert.equal(value[0], SPARSE);
        assert.ok(value.length < decodeSparse(value).length);
      }
    }
  });
});
