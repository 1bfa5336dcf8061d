/**
 * A Wal in the caller's own thread: the simulator's, and the shape the others are measured against.
 * `later` decides when a frame's sync happens, so that a simulated disk may be slow and a crash may
 * fall between write and sync.
 */
import type { Index, ShardId } from '../../core/ids.ts';
import { invariant } from '../../core/invariant.ts';
import type { Wal, WalListener, WalStats } from '../contract.ts';
import { frameBody } from './frame.ts';
import type { WalWriter } from './wal-writer.ts';

export interface LocalWalParts {
  readonly writer: WalWriter;
  readonly listener: WalListener;
  /** Runs its argument in a later turn. */
  readonly later: (run: () => void) => void;
}

export class LocalWal implements Wal {
  readonly #writer: WalWriter;
  readonly #listener: WalListener;
  readonly #later: (run: () => void) => void;
  #isInFlight = false;
  #isDone = false;
  #failure: Error | undefined;
  #closing: Promise<void> | undefined;

  constructor(parts: LocalWalParts) {
    this.#writer = parts.writer;
    this.#listener = parts.listener;
    this.#later = parts.later;
  }

  submit(frame: ArrayBuffer): void {
    invariant(!this.#isInFlight, 'wal.one-frame-in-flight');
    invariant(!this.#isDone || this.#failure !== undefined, 'wal.open');
    this.#isInFlight = true;
    // The listener hears of the failure in a later turn; until then it knows no better.
    if (this.#failure !== undefined) return;
    if (!this.#attempt(() => this.#writer.write(frameBody(frame)))) return;
    this.#later(() => {
      if (this.#isDone || !this.#attempt(() => this.#writer.sync())) return;
      this.#isInFlight = false;
      this.#listener.synced(frame);
    });
  }

  trim(flushed: ReadonlyMap<ShardId, Index>): void {
    if (!this.#isDone) this.#attempt(() => void this.#writer.trim(flushed));
  }

  /** What the sync thread does when idle; the simulator calls it on its clock. */
  tick(): void {
    if (this.#isDone || this.#isInFlight) return;
    this.#attempt(() => {
      this.#writer.pace(true);
      this.#writer.tick();
      if (this.#writer.checkSpace()) this.#listener.spaceChanged(this.#writer.isLow);
    });
  }

  close(): Promise<void> {
    invariant(!this.#isInFlight || this.#isDone, 'wal.closed-without-frame-in-flight');
    this.#closing ??= this.#close();
    return this.#closing;
  }

  stats(): WalStats {
    return this.#writer.stats();
  }

  #close(): Promise<void> {
    if (!this.#isDone) this.#attempt(() => this.#writer.close());
    this.#isDone = true;
    return this.#failure === undefined ? Promise.resolve() : Promise.reject(this.#failure);
  }

  #attempt(run: () => void): boolean {
    try {
      run();
      return true;
    } catch (thrown) {
      const error = thrown instanceof Error ? thrown : new Error(String(thrown));
      this.#isDone = true;
      this.#failure = error;
      this.#later(() => this.#listener.failed(error));
      return false;
    }
  }
}
