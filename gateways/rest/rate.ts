/**
 * Requests a minute, per user (per address before anybody is known): a window that begins with its
 * first request (CONTRACT §4 RateLimit headers).
 */

export interface Granted {
  readonly isGranted: boolean;
  readonly remaining: number;
  /** Until the window ends. */
  readonly resetMs: number;
}

interface Window {
  startMs: number;
  count: number;
}

const WINDOW_MS = 60_000;
const CALLERS_MAX = 100_000;

export class RequestRate {
  readonly #quota: number;
  readonly #windows = new Map<string, Window>();

  constructor(requestsPerMinute: number) {
    this.#quota = requestsPerMinute;
  }

  get quota(): number {
    return this.#quota;
  }

  take(caller: string, nowMs: number): Granted {
    let window = this.#windows.get(caller);
    if (window === undefined || nowMs - window.startMs >= WINDOW_MS) {
      if (this.#windows.size >= CALLERS_MAX) this.#prune(nowMs);
      window = { startMs: nowMs, count: 0 };
      this.#windows.set(caller, window);
    }
    window.count++;
    return {
      isGranted: window.count <= this.#quota,
      remaining: Math.max(0, this.#quota - window.count),
      resetMs: WINDOW_MS - (nowMs - window.startMs),
    };
  }

  #prune(nowMs: number): void {
    for (const [caller, window] of this.#windows)
      if (nowMs - window.startMs >= WINDOW_MS) this.#windows.delete(caller);
    if (this.#windows.size >= CALLERS_MAX) this.#windows.clear();
  }
}

export function rateHeaders(quota: number, granted: Granted): Record<string, string> {
  const seconds = Math.max(1, Math.ceil(granted.resetMs / 1000));
  return {
    'ratelimit-policy': `"user";q=${quota};w=${WINDOW_MS / 1000}`,
    ratelimit: `"user";r=${granted.remaining};t=${seconds}`,
    ...(granted.isGranted ? {} : { 'retry-after': String(seconds) }),
  };
}
