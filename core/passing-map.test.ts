import assert from 'node:assert/strict';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, it } from 'mocha';
import { PassingMap } from './passing-map.ts';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as (options?: { type: 'minor' }) => void;

describe('a map for what comes and goes', () => {
  it('is a Map: keys in the order in which they came, one value each', () => {
    const map = new PassingMap<string, number>();
    map.set('a', 1);
    map.set('b', 2);
    map.set('a', 3);
    map.delete('b');
    map.delete('b');
    map.set('c', 4);
    map.set('b', 5);
    assert.equal(map.get('a'), 3);
    assert.equal(map.get('none'), undefined);
    assert.deepEqual([...map.values()], [3, 4, 5]);
    assert.equal(map.size, 3);
    map.clear();
    assert.deepEqual([...map.values()], []);
    map.set('d', 6);
    assert.deepEqual([map.size, map.get('d'), map.get('a')], [1, 6, undefined]);
  });

  it('while it is walked, what is removed is left out and what comes is met', () => {
    const map = new PassingMap<number, number>();
    for (let i = 1; i <= 4; i++) map.set(i, i);
    const met: number[] = [];
    for (const value of map.values()) {
      met.push(value);
      if (value === 1) map.delete(2);
      if (value === 3) map.set(5, 5);
    }
    assert.deepEqual(met, [1, 3, 4, 5]);
  });

  it('what was removed is gone with the next small collection, not only with a whole one', () => {
    const map = new PassingMap<number, number[]>();
    collectGarbage();
    const before = process.memoryUsage().heapUsed;
    // A Map keeps all of these: 10 MB.
    for (let i = 1; i <= 4000; i++) {
      map.set(i, new Array<number>(300).fill(i));
      map.delete(i - 4);
      if (i % 100 === 0) collectGarbage({ type: 'minor' });
    }
    const grown = process.memoryUsage().heapUsed - before;
    assert.ok(grown < 4e6, `${grown} bytes`);
  });
});
