/**
 * Map from 16-byte ids to values: open addressing, keys in one typed array, so an entry costs the
 * garbage collector one slot and a look-up makes no string. Removal shifts entries back instead of
 * leaving marks, so look-ups never degrade. Ids end in random or hashed bits.
 */
import { ID_BYTES } from './ids.ts';
import { invariant } from './invariant.ts';

const SLOTS_AT_FIRST = 64;

export class IdMap<T> {
  #mask = SLOTS_AT_FIRST - 1;
  #keys: Uint32Array = new Uint32Array(SLOTS_AT_FIRST * 4);
  #values: (T | undefined)[] = new Array<T | undefined>(SLOTS_AT_FIRST).fill(undefined);
  #size = 0;
  // The words of the id that `#locate` last read: kept here so that a look-up allocates nothing.
  #k0 = 0;
  #k1 = 0;
  #k2 = 0;
  #k3 = 0;

  get size(): number {
    return this.#size;
  }

  get(id: Uint8Array): T | undefined {
    return this.#values[this.#locate(id)];
  }

  has(id: Uint8Array): boolean {
    return this.#values[this.#locate(id)] !== undefined;
  }

  /** The value must not be undefined: that means absent. */
  set(id: Uint8Array, value: T): void {
    let at = this.#locate(id);
    if (this.#values[at] === undefined) {
      if ((this.#size + 1) * 10 > (this.#mask + 1) * 6) {
        this.#grow();
        at = this.#locate(id);
      }
      this.#size++;
      const key = at << 2;
      this.#keys[key] = this.#k0;
      this.#keys[key + 1] = this.#k1;
      this.#keys[key + 2] = this.#k2;
      this.#keys[key + 3] = this.#k3;
    }
    this.#values[at] = value;
  }

  delete(id: Uint8Array): boolean {
    let free = this.#locate(id);
    if (this.#values[free] === undefined) return false;
    this.#size--;
    const keys = this.#keys;
    const values = this.#values;
    const mask = this.#mask;
    for (let at = (free + 1) & mask; values[at] !== undefined; at = (at + 1) & mask) {
      if (((at - this.#home(at)) & mask) < ((at - free) & mask)) continue;
      keys.copyWithin(free << 2, at << 2, (at << 2) + 4);
      values[free] = values[at];
      free = at;
    }
    values[free] = undefined;
    return true;
  }

  /** In no order. The map must not change meanwhile. */
  *values(): Generator<T, void, undefined> {
    for (const value of this.#values) if (value !== undefined) yield value;
  }

  clear(): void {
    this.#mask = SLOTS_AT_FIRST - 1;
    this.#keys = new Uint32Array(SLOTS_AT_FIRST * 4);
    this.#values = new Array<T | undefined>(SLOTS_AT_FIRST).fill(undefined);
    this.#size = 0;
  }

  /** Where the id is, or the free place where it would go. */
  #locate(id: Uint8Array): number {
    invariant(id.length === ID_BYTES, 'id-map.id-length', () => ({ length: id.length }));
    const k0 = wordAt(id, 0);
    const k1 = wordAt(id, 4);
    const k2 = wordAt(id, 8);
    const k3 = wordAt(id, 12);
    this.#k0 = k0;
    this.#k1 = k1;
    this.#k2 = k2;
    this.#k3 = k3;
    const keys = this.#keys;
    const values = this.#values;
    const mask = this.#mask;
    for (let at = spread(k0, k1, k3) & mask; ; at = (at + 1) & mask) {
      if (values[at] === undefined) return at;
      const key = at << 2;
      if (keys[key + 3] === k3 && keys[key + 2] === k2 && keys[key + 1] === k1 && keys[key] === k0)
        return at;
    }
  }

  #home(at: number): number {
    const keys = this.#keys;
    const key = at << 2;
    return spread(keys[key] ?? 0, keys[key + 1] ?? 0, keys[key + 3] ?? 0) & this.#mask;
  }

  // Doubles at once: some ms at a million entries, which happens once.
  #grow(): void {
    const keys = this.#keys;
    const values = this.#values;
    const slots = (this.#mask + 1) * 2;
    this.#mask = slots - 1;
    this.#keys = new Uint32Array(slots * 4);
    this.#values = new Array<T | undefined>(slots).fill(undefined);
    for (let from = 0; from < values.length; from++) {
      const value = values[from];
      if (value === undefined) continue;
      const key = from << 2;
      let at = spread(keys[key] ?? 0, keys[key + 1] ?? 0, keys[key + 3] ?? 0) & this.#mask;
      while (this.#values[at] !== undefined) at = (at + 1) & this.#mask;
      this.#keys.set(keys.subarray(key, key + 4), at << 2);
      this.#values[at] = value;
    }
  }
}

/** Four bytes of an id, as the lowest first. */
export function wordAt(id: Uint8Array, at: number): number {
  return (
    ((id[at] ?? 0) |
      ((id[at + 1] ?? 0) << 8) |
      ((id[at + 2] ?? 0) << 16) |
      ((id[at + 3] ?? 0) << 24)) >>>
    0
  );
}

/** For other tables over ids. */
export function idHash(id: Uint8Array): number {
  return spread(wordAt(id, 0), wordAt(id, 4), wordAt(id, 12));
}

function spread(k0: number, k1: number, k3: number): number {
  const mixed = Math.imul(k3, 0x9e3779b1) ^ Math.imul(k1, 0xc2b2ae35);
  return mixed ^ (mixed >>> 15) ^ k0;
}
