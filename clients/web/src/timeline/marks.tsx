/** Watermarks: each a hairline with a tab (CLIENT §3). */
import type { HoleRow, Timeline } from '@parley/sdk';
import { type ReactNode, useEffect, useState } from 'react';
import { dayOf } from '../text/times.ts';
import type { PlaceInFeed } from './message-row.tsx';

export function DayMark({ timeMs }: { timeMs: number }): ReactNode {
  return (
    <div className="mark mark-day">
      <span>{dayOf(timeMs, Date.now())}</span>
    </div>
  );
}

export function NewMark(): ReactNode {
  return (
    <div className="mark mark-new">
      <span>New</span>
    </div>
  );
}

export function TideMark({ count }: { count: number }): ReactNode {
  return (
    <div className="mark mark-tide" data-tide={count}>
      <span>On this device only ({count})</span>
    </div>
  );
}

interface HoleProps extends PlaceInFeed {
  readonly row: HoleRow;
  readonly timeline: Timeline;
}

/** Rows that are not on this device. A sequence is a position, so their number is known. */
export function HoleMark({ row, timeline, isActive, setSize }: HoleProps): ReactNode {
  const [isLoading, setLoading] = useState(false);
  const count = row.before - row.after - 1;
  useEffect(() => setLoading(false), [row]);
  const load = (): void => {
    setLoading(true);
    void timeline.moveTo({ sequence: row.before - 1 }).finally(() => setLoading(false));
  };
  return (
    <article
      className="mark hole"
      data-key={row.key}
      tabIndex={isActive ? 0 : -1}
      aria-label={`${count} messages not loaded`}
      aria-posinset={row.after + 1}
      aria-setsize={setSize}
    >
      <button type="button" tabIndex={-1} onClick={load}>
        {isLoading ? 'Loading…' : `${count} ${count === 1 ? 'message' : 'messages'}`}
      </button>
    </article>
  );
}
