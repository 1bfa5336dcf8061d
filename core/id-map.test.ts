import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { IdMap } from './id-map.ts';

function id(n: number): Uint8Array {
  const raw = new Uint8Array(16);
  new DataView(raw.buffer).setUint32(0, Math.imul(n, 0x9e3779b1) >>> 0);
  new DataView(raw.buffer).setUint32(12, n);
  return raw;
}

describe('IdMap', () => {
  it('finds what was set and nothing else, through growth and removal', () => {
    const map = new IdMap<number>();
    const model = new Map<number, number>();
    let state = 12345;
    for (let i = 0; i < 20_000; i++) {
      state = (Math.imul(state, 1103515245) + 12345) >>> 0;
      const n = state % 3000;
      if (state % 7 < 4) {
        map.set(id(n), i);
        model.set(n, i);
      } else {
        assert.equal(map.delete(id(n)), model.delete(n));
      }
    }
    assert.equal(map.size, model.size);
    for (let n = 0; n < 3000; n++) assert.equal(map.get(id(n)), model.get(n));
    const byValue = (a: number, b: number): number => a - b;
    assert.deepEqual([...map.values()].sort(byValue), [...model.values()].sort(byValue));
  });

  it('tells ids apart that differ in one byte', () => {
    for (let at = 0; at < 16; at++) {
      const map = new IdMap<string>();
      const a = new Uint8Array(16);
      const b = new Uint8Array(16);
      b[at] = 1;
      map.set(a, 'a');
      assert.equal(map.has(b), false);
      map.set(b, 'b');
      assert.deepEqual([map.get(a), map.get(b)], ['a', 'b']);
    }
  });

  it('is empty after clear', () => {
    const map = new IdMap<number>();
    map.set(id(1), 1);
    map.clear();
    assert.equal(map.size, 0);
    assert.equal(map.get(id(1)), undefined);
  });
});
