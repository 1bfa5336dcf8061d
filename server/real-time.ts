/** The real clock, timers and randomness: made here and handed to every part that asks for them. */
import { randomBytes } from 'node:crypto';
import { performance } from 'node:perf_hooks';
import type { Clock, Random, Timer, Timers } from '../core/clock.ts';

export const REAL_CLOCK: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
};

export const REAL_RANDOM: Random = {
  bytes: (count) => new Uint8Array(randomBytes(count)),
  unit: () => randomBytes(4).readUInt32LE(0) / 2 ** 32,
};

export const REAL_TIMERS: Timers = {
  after(delayMs, fire): Timer {
    const timer = setTimeout(fire, delayMs).unref();
    return { cancel: () => clearTimeout(timer) };
  },
  every(periodMs, fire): Timer {
    const timer = setInterval(fire, periodMs).unref();
    return { cancel: () => clearInterval(timer) };
  },
  soon(fire): void {
    setImmediate(fire);
  },
};
