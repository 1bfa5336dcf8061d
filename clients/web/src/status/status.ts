/**
 * What the status tab says. Pure. A short break is not worth a word: offline and catching up speak
 * after 5 s; what needs an action (another tab, storage) speaks at once.
 */
import type { ConnectionState } from '@parley/sdk';

export type Status =
  | { readonly is: 'follower' }
  | { readonly is: 'not-saved' }
  | { readonly is: 'offline'; readonly waiting: number }
  | { readonly is: 'catching-up' }
  | { readonly is: 'read-only' };

export const STATUS_AFTER_MS = 5_000;

export function statusOf(
  connection: ConnectionState,
  waiting: number,
  isLate: boolean,
): Status | undefined {
  if (connection.follower) return { is: 'follower' };
  if (isLate && (connection.phase === 'offline' || connection.phase === 'connecting'))
    return { is: 'offline', waiting };
  if (isLate && connection.phase === 'catching-up') return { is: 'catching-up' };
  if (!connection.saved) return { is: 'not-saved' };
  if (connection.readOnly) return { is: 'read-only' };
  return undefined;
}

export function statusText(status: Status): string {
  switch (status.is) {
    case 'follower':
      return 'Parley is open in another tab.';
    case 'not-saved':
      return 'This browser keeps nothing: what is not sent is lost when this page closes.';
    case 'offline':
      return status.waiting === 0 ? 'Offline' : `Offline, ${status.waiting} waiting`;
    case 'catching-up':
      return 'Catching up…';
    case 'read-only':
      return 'Read only for now.';
  }
}
