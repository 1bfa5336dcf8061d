/**
 * Long work in slices: a flush that built everything in one go would stall the store's loop for
 * hundreds of ms, which is an election. Each slice ends after 2 ms and the loop gets its turn; it is
 * longer by as much again for each shard's worth that waits beyond the bound, because a loop whose
 * turns are long would else starve the flush for ever (10^5 conversations touched: 32 s a flush).
 */
import type { Clock, Timers } from '../../core/clock.ts';

export const SLICE_MS = 2;
/** Far below an election, whatever waits. */
export const SLICE_MS_MAX = 20;

export class Slices {
  readonly #clock: Clock;
  readonly #timers: Timers;
  readonly #behind: () => number;
  #startedMs = 0;
  /** Longest slice so far, ms. */
  longestMs = 0;

  /** `behind`: how many pieces of work of this size wait, 0 = none; asked at every look. */
  constructor(clock: Clock, timers: Timers, behind: () => number = () => 0) {
    this.#clock = clock;
    this.#timers = timers;
    this.#behind = behind;
  }

  begin(): void {
    this.#startedMs = this.#clock.monotonicMs();
  }

  /** Whether this slice is used up: then `rest` must be awaited. */
  get isOver(): boolean {
    const spentMs = this.#clock.monotonicMs() - this.#startedMs;
    return (
      spentMs >= SLICE_MS && spentMs >= Math.min(SLICE_MS_MAX, SLICE_MS * (1 + this.#behind()))
    );
  }

  async rest(): Promise<void> {
    this.longestMs = Math.max(this.longestMs, this.#clock.monotonicMs() - this.#startedMs);
    await new Promise<void>((resolve) => this.#timers.soon(resolve));
    this.begin();
  }
}
