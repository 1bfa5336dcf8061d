/**
 * Counts failed sign-ins per user name and address, in memory: guessing gets slow, and a stranger
 * elsewhere cannot lock an account out. Bounded: the oldest counts are forgotten first.
 */
import type { Clock } from '../../core/clock.ts';
import { ParleyError } from '../../core/errors.ts';
import type { Origin } from './contract.ts';

export interface ThrottleLimits {
  readonly loginFailuresMax: number;
  readonly loginWindowMs: number;
}

interface Failures {
  count: number;
  readonly windowEndMs: number;
}

const ENTRIES_MAX = 50_000;

export class LoginThrottle {
  readonly #clock: Clock;
  readonly #limits: ThrottleLimits;
  /** In the order of their windows' starts, which is also that of their ends. */
  readonly #failures = new Map<string, Failures>();

  constructor(clock: Clock, limits: ThrottleLimits) {
    this.#clock = clock;
    this.#limits = limits;
  }

  /** Throws RATE_LIMITED while too many attempts failed. Ask before the password is looked at. */
  check(username: string, origin: Origin): void {
    const key = keyOf(username, origin);
    const found = this.#failures.get(key);
    const nowMs = this.#clock.monotonicMs();
    if (found === undefined) return;
    if (found.windowEndMs <= nowMs) {
      this.#failures.delete(key);
      return;
    }
    if (found.count >= this.#limits.loginFailuresMax)
      throw new ParleyError(
        'RATE_LIMITED',
        'too many failed attempts to sign in',
        {},
        { retryAfterMs: Math.ceil(found.windowEndMs - nowMs) },
      );
  }

  failed(username: string, origin: Origin): void {
    const key = keyOf(username, origin);
    const found = this.#failures.get(key);
    if (found !== undefined) {
      found.count += 1;
      return;
    }
    const [oldest] = this.#failures.keys();
    if (this.#failures.size >= ENTRIES_MAX && oldest !== undefined) this.#failures.delete(oldest);
    const windowEndMs = this.#clock.monotonicMs() + this.#limits.loginWindowMs;
    this.#failures.set(key, { count: 1, windowEndMs });
  }

  succeeded(username: string, origin: Origin): void {
    this.#failures.delete(keyOf(username, origin));
  }
}

function keyOf(username: string, origin: Origin): string {
  return `${username}\n${origin.address}`;
}
