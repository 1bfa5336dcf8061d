import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { ByteReader, text } from '../../core/bytes.ts';
import { directConversationRaw, groupConversationRaw } from '../../core/ids.ts';
import { decodeReceipts, readHandles } from '../../core/link-payload.ts';
import { RECORD } from '../../core/record.ts';
import { BODY_KIND, ROW_FLAG, RowView } from '../../core/row.ts';
import { isDeleted } from '../conversation/overlay.ts';
import { idOf, markCommand } from '../conversation/test-kit.ts';
import type { StandingRow } from './contract.ts';
import { SHARD_PART } from './shard-meta.ts';
import {
  ALL,
  ANA,
  BO,
  DIRECT,
  createGroup,
  hello,
  removeMember,
  sendMany,
} from './testing/talk.ts';
import { TestNode } from './testing/test-node.ts';

function bodies(rows: readonly StandingRow[]): string[] {
  return rows.map(({ row }) => text(new RowView(row).body));
}

function unread(node: TestNode, user: Uint8Array): Promise<number | undefined> {
  return node.until(
    node.store.reads.conversation(DIRECT).then((view) => view?.me(user)?.unreadCount),
  );
}

function storedBytes(node: TestNode): string {
  return [...node.medium.contents().values()]
    .map((value) => Buffer.from(value).toString('latin1'))
    .join('');
}

describe('what readers of a store see', () => {
  it('a read asked for after a commit sees it (R143, CONTRACT 19)', async () => {
    const node = await TestNode.started();
    const gateway = node.gateway();
    const shard = node.store.map.shardOf(DIRECT);
    for (let n = 1; n <= 5; n++) {
      const request = gateway.command(hello(n));
      await node.time.settle();
      const { index, sequence } = gateway.committed(request);
      const readAt = await node.until(node.store.reads.readIndex(shard));
      assert.ok(readAt >= index);
      assert.ok(node.store.reads.appliedIndex(shard) >= readAt);
      const view = await node.until(node.store.reads.conversation(DIRECT));
      assert.equal(view?.head, sequence);
    }
  });

  it('unread counts and marks are the same after a restart, flushed or not (CONTRACT 43)', async () => {
    const node = await TestNode.started();
    const gateway = node.gateway();
    gateway.routes([
      [11, ANA],
      [12, BO],
    ]);
    sendMany(gateway, 1, 30);
    await node.time.settle();
    gateway.command(markCommand(DIRECT, BO, { read: 12 }));
    await node.time.settle();
    const receipts = gateway.of(RECORD.receipts).map(({ payload }) => {
      const input = new ByteReader(payload);
      return { handles: readHandles(input), said: decodeReceipts(input) };
    });
    assert.deepEqual(
      receipts.map(({ handles, said }) => [handles, said.is]),
      [
        [[12], 'me'],
        [[11], 'peer'],
      ],
    );
    const [mine] = receipts;
    assert.ok(mine?.said.is === 'me');
    assert.deepEqual([mine.said.unreadCount, mine.said.readThrough, mine.said.head], [18, 12, 30]);
    await node.restart();
    assert.equal(await unread(node, BO), 18);
    await node.flushed();
    await node.restart();
    assert.equal(await unread(node, BO), 18);
    assert.equal(await unread(node, ANA), 0);
    const again = node.gateway();
    again.command(markCommand(DIRECT, BO, { read: 20 }));
    await node.time.settle();
    assert.equal(await unread(node, BO), 10);
  });

  it('a delete takes the body out of the stored blocks and every answer (CONTRACT 36)', async () => {
    const node = await TestNode.started();
    const gateway = node.gateway();
    gateway.command(hello(1, { text: 'the-secret-one' }));
    gateway.command(hello(2, { text: 'harmless' }));
    await node.flushed();
    assert.ok(storedBytes(node).includes('the-secret-one'));
    gateway.command(
      hello(3, { bodyKind: BODY_KIND.edit, target: 1, text: 'the-secret-edit', flags: 0 }),
    );
    await node.flushed();
    assert.ok(storedBytes(node).includes('the-secret-edit'));
    const gone = gateway.command(hello(4, { bodyKind: BODY_KIND.delete, target: 1, text: '' }));
    await node.time.settle();
    assert.equal(gateway.committed(gone).sequence, 4);
    const check = async (): Promise<void> => {
      const rows = await node.until(node.store.reads.rows(DIRECT, ALL));
      assert.deepEqual(bodies(rows), ['', 'harmless', '', '']);
      assert.ok(new RowView(rows[0]?.row ?? new Uint8Array(0)).has(ROW_FLAG.redacted));
      assert.ok(isDeleted(rows[0]?.overlay ?? new Uint8Array(0)));
      const changed = await node.until(
        node.store.reads.changed(DIRECT, { above: 2, through: 4, limit: 10, bytesMax: 1000 }),
      );
      assert.deepEqual(
        changed.rows.map(({ sequence }) => sequence),
        [1],
      );
      assert.deepEqual([changed.through, changed.isWhole], [4, true]);
    };
    await node.time.settle();
    await node.flushed();
    await check();
    assert.ok(!storedBytes(node).includes('the-secret'));
    assert.ok(storedBytes(node).includes('harmless'));
    await node.restart();
    await check();
    // Old files hold it still: where is remembered beside the state.
    const lists = [...node.medium.contents().keys()].filter(
      (key) => key.startsWith('s') && key.endsWith(String.fromCodePoint(SHARD_PART.erased)),
    );
    assert.equal(lists.length, 1);
  });

  it('an edit is seen by readers at once, after a flush and after a restart', async () => {
    const node = await TestNode.started();
    const gateway = node.gateway();
    sendMany(gateway, 1, 10);
    await node.flushed();
    gateway.command(hello(11, { bodyKind: BODY_KIND.edit, target: 4, text: 'edited' }));
    for (const settle of [() => node.time.settle(), () => node.flushed(), () => node.restart()]) {
      await settle();
      const rows = await node.until(node.store.reads.rows(DIRECT, { ...ALL, from: 3, through: 5 }));
      const changed = rows.map(({ overlay }) => Buffer.from(overlay).includes('edited'));
      assert.deepEqual(changed, [false, true, false]);
    }
  });

  it('changed conversations are those above the index, from memory and after a restart', async () => {
    const node = await TestNode.started();
    const gateway = node.gateway();
    const shard = node.store.map.shardOf(DIRECT);
    const others = Array.from({ length: 400 }, (_, i) => idOf(1000 + i))
      .map((user) => ({ user, to: directConversationRaw(ANA, user) }))
      .filter(({ to }) => node.store.map.shardOf(to) === shard);
    for (const { user, to } of others) gateway.command(hello(1, { to, peer: user }));
    gateway.command(hello(1));
    await node.time.settle();
    const since = node.store.reads.appliedIndex(shard);
    const changedOf = others[3];
    assert.ok(changedOf !== undefined);
    gateway.command(hello(2, { to: changedOf.to, peer: changedOf.user }));
    gateway.command(markCommand(DIRECT, BO, { read: 1 }));
    await node.time.settle();
    const ids = new Uint8Array([...others.flatMap(({ to }) => [...to]), ...DIRECT]);
    const ask = async (sinceIndex: number): Promise<number> => {
      const question = { shard, sinceIndex, conversations: ids, user: ANA };
      const answer = await node.until(node.store.reads.changedConversations(question));
      assert.equal(answer.changed.length / 16, answer.timesMs.length);
      assert.ok(answer.timesMs.every((timeMs) => timeMs > 1_600_000_000_000));
      assert.ok(answer.askedAtIndex >= since + 2);
      return answer.changed.length / 16;
    };
    for (const restart of [false, true, true]) {
      if (restart) {
        await node.flushed();
        await node.restart();
      }
      assert.equal(await ask(since), 2);
      assert.equal(await ask(0), others.length + 1);
      assert.equal(await ask(node.store.reads.appliedIndex(shard)), 0);
    }
  });

  it('pages of rows are the same from tail, blocks and merged blocks (R162)', async () => {
    const node = await TestNode.started({ limits: { hotTailBytesMax: 1, flushIntervalMs: 100 } });
    const gateway = node.gateway();
    const expected: string[] = [];
    for (let i = 1; i <= 90; i++) {
      gateway.command(hello(i));
      expected.push(`hello ${i}`);
      // A flush per message: as many blocks as rows.
      await node.time.advance(170);
    }
    const readAll = async (): Promise<void> => {
      const rows = await node.until(node.store.reads.rows(DIRECT, ALL));
      assert.deepEqual(bodies(rows), expected);
      const page = await node.until(
        node.store.reads.messages(DIRECT, { from: 1, through: 60, limit: 50, newest: true }),
      );
      assert.deepEqual(bodies(page), expected.slice(10, 60));
      const at = new RowView(rows[41]?.row ?? new Uint8Array(0)).timeMs;
      assert.equal(await node.until(node.store.reads.sequenceAt(DIRECT, at)), 42);
    };
    await readAll();
    assert.ok((node.store.blockReads?.blocksRead ?? 0) >= 80);
    gateway.command(hello(91));
    expected.push('hello 91');
    await node.time.advance(600);
    assert.ok((node.store.flusher?.merges ?? 0) > 50);
    await node.restart();
    await readAll();
    assert.ok((node.store.blockReads?.blocksRead ?? 100) < 40);
  });

  it('rows of two 30-day buckets that one flush took are found in theirs (R162)', async () => {
    const limits = { hotTailBytesMax: 1, flushIntervalMs: 3_600_000 };
    const node = await TestNode.started({ limits });
    const gateway = node.gateway();
    sendMany(gateway, 1, 3);
    await node.time.settle();
    const monthMs = 31 * 24 * 3_600_000;
    node.time.wallOffsetMs = monthMs;
    // A new time of day is believed after a minute.
    for (let n = 4; n <= 12; n++) {
      gateway.command(hello(n));
      await node.time.advance(10_000);
    }
    assert.equal(node.store.flusher?.flushes, 0);
    await node.stop();
    await node.restart();
    const view = await node.until(node.store.reads.conversation(DIRECT));
    assert.equal(view?.buckets.length, 2);
    const rows = await node.until(node.store.reads.rows(DIRECT, ALL));
    assert.deepEqual(
      bodies(rows),
      Array.from({ length: 12 }, (_, i) => `hello ${i + 1}`),
    );
    const times = rows.map(({ row }) => new RowView(row).timeMs);
    assert.ok((times.at(-1) ?? 0) - (times[0] ?? 0) > monthMs);
  });

  it('a list that lacks what was committed before it was asked for is refused, not given (R143)', async () => {
    const node = await TestNode.started();
    const requestId = idOf(1, 6);
    const conversation = groupConversationRaw(ANA, requestId);
    node.gateway().command(createGroup(requestId, [BO]));
    await node.flushed();
    await node.restart();
    await node.until(node.store.reads.conversation(conversation));
    const release = node.holdState();
    const gateway = node.gateway();
    const request = gateway.command(removeMember(conversation, BO));
    await node.time.settle();
    assert.ok(gateway.committed(request).sequence > 0);
    const listed = node.store.reads.directory(BO);
    const refused = assert.rejects(listed, { reason: 'SHARD_UNAVAILABLE' });
    await node.time.advance(3000);
    await refused;
    release();
    const directory = await node.until(node.store.reads.directory(BO));
    assert.equal(directory?.open().length, 0);
  });
});
