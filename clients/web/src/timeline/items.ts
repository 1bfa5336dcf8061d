/**
 * From rows to what stands in the column: watermarks (day, new, tide) between rows, and runs: rows
 * of one speaker, one day, less than five minutes apart share a spine (CLIENT §2, §3). Pure.
 */
import type { MessageRow, Row, SendState, Store } from '@parley/sdk';

export type Item =
  | { readonly is: 'day'; readonly key: string; readonly timeMs: number }
  | { readonly is: 'new'; readonly key: string }
  | { readonly is: 'tide'; readonly key: string; readonly count: number }
  | { readonly is: 'row'; readonly key: string; readonly row: Row; readonly run: Run };

/** Place in a run: the first says who and when, the last rounds the spine. */
export interface Run {
  readonly first: boolean;
  readonly last: boolean;
}

export interface ItemOptions {
  /** Sequence under the unread line; absent = no line. */
  readonly newFrom?: number | undefined;
  /** How many the tide mark counts; 0 = it does not show. */
  readonly tide: number;
  readonly dayKeyOf: (timeMs: number) => string;
  /** Kept by the caller for one timeline: see `startsRun`. */
  readonly decided: Map<string, { readonly after: string; readonly first: boolean }>;
}

export const RUN_GAP_MS: number = 5 * 60_000;

export function itemsOf(rows: readonly Row[], options: ItemOptions): Item[] {
  const items: Item[] = [];
  let day = '';
  let before: Row | undefined;
  let hasNew = options.newFrom === undefined;
  let hasTide = options.tide === 0;
  for (const row of rows) {
    let isMarked = false;
    const rowDay = dayOf(row, options.dayKeyOf);
    if (rowDay !== undefined && rowDay !== day && 'timeMs' in row) {
      items.push({ is: 'day', key: `day-${rowDay}`, timeMs: row.timeMs });
      day = rowDay;
      isMarked = true;
    }
    if (!hasNew && isUnreadLine(row, options.newFrom ?? 0)) {
      items.push({ is: 'new', key: 'new' });
      hasNew = isMarked = true;
    }
    if (!hasTide && isPending(row)) {
      // The tide comes and goes; it ends no run, so that no row changes its height for it (S3).
      items.push({ is: 'tide', key: 'tide', count: options.tide });
      hasTide = true;
    }
    const first = isMarked || startsRun(row, before, options.decided);
    if (first) endRun(items);
    items.push({ is: 'row', key: row.key, row, run: { first, last: false } });
    before = row;
  }
  endRun(items);
  return items;
}

/** Of own rows that the server does not have yet. */
export function pendingStatesOf(rows: readonly Row[]): Store<SendState>[] {
  return rows.flatMap((row) =>
    isPending(row) && row.is === 'message' && row.state !== undefined ? [row.state] : [],
  );
}

/** Whether a reload would find it here: what is being written is not "on this device" yet. */
export function isOnDevice(state: SendState): boolean {
  return !(state.is === 'SENDING' && state.step === 'saving');
}

export function isPending(row: Row): boolean {
  return row.is === 'message' && row.sequence === undefined;
}

/** Whether the unread line stands above this row: own words and what happened are never unread. */
export function isUnreadLine(row: Row, newFrom: number): boolean {
  if (row.is === 'hole') return row.before > newFrom;
  if (row.is === 'service' || (row.is === 'message' && row.mine)) return false;
  return row.sequence !== undefined && row.sequence >= newFrom;
}

/**
 * A pending row's time is this device's, a committed one's the server's. What was decided when the
 * row appeared stays while the same row stands above it: its commit never changes its height (S3).
 */
function startsRun(
  row: Row,
  before: Row | undefined,
  decided: Map<string, { readonly after: string; readonly first: boolean }>,
): boolean {
  if (row.is !== 'message' || before?.is !== 'message' || row.sender !== before.sender) return true;
  const kept = decided.get(row.key);
  if (kept !== undefined && kept.after === before.key) return kept.first;
  const first = isPending(row) && isPending(before) ? false : isApart(row, before);
  if (isPending(row)) decided.set(row.key, { after: before.key, first });
  return first;
}

function isApart(row: MessageRow, before: MessageRow): boolean {
  return Math.abs(row.timeMs - before.timeMs) >= RUN_GAP_MS;
}

/** Pending rows never open a day: only the server says which day it is. */
function dayOf(row: Row, dayKeyOf: (timeMs: number) => string): string | undefined {
  return row.is === 'hole' || isPending(row) ? undefined : dayKeyOf(row.timeMs);
}

function endRun(items: Item[]): void {
  for (let i = items.length - 1; i >= 0; i--) {
    const item = items[i];
    if (item?.is !== 'row') continue;
    if (!item.run.last) items[i] = { ...item, run: { first: item.run.first, last: true } };
    return;
  }
}
