/**
 * Running crc32 of everything that applying entries did: replicas that applied the same entries have
 * the same value, and one that does not is suspect (DESIGN §3, Deterministic apply).
 */
import { writeU48 } from './packed.ts';

const TABLE: Uint32Array = crcTable();

export class EffectsChecksum {
  #crc: number;
  readonly #scratch: Uint8Array = new Uint8Array(16);
  readonly #view: DataView = new DataView(this.#scratch.buffer);

  constructor(start: number) {
    this.#crc = ~start;
  }

  get value(): number {
    return ~this.#crc >>> 0;
  }

  bytes(bytes: Uint8Array, from = 0, to: number = bytes.length): void {
    let crc = this.#crc;
    for (let i = from; i < to; i++) crc = (TABLE[(crc ^ (bytes[i] ?? 0)) & 255] ?? 0) ^ (crc >>> 8);
    this.#crc = crc;
  }

  /** Two numbers of at most 48 bits. */
  numbers(a: number, b: number): void {
    writeU48(this.#view, 0, a);
    writeU48(this.#view, 6, b);
    this.bytes(this.#scratch, 0, 12);
  }

  text(text: string): void {
    for (let i = 0; i < text.length; i++) {
      this.#scratch[0] = text.charCodeAt(i);
      this.bytes(this.#scratch, 0, 1);
    }
  }
}

function crcTable(): Uint32Array {
  return Uint32Array.from({ length: 256 }, (_, i) => {
    let crc = i;
    for (let bit = 0; bit < 8; bit++) crc = (crc & 1) === 0 ? crc >>> 1 : (crc >>> 1) ^ 0xedb88320;
    return crc >>> 0;
  });
}
