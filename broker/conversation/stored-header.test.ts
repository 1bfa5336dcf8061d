import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { hex } from '../../core/bytes.ts';
import { InvariantViolation } from '../../core/invariant.ts';
import type { Applied, StateUnit } from './contract.ts';
import { INLINE_SLOTS_MAX } from './header.ts';
import { createConversationMachine } from './machine.ts';
import { INSIDE_BYTES_MAX, readStoredHeader, sendersBeside } from './stored-header.ts';
import { assertReplayed, Direct, idOf, Shard } from './test-kit.ts';

/** Who writes again over which outbox, so that records grow unlike each other. */
const TURNS = 200;

function kinds(units: readonly StateUnit[]): number[] {
  return units.map((unit) => unit.kind);
}

function storedOf(shard: Shard, id: Uint8Array): Map<string, string> {
  const units = shard.stored.get(id.join()) ?? new Map<string, StateUnit>();
  return new Map([...units].map(([key, unit]) => [key, hex(unit.value)]));
}

/** A direct whose first user wrote over as many outboxes as make its record outgrow the header. */
function outgrown(): {
  direct: Direct;
  sent: { again: () => Applied; original: Applied }[];
  before: number[];
  after: number[];
} {
  const direct = new Direct();
  const { shard, id, a, b } = direct;
  const sent: { again: () => Applied; original: Applied }[] = [];
  const send = (from: Uint8Array, outbox: Uint8Array, clientSeq: number): void => {
    const peer = from === a ? b : a;
    const again = (): Applied =>
      shard.send({ to: id, from, peer, outbox, clientSeq, after: clientSeq - 1 });
    sent.push({ again, original: again() });
  };
  send(b, idOf(1, 8), 1);
  send(a, idOf(1, 7), 1);
  const before = kinds(shard.flush());
  for (let box = 2; box <= 20; box++) send(a, idOf(box, 7), 1);
  const after = kinds(shard.flush());
  return { direct, sent, before, after };
}

describe('a small conversation', () => {
  it('is stored as one value, whatever of it changed, and whole again out of it', () => {
    const direct = new Direct();
    const { shard, id, a, b } = direct;
    const sent = [direct.send(b), direct.send(a), direct.send(a)];
    assert.deepEqual(kinds(shard.flush()), [0]);
    shard.mark(id, a, { read: 1 });
    assert.deepEqual(kinds(shard.flush()), [0]);
    shard.restart();
    const again = [
      direct.send(b, { clientSeq: 1, after: 0 }),
      direct.send(a, { clientSeq: 1, after: 0 }),
      direct.send(a, { clientSeq: 2, after: 1 }),
    ];
    for (const [i, original] of sent.entries()) assertReplayed(again[i] as Applied, original);
    assert.equal(shard.me(id, b).unreadCount, 2);
  });

  it('is the same bytes whoever wrote first and however often it was loaded', () => {
    const [kept, loaded] = [new Direct(), new Direct()];
    const boxes = new Map<number, number>();
    for (let turn = 0; turn < TURNS; turn++) {
      const box = (turn * 7) % 5;
      const last = boxes.get(box) ?? 0;
      boxes.set(box, last + 1);
      for (const { shard, id, a, b } of [kept, loaded]) {
        const [from, peer] = box % 2 === 0 ? [b, a] : [a, b];
        const numbers = { outbox: idOf(box, 7), clientSeq: last + 1, after: last };
        shard.send({ to: id, from, peer, ...numbers });
        shard.flush();
      }
      loaded.shard.restart();
      assert.deepEqual(
        storedOf(loaded.shard, loaded.id),
        storedOf(kept.shard, kept.id),
        `turn ${turn}`,
      );
    }
    assert.equal(storedOf(kept.shard, kept.id).size, 3);
  });

  it('gives records that outgrew it keys of their own: all, in the same flush, for good', () => {
    const { direct, sent, before, after } = outgrown();
    const { shard, id, b } = direct;
    assert.deepEqual([before, after.sort((x, y) => x - y)], [[0], [0, 2, 2]]);
    shard.restart();
    for (const { again, original } of sent) assertReplayed(again(), original);
    // A repeat changes nothing; a new message only what it touches.
    assert.deepEqual(kinds(shard.flush()), []);
    shard.send({ to: id, from: b, peer: direct.a, outbox: idOf(1, 8), clientSeq: 2, after: 1 });
    const units = shard.flush();
    assert.deepEqual(kinds(units), [0, 2]);
    assert.deepEqual(units[1]?.user, b);
    assert.ok((units[0]?.value.length ?? 0) < INSIDE_BYTES_MAX);
  });

  it('names whose records lie beside it: nobody’s while they are inside', () => {
    const small = new Direct();
    small.send(small.a);
    const [whole] = small.shard.flush();
    assert.equal(sendersBeside(whole?.value ?? new Uint8Array(0))?.length, 0);
    const { shard, id, a, b } = outgrown().direct;
    const header = shard.stored.get(id.join())?.get('0/0/')?.value ?? new Uint8Array(0);
    assert.equal(
      hex(sendersBeside(header) ?? new Uint8Array(0)),
      [a, b]
        .map((user) => hex(user))
        .sort()
        .join(''),
    );
  });

  it('that becomes large keeps every window', () => {
    const shard = new Shard();
    const [owner, other] = [idOf(1), idOf(2)];
    const { id } = shard.createGroup(owner, [other]);
    const send = (from: Uint8Array): Applied =>
      shard.send({ to: id, from, outbox: idOf(1, 7), clientSeq: 1 });
    const sent = [send(owner), send(other)];
    assert.deepEqual(kinds(shard.flush()), [0]);
    const more = Array.from({ length: INLINE_SLOTS_MAX }, (_, i) => idOf(i + 3));
    shard.add(id, owner, more);
    assert.deepEqual(
      kinds(shard.flush()).sort((x, y) => x - y),
      [0, 1, 2, 2],
    );
    shard.restart();
    assertReplayed(send(owner), sent[0] as Applied);
    assertReplayed(send(other), sent[1] as Applied);
  });

  it('that lost its end, anywhere, is refused', () => {
    const direct = new Direct();
    direct.send(direct.a);
    direct.send(direct.b);
    const value = direct.shard.flush()[0]?.value ?? new Uint8Array(0);
    const { header, senders } = readStoredHeader(value);
    assert.equal(senders.length, 2);
    // A cut at a seam looks like a conversation in which fewer wrote: only the envelope tells.
    const seams = new Set([header.length]);
    let seam = header.length;
    for (const sender of senders) seams.add((seam += 4 + sender.value.length));
    for (let length = 1; length < value.length; length++) {
      const cut = { kind: 0, page: 0, user: new Uint8Array(0), value: value.subarray(0, length) };
      const load = (): void => createConversationMachine().load(direct.id, [cut as StateUnit]);
      if (seams.has(length)) load();
      else assert.throws(load, Error, `cut to ${length}`);
    }
    const slotless = value.slice();
    slotless[header.length] = 9;
    assert.throws(() => readStoredHeader(slotless), InvariantViolation);
  });
});
