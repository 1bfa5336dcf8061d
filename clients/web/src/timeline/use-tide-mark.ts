/** The tide mark shows once something stayed on this device for 1.5 s, or at once when not live. */
import { useEffect, useState } from 'react';

const AFTER_MS = 1_500;

export function useTideMark(pendingCount: number, isLive: boolean): boolean {
  const [isLate, setLate] = useState(false);
  const hasPending = pendingCount > 0;
  useEffect(() => {
    setLate(false);
    if (!hasPending) return;
    const timer = setTimeout(() => setLate(true), AFTER_MS);
    return () => clearTimeout(timer);
  }, [hasPending]);
  return hasPending && (isLate || !isLive);
}
