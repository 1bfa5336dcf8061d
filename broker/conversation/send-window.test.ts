import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { assertRefused, assertReplayed, Direct, idOf, sequenceOf, Shard } from './test-kit.ts';
import { KEYS_MAX, OUTBOXES_MAX, WINDOW_ENTRIES_MAX } from './send-window.ts';

const DAY_MS = 24 * 3_600_000;

describe('a send window', () => {
  it('takes numbers that rise and may skip, each behind the last accepted (G3)', () => {
    const direct = new Direct();
    assert.equal(sequenceOf(direct.send(direct.a, { clientSeq: 3, after: 0 })), 1);
    assert.equal(sequenceOf(direct.send(direct.a, { clientSeq: 7, after: 3 })), 2);
  });

  it('refuses an unused lower number and names the last accepted (G3)', () => {
    const direct = new Direct();
    direct.send(direct.a, { clientSeq: 3, after: 0 });
    const details = { lastAccepted: 3 };
    assertRefused(direct.send(direct.a, { clientSeq: 2, after: 0 }), 'OUT_OF_ORDER', details);
    assertRefused(direct.send(direct.a, { clientSeq: 2, after: 3 }), 'OUT_OF_ORDER', details);
    assertRefused(direct.send(direct.a, { clientSeq: 0, after: 3 }), 'OUT_OF_ORDER', details);
  });

  it('refuses what was pipelined behind a number that is missing, then takes both in order (CONTRACT §9 case 9)', () => {
    const direct = new Direct();
    direct.send(direct.a, { clientSeq: 1, after: 0 });
    const third = { clientSeq: 3, after: 2 };
    assertRefused(direct.send(direct.a, third), 'OUT_OF_ORDER', { lastAccepted: 1 });
    assert.equal(sequenceOf(direct.send(direct.a, { clientSeq: 2, after: 1 })), 2);
    assert.equal(sequenceOf(direct.send(direct.a, third)), 3);
  });

  it('does not consume a refused number: the rest of its pipeline is out of order, and goes with a new `after` (CONTRACT §9 case 10)', () => {
    const direct = new Direct();
    direct.send(direct.a, { clientSeq: 1, after: 0 });
    direct.shard.block(direct.b, direct.a, true);
    assertRefused(direct.send(direct.a, { clientSeq: 2, after: 1 }), 'BLOCKED');
    direct.shard.block(direct.b, direct.a, false);
    assertRefused(direct.send(direct.a, { clientSeq: 3, after: 2 }), 'OUT_OF_ORDER', {
      lastAccepted: 1,
    });
    assert.equal(sequenceOf(direct.send(direct.a, { clientSeq: 3, after: 1 })), 2);
  });

  it('remembers the newest 32; below them a number is too old (G5, CONTRACT §9 case 11)', () => {
    const direct = new Direct();
    const sent = Array.from({ length: 40 }, () => direct.send(direct.a));
    const outbox = direct.outboxOf(direct.a);
    const again = (clientSeq: number) => direct.send(direct.a, { outbox, clientSeq, after: 0 });
    assertRefused(again(40 - WINDOW_ENTRIES_MAX), 'TOO_OLD');
    for (let clientSeq = 40 - WINDOW_ENTRIES_MAX + 1; clientSeq <= 40; clientSeq++) {
      const original = sent[clientSeq - 1];
      assert.ok(original !== undefined);
      assertReplayed(again(clientSeq), original);
    }
  });

  it('knows each outbox of a user apart, and no other user’s (G3)', () => {
    const { shard, id, a, b } = new Direct();
    const outbox = idOf(1, 7);
    const from = (user: Uint8Array, peer: Uint8Array, box: Uint8Array) =>
      shard.send({ to: id, from: user, peer, outbox: box, clientSeq: 1, after: 0 });
    assert.equal(sequenceOf(from(a, b, outbox)), 1);
    assert.equal(sequenceOf(from(a, b, idOf(2, 7))), 2);
    assert.equal(sequenceOf(from(b, a, outbox)), 3);
    assertReplayed(from(b, a, outbox), { ...from(b, a, outbox) });
  });

  it('answers a repeat as at first even if the sender was removed or blocked since (G5, CONTRACT §9 case 12)', () => {
    const shard = new Shard();
    const [owner, member] = [idOf(1), idOf(2)];
    const { id } = shard.createGroup(owner, [member]);
    const message = { to: id, from: member, outbox: idOf(1, 7), clientSeq: 1 };
    const first = shard.send(message);
    shard.remove(id, owner, member);
    assertReplayed(shard.send(message), first);
    assertRefused(shard.send({ ...message, clientSeq: 2, after: 1 }), 'NOT_A_MEMBER');
  });

  it('survives a restart in the bytes of the sender record (CONTRACT §9 cases 5, 6)', () => {
    const direct = new Direct();
    const sent = Array.from({ length: 9 }, () => direct.send(direct.a));
    const outbox = direct.outboxOf(direct.a);
    direct.shard.restart();
    for (const [i, original] of sent.entries())
      assertReplayed(direct.send(direct.a, { outbox, clientSeq: i + 1, after: i }), original);
  });

  it('is forgotten after 90 idle days of log time: the outbox starts anew', () => {
    const direct = new Direct();
    direct.send(direct.a);
    direct.shard.nowMs += 90 * DAY_MS - 10;
    assertRefused(direct.send(direct.a, { clientSeq: 5, after: 0 }), 'OUT_OF_ORDER');
    direct.shard.nowMs += 20;
    assertRefused(direct.send(direct.a, { clientSeq: 5, after: 1 }), 'OUT_OF_ORDER', {
      lastAccepted: 0,
    });
    assert.equal(sequenceOf(direct.send(direct.a, { clientSeq: 5, after: 0 })), 2);
    assertRefused(direct.send(direct.a, { clientSeq: 1, after: 5 }), 'OUT_OF_ORDER', {
      lastAccepted: 5,
    });
  });

  it('is kept for 64 outboxes; the one idle for longest goes', () => {
    const { shard, id, a, b } = new Direct();
    const send = (box: number, clientSeq: number, after: number) =>
      shard.send({ to: id, from: a, peer: b, outbox: idOf(box, 7), clientSeq, after });
    for (let box = 1; box <= OUTBOXES_MAX; box++) send(box, 1, 0);
    send(1, 2, 1);
    send(OUTBOXES_MAX + 1, 1, 0);
    assertRefused(send(2, 2, 1), 'OUT_OF_ORDER', { lastAccepted: 0 });
    assert.equal(sequenceOf(send(1, 3, 2)), OUTBOXES_MAX + 3);
  });
});

describe('without an outbox', () => {
  const say = (direct: Direct, key: number, text = 'hello') =>
    direct.shard.send({
      to: direct.id,
      from: direct.a,
      peer: direct.b,
      clientMessageId: idOf(key, 9),
      text,
    });

  it('a client message id is used once; other content is a conflict (CONTRACT §9 cases 7, 8)', () => {
    const direct = new Direct();
    const first = say(direct, 1);
    assertReplayed(say(direct, 1), first);
    assertRefused(say(direct, 1, 'other'), 'IDEMPOTENCY_CONFLICT');
    assert.equal(sequenceOf(say(direct, 2)), 2);
  });

  it('ids are remembered for 24 h of log time', () => {
    const direct = new Direct();
    const first = say(direct, 1);
    direct.shard.nowMs += DAY_MS - 10;
    assertReplayed(say(direct, 1), first);
    direct.shard.nowMs += 20;
    assert.equal(sequenceOf(say(direct, 1, 'another day')), 2);
  });

  it('the newest 64 ids are remembered, also over a restart (G5)', () => {
    const direct = new Direct();
    const sent = Array.from({ length: KEYS_MAX + 6 }, (_, i) => say(direct, i + 1));
    direct.shard.restart();
    const seventh = sent[6];
    assert.ok(seventh !== undefined);
    assertReplayed(say(direct, 7), seventh);
    assert.equal(sequenceOf(say(direct, 6)), KEYS_MAX + 7);
  });

  it('and without an id every send is a new row', () => {
    const direct = new Direct();
    const message = { to: direct.id, from: direct.a, peer: direct.b };
    const clientMessageId = new Uint8Array(16);
    assert.equal(sequenceOf(direct.shard.send({ ...message, clientMessageId })), 1);
    assert.equal(sequenceOf(direct.shard.send({ ...message, clientMessageId })), 2);
  });
});
