/**
 * Long work in slices: a flush that built everything in one go would stall the store's loop for
 * hundreds of ms, which is an election. Each slice ends after 2 ms and the loop gets its turn.
 */
import type { Clock, Timers } from '../../core/clock.ts';

export const SLICE_MS = 2;

export class Slices {
  readonly #clock: Clock;
  readonly #timers: Timers;
  #startedMs = 0;
  /** Longest slice so far, ms. */
  longestMs = 0;

  constructor(clock: Clock, timers: Timers) {
    this.#clock = clock;
    this.#timers = timers;
  }

  begin(): void {
    this.#startedMs = this.#clock.monotonicMs();
  }

  /** Whether this slice is used up: then `rest` must be awaited. */
  get isOver(): boolean {
    return this.#clock.monotonicMs() - this.#startedMs >= SLICE_MS;
  }

  async rest(): Promise<void> {
    this.longestMs = Math.max(this.longestMs, this.#clock.monotonicMs() - this.#startedMs);
    await new Promise<void>((resolve) => this.#timers.soon(resolve));
    this.begin();
  }
}
