/** For tests: time that stands still until it is told to pass. */
import type { Clock, Timer, Timers } from '../../core/clock.ts';

interface Task {
  atMs: number;
  readonly fire: () => void;
  readonly periodMs: number;
}

export class VirtualTime implements Clock, Timers {
  #nowMs = 1000;
  readonly #tasks = new Set<Task>();
  readonly #soon: (() => void)[] = [];

  nowMs(): number {
    return 1_800_000_000_000 + this.#nowMs;
  }

  monotonicMs(): number {
    return this.#nowMs;
  }

  after(delayMs: number, fire: () => void): Timer {
    return this.#add({ atMs: this.#nowMs + delayMs, fire, periodMs: 0 });
  }

  every(periodMs: number, fire: () => void): Timer {
    return this.#add({ atMs: this.#nowMs + periodMs, fire, periodMs });
  }

  soon(fire: () => void): void {
    this.#soon.push(fire);
  }

  /** Runs what is due at once. */
  settle(): void {
    for (let fire = this.#soon.shift(); fire !== undefined; fire = this.#soon.shift()) fire();
  }

  pass(ms: number): void {
    const end = this.#nowMs + ms;
    this.settle();
    for (;;) {
      const [next] = [...this.#tasks].sort((a, b) => a.atMs - b.atMs);
      if (next === undefined || next.atMs > end) break;
      this.#nowMs = next.atMs;
      if (next.periodMs > 0) next.atMs += next.periodMs;
      else this.#tasks.delete(next);
      next.fire();
      this.settle();
    }
    this.#nowMs = end;
  }

  #add(task: Task): Timer {
    this.#tasks.add(task);
    return { cancel: () => void this.#tasks.delete(task) };
  }
}
