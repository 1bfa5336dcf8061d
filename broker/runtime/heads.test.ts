import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { idOf } from '../conversation/test-kit.ts';
import { Heads } from './heads.ts';

const NOBODY = idOf(0, 3);

function head(index: number): { index: number; head: number; ordinal: number; timeMs: number } {
  return { index, head: index * 2, ordinal: index, timeMs: 1000 + index };
}

describe('heads', () => {
  it('asked from the floor on, they know of every change', () => {
    const heads = new Heads(10, 8);
    const model = new Map<number, number>();
    let state = 7;
    for (let index = 11; index < 2000; index++) {
      state = (Math.imul(state, 1103515245) + 12345) >>> 0;
      const n = (state >>> 8) % 20;
      heads.changed(idOf(n), head(index));
      model.set(n, index);
      for (const [known, last] of model) {
        const found = heads.lastChange(idOf(known), NOBODY);
        assert.ok(found === last || (found === 0 && last <= heads.floor), `${index} ${known}`);
      }
    }
    assert.ok(heads.floor > 10 && heads.floor < 2000);
    assert.ok(heads.size <= 8);
  });

  it('keep own marks and settings apart from what all see', () => {
    const heads = new Heads(0);
    heads.changed(idOf(1), head(5));
    heads.ownChanged(idOf(1), idOf(2), 9);
    assert.equal(heads.lastChange(idOf(1), idOf(2)), 9);
    assert.equal(heads.lastChange(idOf(1), idOf(3)), 5);
    assert.deepEqual(heads.head(idOf(1)), head(5));
  });

  it('what was dropped while they refill is not taken for unchanged', () => {
    const heads = new Heads(100, 4);
    assert.ok(heads.refill(idOf(1), head(95)));
    heads.lowerFloor(94);
    // One busy conversation alone fills the ring of ages, and the oldest goes.
    for (let index = 101; index < 110; index++) heads.changed(idOf(2), head(index));
    assert.equal(heads.lastChange(idOf(1), NOBODY), 0);
    // An older value of the journal names only what is here already.
    assert.ok(heads.refill(idOf(2), head(60)));
    heads.lowerFloor(59);
    assert.ok(heads.floor >= 95, `asked from ${heads.floor} on, 1 seems unchanged since`);
  });

  it('refill backwards lowers the floor and never touches what is newer', () => {
    const heads = new Heads(100, 4);
    heads.changed(idOf(1), head(101));
    assert.ok(heads.refill(idOf(2), head(90)));
    assert.ok(heads.refill(idOf(1), head(80)));
    heads.lowerFloor(79);
    assert.equal(heads.floor, 79);
    assert.equal(heads.lastChange(idOf(1), NOBODY), 101);
    assert.equal(heads.lastChange(idOf(2), NOBODY), 90);
    assert.ok(heads.refill(idOf(3), head(70)));
    assert.ok(heads.refill(idOf(4), head(69)));
    assert.equal(heads.refill(idOf(5), head(68)), false);
    // What comes now pushes out the oldest, and the floor says so.
    heads.changed(idOf(6), head(102));
    assert.equal(heads.floor, 79);
    assert.equal(heads.lastChange(idOf(4), NOBODY), 0);
    heads.changed(idOf(7), head(103));
    heads.changed(idOf(8), head(104));
    assert.equal(heads.floor, 90);
  });
});
