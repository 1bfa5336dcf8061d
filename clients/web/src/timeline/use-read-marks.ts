/** Read = half of it in view for 500 ms with the window focused (S9). Marks only ever rise. */
import type { Conversation } from '@parley/sdk';
import { type RefObject, useEffect } from 'react';

const SEEN_MS = 500;
const HALF = 0.5;

export function useReadMarks(
  conversation: Conversation,
  box: RefObject<HTMLElement | null>,
  /** Changes when rows enter or leave the page. */
  rows: unknown,
): void {
  useEffect(() => {
    const root = box.current;
    if (root === null) return;
    const visible = new Set<Element>();
    let timer: number | undefined;
    const mark = (): void => {
      timer = undefined;
      if (!document.hasFocus() || document.visibilityState !== 'visible') return;
      let seen = 0;
      for (const row of visible) seen = Math.max(seen, sequenceOf(row));
      if (seen > conversation.info.get().readThrough) conversation.markRead(seen);
    };
    const wait = (): void => {
      clearTimeout(timer);
      timer = window.setTimeout(mark, SEEN_MS);
    };
    const observer = new IntersectionObserver(
      (entries) => {
        for (const entry of entries) {
          if (isHalfSeen(entry, root)) visible.add(entry.target);
          else visible.delete(entry.target);
        }
        wait();
      },
      { root, threshold: [0, HALF, 1] },
    );
    for (const row of root.querySelectorAll('[data-sequence]')) observer.observe(row);
    addEventListener('focus', wait);
    document.addEventListener('visibilitychange', wait);
    return () => {
      observer.disconnect();
      clearTimeout(timer);
      removeEventListener('focus', wait);
      document.removeEventListener('visibilitychange', wait);
    };
  }, [conversation, box, rows]);
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
