/** Ids one behind the other, each known by its place: one array, where an object each would burden the collector. */
import { ID_BYTES } from '../../core/ids.ts';

const IDS_AT_FIRST = 64;

export class PackedIds {
  #bytes: Uint8Array = new Uint8Array(IDS_AT_FIRST * ID_BYTES);
  #size = 0;
  readonly #free: number[] = [];

  /** Places given so far, those that are free again included. */
  get size(): number {
    return this.#size;
  }

  add(id: Uint8Array): number {
    const place = this.#free.pop() ?? this.#size++;
    if (this.#size * ID_BYTES > this.#bytes.length) {
      const more = new Uint8Array(this.#bytes.length * 2);
      more.set(this.#bytes);
      this.#bytes = more;
    }
    this.#bytes.set(id, place * ID_BYTES);
    return place;
  }

  /** A view, valid until the place is given to another. */
  at(place: number): Uint8Array {
    return this.#bytes.subarray(place * ID_BYTES, (place + 1) * ID_BYTES);
  }

  is(place: number, id: Uint8Array): boolean {
    const from = place * ID_BYTES;
    for (let i = ID_BYTES - 1; i >= 0; i--) if (this.#bytes[from + i] !== id[i]) return false;
    return true;
  }

  remove(place: number): void {
    this.#free.push(place);
  }

  clear(): void {
    this.#size = 0;
    this.#free.length = 0;
  }
}
