import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { idOf } from '../conversation/test-kit.ts';
import { HotTail } from './hot-tail.ts';
import { blankRow } from './testing/blank-row.ts';

const A = idOf(1);
const B = idOf(2);

function row(n: number): Uint8Array {
  return blankRow(100, n);
}

function filled(bytesMax: number): HotTail {
  const tail = new HotTail({ shards: 2, bytesMax });
  for (let n = 1; n <= 5; n++) tail.append(0, A, n, row(n));
  tail.append(1, B, 41, row(41));
  return tail;
}

describe('the hot tail', () => {
  it('never drops a row that no flush has made durable', () => {
    const tail = filled(1);
    assert.equal(tail.bytes, 600);
    const cuts = tail.cut(0);
    tail.append(0, A, 6, row(6));
    assert.deepEqual(
      cuts.map(({ from, rows }) => [from, rows.length]),
      [[1, 5]],
    );
    assert.ok(tail.row(A, 1) !== undefined);
    tail.flushed(cuts);
    assert.equal(tail.row(A, 5), undefined);
    assert.deepEqual(tail.row(A, 6), row(6));
    assert.deepEqual(tail.row(B, 41), row(41));
    assert.equal(tail.tail(A)?.first, 6);
  });

  it('keeps recent rows up to its bound, the longest durable go first', () => {
    const tail = filled(450);
    tail.flushed(tail.cut(0));
    assert.equal(tail.row(A, 1), undefined);
    assert.deepEqual(tail.row(B, 41), row(41));
    tail.flushed(tail.cut(1));
    assert.deepEqual(tail.row(B, 41), row(41));
    assert.equal(tail.bytes, 100);
  });

  it('a cut takes each row once, in order, and shards apart', () => {
    const tail = filled(1e6);
    assert.equal(tail.unflushedBytes, 600);
    const first = tail.cut(0);
    tail.append(0, A, 6, row(6));
    const second = tail.cut(0);
    assert.deepEqual(
      [first, second].map((cuts) => cuts.map(({ from, rows }) => [from, rows.length])),
      [[[1, 5]], [[6, 1]]],
    );
    assert.equal(tail.unflushedBytes, 100);
    assert.deepEqual(tail.cut(0), []);
    assert.equal(tail.cut(1).length, 1);
    assert.equal(tail.unflushedBytes, 0);
  });

  it('rows are dense: a hole is a fault', () => {
    const tail = filled(1e6);
    assert.throws(() => tail.append(0, A, 7, row(7)), /tail.rows-dense/);
  });

  it('a replaced row is what is read and flushed', () => {
    const tail = filled(1e6);
    assert.ok(tail.replace(A, 2, blankRow(10)));
    assert.equal(tail.row(A, 2)?.length, 10);
    const [cut] = tail.cut(0);
    assert.equal(cut?.rows[1]?.length, 10);
    assert.equal(tail.unflushedBytes, 100);
    assert.equal(tail.replace(A, 99, row(1)), false);
    // What a flush has taken counts no more, whatever becomes of it.
    assert.ok(tail.replace(A, 1, blankRow(10)));
    assert.equal(tail.unflushedBytes, 100);
  });
});
