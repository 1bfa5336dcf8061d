/** Read = half of it in view for 500 ms with the window focused (S9). Marks only ever rise. */
import type { Conversation } from '@parley/sdk';
import { type RefObject, useEffect, useRef } from 'react';
import { SeenRows } from './seen-rows.ts';

const HALF = 0.5;

export function useReadMarks(
  conversation: Conversation,
  box: RefObject<HTMLElement | null>,
  /** Changes when rows enter or leave the page. */
  rows: unknown,
): void {
  const watch = useRef<IntersectionObserver>(null);
  useEffect(() => {
    const root = box.current;
    if (root === null) return;
    const seen = new SeenRows();
    let timer: number | undefined;
    const wait = (): void => {
      const atMs = seen.nextMs();
      if (timer !== undefined || atMs === undefined) return;
      timer = window.setTimeout(mark, Math.max(0, atMs - performance.now()));
    };
    const mark = (): void => {
      timer = undefined;
      // Until somebody looks; `again` begins anew.
      if (!isLookedAt()) return;
      readTo(conversation, seen.readThrough(performance.now()));
      wait();
    };
    const again = (): void => {
      seen.restart(performance.now());
      wait();
    };
    const observer = new IntersectionObserver(
      (entries) => {
        for (const entry of entries) {
          const sequence = sequenceOf(entry.target);
          if (isHalfSeen(entry, root)) seen.entered(sequence, performance.now());
          else seen.left(sequence);
        }
        wait();
      },
      { root, threshold: [0, HALF, 1] },
    );
    watch.current = observer;
    addEventListener('focus', again);
    document.addEventListener('visibilitychange', again);
    return () => {
      observer.disconnect();
      clearTimeout(timer);
      removeEventListener('focus', again);
      document.removeEventListener('visibilitychange', again);
    };
  }, [conversation, box]);
  useEffect(() => {
    // Those observed already go on as they were; one that left the page is told as out of view.
    for (const row of box.current?.querySelectorAll('[data-sequence]') ?? [])
      watch.current?.observe(row);
  }, [conversation, box, rows]);
}

/** A conversation marked unread by hand is read again by seeing it, though nothing in it is new. */
function readTo(conversation: Conversation, sequence: number): void {
  const { readThrough, markedUnread } = conversation.info.get();
  if (sequence > readThrough || (sequence > 0 && markedUnread)) conversation.markRead(sequence);
}

function isLookedAt(): boolean {
  return document.hasFocus() && document.visibilityState === 'visible';
}

/** A row taller than the view counts once it fills half of the view. */
function isHalfSeen(entry: IntersectionObserverEntry, root: HTMLElement): boolean {
  return (
    entry.intersectionRatio >= HALF || entry.intersectionRect.height >= root.clientHeight * HALF
  );
}

function sequenceOf(row: Element): number {
  return row instanceof HTMLElement ? Number(row.dataset['sequence'] ?? 0) : 0;
}
