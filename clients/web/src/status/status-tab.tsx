/** The status tab: hangs from the header's edge. */
import type { Client } from '@parley/sdk';
import { type ReactNode, useEffect, useMemo, useState } from 'react';
import { useClient, useStore } from '../chat/use-store.ts';
import { STATUS_AFTER_MS, statusOf, statusText } from './status.ts';

export function StatusTab({ takeOver }: { takeOver: () => void }): ReactNode {
  const client = useClient();
  const connection = useStore(client.connection);
  const isLate = useLate(connection.phase !== 'live');
  const status = statusOf(connection, useWaiting(client), isLate);
  return (
    <div className="status" role="status">
      {status !== undefined && (
        <div className="status-tab" data-status={status.is}>
          <span>{statusText(status)}</span>
          {status.is === 'follower' && (
            <button type="button" className="link-button" onClick={takeOver}>
              Use here
            </button>
          )}
        </div>
      )}
    </div>
  );
}

/** True once it has been so for 5 s without a break. */
function useLate(isSo: boolean): boolean {
  const [isLate, setLate] = useState(false);
  useEffect(() => {
    setLate(false);
    if (!isSo) return;
    const timer = setTimeout(() => setLate(true), STATUS_AFTER_MS);
    return () => clearTimeout(timer);
  }, [isSo]);
  return isSo && isLate;
}

// Conversations with something unsent are the newest.
const NEWEST = 50;

function useWaiting(client: Client): number {
  const list = useMemo(() => {
    const made = client.conversations({ filter: 'all' });
    made.show(0, NEWEST);
    return made;
  }, [client]);
  useEffect(() => () => list.close(), [list]);
  let count = 0;
  for (const row of useStore(list).rows) count += row.waiting;
  return count;
}
