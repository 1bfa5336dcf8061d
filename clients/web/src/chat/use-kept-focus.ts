/**
 * Keeps the focus in a part of the page whose focused control goes away, because it did what it was
 * there for: it moves to what stands in its place, never to the body (CLIENT §2).
 */
import { type RefObject, useEffect } from 'react';

const CONTROLS = 'button:not(:disabled), input, textarea, a[href]';

/** `box` takes the focus itself (tabIndex -1) when nothing in it can. */
export function useKeptFocus(box: RefObject<HTMLElement | null>): void {
  useEffect(() => {
    const node = box.current;
    if (node === null) return;
    const controls = (): HTMLElement[] =>
      [...node.querySelectorAll<HTMLElement>(CONTROLS)].filter(
        (each) => each.offsetParent !== null,
      );
    let at = -1;
    const note = (e: FocusEvent): void => {
      at = controls().findIndex((each) => each === e.target);
    };
    // Who presses beside all controls leaves them.
    const leave = (): void => {
      at = -1;
    };
    const observer = new MutationObserver(() => {
      const isLost = document.activeElement === null || document.activeElement === document.body;
      if (at === -1 || !isLost) return;
      const all = controls();
      (all[Math.min(at, all.length - 1)] ?? node).focus();
    });
    node.addEventListener('focusin', note);
    document.addEventListener('pointerdown', leave, { capture: true });
    observer.observe(node, { childList: true, subtree: true });
    return () => {
      node.removeEventListener('focusin', note);
      document.removeEventListener('pointerdown', leave, { capture: true });
      observer.disconnect();
    };
  }, [box]);
}
