/**
 * The leader's clock for stamps: follows the wall clock, never falls, and does not follow a jump of
 * the wall clock against the monotonic one until that has stood for a while. A machine that wakes
 * from sleep is right after a minute; a clock set 31 days ahead by mistake and set back within that
 * minute leaves no trace in the log.
 */
import type { Clock } from '../../core/clock.ts';

export const CLOCK_JUMP_MS = 500;
export const CLOCK_CONFIRM_MS = 60_000;

export class StampClock {
  readonly #clock: Clock;
  /** Wall minus monotonic that stamps follow. */
  #offset: number;
  /** Another offset that was seen, and since when (monotonic); undefined = none. */
  #candidate: { readonly offset: number; readonly sinceMs: number } | undefined;
  #last = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#offset = clock.nowMs() - clock.monotonicMs();
  }

  /** The highest stamp given or found. */
  get last(): number {
    return this.#last;
  }

  /** False while the wall clock disagrees: nothing may be trimmed by time then. */
  get isConfirmed(): boolean {
    return this.#candidate === undefined;
  }

  /** Stamps of entries that were found in the log: none that follows may be lower. */
  raise(timeMs: number): void {
    if (timeMs > this.#last) this.#last = timeMs;
  }

  /** One stamp for everything that is proposed in this turn. */
  now(): number {
    const monotonic = this.#clock.monotonicMs();
    this.#follow(this.#clock.nowMs() - monotonic, monotonic);
    const stamp = Math.floor(monotonic + this.#offset);
    // Also when the clock slews back by some ms: log time stands still rather than falls.
    if (stamp > this.#last) this.#last = stamp;
    return this.#last;
  }

  #follow(offset: number, monotonic: number): void {
    if (Math.abs(offset - this.#offset) <= CLOCK_JUMP_MS) {
      this.#offset = offset;
      this.#candidate = undefined;
      return;
    }
    const candidate = this.#candidate;
    if (candidate === undefined || Math.abs(offset - candidate.offset) > CLOCK_JUMP_MS) {
      this.#candidate = { offset, sinceMs: monotonic };
      return;
    }
    if (monotonic - candidate.sinceMs < CLOCK_CONFIRM_MS) return;
    this.#offset = offset;
    this.#candidate = undefined;
  }
}
