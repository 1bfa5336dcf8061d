/** Seeded chance with the few questions that a world asks. Forks are independent of each other. */
import type { Random } from '../../core/clock.ts';
import { seededRandom } from '../../storage-engine/testing.ts';

export class Chance implements Random {
  readonly #seed: number;
  readonly #random: Random;

  constructor(seed: number) {
    this.#seed = seed;
    this.#random = seededRandom(seed);
  }

  /** Another stream, named so that a change in one does not shift the others. */
  fork(name: string): Chance {
    let hash = this.#seed | 0;
    for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193);
    return new Chance(hash ^ 0x9e3779b9);
  }

  unit(): number {
    return this.#random.unit();
  }

  bytes(count: number): Uint8Array {
    return this.#random.bytes(count);
  }

  /** low ≤ x ≤ high, whole. */
  between(low: number, high: number): number {
    return low + Math.floor(this.unit() * (high - low + 1));
  }

  is(probability: number): boolean {
    return this.unit() < probability;
  }

  pick<T>(items: readonly T[]): T {
    const item = items[Math.floor(this.unit() * items.length)];
    if (item === undefined) throw new RangeError('nothing to pick from');
    return item;
  }

  /** Mostly near the low end, now and then far out. */
  delay(lowMs: number, highMs: number): number {
    const u = this.unit();
    return lowMs + (highMs - lowMs) * u * u * u;
  }

  uuid(): Uint8Array {
    const raw = this.bytes(16);
    raw[6] = ((raw[6] ?? 0) & 15) | 0x40;
    raw[8] = ((raw[8] ?? 0) & 63) | 0x80;
    return raw;
  }
}
