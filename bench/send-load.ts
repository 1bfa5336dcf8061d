/** Parts of the loads that several scenarios make. */
import { setTimeout } from 'node:timers/promises';
import type { Account } from './accounts.ts';
import type { SendLoad } from './load.ts';
import type { BenchOptions } from './options.ts';
import type { ServerUnderLoad } from './server-process.ts';

/** A round of flushes over all shards (PARLEY_FLUSH_INTERVAL_MS), and some. */
export const FLUSH_ROUND_SECONDS = 17;

/** Waits until everything that was sent is flushed. */
export async function flushed(): Promise<void> {
  await setTimeout(FLUSH_ROUND_SECONDS * 1000);
}

/** The 1:1 with this user, as a send names it. */
export const direct = (account: Account | undefined): string => `direct:${account?.userId ?? ''}`;

/** What all loads of sends have in common. */
export function sendLoad(
  options: BenchOptions,
  server: ServerUnderLoad,
): Omit<SendLoad, 'users' | 'senders'> {
  return {
    is: 'send',
    webSocketUrl: server.webSocketUrl,
    window: options.window,
    ratePerSecond: 0,
    bodyBytes: options.bytes,
    marks: options.marks,
    focus: [],
    sendsMax: 0,
    deliveriesPerSend: 0,
  };
}
