/**
 * Units in the arena: header, member pages, sender records. Each is a block of 32 bytes for us, then the
 * unit's bytes.
 *   0 u32 length of the unit   4 u8 changed   5 u8 kind   8 u32 next sender   12 u32 slot or page   16 user
 */
import { invariant } from '../../core/invariant.ts';
import { Arena } from './arena.ts';
import type { Chunk } from './packed.ts';

export const UNIT_PREFIX_BYTES = 32;
export const UNIT_KIND = { header: 0, page: 1, sender: 2 } as const;

export interface UnitPlace {
  readonly kind: 0 | 1 | 2;
  /** The page's number or the sender's slot. */
  readonly place: number;
}

export class Units {
  readonly arena: Arena = new Arena();

  /** Not changed; its bytes are whatever was there. */
  allocate(unit: UnitPlace & { readonly user: Uint8Array }, length: number): number {
    const ref = this.arena.allocate(length + UNIT_PREFIX_BYTES);
    const { bytes, view } = this.arena.chunkOf(ref);
    const at = this.arena.offsetOf(ref);
    bytes.fill(0, at, at + UNIT_PREFIX_BYTES);
    view.setUint32(at, length, true);
    bytes[at + 5] = unit.kind;
    view.setUint32(at + 12, unit.place, true);
    bytes.set(unit.user, at + 16);
    return ref;
  }

  /** Its bytes, in place. */
  bytesOf(ref: number): Uint8Array {
    const begin = this.arena.offsetOf(ref) + UNIT_PREFIX_BYTES;
    return this.arena.chunkOf(ref).bytes.subarray(begin, begin + this.lengthOf(ref));
  }

  /** Prefix and bytes, in place. */
  wholeOf(ref: number): Uint8Array {
    const begin = this.arena.offsetOf(ref);
    const end = begin + UNIT_PREFIX_BYTES + this.lengthOf(ref);
    return this.arena.chunkOf(ref).bytes.subarray(begin, end);
  }

  lengthOf(ref: number): number {
    return this.#view(ref).getUint32(this.arena.offsetOf(ref), true);
  }

  isChanged(ref: number): boolean {
    return this.arena.chunkOf(ref).bytes[this.arena.offsetOf(ref) + 4] !== 0;
  }

  setChanged(ref: number, isChanged: boolean): void {
    this.arena.chunkOf(ref).bytes[this.arena.offsetOf(ref) + 4] = isChanged ? 1 : 0;
  }

  kindOf(ref: number): 0 | 1 | 2 {
    return this.arena.chunkOf(ref).bytes[this.arena.offsetOf(ref) + 5] as 0 | 1 | 2;
  }

  /** Number of a page, slot of a sender. */
  placeOf(ref: number): number {
    return this.#view(ref).getUint32(this.arena.offsetOf(ref) + 12, true);
  }

  nextOf(ref: number): number {
    return this.#view(ref).getUint32(this.arena.offsetOf(ref) + 8, true);
  }

  setNext(ref: number, next: number): void {
    this.#view(ref).setUint32(this.arena.offsetOf(ref) + 8, next, true);
  }

  /** Replaces `remove` bytes at the offset by `insert` zeros. A new ref = the old one is to be freed. */
  splice(
    ref: number,
    change: { readonly offset: number; readonly remove: number; readonly insert: number },
  ): number {
    const { offset, remove, insert } = change;
    const from = this.arena.chunkOf(ref);
    const begin = this.arena.offsetOf(ref);
    const length = this.lengthOf(ref);
    invariant(offset + remove <= length, 'residents.splice-within', { offset, remove, length });
    const tail = begin + UNIT_PREFIX_BYTES + offset;
    const end = begin + UNIT_PREFIX_BYTES + length;
    const grown = length - remove + insert;
    let result = ref;
    let to: Chunk = from;
    let toBegin = begin;
    if (grown + UNIT_PREFIX_BYTES > this.arena.capacityOf(ref)) {
      result = this.arena.allocate(grown + UNIT_PREFIX_BYTES);
      to = this.arena.chunkOf(result);
      toBegin = this.arena.offsetOf(result);
      to.bytes.set(from.bytes.subarray(begin, tail), toBegin);
      to.bytes.set(
        from.bytes.subarray(tail + remove, end),
        toBegin + UNIT_PREFIX_BYTES + offset + insert,
      );
    } else to.bytes.copyWithin(tail + insert, tail + remove, end);
    const hole = toBegin + UNIT_PREFIX_BYTES + offset;
    to.bytes.fill(0, hole, hole + insert);
    to.view.setUint32(toBegin, grown, true);
    return result;
  }

  #view(ref: number): DataView {
    return this.arena.chunkOf(ref).view;
  }
}
