/** For tests over real sockets: the machine's clock, timers and randomness. */
import { randomBytes } from 'node:crypto';
import type { Clock, Random, Timer, Timers } from '../../core/clock.ts';

export const REAL_CLOCK: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
};

export const REAL_RANDOM: Random = {
  bytes: (count) => new Uint8Array(randomBytes(count)),
  unit: () => Math.random(),
};

export const REAL_TIMERS: Timers = {
  after: (delayMs, fire) => {
    const timer = setTimeout(fire, delayMs);
    timer.unref();
    return { cancel: () => clearTimeout(timer) } satisfies Timer;
  },
  every: (periodMs, fire) => {
    const timer = setInterval(fire, periodMs);
    timer.unref();
    return { cancel: () => clearInterval(timer) } satisfies Timer;
  },
  soon: (fire) => void setImmediate(fire),
};
