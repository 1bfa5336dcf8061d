/**
 * The body of the sync thread: one frame in, encrypted, written and synced while nothing else runs
 * here, and the same buffer goes back. The thread's file only makes a disk, a WalWriter and a port
 * and hands them over. Any failure is reported and then ends the process: nothing is retried.
 */
import type { Timer, Timers } from '../../core/clock.ts';
import type { WalStats } from '../contract.ts';
import { frameBody } from './frame.ts';
import type { WalWriter } from './wal-writer.ts';

/** Store loop → sync thread. */
export type SyncRequest =
  | { readonly kind: 'frame'; readonly frame: ArrayBuffer }
  | { readonly kind: 'trim'; readonly flushed: ReadonlyMap<number, number> }
  | { readonly kind: 'close' };

/** Sync thread → store loop. `started` comes first; nothing is sent before it. */
export type SyncReply =
  | { readonly kind: 'started'; readonly isLow: boolean }
  | { readonly kind: 'synced'; readonly frame: ArrayBuffer; readonly stats: WalStats | undefined }
  | { readonly kind: 'space'; readonly isLow: boolean }
  | { readonly kind: 'failed'; readonly error: SyncFailure }
  | { readonly kind: 'closed' };

/** An error as it crosses threads: class and fields do not survive the copy. */
export interface SyncFailure {
  readonly reason: string;
  readonly message: string;
  readonly details: Readonly<Record<string, string | number>>;
}

/** Either end of a MessagePort, or anything like it. */
export interface SyncPort<Out, In> {
  post(message: Out, transfer: readonly ArrayBuffer[]): void;
  onMessage(listen: (message: In) => void): void;
  close(): void;
}

export interface SyncLoopParts {
  readonly port: SyncPort<SyncReply, SyncRequest>;
  readonly writer: WalWriter;
  readonly timers: Timers;
  /** Ends the process with a non-zero code after the failure was reported. */
  readonly exit: (error: unknown) => void;
}

/** How long the log is idle before its last frame is marked as synced. */
export const IDLE_MARK_MS = 50;
/** Ticks between two looks at the disk's free space. */
const SPACE_TICKS = 20;
/** Frames between two reports of figures. */
const STATS_FRAMES = 64;

export class SyncLoop {
  readonly #port: SyncPort<SyncReply, SyncRequest>;
  readonly #writer: WalWriter;
  readonly #timers: Timers;
  readonly #exit: (error: unknown) => void;
  #timer: Timer | undefined;
  #isIdle = true;
  #isDone = false;
  #ticks = 0;
  #framesToStats = 0;
  #flushed: ReadonlyMap<number, number> | undefined;

  constructor(parts: SyncLoopParts) {
    this.#port = parts.port;
    this.#writer = parts.writer;
    this.#timers = parts.timers;
    this.#exit = parts.exit;
  }

  /** Begins the first segment, says `started` and serves. */
  start(): void {
    this.#guard(() => {
      this.#writer.start();
      this.#port.onMessage((message) => this.#guard(() => this.#receive(message)));
      this.#timer = this.#timers.every(IDLE_MARK_MS, () => this.#guard(() => this.#tick()));
      this.#port.post({ kind: 'started', isLow: this.#writer.isLow }, []);
    });
  }

  #receive(message: SyncRequest): void {
    if (this.#isDone) return;
    switch (message.kind) {
      case 'frame':
        this.#writer.append(frameBody(message.frame));
        this.#isIdle = false;
        this.#port.post({ kind: 'synced', frame: message.frame, stats: this.#dueStats() }, [
          message.frame,
        ]);
        return;
      case 'trim':
        // What it takes to find out what may go waits for a tick between frames.
        this.#flushed = message.flushed;
        return;
      case 'close':
        // Before it counts as over: a disk that fails now is reported like any other time.
        this.#writer.close();
        this.#stop();
        // Whoever opens this directory next must not meet files that vanish.
        void this.#writer.discarded.then(() => {
          this.#port.post({ kind: 'closed' }, []);
          this.#port.close();
        });
        return;
    }
  }

  #tick(): void {
    if (this.#isDone) return;
    this.#writer.pace(this.#isIdle);
    if (this.#isIdle) this.#writer.tick();
    this.#isIdle = true;
    if (this.#flushed !== undefined) {
      this.#writer.trim(this.#flushed);
      this.#flushed = undefined;
    }
    if (++this.#ticks % SPACE_TICKS !== 0) return;
    if (this.#writer.checkSpace())
      this.#port.post({ kind: 'space', isLow: this.#writer.isLow }, []);
  }

  #dueStats(): WalStats | undefined {
    if (this.#framesToStats-- > 0) return undefined;
    this.#framesToStats = STATS_FRAMES;
    return this.#writer.stats();
  }

  #guard(run: () => void): void {
    try {
      run();
    } catch (thrown) {
      this.#fail(thrown);
    }
  }

  #fail(thrown: unknown): void {
    if (this.#isDone) return;
    this.#stop();
    this.#port.post({ kind: 'failed', error: failureOf(thrown) }, []);
    this.#exit(thrown);
  }

  #stop(): void {
    this.#isDone = true;
    this.#timer?.cancel();
    this.#timer = undefined;
  }
}

function failureOf(thrown: unknown): SyncFailure {
  const message = thrown instanceof Error ? thrown.message : 'unknown failure';
  const isOurs = thrown instanceof Error && 'reason' in thrown && 'details' in thrown;
  if (!isOurs) return { reason: 'INVARIANT', message, details: {} };
  const details: Record<string, string | number> = {};
  for (const [name, value] of Object.entries(thrown.details ?? {}))
    if (typeof value === 'string' || typeof value === 'number') details[name] = value;
  return { reason: String(thrown.reason), message, details };
}
