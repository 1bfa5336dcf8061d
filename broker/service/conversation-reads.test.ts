import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import type { ParleyError } from '../../core/errors.ts';
import { directConversationRaw, encodeId, groupConversationRaw } from '../../core/ids.ts';
import { codecOf } from '../../proto/codec.ts';
import {
  FitsAnswerSchema,
  FitsQuerySchema,
  ViewsAnswerSchema,
  ViewsQuerySchema,
} from '../../proto/gen/parley/broker/v1/link_pb.ts';
import { ContentSchema } from '../../proto/gen/parley/v1/content_pb.ts';
import { COMMAND_KIND } from '../../core/command.ts';
import { encodeCommand } from '../../core/command-codec.ts';
import { idOf } from '../conversation/test-kit.ts';
import { ANA, BO, createGroup, DIRECT, hello, removeMember } from '../runtime/testing/talk.ts';
import { TestNode } from '../runtime/testing/test-node.ts';
import { PAGE_BYTES_MAX } from './message-reads.ts';
import { ask } from './testing/ask.ts';

/** Members of a group at most, in a TestNode. */
const FULL = 500;
const REQUEST: Uint8Array = idOf(1, 6);
const CREW: Uint8Array = groupConversationRaw(ANA, REQUEST);
const FITS = {
  method: 'Link.Fits',
  request: FitsQuerySchema,
  response: FitsAnswerSchema,
} as const;
const VIEWS = {
  method: 'Link.Views',
  request: ViewsQuerySchema,
  response: ViewsAnswerSchema,
} as const;

function users(from: number, count: number): Uint8Array[] {
  return Array.from({ length: count }, (_, i) => idOf(from + i));
}

/** What the store says to so many: undefined = they fit. */
function askedOf(
  node: TestNode,
  question: {
    raw: Uint8Array;
    caller: Uint8Array;
    creates: boolean;
    users: Uint8Array[];
    ifVersion?: number;
  },
): Promise<string | undefined> {
  const { raw, caller, creates, ifVersion = 0 } = question;
  const conversationId = encodeId('cnv', raw);
  const request = { conversationId, users: Buffer.concat(question.users), creates, ifVersion };
  return ask(node, caller, FITS, request).then(
    () => undefined,
    ({ reason }: ParleyError) => reason,
  );
}

describe('whether users fit into a group', () => {
  it('is judged of one to be made by its bound, and not at all of one that is there', async () => {
    const node = await TestNode.started();
    const create = { raw: CREW, caller: ANA, creates: true };
    const some = users(10, FULL - 1);
    assert.equal(await askedOf(node, { ...create, users: some }), undefined);
    const many = [...some, BO];
    assert.equal(await askedOf(node, { ...create, users: many }), 'GROUP_FULL');
    node.gateway().command(createGroup(REQUEST, [BO]));
    await node.time.settle();
    assert.equal(await askedOf(node, { ...create, users: many }), undefined);
  });

  it('counts those to be added who are no members yet, for members to hear', async () => {
    const node = await TestNode.started();
    const gateway = node.gateway();
    const crew = users(10, FULL - 11);
    const left = idOf(9_000);
    gateway.command(createGroup(REQUEST, [...crew, BO, left]));
    gateway.command(removeMember(CREW, left));
    await node.time.settle();
    const add = { raw: CREW, caller: ANA, creates: false };
    const fit = [...crew, ...users(1_000, 8), left];
    assert.equal(await askedOf(node, { ...add, users: fit }), undefined);
    assert.equal(await askedOf(node, { ...add, users: [...fit, idOf(1_008)] }), 'GROUP_FULL');
    const stranger = { ...add, caller: idOf(9_999), users: users(1_000, FULL) };
    assert.equal(await askedOf(node, stranger), 'CONVERSATION_UNKNOWN');
    assert.equal(await askedOf(node, { ...stranger, caller: left }), 'NOT_A_MEMBER');
  });

  it('is left to the log where it has another reason to refuse them, or none', async () => {
    const node = await TestNode.started();
    const gateway = node.gateway();
    gateway.command(createGroup(REQUEST, [BO, ...users(10, FULL - 2)]));
    await node.time.settle();
    const add = { raw: CREW, caller: ANA, creates: false, users: users(1_000, 60) };
    assert.equal(await askedOf(node, add), 'GROUP_FULL');
    assert.equal(await askedOf(node, { ...add, users: users(10, 60) }), undefined);
    assert.equal(await askedOf(node, { ...add, ifVersion: 99 }), undefined);
    assert.equal(await askedOf(node, { ...add, caller: BO }), undefined);
    const close = {
      kind: COMMAND_KIND.closeConversation,
      timeMs: 0,
      key: CREW,
      caller: ANA,
    } as const;
    gateway.command(encodeCommand(close));
    await node.time.settle();
    assert.equal(await askedOf(node, add), undefined);
  });

  it('is left to the log where there is no group', async () => {
    const node = await TestNode.started();
    node.gateway().command(hello(1));
    await node.time.settle();
    const add = { raw: DIRECT, caller: ANA, creates: false, users: users(10, 3) };
    assert.equal(await askedOf(node, add), undefined);
  });
});

describe('views of conversations', () => {
  it('are as many as make a page, and say how many', async () => {
    const node = await TestNode.started();
    const gateway = node.gateway();
    const body = codecOf(ContentSchema).encode({ message: { text: { body: 'x'.repeat(60_000) } } });
    const peers = users(100, 20);
    const raws = peers.map((peer) => directConversationRaw(ANA, peer));
    for (const [i, peer] of peers.entries())
      gateway.command(hello(1, { to: raws[i] ?? DIRECT, peer, outbox: idOf(i + 1, 7), body }));
    await node.time.settle();
    const seen: string[] = [];
    for (let at = 0; at < raws.length; ) {
      const request = { conversations: Buffer.concat(raws.slice(at)), messages: 0, messagesOf: 0 };
      const { conversations, answered } = await ask(node, ANA, VIEWS, request);
      assert.equal(conversations.length, answered);
      assert.ok(answered > 0 && answered * 60_000 <= PAGE_BYTES_MAX);
      seen.push(...conversations.map(({ conversationId }) => conversationId));
      at += answered;
    }
    assert.deepEqual(
      seen,
      raws.map((raw) => encodeId('cnv', raw)),
    );
  });
});
