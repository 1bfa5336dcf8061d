/**
 * Which of the loaded rows stand in the page: at most 120 real ones (CLIENT §2), named by key, so
 * that loading and trimming elsewhere do not move them. Pure.
 */

export const SHOWN_MAX = 120;
const START_COUNT = 60;
const STEP = 30;

export interface Shown {
  /** First row in the page. */
  readonly from: string | undefined;
  /** Last row in the page; undefined = follows the end: arrivals enter at once. */
  readonly to: string | undefined;
}

export interface Keyed {
  readonly key: string;
}

/** Indexes of the rows in the page: from inclusive, to exclusive. */
export interface Slice {
  readonly from: number;
  readonly to: number;
}

export const AT_END: Shown = { from: undefined, to: undefined };

export function sliceOf(rows: readonly Keyed[], shown: Shown): Slice {
  const last = shown.to === undefined ? -1 : rows.findIndex((row) => row.key === shown.to);
  const to = last === -1 ? rows.length : last + 1;
  const first = shown.from === undefined ? -1 : rows.findIndex((row) => row.key === shown.from);
  // Following, the oldest leave the page as others enter; nothing below the reader moves.
  const oldest = shown.to === undefined ? to - SHOWN_MAX : 0;
  const from = first === -1 ? to - START_COUNT : Math.max(first, oldest);
  return { from: Math.min(Math.max(0, from), to), to };
}

/** The reader left the end: what stands now stays the last. */
export function pin(rows: readonly Keyed[], shown: Shown): Shown {
  const { from, to } = sliceOf(rows, shown);
  return { from: rows[from]?.key, to: rows[to - 1]?.key };
}

/** The reader is back at the end with nothing below. */
export function follow(rows: readonly Keyed[], shown: Shown): Shown {
  return { from: rows[sliceOf(rows, shown).from]?.key, to: undefined };
}

/** One step at an edge. What would be more than the most leaves at the other edge. */
export function growOlder(rows: readonly Keyed[], shown: Shown): Shown {
  const slice = sliceOf(rows, shown);
  const from = Math.max(0, slice.from - STEP);
  if (slice.to - from > SHOWN_MAX) return span(rows, from, from + SHOWN_MAX);
  return { from: rows[from]?.key, to: shown.to && rows[slice.to - 1]?.key };
}

export function growNewer(rows: readonly Keyed[], shown: Shown): Shown {
  const slice = sliceOf(rows, shown);
  const to = Math.min(rows.length, slice.to + STEP);
  return span(rows, Math.max(slice.from, to - SHOWN_MAX), to);
}

function span(rows: readonly Keyed[], from: number, to: number): Shown {
  return { from: rows[from]?.key, to: rows[to - 1]?.key };
}

/** Around a row: where the unread line is far above the end. */
export function around(rows: readonly Keyed[], key: string): Shown {
  const at = rows.findIndex((row) => row.key === key);
  if (at === -1 || at >= rows.length - START_COUNT) {
    return {
      from: rows[Math.max(0, Math.min(at - STEP, rows.length - START_COUNT))]?.key,
      to: undefined,
    };
  }
  return { from: rows[Math.max(0, at - STEP)]?.key, to: rows[at + START_COUNT]?.key };
}
