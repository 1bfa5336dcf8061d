/**
 * Whether this replica's own disk answers. A leader whose disk hangs while its heartbeats go on
 * would hold its shard for ever (hashicorp/raft #503), so it must be noticed from the inside.
 */
import { invariant } from '../../core/invariant.ts';

export class DiskHealth {
  /** Ticks without an answer that make a disk stalled, and of health that make it well again. */
  readonly #ticksMax: number;
  #waited = 0;
  #healthy = 0;
  #isStalled = false;

  constructor(ticksMax: number) {
    invariant(ticksMax > 0, 'disk.ticks-positive', { ticksMax });
    this.#ticksMax = ticksMax;
  }

  get isStalled(): boolean {
    return this.#isStalled;
  }

  progressed(): void {
    this.#waited = 0;
  }

  tick(isWaiting: boolean): void {
    this.#waited = isWaiting ? this.#waited + 1 : 0;
    this.#healthy = this.#waited <= 1 ? this.#healthy + 1 : 0;
    if (this.#waited >= this.#ticksMax) this.#isStalled = true;
    else if (this.#healthy >= this.#ticksMax) this.#isStalled = false;
  }
}
