import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { ByteReader, text } from '../../core/bytes.ts';
import { COMMAND_KIND, NO_ID, type CreateGroupCommand } from '../../core/command.ts';
import { encodeCommand } from '../../core/command-codec.ts';
import { directConversationRaw, groupConversationRaw } from '../../core/ids.ts';
import { decodeAccountEvent, decodeReceipts, readHandles } from '../../core/link-payload.ts';
import { RECORD } from '../../core/record.ts';
import { BODY_KIND, ROW_FLAG, RowView } from '../../core/row.ts';
import { isDeleted } from '../conversation/overlay.ts';
import { OPEN_GROUP, idOf, markCommand, sendCommand } from '../conversation/test-kit.ts';
import { createConversationMachine } from '../conversation/machine.ts';
import type { ConversationMachine } from '../conversation/contract.ts';
import { SHARD_PART } from './shard-meta.ts';
import type { StandingRow } from './contract.ts';
import { TestNode, rowOfRecord, type TestGateway } from './test-kit.ts';

const ANA = idOf(1);
const BO = idOf(2);
const CEM = idOf(3);
const DIRECT = directConversationRaw(ANA, BO);
const OUTBOX = idOf(1, 7);
const ALL = { from: 1, through: 1e9, limit: 1e9, newest: false };

function hello(
  clientSeq: number,
  more: Partial<Parameters<typeof sendCommand>[0]> = {},
): Uint8Array {
  return sendCommand({
    to: DIRECT,
    from: ANA,
    peer: BO,
    outbox: OUTBOX,
    clientSeq,
    after: clientSeq - 1,
    clientMessageId: idOf(clientSeq, 9),
    text: `hello ${clientSeq}`,
    ...more,
  });
}

function group(requestId: Uint8Array, members: readonly Uint8Array[]): Uint8Array {
  const command: CreateGroupCommand = {
    kind: COMMAND_KIND.createGroup,
    timeMs: 0,
    key: groupConversationRaw(ANA, requestId),
    caller: ANA,
    requestId,
    name: 'crew',
    members,
    settings: OPEN_GROUP,
  };
  return encodeCommand(command);
}

function remove(conversation: Uint8Array, user: Uint8Array): Uint8Array {
  return encodeCommand({
    kind: COMMAND_KIND.removeMember,
    timeMs: 0,
    key: conversation,
    caller: ANA,
    user,
  });
}

function byNumber(a: number, b: number): number {
  return a - b;
}

function sequences(gateway: TestGateway): number[] {
  return gateway.of(RECORD.row).map((record) => new RowView(rowOfRecord(record).row).sequence);
}

function bodies(rows: readonly StandingRow[]): string[] {
  return rows.map(({ row }) => text(new RowView(row).body));
}

function sendMany(gateway: TestGateway, from: number, count: number): number[] {
  return Array.from({ length: count }, (_, i) => gateway.command(hello(from + i)));
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

  it('joins reach the account logs, also those that a crash caught on their way', async () => {
    const node = await TestNode.started();
    const members = Array.from({ length: 40 }, (_, i) => idOf(100 + i));
    for (let round = 0; round < 4; round++) {
      const gateway = node.gateway();
      const made = Array.from({ length: 5 }, (_, i) => idOf(round * 10 + i, 6));
      for (const requestId of made) gateway.command(group(requestId, members));
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
        node.store.reads.changed(DIRECT, { above: 2, through: 4, limit: 10 }),
      );
      assert.deepEqual(
        changed.map(({ sequence }) => sequence),
        [1],
      );
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

  it('who is removed hears the end and gets neither that row nor a later one (R008, CONTRACT 49)', async () => {
    const node = await TestNode.started();
    const gateway = node.gateway();
    gateway.routes([
      [11, ANA],
      [12, BO],
      [13, CEM],
    ]);
    const requestId = idOf(1, 6);
    const conversation = groupConversationRaw(ANA, requestId);
    gateway.command(group(requestId, [BO, CEM]));
    await node.time.settle();
    gateway.got.length = 0;
    gateway.command(remove(conversation, CEM));
    gateway.command(hello(1, { to: conversation }));
    await node.time.settle();
    for (const record of gateway.of(RECORD.row))
      assert.deepEqual(rowOfRecord(record).handles.toSorted(byNumber), [11, 12]);
    const removed = gateway.of(RECORD.conversation).filter(({ flags }) => flags === 1);
    assert.deepEqual(
      removed.map(({ handle }) => handle),
      [13],
    );
  });

  it('queued counts who has no gateway (CONTRACT 44)', async () => {
    const node = await TestNode.started();
    const gateway = node.gateway();
    gateway.routes([[11, ANA]]);
    const alone = gateway.command(hello(1));
    await node.time.settle();
    assert.equal(gateway.committed(alone).queued, 1);
    gateway.routes([[12, BO]]);
    const both = gateway.command(hello(2));
    await node.time.settle();
    assert.equal(gateway.committed(both).queued, 0);
    gateway.unroutes([12]);
    const again = gateway.command(hello(3));
    await node.time.settle();
    assert.equal(gateway.committed(again).queued, 1);
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
    assert.ok(node.store.hotTail.unflushedBytes < 9 * 4096);
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
    const poison = gateway.command(hello(1, { text: 'poison' }));
    await node.time.settle();
    assert.equal(gateway.refused(poison).reason, 'COMMIT_UNKNOWN');
    const next = gateway.command(hello(2));
    const [shard, other] = [node.store.map.shardOf(DIRECT), CEM];
    const elsewhere = directConversationRaw(ANA, other);
    const fine = gateway.command(hello(1, { to: elsewhere, peer: other, text: 'fine' }));
    await node.time.settle();
    assert.equal(gateway.refused(next).reason, 'SHARD_UNAVAILABLE');
    assert.notEqual(node.store.map.shardOf(elsewhere), shard);
    assert.equal(gateway.committed(fine).sequence, 1);
    await node.flushed();
    assert.equal(node.fatal, undefined);
    await assert.rejects(node.until(node.store.reads.rows(DIRECT, ALL)), {
      reason: 'SHARD_UNAVAILABLE',
    });
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
    let clientSeq = 0;
    for (const jump of [0, 31 * 24 * 3_600_000, -3_600_000, 0]) {
      node.time.wallOffsetMs = jump;
      const gateway = node.gateway();
      const request = gateway.command(hello(++clientSeq));
      await node.time.advance(20);
      times.push(gateway.committed(request).timeMs);
      if (clientSeq % 2 === 0) await node.flushed();
      if (clientSeq === 2) node.time.wallOffsetMs = 0;
      await node.restart();
    }
    assert.deepEqual(times, times.toSorted(byNumber));
  });

  it('a session that was revoked is told to the gateways of its user', async () => {
    const node = await TestNode.started();
    const gateway = node.gateway();
    gateway.routes([[11, ANA]]);
    const session = idOf(5, 5);
    const request = gateway.command(
      encodeCommand({
        kind: COMMAND_KIND.accountSessionRevoked,
        timeMs: 0,
        key: ANA,
        caller: NO_ID,
        session,
      }),
    );
    await node.time.settle();
    assert.ok(gateway.committed(request).sequence > 0);
    const [told] = gateway.of(RECORD.account);
    assert.equal(told?.handle, 11);
    assert.deepEqual(decodeAccountEvent(told?.payload ?? new Uint8Array(0)).session, session);
  });

  it('typing goes to the other members and into no log (CONTRACT 51)', async () => {
    const node = await TestNode.started();
    const gateway = node.gateway();
    gateway.routes([
      [11, ANA],
      [12, BO],
      [13, CEM],
    ]);
    gateway.command(hello(1));
    await node.time.settle();
    const before = node.store.loop.frames;
    gateway.typing(DIRECT, ANA, 1);
    gateway.typing(DIRECT, CEM, 1);
    await node.time.settle();
    const typed = gateway.of(RECORD.typingOut);
    assert.deepEqual(
      typed.map(({ payload }) => readHandles(new ByteReader(payload))),
      [[12]],
    );
    assert.equal(node.store.loop.frames, before);
  });

  it('a gateway that is behind misses pushes and is told so; progress claims nothing meanwhile', async () => {
    const node = await TestNode.started();
    const gateway = node.gateway();
    const shard = node.store.map.shardOf(DIRECT);
    gateway.routes([[12, BO]], true);
    await node.time.advance(250);
    assert.equal(gateway.of(RECORD.resync).length, 16);
    gateway.got.length = 0;
    const [link] = node.store.links;
    assert.ok(link !== undefined);
    const stalled = node.stall(0);
    gateway.command(hello(1));
    await node.time.advance(250);
    assert.deepEqual(sequences(gateway), []);
    stalled.writable();
    await node.time.advance(250);
    assert.deepEqual(
      gateway.of(RECORD.resync).map((record) => record.shard),
      [shard],
    );
    const kinds = gateway.got.filter((record) => record.shard === shard).map(({ kind }) => kind);
    assert.ok(kinds.indexOf(RECORD.resync) < kinds.indexOf(RECORD.progress));
    gateway.command(hello(2));
    await node.time.settle();
    assert.deepEqual(sequences(gateway), [2]);
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
      await node.time.advance(130);
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

  it('counts of who received and read reach authors in groups, once a second', async () => {
    const node = await TestNode.started();
    const gateway = node.gateway();
    gateway.routes([
      [11, ANA],
      [12, BO],
    ]);
    const requestId = idOf(1, 6);
    const conversation = groupConversationRaw(ANA, requestId);
    gateway.command(group(requestId, [BO, CEM]));
    gateway.command(hello(1, { to: conversation }));
    await node.time.settle();
    gateway.command(markCommand(conversation, BO, { delivered: 2 }));
    await node.time.advance(1100);
    const counts = gateway.of(RECORD.receipts).flatMap(({ payload }) => {
      const input = new ByteReader(payload);
      const handles = readHandles(input);
      const said = decodeReceipts(input);
      return said.is === 'counts' ? [{ handles, items: said.items }] : [];
    });
    assert.deepEqual(counts, [
      { handles: [11], items: [{ sequence: 2, of: 2, queued: 1, delivered: 1, read: 0 }] },
    ]);
  });

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

  it('large groups are marked for heads, and who is mentioned gets the conversation first (R185)', async () => {
    const node = await TestNode.started({ limits: { groupHeadsMembersMin: 3 } });
    const gateway = node.gateway();
    gateway.routes([
      [11, ANA],
      [12, BO],
      [13, CEM],
    ]);
    const requestId = idOf(1, 6);
    const conversation = groupConversationRaw(ANA, requestId);
    gateway.command(group(requestId, [BO, CEM]));
    gateway.command(hello(1, { to: conversation }));
    await node.time.settle();
    assert.ok(gateway.of(RECORD.row).every(({ flags }) => flags === 1));
    gateway.got.length = 0;
    gateway.command(hello(2, { to: conversation, mentions: [CEM] }));
    await node.time.settle();
    const told = gateway.got.filter(({ kind }) => kind !== RECORD.commit);
    assert.deepEqual(
      told.map(({ kind, handle }) => [kind, handle]),
      [
        [RECORD.conversation, 13],
        [RECORD.row, 0],
      ],
    );
    // One frame a gateway carries the row once, whoever gets it (R187).
    assert.equal(gateway.of(RECORD.row)[0]?.count, 3);
  });

  it('one gateway gets a row once for all its users, another gets its own frame (R186, R187)', async () => {
    const node = await TestNode.started();
    const [one, two] = [node.gateway(), node.gateway()];
    one.routes([
      [1, ANA],
      [2, BO],
    ]);
    two.routes([[1, BO]]);
    one.command(hello(1));
    await node.time.settle();
    assert.deepEqual(
      [one, two].map((gateway) => gateway.of(RECORD.row).map(({ count }) => count)),
      [[2], [1]],
    );
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

  it('a gateway that attaches while the log is applied again hears nothing old', async () => {
    const node = await TestNode.started({ limits: { flushIntervalMs: 1e9 } });
    sendMany(node.gateway(), 1, 5);
    await node.time.settle();
    node.crash();
    const starting = node.store.start();
    const gateway = node.gateway();
    gateway.routes([[12, BO]], true);
    await node.until(starting);
    assert.deepEqual(sequences(gateway), []);
    assert.deepEqual(gateway.of(RECORD.conversation), []);
    sendMany(gateway, 6, 1);
    await node.time.settle();
    assert.deepEqual(sequences(gateway), [6]);
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
});
