/**
 * Numbers in runs of eight, each run known by its number: lists that grow at their end and shrink at
 * their beginning, without an array each. Of 10^5 short lists the collector sees nothing; arrays, which
 * V8 makes with room for sixteen more, were half of what it had to mark.
 */
import { invariant } from '../../core/invariant.ts';

export const RUN_LENGTH = 8;

const RUNS_PER_SLAB = 4096;

export class PlaceRuns {
  readonly #slabs: Float64Array[] = [];
  readonly #free: number[] = [];
  #made = 0;

  /** Runs in use. */
  get size(): number {
    return this.#made - this.#free.length;
  }

  /** A run; what it holds is whatever was there. */
  take(): number {
    const free = this.#free.pop();
    if (free !== undefined) return free;
    if (this.#made === this.#slabs.length * RUNS_PER_SLAB)
      this.#slabs.push(new Float64Array(RUNS_PER_SLAB * RUN_LENGTH));
    return this.#made++;
  }

  give(run: number): void {
    this.#free.push(run);
  }

  get(run: number, at: number): number {
    return this.#slab(run)[(run % RUNS_PER_SLAB) * RUN_LENGTH + at] ?? 0;
  }

  set(run: number, at: number, value: number): void {
    this.#slab(run)[(run % RUNS_PER_SLAB) * RUN_LENGTH + at] = value;
  }

  #slab(run: number): Float64Array {
    const slab = this.#slabs[Math.floor(run / RUNS_PER_SLAB)];
    invariant(slab !== undefined, 'place-runs.run-there');
    return slab;
  }
}
