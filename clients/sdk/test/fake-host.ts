/** A host whose time stands still until a test moves it. */
import type { HostPort, HostSignal } from '../src/host.ts';

interface Timer {
  readonly atMs: number;
  readonly order: number;
  readonly fn: () => void;
}

export class FakeHost implements HostPort {
  readonly #timers = new Set<Timer>();
  readonly #signals = new Set<(signal: HostSignal) => void>();
  #nowMs = 1_800_000_000_000;
  #monotonicMs = 0;
  #order = 0;
  #seed: number;

  constructor(seed = 1) {
    this.#seed = seed;
  }

  nowMs(): number {
    return this.#nowMs;
  }

  monotonicMs(): number {
    return this.#monotonicMs;
  }

  after(ms: number, fn: () => void): () => void {
    const timer = { atMs: this.#monotonicMs + Math.max(0, ms), order: this.#order++, fn };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  /** mulberry32 */
  random(): number {
    this.#seed = (this.#seed + 0x6d2b79f5) | 0;
    let t = Math.imul(this.#seed ^ (this.#seed >>> 15), 1 | this.#seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }

  randomBytes(count: number): Uint8Array {
    return Uint8Array.from({ length: count }, () => Math.floor(this.random() * 256));
  }

  onSignal(fn: (signal: HostSignal) => void): () => void {
    this.#signals.add(fn);
    return () => this.#signals.delete(fn);
  }

  signal(signal: HostSignal): void {
    for (const fn of [...this.#signals]) fn(signal);
  }

  /** A wall clock that jumps; timers do not notice. */
  jump(ms: number): void {
    this.#nowMs += ms;
  }

  get timerCount(): number {
    return this.#timers.size;
  }

  get listenerCount(): number {
    return this.#signals.size;
  }

  /** Runs what is due within `ms`, in order, letting promises settle between. */
  async advance(ms: number): Promise<void> {
    const endMs = this.#monotonicMs + ms;
    await settle();
    for (;;) {
      let next: Timer | undefined;
      for (const timer of this.#timers)
        if (
          timer.atMs <= endMs &&
          (next === undefined ||
            timer.atMs < next.atMs ||
            (timer.atMs === next.atMs && timer.order < next.order))
        )
          next = timer;
      if (next === undefined) break;
      this.#timers.delete(next);
      this.#moveTo(next.atMs);
      next.fn();
      await settle();
    }
    this.#moveTo(endMs);
    await settle();
  }

  #moveTo(monotonicMs: number): void {
    const ms = Math.max(0, monotonicMs - this.#monotonicMs);
    this.#monotonicMs += ms;
    this.#nowMs += ms;
  }
}

/** Lets every promise that can settle do so. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 3; i++) await new Promise((resolve) => setImmediate(resolve));
}
