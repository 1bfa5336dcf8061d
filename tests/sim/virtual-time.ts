/**
 * Time that only moves when nothing is left to do: a heap of events, fired in order of their time
 * and, at one time, of their making. Every process of the world has a scope of its own: when it
 * dies its timers die with it, and its wall clock may jump without the others noticing.
 *
 * Between two events all promises that can settle do so (one `setImmediate` drains the microtasks),
 * so a run depends on nothing but its seed.
 */
import type { Clock, Timer, Timers } from '../../core/clock.ts';

export const WORLD_STARTS_MS = 1_800_000_000_000;
/** A turn of a loop takes a little, so that what waits for the next turn cannot spin for ever. */
const TURN_MS = 0.002;

interface Entry {
  readonly atMs: number;
  readonly order: number;
  readonly fire: () => void;
  readonly scope: Scope;
  isCancelled: boolean;
}

export class VirtualTime {
  readonly #heap: Entry[] = [];
  #nowMs = 0;
  #order = 0;
  fired = 0;
  /** What an event threw: a real process would have ended. */
  onThrow: (error: unknown, scope: Scope) => void = (error) => {
    throw error;
  };

  get nowMs(): number {
    return this.#nowMs;
  }

  scope(name: string): Scope {
    return new Scope(this, name);
  }

  schedule(scope: Scope, wantedMs: number, fire: () => void): Timer {
    const atMs = Math.max(this.#nowMs, wantedMs);
    const entry: Entry = { atMs, order: this.#order++, fire, scope, isCancelled: false };
    this.#push(entry);
    return {
      cancel: () => {
        entry.isCancelled = true;
      },
    };
  }

  /** Lets time pass up to here, or until `isDone` says so (asked after every event). */
  async runUntil(untilMs: number, isDone: () => boolean = () => false): Promise<void> {
    await drained();
    while (!isDone()) {
      const next = this.#heap[0];
      if (next === undefined || next.atMs > untilMs) {
        this.#nowMs = Math.max(this.#nowMs, untilMs);
        return;
      }
      this.#pop();
      if (next.isCancelled || next.scope.isDead) continue;
      this.#nowMs = Math.max(this.#nowMs, next.atMs);
      this.fired++;
      try {
        next.fire();
      } catch (error) {
        this.onThrow(error, next.scope);
      }
      await drained();
    }
  }

  #push(entry: Entry): void {
    const heap = this.#heap;
    let i = heap.length;
    heap.push(entry);
    while (i > 0) {
      const parent = (i - 1) >> 1;
      const above = heap[parent];
      if (above === undefined || isBefore(above, entry)) break;
      heap[i] = above;
      i = parent;
    }
    heap[i] = entry;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let i = 0;
    for (;;) {
      let child = i * 2 + 1;
      const left = heap[child];
      const right = heap[child + 1];
      if (left === undefined) break;
      if (right !== undefined && isBefore(right, left)) child++;
      const smaller = heap[child] as Entry;
      if (isBefore(last, smaller)) break;
      heap[i] = smaller;
      i = child;
    }
    heap[i] = last;
  }
}

/** A process: its clock, its timers, its life. */
export class Scope implements Clock, Timers {
  readonly name: string;
  readonly #time: VirtualTime;
  readonly #bornMs: number;
  /** How far its wall clock is from the truth. */
  wallOffsetMs = 0;
  isDead = false;

  constructor(time: VirtualTime, name: string) {
    this.#time = time;
    this.name = name;
    this.#bornMs = time.nowMs;
  }

  nowMs(): number {
    return Math.floor(WORLD_STARTS_MS + this.#time.nowMs + this.wallOffsetMs);
  }

  monotonicMs(): number {
    return this.#time.nowMs - this.#bornMs + 1000;
  }

  after(delayMs: number, fire: () => void): Timer {
    return this.#time.schedule(this, this.#time.nowMs + delayMs, fire);
  }

  /** World time, the same for all processes: for what keeps an order between them. */
  get worldMs(): number {
    return this.#time.nowMs;
  }

  /** Runs `fire` in this process at a time of the world. */
  at(worldMs: number, fire: () => void): void {
    this.#time.schedule(this, worldMs, fire);
  }

  every(periodMs: number, fire: () => void): Timer {
    let current: Timer;
    const run = (): void => {
      current = this.after(periodMs, run);
      fire();
    };
    current = this.after(periodMs, run);
    return { cancel: () => current.cancel() };
  }

  soon(fire: () => void): void {
    this.after(TURN_MS, fire);
  }

  /** Nothing of this process runs any more. */
  die(): void {
    this.isDead = true;
  }
}

function isBefore(a: Entry, b: Entry): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);
}

function drained(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
