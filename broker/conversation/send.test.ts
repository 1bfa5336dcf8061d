import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { SEND_FLAG } from '../../core/command.ts';
import { directConversationRaw } from '../../core/ids.ts';
import { BODY_KIND, RowView } from '../../core/row.ts';
import {
  assertRefused,
  assertReplayed,
  Direct,
  idOf,
  sequenceOf,
  Shard,
  sendCommand,
} from './test-kit.ts';

describe('a send', () => {
  it('makes its direct by the first message, and both are members (R001, CONTRACT §1)', () => {
    const direct = new Direct();
    const { shard, id, a, b } = direct;
    const first = direct.send(a);
    assert.equal(sequenceOf(first), 1);
    assert.deepEqual(
      first.members?.map((change) => [change.user, change.joined, change.sequence]),
      [
        [a, true, 1],
        [b, true, 1],
      ],
    );
    const view = shard.machine.view(id);
    assert.equal(view?.kind, 'direct');
    assert.equal(view?.memberCount, 2);
    assert.deepEqual(view?.peer(a), b);
    assert.deepEqual(view?.creator, a);
  });

  it('that races with the other side’s first message meets it: one conversation, one order (CONTRACT §9 case 1)', () => {
    const direct = new Direct();
    assert.equal(sequenceOf(direct.send(direct.a)), 1);
    const second = direct.send(direct.b);
    assert.equal(sequenceOf(second), 2);
    assert.equal(second.members, undefined);
    assert.equal(direct.shard.rows.get(direct.id.join())?.length, 2);
  });

  it('to an uncreated direct without `direct:` is refused as unknown', () => {
    const { shard, id, a } = new Direct();
    const command = sendCommand({ to: id, from: a, outbox: idOf(1, 7), clientSeq: 1 });
    assertRefused(shard.apply(command), 'CONVERSATION_UNKNOWN');
    assert.equal(shard.machine.view(id), undefined);
  });

  it('names a direct only by its own two users', () => {
    const { shard, a, b } = new Direct();
    const elsewhere = directConversationRaw(idOf(5), idOf(6));
    const command = { to: elsewhere, from: a, peer: b, outbox: idOf(1, 7), clientSeq: 1 };
    assertRefused(shard.send(command), 'CONVERSATION_UNKNOWN');
  });

  it('from a stranger is answered alike for a real and a random conversation (CONTRACT §9 case 4)', () => {
    const direct = new Direct();
    direct.send(direct.a);
    for (const to of [direct.id, idOf(77, 3)])
      for (const after of [0, 3]) {
        const stranger = { from: idOf(9), to, outbox: idOf(1, 7), clientSeq: 4, after };
        assertRefused(direct.shard.send(stranger), 'CONVERSATION_UNKNOWN', {});
      }
  });

  it('becomes a row with its number, its sender and its body as they came', () => {
    const direct = new Direct();
    const applied = direct.send(direct.a, { text: 'grüße' });
    assert.ok(applied.row !== undefined);
    const row = new RowView(applied.row);
    assert.equal(row.bodyKind, BODY_KIND.message);
    assert.equal(row.sequence, 1);
    assert.equal(row.ordinal, 1);
    assert.equal(row.clientSeq, 1);
    assert.deepEqual(row.sender, direct.a);
    assert.deepEqual(row.outbox, direct.outboxOf(direct.a));
    assert.equal(new TextDecoder().decode(row.body), 'grüße');
  });

  it('to oneself makes notes with one member', () => {
    const shard = new Shard();
    const me = idOf(1);
    const id = directConversationRaw(me, me);
    const applied = shard.send({ to: id, from: me, peer: me, outbox: idOf(1, 7), clientSeq: 1 });
    assert.equal(applied.members?.length, 1);
    assert.equal(shard.machine.view(id)?.memberCount, 1);
    assert.deepEqual(shard.machine.view(id)?.peer(me), me);
  });

  it('again is answered as at first, and no row is appended (R138, G5, CONTRACT §9 case 6)', () => {
    const direct = new Direct();
    const first = direct.send(direct.a);
    const outbox = direct.outboxOf(direct.a);
    direct.send(direct.a);
    direct.send(direct.b);
    assertReplayed(direct.send(direct.a, { outbox, clientSeq: 1, after: 0 }), first);
  });

  it('with a number that was used for other content is a conflict (CONTRACT §9 cases 8, 11)', () => {
    const direct = new Direct();
    direct.send(direct.a);
    assertRefused(
      direct.send(direct.a, { clientSeq: 1, after: 0, text: 'other' }),
      'IDEMPOTENCY_CONFLICT',
    );
  });

  it('vetoed by a gateway is refused with that reason, unless the window knows it (CONTRACT §9 case 12)', () => {
    const direct = new Direct();
    const first = direct.send(direct.a);
    const veto = { text: 'MEDIA_UNKNOWN', flags: SEND_FLAG.veto, bodyKind: BODY_KIND.message };
    assertRefused(direct.send(direct.a, veto), 'MEDIA_UNKNOWN');
    const again = sendCommand({
      to: direct.id,
      from: direct.a,
      outbox: direct.outboxOf(direct.a),
      clientSeq: 1,
    });
    again[2] = (again[2] ?? 0) | (SEND_FLAG.veto & 255);
    again[3] = SEND_FLAG.veto >> 8;
    assertReplayed(direct.shard.apply(again), first);
  });
});
