import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { text } from '../../core/bytes.ts';
import { SEND_FLAG } from '../../core/command.ts';
import { ROLE } from '../../core/facts.ts';
import { BODY_KIND, RowView } from '../../core/row.ts';
import { changeSequenceOf, decodeOverlay, isDeleted } from './overlay.ts';
import {
  assertRefused,
  assertReplayed,
  Direct,
  idOf,
  sendCommand,
  sequenceOf,
  Shard,
} from './test-kit.ts';

const HOUR_MS = 3_600_000;

function edit(target: number, body = 'edited'): { bodyKind: 2; target: number; text: string } {
  return { bodyKind: BODY_KIND.edit, target, text: body };
}

function remove(target: number): { bodyKind: 3; target: number } {
  return { bodyKind: BODY_KIND.delete, target };
}

describe('an edit', () => {
  it('is a row of its own that changes the earlier one’s overlay', () => {
    const direct = new Direct();
    direct.send(direct.a);
    const applied = direct.send(direct.a, edit(1));
    assert.equal(sequenceOf(applied), 2);
    assert.ok(applied.row !== undefined && applied.overlay !== undefined);
    assert.equal(new RowView(applied.row).target, 1);
    assert.equal(new RowView(applied.row).bodyKind, BODY_KIND.edit);
    const overlay = decodeOverlay(applied.overlay.value);
    assert.deepEqual(
      [applied.overlay.sequence, applied.overlay.erased, overlay.deleted],
      [1, false, false],
    );
    assert.deepEqual([overlay.editCount, overlay.changeSequence], [1, 2]);
    assert.equal(overlay.editTimeMs, direct.shard.nowMs);
    assert.equal(text(overlay.body), 'edited');
    assert.equal(changeSequenceOf(1, applied.overlay.value), 2);
    assert.equal(changeSequenceOf(1, new Uint8Array(0)), 1);
    assert.equal(direct.shard.machine.view(direct.id)?.overlayCount, 1);
    assert.deepEqual(direct.shard.machine.overlay(direct.id, 1), applied.overlay.value);
  });

  it('is the sender’s alone, in its window and not too often (R241, CONTRACT §9 case 35)', () => {
    const direct = new Direct();
    direct.shard.settings({ editWindowMs: 48 * HOUR_MS, editsMax: 2 });
    const { a, b, shard } = direct;
    direct.send(a);
    assertRefused(direct.send(b, edit(1)), 'ROLE_REQUIRED');
    shard.nowMs += 47 * HOUR_MS;
    sequenceOf(direct.send(a, edit(1)));
    sequenceOf(direct.send(a, edit(1)));
    assertRefused(direct.send(a, edit(1)), 'EDIT_WINDOW_PASSED', { editsMax: 2 });
    direct.send(a);
    shard.nowMs += 49 * HOUR_MS;
    assertRefused(direct.send(a, edit(4)), 'EDIT_WINDOW_PASSED', { editWindowMs: 48 * HOUR_MS });
    direct.send(a, remove(4));
    assertRefused(direct.send(a, edit(4)), 'TARGET_DELETED');
  });

  it('of what is no message, or no message of mine to see, is refused as unknown', () => {
    const shard = new Shard();
    const [owner, late] = [idOf(1), idOf(2)];
    const { id } = shard.createGroup(owner, []);
    shard.send({ to: id, from: owner, outbox: idOf(1, 7), clientSeq: 1 });
    shard.add(id, owner, [late]);
    const by = (from: Uint8Array, target: number) =>
      shard.send({ to: id, from, ...edit(target), clientMessageId: idOf(target, 3) });
    for (const target of [0, 1, 3, 4, 999]) assertRefused(by(owner, target), 'MESSAGE_UNKNOWN');
    assertRefused(by(late, 2), 'MESSAGE_UNKNOWN');
  });

  it('may aim at a send of the own outbox that is still in flight', () => {
    const direct = new Direct();
    const { shard, id, a, b } = direct;
    const outbox = idOf(1, 7);
    const base = { to: id, from: a, peer: b, outbox };
    const send = sendCommand({ ...base, clientSeq: 1, after: 0 });
    const edits = sendCommand({
      ...base,
      ...edit(1),
      flags: SEND_FLAG.targetIsClientSeq,
      clientSeq: 2,
      after: 1,
    });
    const [first, second] = [shard.propose(send), shard.propose(edits)];
    shard.commit(first);
    const applied = shard.commit(second);
    assert.equal(applied.overlay?.sequence, 1);
    const unknown = { ...base, ...edit(9), flags: SEND_FLAG.targetIsClientSeq };
    assertRefused(shard.send({ ...unknown, clientSeq: 3, after: 2 }), 'MESSAGE_UNKNOWN');
  });

  it('of one row twice in flight builds on the other, not on what was loaded', () => {
    const direct = new Direct();
    const { shard, id, a } = direct;
    direct.send(a);
    const outbox = direct.outboxOf(a);
    const command = (clientSeq: number) =>
      sendCommand({ to: id, from: a, outbox, ...edit(1), clientSeq, after: clientSeq - 1 });
    const entries = [shard.propose(command(2)), shard.propose(command(3))];
    const [, second] = entries.map((entry) => shard.commit(entry));
    assert.ok(second?.overlay !== undefined);
    shard.machine.loadTarget(id, {
      sequence: 1,
      row: shard.rows.get(id.join())?.[0] ?? new Uint8Array(0),
      overlay: new Uint8Array(0),
    });
    assert.deepEqual(decodeOverlay(second.overlay.value).editSequences, [2, 3]);
    const third = direct.send(a, { ...edit(1), clientSeq: 4, after: 3 });
    assert.deepEqual(decodeOverlay(third.overlay?.value ?? new Uint8Array(0)).editCount, 3);
  });
});

describe('a delete', () => {
  it('erases content and edits, and names the edit rows whose bodies go with it (R241, CONTRACT §9 case 36)', () => {
    const direct = new Direct();
    direct.send(direct.a);
    direct.send(direct.a, edit(1, 'first'));
    direct.send(direct.a, edit(1, 'second'));
    const applied = direct.send(direct.a, remove(1));
    assert.equal(sequenceOf(applied), 4);
    assert.ok(applied.overlay !== undefined);
    assert.equal(applied.overlay.erased, true);
    assert.deepEqual(applied.overlay.editSequences, [2, 3]);
    assert.ok(isDeleted(applied.overlay.value));
    const overlay = decodeOverlay(applied.overlay.value);
    assert.equal(overlay.body.length, 0);
    assert.equal(overlay.changeSequence, 4);
    assert.equal(direct.shard.machine.view(direct.id)?.overlayCount, 1);
  });

  it('again answers the old one’s sequence without a row, and its number is taken (CONTRACT §5)', () => {
    const direct = new Direct();
    const { shard, a } = direct;
    direct.send(a);
    const first = direct.send(a, remove(1));
    shard.restart();
    const again = direct.send(a, remove(1));
    assert.deepEqual(again.answer, first.answer);
    assert.equal(again.row, undefined);
    assert.equal(again.overlay, undefined);
    assertReplayed(direct.send(a, { ...remove(1), clientSeq: 3, after: 2 }), again);
    assert.equal(sequenceOf(direct.send(a, { clientSeq: 4, after: 3 })), 3);
  });

  it('is for the sender and for owners and admins', () => {
    const shard = new Shard();
    const [owner, one, two] = [idOf(1), idOf(2), idOf(3)];
    const { id } = shard.createGroup(owner, [one, two]);
    const outbox = idOf(1, 7);
    for (const clientSeq of [1, 2, 3])
      shard.send({ to: id, from: one, outbox, clientSeq, after: clientSeq - 1 });
    const by = (from: Uint8Array, target: number) =>
      shard.send({ to: id, from, ...remove(target), clientMessageId: idOf(target, 3) });
    assertRefused(by(two, 2), 'ROLE_REQUIRED');
    sequenceOf(by(owner, 2));
    shard.setRole(id, owner, two, ROLE.admin);
    sequenceOf(by(two, 3));
    sequenceOf(by(one, 4));
  });

  it('in a direct is the sender’s alone', () => {
    const direct = new Direct();
    direct.send(direct.a);
    assertRefused(direct.send(direct.b, remove(1)), 'ROLE_REQUIRED');
  });
});

describe('kinds that are not switched on yet', () => {
  it('are refused as such, in a direct that exists and in one that does not', () => {
    const direct = new Direct();
    for (const bodyKind of [BODY_KIND.reaction, BODY_KIND.pin, BODY_KIND.sealed])
      assertRefused(direct.send(direct.a, { bodyKind }), 'FEATURE_DISABLED');
    direct.send(direct.a);
    for (const bodyKind of [BODY_KIND.reaction, BODY_KIND.sealed, BODY_KIND.created])
      assertRefused(direct.send(direct.a, { bodyKind }), 'FEATURE_DISABLED');
    const fresh = new Direct();
    assertRefused(fresh.send(fresh.a, remove(1)), 'MESSAGE_UNKNOWN');
  });
});
