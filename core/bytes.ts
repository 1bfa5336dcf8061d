/**
 * Little-endian readers and writers for the broker's own binary forms (commands, rows, facts).
 * Integers above 32 bits are two u32 words and at most 2^53 - 1 ("u53").
 */
import { invariant } from './invariant.ts';

const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const HIGH = 2 ** 32;

export const EMPTY: Uint8Array = new Uint8Array(0);

/** Makes memory that many small things are cut from: zeros that nobody else has. */
export type NewChunk = (bytes: number) => Uint8Array;

export const newChunk: NewChunk = (bytes) => new Uint8Array(bytes);

/** Of memory that threads could share; V8's collector does not count it. */
export const sharedChunk: NewChunk = (bytes) => new Uint8Array(new SharedArrayBuffer(bytes));

export function utf8(text: string): Uint8Array {
  return encoder.encode(text);
}

/** Text of UTF-8 bytes. Throws TypeError on malformed bytes. */
export function text(bytes: Uint8Array): string {
  return decoder.decode(bytes);
}

export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** Negative, 0 or positive, as bytes sort. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const shared = Math.min(a.length, b.length);
  for (let i = 0; i < shared; i++) {
    const difference = (a[i] ?? 0) - (b[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}

/** Lower-case hexadecimal; a map key for raw ids where an arena is not worth it. */
export function hex(bytes: Uint8Array): string {
  let out = '';
  for (const byte of bytes) out += HEX[byte] ?? '';
  return out;
}
const HEX: readonly string[] = Array.from({ length: 256 }, (_, i) =>
  i.toString(16).padStart(2, '0'),
);

export function isZero(bytes: Uint8Array): boolean {
  for (const byte of bytes) if (byte !== 0) return false;
  return true;
}

export function readU53(view: DataView, at: number): number {
  return view.getUint32(at, true) + view.getUint32(at + 4, true) * HIGH;
}

// The same of bytes for which no DataView stands ready. Reads past the end give zeros.

export function u16At(bytes: Uint8Array, at: number): number {
  return (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8);
}

export function u32At(bytes: Uint8Array, at: number): number {
  return (u16At(bytes, at) | (u16At(bytes, at + 2) << 16)) >>> 0;
}

export function u53At(bytes: Uint8Array, at: number): number {
  return u32At(bytes, at) + u32At(bytes, at + 4) * HIGH;
}

export function writeU53(view: DataView, at: number, value: number): void {
  view.setUint32(at, value >>> 0, true);
  view.setUint32(at + 4, Math.floor(value / HIGH), true);
}

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Grows as needed. `finish` hands out a view of what was written; the writer is then done. */
export class ByteWriter {
  #bytes: Uint8Array;
  #view: DataView;
  #at = 0;

  constructor(sizeHint = 256) {
    this.#bytes = new Uint8Array(sizeHint);
    this.#view = viewOf(this.#bytes);
  }

  get length(): number {
    return this.#at;
  }

  u8(value: number): this {
    const at = this.#room(1);
    this.#view.setUint8(at, value);
    return this;
  }

  u16(value: number): this {
    const at = this.#room(2);
    this.#view.setUint16(at, value, true);
    return this;
  }

  u32(value: number): this {
    const at = this.#room(4);
    this.#view.setUint32(at, value, true);
    return this;
  }

  u53(value: number): this {
    invariant(value >= 0 && value <= Number.MAX_SAFE_INTEGER, 'bytes.u53-range', { value });
    const at = this.#room(8);
    writeU53(this.#view, at, value);
    return this;
  }

  /** Bytes whose length the reader knows. */
  raw(bytes: Uint8Array): this {
    const at = this.#room(bytes.length);
    this.#bytes.set(bytes, at);
    return this;
  }

  /** u32 length, then the bytes. */
  bytes(bytes: Uint8Array): this {
    return this.u32(bytes.length).raw(bytes);
  }

  text(value: string): this {
    return this.bytes(utf8(value));
  }

  finish(): Uint8Array {
    return this.#bytes.subarray(0, this.#at);
  }

  /** May replace the buffer: take the place first, then the view. */
  #room(count: number): number {
    const at = this.#at;
    this.#at = at + count;
    if (this.#at > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(this.#at, this.#bytes.length * 2));
      grown.set(this.#bytes);
      this.#bytes = grown;
      this.#view = viewOf(grown);
    }
    return at;
  }
}

/** Reads what ByteWriter wrote. Bytes handed out are views of the input, never copies. */
export class ByteReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at: number;

  constructor(bytes: Uint8Array, at = 0) {
    this.#bytes = bytes;
    this.#view = viewOf(bytes);
    this.#at = at;
  }

  get position(): number {
    return this.#at;
  }

  get remaining(): number {
    return this.#bytes.length - this.#at;
  }

  u8(): number {
    return this.#view.getUint8(this.#step(1));
  }

  u16(): number {
    return this.#view.getUint16(this.#step(2), true);
  }

  u32(): number {
    return this.#view.getUint32(this.#step(4), true);
  }

  u53(): number {
    return readU53(this.#view, this.#step(8));
  }

  raw(count: number): Uint8Array {
    const at = this.#step(count);
    return this.#bytes.subarray(at, at + count);
  }

  bytes(): Uint8Array {
    return this.raw(this.u32());
  }

  text(): string {
    return text(this.bytes());
  }

  rest(): Uint8Array {
    return this.raw(this.remaining);
  }

  #step(count: number): number {
    const at = this.#at;
    invariant(at + count <= this.#bytes.length, 'bytes.read-past-end', () => ({
      at,
      count,
      length: this.#bytes.length,
    }));
    this.#at = at + count;
    return at;
  }
}
