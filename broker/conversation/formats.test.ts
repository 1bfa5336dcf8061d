import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, it } from 'mocha';
import { hex } from '../../core/bytes.ts';
import { InvariantViolation } from '../../core/invariant.ts';
import { BODY_KIND } from '../../core/row.ts';
import type { StateUnit } from './contract.ts';
import { createConversationMachine } from './machine.ts';
import { decodeOverlay, encodeOverlay } from './overlay.ts';
import { sendersBeside } from './stored-header.ts';
import { Direct, idOf, Shard } from './test-kit.ts';

/** Behind its version. */
const HEADER: string = [
  '010000000000000300000000000000020000000000000000000000000000000368e5cf8b010000',
  '0168e5cf8b0100000500000000000000030000000000000001000000010000000101010101010101',
  '01010101000000010200000002000000000000000000000001000000010000000101010101010101',
  '010101010000000100110000000000000000000000000000000000000100000000000168e5cf8b01',
  '0000000000000000000000000168e5cf8b010168e5cf8b0100000000000000000000000000000000',
  '00000000000000000000000000000000000000000000000000000000010101010101010101010101',
  '0000000200130100000000000000000000000000000000000100000000000168e5cf8b0103000000',
  '00000000000000000568e5cf8b010168e5cf8b010000000000000000000000000000000000000000',
  '0000000009000000000000000000000005000000000000008f020100000000000168e5cf8b010000',
  '0100010000000000',
].join('');
const SENDER: string = [
  '01010401010000000200000000000000000000000000000003000000000000000368e5cf8b010000',
  '0707070707070707070707070000000102000000000000000268e5cf8b0100000402020001000000',
  '00000000d81ad44ebb419f130100000000000168e5cf8b010200000000000000a8dfa385211b2655',
  '0200000000000268e5cf8b0100000000000000000000000000000000000000000000000000000000',
  '00000000000000000000000000000000000000000000000000000000090909090909090909090909',
  '000000034983c5cf9141bdd10300000000000368e5cf8b0100000000000000000000000000000000',
  '00000000000000000000000000000000000000000000000000000000000000000000000000000000',
  '00000000000000000000000000000000000000000000000000000000000000000000000000000000',
  '000000000000000000000000',
].join('');
const OVERLAY: string = [
  '0100010002000000000000000268e5cf8b0100000268e5cf8b010000010000000200000000000000',
  '0400000065646974',
].join('');
const SETTINGS: string = [
  '010300000404040404040404040404040000000100f1536500000000f401000000b84c0a00000000',
  '64000000010000002000000007070707070707070707070707070707070707070707070707070707',
  '07070707',
].join('');

const PAGES: readonly string[] = [
  '87502432818f41d90cfbad9aba5e0fd2',
  'e0c79de31a45ea34410bc9ede1de02b0',
  '4951b852cb9d09e50f53080407e08f07',
];

describe('disk formats of a conversation', () => {
  it('a 1:1 is these bytes: its header, then slot, length and record of who wrote', () => {
    const units = exampleOf().shard.machine.takeDirty();
    assert.equal(units.length, 1);
    assert.equal(hex(units[0]?.value ?? new Uint8Array(0)), `02${HEADER}00004c01${SENDER}`);
  });

  it('version 1, with sender records of their own, is read; what changes is written as version 2', () => {
    const { shard, id, a, b } = exampleOf();
    const [whole] = shard.flush();
    const old = new Shard();
    old.machine.load(id, [
      { kind: 0, page: 0, user: new Uint8Array(0), value: fromHex(`01${HEADER}`) },
      { kind: 2, page: 0, user: a, value: fromHex(SENDER) },
    ]);
    assert.deepEqual(old.me(id, b), shard.me(id, b));
    assert.deepEqual([...(sendersBeside(fromHex(`01${HEADER}`)) ?? [])], [...a, ...b]);
    // A repeat is known, also without an outbox, and changes nothing.
    const repeat = old.send({ to: id, from: a, clientMessageId: idOf(3, 9) });
    assert.equal(repeat.answer.is === 'commit' && repeat.answer.replayed, true);
    assert.deepEqual(old.flush(), []);
    old.mark(id, b, { read: 3 });
    const [header, ...rest] = old.flush();
    assert.deepEqual([header?.value[0], header?.value[2], rest], [2, 16, []]);
    assert.ok((header?.value.length ?? 0) < (whole?.value.length ?? 0));
  });

  it('an overlay is these bytes', () => {
    const { shard, id } = exampleOf();
    assert.equal(hex(shard.machine.overlay(id, 1) ?? new Uint8Array(0)), OVERLAY);
  });

  it('shard settings are these bytes', () => {
    const shard = new Shard();
    shard.settings({});
    const [unit] = shard.machine.takeDirty();
    assert.equal(hex(unit?.value ?? new Uint8Array(0)), SETTINGS);
    assert.deepEqual(unit?.conversation, idOf(0, 5));
  });

  it('header and pages of a large group are these bytes (by their SHA-256)', () => {
    const shard = new Shard();
    const users = Array.from({ length: 70 }, (_, i) => idOf(i + 2));
    const { id } = shard.createGroup(idOf(1), users);
    shard.send({
      to: id,
      from: idOf(1),
      outbox: idOf(1, 7),
      clientSeq: 1,
      mentions: [idOf(3), idOf(70)],
    });
    shard.mark(id, idOf(4), { read: 2 });
    const units = shard.machine.takeDirty().filter((unit) => unit.kind !== 2);
    assert.deepEqual(
      units.map((unit) => [unit.kind, unit.page, unit.value.length]),
      [
        [0, 0, 112 + 16 + 7],
        [1, 0, 8 + 64 * 116 + 8],
        [1, 1, 8 + 7 * 116 + 8],
      ],
    );
    assert.deepEqual(
      units.map((unit) => createHash('sha256').update(unit.value).digest('hex').slice(0, 32)),
      PAGES,
    );
  });

  it('of a later version are refused, not guessed', () => {
    const { shard, id } = exampleOf();
    const units = shard.machine.takeDirty().map((unit) => ({ ...unit, value: unit.value.slice() }));
    const machine = createConversationMachine();
    const header = units[0];
    assert.ok(header !== undefined);
    header.value[0] = 9;
    assert.throws(() => machine.load(id, units), InvariantViolation);
    assert.throws(() => decodeOverlay(Uint8Array.of(9, 0, 0)), InvariantViolation);
  });

  it('that lost bytes are refused', () => {
    const { shard, id } = exampleOf();
    const [whole] = shard.machine.takeDirty();
    assert.ok(whole !== undefined);
    const cut = { ...whole, value: whole.value.subarray(0, whole.value.length - 1) };
    assert.throws(() => createConversationMachine().load(id, [cut]), InvariantViolation);
    const sender: StateUnit = { kind: 2, page: 0, user: idOf(1), value: fromHex(SENDER) };
    assert.throws(() => createConversationMachine().load(id, [sender]), InvariantViolation);
  });

  it('keep what later versions add to an overlay', () => {
    const rest = Uint8Array.of(1, 2, 3);
    const overlay = { ...decodeOverlay(new Uint8Array(0)), rest };
    assert.deepEqual(decodeOverlay(encodeOverlay(overlay)).rest, rest);
  });
});

/** One message with a mention, an edit, a send without outbox, own settings, a mark. */
function exampleOf(): Direct {
  const direct = new Direct();
  const { shard, id, a, b } = direct;
  direct.send(a, { mentions: [b] });
  direct.send(a, { bodyKind: BODY_KIND.edit, target: 1, text: 'edit' });
  shard.send({ to: id, from: a, clientMessageId: idOf(3, 9) });
  shard.setMyState(id, b, { notify: 1, muteUntilMs: 9, archived: true });
  shard.mark(id, b, { delivered: 3 });
  return direct;
}

function fromHex(digits: string): Uint8Array {
  return Uint8Array.from(Buffer.from(digits, 'hex'));
}
