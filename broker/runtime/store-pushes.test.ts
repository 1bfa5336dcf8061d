import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { ByteReader } from '../../core/bytes.ts';
import { encodeCommand } from '../../core/command-codec.ts';
import { COMMAND_KIND, NO_ID } from '../../core/command.ts';
import { groupConversationRaw } from '../../core/ids.ts';
import { decodeAccountEvent, decodeReceipts, readHandles } from '../../core/link-payload.ts';
import { RECORD } from '../../core/record.ts';
import { RowView } from '../../core/row.ts';
import { idOf, markCommand } from '../conversation/test-kit.ts';
import {
  ANA,
  BO,
  CEM,
  DIRECT,
  createGroup,
  hello,
  removeMember,
  sendMany,
} from './testing/talk.ts';
import { type TestGateway, rowOfRecord } from './testing/test-gateway.ts';
import { TestNode } from './testing/test-node.ts';

function byNumber(a: number, b: number): number {
  return a - b;
}

function sequences(gateway: TestGateway): number[] {
  return gateway.of(RECORD.row).map((record) => new RowView(rowOfRecord(record).row).sequence);
}

const ALL_THREE = [
  [11, ANA],
  [12, BO],
  [13, CEM],
] as const;

/** Of Ana, Bo and Cem. */
function makeGroup(gateway: TestGateway): Uint8Array {
  const requestId = idOf(1, 6);
  gateway.command(createGroup(requestId, [BO, CEM]));
  return groupConversationRaw(ANA, requestId);
}

describe('what a store tells its gateways', () => {
  it('who is removed hears the end and gets neither that row nor a later one (R008, CONTRACT 49)', async () => {
    const node = await TestNode.started();
    const gateway = node.gateway();
    gateway.routes(ALL_THREE);
    const conversation = makeGroup(gateway);
    await node.time.settle();
    gateway.got.length = 0;
    gateway.command(removeMember(conversation, CEM));
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
    gateway.routes(ALL_THREE);
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

  it('counts of who received and read reach authors in groups, once a second', async () => {
    const node = await TestNode.started();
    const gateway = node.gateway();
    gateway.routes([
      [11, ANA],
      [12, BO],
    ]);
    const conversation = makeGroup(gateway);
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

  it('large groups are marked for heads, and who is mentioned gets the conversation first (R185)', async () => {
    const node = await TestNode.started({ limits: { groupHeadsMembersMin: 3 } });
    const gateway = node.gateway();
    gateway.routes(ALL_THREE);
    const conversation = makeGroup(gateway);
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
});
