/**
 * Time, timers and randomness as things one is given. Pure rooms take them as arguments or events;
 * only server/ makes the real ones, only tests/sim the virtual ones.
 */
export interface Clock {
  /** Wall clock, ms since 1970 UTC. May jump; never used to measure a duration. */
  nowMs(): number;
  /** Monotonic ms with an arbitrary origin. Never falls. */
  monotonicMs(): number;
}

/** A running timer. `cancel` is idempotent; a cancelled timer never fires. */
export interface Timer {
  cancel(): void;
}

export interface Timers {
  /** Runs `fire` once after at least `delayMs`. Does not keep the process alive by itself. */
  after(delayMs: number, fire: () => void): Timer;
  /** Runs `fire` every `periodMs` until cancelled. Missed periods are not made up for. */
  every(periodMs: number, fire: () => void): Timer;
  /** Runs `fire` in a later turn of the loop, before any timer. */
  soon(fire: () => void): void;
}

export interface Random {
  /** `count` unpredictable bytes. */
  bytes(count: number): Uint8Array;
  /** Uniform in [0, 1). */
  unit(): number;
}
