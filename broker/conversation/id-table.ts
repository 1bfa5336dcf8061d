/**
 * Open-addressing hash table from (16-byte id, scope) to a number, in typed arrays: an entry costs
 * no JS object, so a million of them cost the garbage collector nothing. Removal shifts entries
 * back instead of leaving marks behind, so look-ups never degrade.
 */
import { invariant } from '../../core/invariant.ts';
import type { IdWords } from './packed.ts';

const WORDS = 5;
const SLOTS_AT_FIRST = 64;

export class IdTable {
  #mask: number = SLOTS_AT_FIRST - 1;
  #keys: Uint32Array = new Uint32Array(SLOTS_AT_FIRST * WORDS);
  /** Value + 1; 0 = free. */
  #values: Int32Array = new Int32Array(SLOTS_AT_FIRST);
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** The value, or -1. */
  find(id: IdWords, scope: number): number {
    const at = this.#locate(id, scope);
    return (this.#values[at] ?? 0) - 1;
  }

  /** The key must be absent. */
  insert(id: IdWords, scope: number, value: number): void {
    if ((this.#size + 1) * 10 > (this.#mask + 1) * 6) this.#grow();
    const at = this.#locate(id, scope);
    invariant(this.#values[at] === 0, 'id-table.key-absent', { scope, value });
    this.#put(at, id, scope, value + 1);
    this.#size += 1;
  }

  remove(id: IdWords, scope: number): boolean {
    let free = this.#locate(id, scope);
    if (this.#values[free] === 0) return false;
    this.#size -= 1;
    const keys = this.#keys;
    const mask = this.#mask;
    for (let at = (free + 1) & mask; this.#values[at] !== 0; at = (at + 1) & mask) {
      const home = this.#homeAt(at);
      if (((at - home) & mask) < ((at - free) & mask)) continue;
      keys.copyWithin(free * WORDS, at * WORDS, at * WORDS + WORDS);
      this.#values[free] = this.#values[at] ?? 0;
      free = at;
    }
    this.#values[free] = 0;
    return true;
  }

  /** Where the key is, or the free place where it would go. */
  #locate(id: IdWords, scope: number): number {
    const keys = this.#keys;
    const values = this.#values;
    const mask = this.#mask;
    for (let at = home(id.k0, id.k1, id.k3, scope) & mask; ; at = (at + 1) & mask) {
      if (values[at] === 0) return at;
      const key = at * WORDS;
      if (
        keys[key + 3] === id.k3 &&
        keys[key + 2] === id.k2 &&
        keys[key + 1] === id.k1 &&
        keys[key] === id.k0 &&
        keys[key + 4] === scope
      )
        return at;
    }
  }

  #homeAt(at: number): number {
    const keys = this.#keys;
    const key = at * WORDS;
    return (
      home(keys[key] ?? 0, keys[key + 1] ?? 0, keys[key + 3] ?? 0, keys[key + 4] ?? 0) & this.#mask
    );
  }

  #put(at: number, id: IdWords, scope: number, stored: number): void {
    const keys = this.#keys;
    const key = at * WORDS;
    keys[key] = id.k0;
    keys[key + 1] = id.k1;
    keys[key + 2] = id.k2;
    keys[key + 3] = id.k3;
    keys[key + 4] = scope;
    this.#values[at] = stored;
  }

  // Doubles at once: ~10 ms at a million entries, which happens once.
  #grow(): void {
    const keys = this.#keys;
    const values = this.#values;
    const slots = (this.#mask + 1) * 2;
    this.#mask = slots - 1;
    this.#keys = new Uint32Array(slots * WORDS);
    this.#values = new Int32Array(slots);
    for (let from = 0; from < values.length; from++) {
      const stored = values[from] ?? 0;
      if (stored === 0) continue;
      const key = from * WORDS;
      let at =
        home(keys[key] ?? 0, keys[key + 1] ?? 0, keys[key + 3] ?? 0, keys[key + 4] ?? 0) &
        this.#mask;
      while (this.#values[at] !== 0) at = (at + 1) & this.#mask;
      this.#keys.set(keys.subarray(key, key + WORDS), at * WORDS);
      this.#values[at] = stored;
    }
  }
}

/** Ids end in random or hashed bits, so little mixing spreads them. */
function home(k0: number, k1: number, k3: number, scope: number): number {
  const mixed =
    Math.imul(k3 ^ Math.imul(scope, 0x85ebca6b), 0x9e3779b1) ^ Math.imul(k1, 0xc2b2ae35);
  return (mixed ^ (mixed >>> 15) ^ k0) >>> 0;
}
