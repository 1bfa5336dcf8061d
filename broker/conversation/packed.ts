/**
 * Numbers inside packed units. Sequences, times and indexes take 48 bits there ("u48"): a sequence
 * has at most 40, a time in ms lasts until the year 10889.
 */
import { invariant } from '../../core/invariant.ts';

export const U48_MAX: number = 2 ** 48 - 1;
const HIGH = 2 ** 32;

/** A place in memory where packed bytes lie; several views of one buffer. */
export interface Chunk {
  readonly bytes: Uint8Array;
  readonly view: DataView;
}

export function chunkOver(bytes: Uint8Array): Chunk {
  return { bytes, view: new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength) };
}

export function readU48(view: DataView, at: number): number {
  return view.getUint32(at, true) + view.getUint16(at + 4, true) * HIGH;
}

export function writeU48(view: DataView, at: number, value: number): void {
  invariant(value >= 0 && value <= U48_MAX, 'packed.u48-range', () => ({ value }));
  view.setUint32(at, value >>> 0, true);
  view.setUint16(at + 4, Math.floor(value / HIGH), true);
}

/** Whether two ids, 16 bytes each, are the same. */
export function sameIdAt(a: Uint8Array, aAt: number, b: Uint8Array, bAt: number): boolean {
  for (let i = 0; i < 16; i++) if (a[aAt + i] !== b[bAt + i]) return false;
  return true;
}

/** A 16-byte id as four words, so that look-ups make no objects. Reused: one per caller. */
export class IdWords {
  k0 = 0;
  k1 = 0;
  k2 = 0;
  k3 = 0;

  read(bytes: Uint8Array, at: number): this {
    this.k0 = wordAt(bytes, at);
    this.k1 = wordAt(bytes, at + 4);
    this.k2 = wordAt(bytes, at + 8);
    this.k3 = wordAt(bytes, at + 12);
    return this;
  }

  equals(view: DataView, at: number): boolean {
    return (
      view.getUint32(at + 12, true) === this.k3 &&
      view.getUint32(at + 8, true) === this.k2 &&
      view.getUint32(at + 4, true) === this.k1 &&
      view.getUint32(at, true) === this.k0
    );
  }
}

function wordAt(bytes: Uint8Array, at: number): number {
  return (
    ((bytes[at] ?? 0) |
      ((bytes[at + 1] ?? 0) << 8) |
      ((bytes[at + 2] ?? 0) << 16) |
      ((bytes[at + 3] ?? 0) << 24)) >>>
    0
  );
}

/** What a cursor is aimed at before its first use. */
export const EMPTY_CHUNK: Chunk = chunkOver(new Uint8Array(0));
