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

export function addSpan(ranges: Ranges, span: Span): Ranges {
  if (span.from > span.through) return ranges;
  const before = ranges.filter((each) => each.through < span.from - 1);
  const after = ranges.filter((each) => each.from > span.through + 1);
  const touched = ranges.slice(before.length, ranges.length - after.length);
  if (touched.length === 1 && isWithin(touched[0], span)) return ranges;
  const from = Math.min(span.from, touched[0]?.from ?? span.from);
  const through = Math.max(span.through, touched.at(-1)?.through ?? span.through);
  return [...before, { from, through }, ...after];
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

function isWithin(outer: Span | undefined, inner: Span): boolean {
  return outer !== undefined && outer.from <= inner.from && inner.through <= outer.through;
}
