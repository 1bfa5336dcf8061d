import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { SEND_FLAG } from '../../core/command.ts';
import { BODY_KIND } from '../../core/row.ts';
import { MENTIONS_MAX } from './mentions.ts';
import { assertRefused, Direct, idOf, markCommand, sequenceOf, Shard } from './test-kit.ts';

describe('a mark', () => {
  it('rises, never falls, and clamps to the head (R015, CONTRACT §9 case 45)', () => {
    const { shard, id, a, b, direct } = chat(3);
    assert.deepEqual(shard.mark(id, b, { delivered: 2 }).registers, [{ user: b, what: 'marks' }]);
    assert.equal(shard.mark(id, b, { delivered: 1 }).registers, undefined);
    assert.equal(shard.me(id, b).deliveredThrough, 2);
    shard.mark(id, b, { delivered: 900 });
    assert.equal(shard.me(id, b).deliveredThrough, 3);
    assert.equal(shard.me(id, b).readThrough, 0);
    direct.send(a);
    assert.equal(shard.me(id, b).deliveredThrough, 3);
  });

  it('of reading implies delivery, and tells when', () => {
    const { shard, id, b } = chat(3);
    shard.mark(id, b, { read: 2 });
    const member = shard.machine.view(id)?.member(b);
    assert.equal(member?.readThrough, 2);
    assert.equal(member?.deliveredThrough, 2);
    assert.equal(member?.readTimeMs, shard.nowMs);
    assert.equal(member?.deliveredTimeMs, shard.nowMs);
  });

  it('moves the last index of a direct for both, of a group for the member alone (DESIGN §4 Heads)', () => {
    const { shard, id, b } = chat(1);
    shard.mark(id, b, { read: 1 });
    assert.equal(shard.machine.view(id)?.lastIndex, shard.index);
    const group = shard.createGroup(idOf(1), [idOf(2)]).id;
    shard.send({ to: group, from: idOf(1), outbox: idOf(9, 7), clientSeq: 1 });
    const { index } = shard;
    shard.mark(group, idOf(2), { read: 2 });
    const view = shard.machine.view(group);
    assert.equal(view?.lastIndex, index);
    assert.equal(view?.ownChangeIndex(idOf(2)), index + 1);
    assert.equal(view?.ownChangeIndex(idOf(1)), 0);
  });

  it('of who was never a member is refused as unknown, of a former one as such', () => {
    const shard = new Shard();
    const { id } = shard.createGroup(idOf(1), [idOf(2)]);
    shard.remove(id, idOf(1), idOf(2));
    assertRefused(shard.mark(id, idOf(3), { read: 1 }), 'CONVERSATION_UNKNOWN');
    assertRefused(shard.mark(id, idOf(2), { read: 1 }), 'NOT_A_MEMBER');
    assertRefused(shard.mark(idOf(9, 3), idOf(2), { read: 1 }), 'CONVERSATION_UNKNOWN');
  });

  it('is completed from rows where the state does not tell one’s share of them (DESIGN §4 Counts)', () => {
    const { shard, id, a, b, direct } = chat(2);
    direct.send(a, { flags: SEND_FLAG.silent });
    direct.send(b);
    direct.send(a);
    direct.send(b);
    const command = markCommand(id, b, { read: 5 });
    assert.deepEqual(shard.machine.markNeedsRows(command), { from: 0, to: 5 });
    shard.mark(id, b, { read: 5 });
    assert.equal(shard.me(id, b).unreadCount, 0);
    assert.equal(shard.me(id, a).unreadCount, 2);
    direct.send(a);
    assert.equal(shard.me(id, b).unreadCount, 1);
  });

  it('asks for no rows where all rows since one’s mark are alike, or at the head', () => {
    const { shard, id, b } = chat(9);
    const needs = (read: number) => shard.machine.markNeedsRows(markCommand(id, b, { read }));
    assert.deepEqual(needs(4), { from: 4, to: 4 });
    assert.deepEqual(needs(9), { from: 9, to: 9 });
    assert.equal(needs(0), undefined);
    shard.mark(id, b, { read: 4 });
    assert.equal(needs(4), undefined);
    assert.equal(shard.me(id, b).unreadCount, 5);
  });

  it('completed before rows that were in flight counts what it saw', () => {
    const { shard, id, a, b, direct } = chat(2);
    const entry = shard.propose(markCommand(id, b, { read: 2 }));
    direct.send(b);
    direct.send(a, { flags: SEND_FLAG.silent });
    direct.send(a);
    shard.commit(entry);
    assert.equal(shard.me(id, b).readThrough, 2);
    assert.equal(shard.me(id, b).unreadCount, 1);
  });

  it('is counted right over what is marked and written while its rows are read', () => {
    const { shard, id, a, b, direct } = chat(2);
    direct.send(b);
    direct.send(a, { flags: SEND_FLAG.silent });
    direct.send(b);
    direct.send(a);
    const command = markCommand(id, b, { read: 5 });
    assert.deepEqual(shard.machine.markNeedsRows(command), { from: 0, to: 5 });
    const rows = shard.rows.get(id.join()) ?? [];
    const tally = shard.machine.startTally(command);
    tally?.add(rows.slice(0, 2));
    shard.mark(id, b, { read: 3 });
    direct.send(b);
    direct.send(a);
    tally?.add(rows.slice(2, 5));
    const entry = shard.machine.completeMark(command, tally);
    shard.machine.pin(entry);
    shard.commit(entry);
    assert.equal(shard.me(id, b).readThrough, 5);
    assert.equal(shard.me(id, b).unreadCount, 2);
  });

  it('that nobody completed is refused for later rather than counted wrongly', () => {
    const { shard, id, a, b, direct } = chat(1);
    direct.send(a, { flags: SEND_FLAG.silent });
    direct.send(a);
    const command = markCommand(id, b, { read: 2 });
    shard.machine.pin(command);
    assertRefused(shard.commit(command), 'OVERLOADED', { retryAfterMs: 1000 });
    assert.equal(shard.me(id, b).readThrough, 0);
  });
});

describe('unread counts', () => {
  it('count others’ messages above one’s mark, on every device alike and after a restart (R019, CONTRACT §9 case 43)', () => {
    const { shard, id, a, b, direct } = chat(5);
    direct.send(b);
    assert.equal(shard.me(id, b).unreadCount, 5);
    shard.mark(id, b, { read: 3 });
    assert.equal(shard.me(id, b).unreadCount, 2);
    shard.restart();
    assert.equal(shard.me(id, b).unreadCount, 2);
    assert.equal(shard.me(id, a).unreadCount, 1);
  });

  it('leave out silent messages, edits, deletes and rows that the server made', () => {
    const { shard, id, a, b, direct } = chat(1);
    direct.send(a, { flags: SEND_FLAG.silent });
    direct.send(a, { bodyKind: BODY_KIND.edit, target: 1 });
    direct.send(a, { bodyKind: BODY_KIND.delete, target: 1 });
    assert.equal(shard.me(id, b).unreadCount, 1);
    assert.equal(shard.machine.view(id)?.messageCount, 1);
    assert.equal(shard.machine.view(id)?.lastMessageSequence, 1);
  });

  it('begin at the join row: what was before counts as read (CONTRACT §6)', () => {
    const shard = new Shard();
    const [owner, late] = [idOf(1), idOf(2)];
    const { id } = shard.createGroup(owner, [], { historyAll: true });
    const say = sender(shard, id, owner);
    say();
    say();
    const joined = sequenceOf(shard.add(id, owner, [late]));
    assert.equal(shard.me(id, late).readThrough, joined);
    assert.equal(shard.me(id, late).historyFrom, 1);
    say();
    assert.equal(shard.me(id, late).unreadCount, 1);
  });

  it('stay exact for who wrote, left and joined again', () => {
    const shard = new Shard();
    const [owner, member] = [idOf(1), idOf(2)];
    const { id } = shard.createGroup(owner, [member]);
    const owns = sender(shard, id, owner);
    const writes = sender(shard, id, member);
    writes();
    owns();
    shard.remove(id, member, member);
    owns();
    shard.add(id, owner, [member]);
    assert.equal(shard.me(id, member).unreadCount, 0);
    writes();
    owns();
    owns();
    assert.equal(shard.me(id, member).unreadCount, 2);
  });
});

describe('mentions', () => {
  it('count for present members but the sender, once a row, until they are read', () => {
    const shard = new Shard();
    const [owner, one, two, gone] = [idOf(1), idOf(2), idOf(3), idOf(4)];
    const { id } = shard.createGroup(owner, [one, two, gone]);
    shard.remove(id, gone, gone);
    const say = sender(shard, id, owner);
    say({ mentions: [one, one, owner, gone, idOf(99)] });
    say({ mentions: [one] });
    say({ mentions: [two], flags: SEND_FLAG.silent });
    assert.equal(shard.me(id, one).mentionCount, 2);
    assert.equal(shard.me(id, two).mentionCount, 0);
    assert.equal(shard.me(id, owner).mentionCount, 0);
    shard.mark(id, one, { read: 3 });
    assert.equal(shard.me(id, one).mentionCount, 1);
    shard.restart();
    assert.equal(shard.me(id, one).mentionCount, 1);
  });

  it('of all count by ordinal, one’s own not', () => {
    const shard = new Shard();
    const [owner, one] = [idOf(1), idOf(2)];
    const { id } = shard.createGroup(owner, [one]);
    const say = sender(shard, id, owner);
    say({ flags: SEND_FLAG.mentionAll, mentions: [one] });
    sender(shard, id, one)({ flags: SEND_FLAG.mentionAll });
    say();
    assert.equal(shard.me(id, one).mentionCount, 1);
    assert.equal(shard.me(id, owner).mentionCount, 1);
    shard.mark(id, one, { read: 2 });
    assert.equal(shard.me(id, one).mentionCount, 0);
    assert.equal(shard.me(id, one).unreadCount, 1);
  });

  it('are counted to 256, the newest ones', () => {
    const shard = new Shard();
    const [owner, one] = [idOf(1), idOf(2)];
    const { id } = shard.createGroup(owner, [one]);
    const say = sender(shard, id, owner);
    for (let i = 0; i < MENTIONS_MAX + 20; i++) say({ mentions: [one] });
    assert.equal(shard.me(id, one).mentionCount, MENTIONS_MAX);
    shard.mark(id, one, { read: 1 + MENTIONS_MAX });
    assert.equal(shard.me(id, one).mentionCount, 20);
  });
});

describe('receipts', () => {
  it('count present members whose interval began before the row, but its sender (R020, CONTRACT §9 case 46)', () => {
    const shard = new Shard();
    const owner = idOf(1);
    const members = Array.from({ length: 49 }, (_, i) => idOf(i + 2));
    const { id } = shard.createGroup(owner, members);
    const sequence = sequenceOf(sender(shard, id, owner)());
    for (const member of members.slice(0, 30)) shard.mark(id, member, { delivered: sequence });
    for (const member of members.slice(0, 10)) shard.mark(id, member, { read: sequence });
    const counts = () => shard.machine.view(id)?.counts(sequence, owner);
    assert.deepEqual(counts(), { of: 49, delivered: 30, read: 10 });
    shard.add(id, owner, [idOf(90)]);
    assert.deepEqual(counts(), { of: 49, delivered: 30, read: 10 });
    shard.remove(id, owner, idOf(2));
    assert.deepEqual(counts(), { of: 48, delivered: 29, read: 9 });
  });

  it('of the first message of a direct count its other user', () => {
    const { shard, id, a, b } = chat(1);
    assert.deepEqual(shard.machine.view(id)?.counts(1, a), { of: 1, delivered: 0, read: 0 });
    shard.mark(id, b, { read: 1 });
    assert.deepEqual(shard.machine.view(id)?.counts(1, a), { of: 1, delivered: 1, read: 1 });
  });
});

function chat(messages: number): {
  readonly shard: Shard;
  readonly id: Uint8Array;
  readonly a: Uint8Array;
  readonly b: Uint8Array;
  readonly direct: Direct;
} {
  const direct = new Direct();
  for (let i = 0; i < messages; i++) direct.send(direct.a);
  const { shard, id, a, b } = direct;
  return { shard, id, a, b, direct };
}

type Say = (options?: {
  readonly mentions?: readonly Uint8Array[];
  readonly flags?: number;
}) => ReturnType<Shard['send']>;

function sender(shard: Shard, to: Uint8Array, from: Uint8Array): Say {
  const outbox = shard.outbox();
  let last = 0;
  return (options = {}) => {
    last += 1;
    return shard.send({ to, from, outbox, clientSeq: last, after: last - 1, ...options });
  };
}
