import assert from 'node:assert/strict';
import fc from 'fast-check';
import { describe, it } from 'mocha';
import { idOf } from '../conversation/test-kit.ts';
import { HotTail, type TailCut } from './hot-tail.ts';
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

  it('holds what plain lists would, however rows come, are cut, flushed, replaced and go', () => {
    const step = fc.oneof(
      {
        weight: 6,
        arbitrary: fc.record({ is: fc.constant('append'), of: fc.nat(3), n: fc.nat(30) }),
      },
      {
        weight: 2,
        arbitrary: fc.record({ is: fc.constant('cut'), of: fc.nat(1), n: fc.constant(0) }),
      },
      {
        weight: 2,
        arbitrary: fc.record({ is: fc.constant('flushed'), of: fc.nat(1), n: fc.constant(0) }),
      },
      {
        weight: 1,
        arbitrary: fc.record({ is: fc.constant('replace'), of: fc.nat(3), n: fc.nat(40) }),
      },
    );
    fc.assert(
      fc.property(
        fc.array(step, { maxLength: 60 }),
        fc.integer({ min: 1, max: 4000 }),
        (steps, max) => {
          const tail = new HotTail({ shards: 2, bytesMax: max });
          const ids = [idOf(1), idOf(2), idOf(3), idOf(4)];
          const lists = ids.map((_, i): Uint8Array[] => Array<Uint8Array>(i * 5).fill(row(0)));
          const cuts: TailCut[][][] = [[], []];
          for (const { is, of, n } of steps) {
            const id = ids[of] as Uint8Array;
            const list = lists[of] as Uint8Array[];
            if (is === 'append')
              for (let i = 0; i < n; i++)
                tail.append(of % 2, id, list.push(row(n + i)), row(n + i));
            else if (is === 'cut') cuts[of]?.push(tail.cut(of));
            else if (is === 'flushed') tail.flushed(cuts[of]?.shift() ?? []);
            else if (tail.replace(id, n, blankRow(200, n))) list[n - 1] = blankRow(200, n);
            for (const [i, each] of lists.entries()) {
              const first = tail.tail(ids[i] as Uint8Array)?.first ?? each.length + 1;
              assert.deepEqual(
                tail.rows(ids[i] as Uint8Array, 1, each.length),
                each.slice(first - 1),
              );
              assert.equal(tail.row(ids[i] as Uint8Array, first - 1), undefined);
              assert.equal(tail.row(ids[i] as Uint8Array, each.length + 1), undefined);
            }
          }
          for (const shard of [0, 1]) {
            for (const cut of [...(cuts[shard] ?? []), tail.cut(shard)]) tail.flushed(cut);
          }
          assert.ok(tail.bytes <= max);
          assert.equal(tail.unflushedBytes, 0);
        },
      ),
      { numRuns: 200 },
    );
  });
});
