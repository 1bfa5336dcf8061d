/** What a generator process is asked to do and what it counted: plain values that cross a fork. */
import type { Account } from './accounts.ts';

export interface SendLoad {
  readonly is: 'send';
  readonly webSocketUrl: string;
  /** Everybody here is online in this process; `targets` says whom or where each of the senders writes, in rotation. */
  readonly users: readonly Account[];
  readonly senders: readonly { readonly user: number; readonly targets: readonly string[] }[];
  /** Messages in flight per sender; 0 = open loop at `ratePerSecond` over all senders of this process. */
  readonly window: number;
  readonly ratePerSecond: number;
  readonly bodyBytes: number;
  /** Delivered receipts on. */
  readonly marks: boolean;
  /** Every user tells the server that he looks at these conversations. */
  readonly focus: readonly string[];
  /** Sends per sender after which it stops; 0 = until the time is up. */
  readonly sendsMax: number;
  /** Group load: a slot frees when the message is acknowledged and all others have it. 0 = on the ack. */
  readonly deliveriesPerSend: number;
}

export interface IdleLoad {
  readonly is: 'idle';
  readonly webSocketUrl: string;
  readonly users: readonly Account[];
}

export interface HistoryLoad {
  readonly is: 'history';
  readonly webSocketUrl: string;
  readonly readers: readonly Account[];
  /** Of each reader. */
  readonly conversations: readonly (readonly string[])[];
  readonly pageSize: number;
  /** Of all readers, whatever the answers do; 0 = each asks when it has its answer. */
  readonly pagesPerSecond: number;
}

export type Load = SendLoad | IdleLoad | HistoryLoad;

/** Times are performance.timeOrigin-based ms, the same for all processes of a machine. */
export type ToGenerator =
  | { readonly is: 'load'; readonly load: Load }
  | { readonly is: 'run'; readonly fromMs: number; readonly untilMs: number };

export type FromGenerator =
  | { readonly is: 'ready' }
  | { readonly is: 'failed'; readonly why: string }
  | ({ readonly is: 'done' } & Counted);

export interface Counted {
  readonly sends: number;
  readonly deliveries: number;
  /** All of the run, warm-up and the wait for the last ones included. */
  readonly acknowledged: number;
  readonly delivered: number;
  readonly duplicates: number;
  readonly disorder: number;
  readonly skips: number;
  readonly lost: number;
  readonly closed: number;
  readonly refusals: Readonly<Record<string, number>>;
  readonly ack: readonly number[];
  readonly endToEnd: readonly number[];
  readonly cpuSeconds: number;
  /** When the last sender had done its `sendsMax`; the end of the run if time ended it. */
  readonly endedMs: number;
}

/** Wall clock with a sub-ms part, comparable between processes of one machine. */
export function now(): number {
  return performance.timeOrigin + performance.now();
}
