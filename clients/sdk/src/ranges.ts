/**
 * Which sequences of a conversation are on this device: disjoint ascending spans, never adjacent.
 * The log is dense, so what lies between two spans is a hole whose size is arithmetic.
 */

/** Both inclusive. */
export interface Span {
  readonly from: number;
  readonly through: number;
}

export type Ranges = readonly Span[];

/** Of one conversation: its record stays far below the largest value a store keeps (S12). */
export const SPANS_MAX = 256;

export function addSpan(ranges: Ranges, span: Span): Ranges {
  if (span.from > span.through) return ranges;
  const before = ranges.filter((each) => each.through < span.from - 1);
  const after = ranges.filter((each) => each.from > span.through + 1);
  const touched = ranges.slice(before.length, ranges.length - after.length);
  if (touched.length === 1 && isWithin(touched[0], span)) return ranges;
  const from = Math.min(span.from, touched[0]?.from ?? span.from);
  const through = Math.max(span.through, touched.at(-1)?.through ?? span.through);
  return bounded([...before, { from, through }, ...after], before.length);
}

/** What is at or below `through`. */
export function cutAbove(ranges: Ranges, through: number): Ranges {
  return ranges
    .filter((span) => span.from <= through)
    .map((span) => (span.through <= through ? span : { from: span.from, through }));
}

/** What is at or above `from`. */
export function cutBelow(ranges: Ranges, from: number): Ranges {
  return ranges
    .filter((span) => span.through >= from)
    .map((span) => (span.from >= from ? span : { from, through: span.through }));
}

export function spanOf(ranges: Ranges, sequence: number): Span | undefined {
  return ranges.find((span) => span.from <= sequence && sequence <= span.through);
}

/** The holes in [from, through], oldest first. */
export function holesIn(ranges: Ranges, within: Span): readonly Span[] {
  const holes: Span[] = [];
  let next = within.from;
  for (const span of ranges) {
    if (span.through < next) continue;
    if (span.from > within.through) break;
    if (span.from > next) holes.push({ from: next, through: span.from - 1 });
    next = span.through + 1;
  }
  if (next <= within.through) holes.push({ from: next, through: within.through });
  return holes;
}

/** One too many: the smallest but the one just added is a hole again, and read again where one looks. */
function bounded(ranges: Ranges, added: number): Ranges {
  if (ranges.length <= SPANS_MAX) return ranges;
  const size = ({ from, through }: Span): number => through - from;
  let smallest = added === 0 ? 1 : 0;
  for (const [i, span] of ranges.entries()) {
    const least = ranges[smallest];
    if (i !== added && least !== undefined && size(span) < size(least)) smallest = i;
  }
  return ranges.filter((_, i) => i !== smallest);
}

function isWithin(outer: Span | undefined, inner: Span): boolean {
  return outer !== undefined && outer.from <= inner.from && inner.through <= outer.through;
}
