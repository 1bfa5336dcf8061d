import type { Clock, Timer, Timers } from '../../../core/clock.ts';

/** Time that stands until it is moved. `settle` runs whatever is due now, promises included. */
export class VirtualTime implements Clock, Timers {
  #nowMs = 0;
  readonly #startMs: number;
  #soon: (() => void)[] = [];
  #timers: { atMs: number; fire: () => void; periodMs: number | undefined }[] = [];
  /** Added to the wall clock: a clock set wrong. */
  wallOffsetMs = 0;

  constructor(startMs: number = 1_700_000_000_000) {
    this.#startMs = startMs;
  }

  nowMs(): number {
    return this.#startMs + this.#nowMs + this.wallOffsetMs;
  }
  monotonicMs(): number {
    return this.#nowMs;
  }

  after(delayMs: number, fire: () => void): Timer {
    return this.#add(delayMs, fire, undefined);
  }
  every(periodMs: number, fire: () => void): Timer {
    return this.#add(periodMs, fire, periodMs);
  }
  soon(fire: () => void): void {
    this.#soon.push(fire);
  }

  /** Runs everything that needs no time to pass. */
  async settle(): Promise<void> {
    for (let idle = 0; idle < 3; ) {
      const due = this.#soon.splice(0);
      for (const fire of due) fire();
      await new Promise<void>((resolve) => setImmediate(resolve));
      idle = due.length === 0 && this.#soon.length === 0 ? idle + 1 : 0;
    }
  }

  /** Runs so many turns of the loop and no more: what is under way stays under way. */
  async turns(count: number): Promise<void> {
    for (let turn = 0; turn < count; turn++) {
      for (const fire of this.#soon.splice(0)) fire();
      await new Promise<void>((resolve) => setImmediate(resolve));
    }
  }

  async advance(ms: number): Promise<void> {
    const untilMs = this.#nowMs + ms;
    await this.settle();
    for (;;) {
      const next = Math.min(...this.#timers.map(({ atMs }) => atMs));
      if (!(next <= untilMs)) break;
      this.#nowMs = next;
      for (const timer of this.#timers.filter(({ atMs }) => atMs <= next)) {
        if (timer.periodMs === undefined) this.#timers.splice(this.#timers.indexOf(timer), 1);
        else timer.atMs += timer.periodMs;
        timer.fire();
      }
      await this.settle();
    }
    this.#nowMs = untilMs;
  }

  /** What is left of a process that is gone: nothing of it may run any more. */
  drop(): void {
    this.#soon = [];
    this.#timers = [];
  }

  /** Moves the clock and fires what is due, without letting the loop come to rest. */
  skip(ms: number): void {
    this.#nowMs += ms;
    for (const timer of this.#timers.filter(({ atMs }) => atMs <= this.#nowMs)) {
      if (timer.periodMs === undefined) this.#timers.splice(this.#timers.indexOf(timer), 1);
      else timer.atMs = this.#nowMs + timer.periodMs;
      timer.fire();
    }
  }

  #add(delayMs: number, fire: () => void, periodMs: number | undefined): Timer {
    const timer = { atMs: this.#nowMs + delayMs, fire, periodMs };
    this.#timers.push(timer);
    return {
      cancel: () => {
        const at = this.#timers.indexOf(timer);
        if (at >= 0) this.#timers.splice(at, 1);
      },
    };
  }
}
