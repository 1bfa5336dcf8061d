/** The tide mark shows once something stayed on this device for 1.5 s, or at once when not live. */
import type { Row } from '@parley/sdk';
import { useCallback, useEffect, useMemo, useState, useSyncExternalStore } from 'react';
import { isOnDevice, pendingStatesOf } from './items.ts';

const AFTER_MS = 1_500;

/** How many own rows are on this device only, once that is to be said; else 0. */
export function useTideMark(rows: readonly Row[], isLive: boolean): number {
  const count = useOnDevice(rows);
  const [isLate, setLate] = useState(false);
  const hasPending = count > 0;
  useEffect(() => {
    setLate(false);
    if (!hasPending) return;
    const timer = setTimeout(() => setLate(true), AFTER_MS);
    return () => clearTimeout(timer);
  }, [hasPending]);
  return isLate || !isLive ? count : 0;
}

function useOnDevice(rows: readonly Row[]): number {
  const states = useMemo(() => pendingStatesOf(rows), [rows]);
  const subscribe = useCallback(
    (fn: () => void) => {
      const stops = states.map((state) => state.subscribe(fn));
      return () => {
        for (const stop of stops) stop();
      };
    },
    [states],
  );
  return useSyncExternalStore(
    subscribe,
    () => states.filter((state) => isOnDevice(state.get())).length,
  );
}
