/**
 * Where the reader is in a timeline, and what stands in the page because of it: follows the end
 * while within 50 px of it, else keeps arrivals out and counts them; grows at the edges.
 */
import type { Timeline, TimelineState } from '@parley/sdk';
import { type RefObject, useCallback, useEffect, useLayoutEffect, useRef, useState } from 'react';
import { isUnreadLine } from './items.ts';
import { Scroller } from './scroller.ts';
import {
  AT_END,
  around,
  follow,
  growNewer,
  growOlder,
  pin,
  type Shown,
  sliceOf,
} from './shown-rows.ts';

export interface Reading {
  readonly from: number;
  readonly to: number;
  readonly isFollowing: boolean;
  /** Others' messages below what stands in the page. */
  readonly below: number;
  readonly toEnd: () => void;
  readonly toRow: (row: HTMLElement) => void;
  readonly grow: (edge: 'older' | 'newer') => void;
}

/** Where the unread line stands at opening, from the top of the box. */
const NEW_LINE_AT = 0.2;

export function useReading(
  timeline: Timeline,
  state: TimelineState,
  box: RefObject<HTMLElement | null>,
): Reading {
  const [shown, setShown] = useState<Shown>(AT_END);
  const scroller = useRef<Scroller | undefined>(undefined);
  const now = useRef({ state, shown, isPlaced: false, wantsEnd: false });
  now.current.state = state;
  now.current.shown = shown;

  const grow = useCallback(
    (edge: 'older' | 'newer') => {
      const { state, shown } = now.current;
      const { from, to } = sliceOf(state.rows, shown);
      // What is loaded enters the page at once; what failed to load waits for Retry.
      const mayLoad = state.failed === undefined && state.loading === undefined;
      if (edge === 'older') {
        if (from > 0) setShown(growOlder(state.rows, shown));
        else if (mayLoad && hasOlder(state)) void timeline.more('older');
      } else if (to < state.rows.length) setShown(growNewer(state.rows, shown));
      else if (mayLoad && !state.atEnd) void timeline.more('newer');
    },
    [timeline],
  );

  const moved = useCallback(() => {
    const pane = scroller.current;
    if (pane === undefined || !now.current.isPlaced) return;
    const { state, shown } = now.current;
    const { to } = sliceOf(state.rows, shown);
    const isWhole = to === state.rows.length && state.atEnd;
    if (!pane.isFollowing && shown.to === undefined) setShown(pin(state.rows, shown));
    // A window that ends above the newest row: who is at its end wants what follows.
    else if (pane.isFollowing && shown.to === undefined && !state.atEnd) grow('newer');
    else if (pane.isFollowing && shown.to !== undefined) {
      if (isWhole) setShown(follow(state.rows, shown));
      else grow('newer');
    }
    if (pane.fromStart < (box.current?.clientHeight ?? 0)) grow('older');
  }, [box, grow]);

  useScroller(box, scroller, moved);

  const { from, to } = sliceOf(state.rows, shown);
  useLayoutEffect(() => {
    const pane = scroller.current;
    if (pane === undefined || state.rows.length === 0) return;
    // What stands there while the place to open at is still being read is not that place.
    if (!now.current.isPlaced && state.loading === 'jump') return;
    if (!now.current.isPlaced) return place(pane, now.current, setShown);
    if (now.current.wantsEnd) {
      now.current.wantsEnd = to < state.rows.length || !state.atEnd;
      pane.toEnd();
    } else if (shown.to !== undefined) pane.hold();
  });
  const isPinned = shown.to !== undefined;
  useEffect(() => timeline.follow(!isPinned), [timeline, isPinned]);
  // After rows changed, or what failed may be tried again, an edge may be in view without any scroll event.
  useEffect(moved, [moved, from, to, state.rows.length, state.failed]);

  const toEnd = useCallback(() => {
    const { state, shown } = now.current;
    now.current.wantsEnd = true;
    timeline.follow(true);
    setShown(state.atEnd ? follow(state.rows, shown) : AT_END);
    scroller.current?.toEnd();
  }, [timeline]);
  const toRow = useCallback((row: HTMLElement) => scroller.current?.reveal(row), []);

  const isFollowing = shown.to === undefined && state.atEnd;
  return { from, to, isFollowing, below: belowOf(state, to), toEnd, toRow, grow };
}

function useScroller(
  box: RefObject<HTMLElement | null>,
  scroller: RefObject<Scroller | undefined>,
  moved: () => void,
): void {
  useLayoutEffect(() => {
    if (box.current === null) return;
    const pane = new Scroller(box.current, moved);
    scroller.current = pane;
    pane.start();
    return () => pane.stop();
  }, [box, scroller, moved]);
}

export function hasOlder(state: TimelineState): boolean {
  const top = state.rows[0];
  if (top === undefined) return state.first <= state.head && state.head > 0;
  if (top.is === 'hole') return true;
  return top.sequence !== undefined && top.sequence > Math.max(1, state.first);
}

function belowOf(state: TimelineState, to: number): number {
  let count = state.below;
  for (const row of state.rows.slice(to)) if (row.is === 'message' && !row.mine) count++;
  return count;
}

interface Placing {
  readonly state: TimelineState;
  isPlaced: boolean;
}

/** Opens at the unread line if it is above the view, else at the end. Runs until rows are there. */
function place(pane: Scroller, now: Placing, setShown: (shown: Shown) => void): void {
  const { rows, newFrom, atEnd } = now.state;
  const line = rows.find(
    (row) => newFrom !== undefined && row.is !== 'hole' && isUnreadLine(row, newFrom),
  );
  now.isPlaced = true;
  if (line === undefined) return;
  const shown = around(rows, line.key);
  const isInPage = pane.row(line.key) !== undefined;
  if (!isInPage) {
    now.isPlaced = false;
    return setShown(shown);
  }
  pane.toRow(line.key, NEW_LINE_AT);
  if (!pane.isFollowing || !atEnd) setShown(pin(rows, shown));
}
