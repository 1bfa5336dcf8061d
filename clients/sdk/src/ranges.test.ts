import assert from 'node:assert/strict';
import fc from 'fast-check';
import { describe, it } from 'mocha';
import { addSpan, cutAbove, cutBelow, holesIn, type Ranges, SPANS_MAX, spanOf } from './ranges.ts';

const span = fc
  .tuple(fc.integer({ min: 1, max: 60 }), fc.nat(12))
  .map(([from, more]) => ({ from, through: from + more }));

function built(spans: readonly { from: number; through: number }[]): {
  ranges: Ranges;
  set: Set<number>;
} {
  let ranges: Ranges = [];
  const set = new Set<number>();
  for (const each of spans) {
    ranges = addSpan(ranges, each);
    for (let n = each.from; n <= each.through; n++) set.add(n);
  }
  return { ranges, set };
}

function members(ranges: Ranges): number[] {
  return ranges.flatMap((each) =>
    Array.from({ length: each.through - each.from + 1 }, (_, i) => each.from + i),
  );
}

describe('ranges', () => {
  it('hold exactly what was added, as few ascending spans as there can be', () => {
    fc.assert(
      fc.property(fc.array(span, { maxLength: 20 }), (spans) => {
        const { ranges, set } = built(spans);
        assert.deepEqual(
          members(ranges),
          [...set].sort((a, b) => a - b),
        );
        ranges.forEach((each, i) => {
          const before = ranges[i - 1];
          if (before !== undefined) assert.ok(before.through + 1 < each.from);
        });
      }),
    );
  });

  it('holes and spans partition any window', () => {
    fc.assert(
      fc.property(fc.array(span, { maxLength: 12 }), span, (spans, within) => {
        const { ranges, set } = built(spans);
        const holes = members(holesIn(ranges, within));
        for (let n = within.from; n <= within.through; n++) {
          assert.equal(holes.includes(n), !set.has(n));
          assert.equal(spanOf(ranges, n) !== undefined, set.has(n));
        }
      }),
    );
  });

  it('cuts keep one side whole', () => {
    fc.assert(
      fc.property(fc.array(span, { maxLength: 12 }), fc.nat(80), (spans, at) => {
        const { ranges, set } = built(spans);
        const sorted = [...set].sort((a, b) => a - b);
        assert.deepEqual(
          members(cutAbove(ranges, at)),
          sorted.filter((n) => n <= at),
        );
        assert.deepEqual(
          members(cutBelow(ranges, at)),
          sorted.filter((n) => n >= at),
        );
      }),
    );
  });

  it('are bounded: the smallest is given up for the newest, and nothing not held is claimed (S12)', () => {
    const all = fc.array(span, { minLength: SPANS_MAX, maxLength: SPANS_MAX * 2 });
    fc.assert(
      fc.property(all, (spans) => {
        let ranges: Ranges = [];
        const set = new Set<number>();
        for (const [i, each] of spans.entries()) {
          const apart = { from: each.from + i * 100, through: each.through + i * 100 };
          ranges = addSpan(ranges, apart);
          for (let n = apart.from; n <= apart.through; n++) set.add(n);
          assert.ok(ranges.length <= SPANS_MAX);
          assert.notEqual(spanOf(ranges, apart.from), undefined);
        }
        for (const n of members(ranges)) assert.ok(set.has(n));
      }),
      { numRuns: 20 },
    );
  });

  it('adding what is held changes nothing, not even the object', () => {
    const ranges = addSpan([], { from: 1, through: 9 });
    assert.equal(addSpan(ranges, { from: 2, through: 5 }), ranges);
    assert.equal(addSpan(ranges, { from: 5, through: 4 }), ranges);
  });
});
