/**
 * Keeps the bytes of commands after their slab went back: copied one behind the other into chunks
 * that the collector frees when the last command of a chunk was trimmed from the log. A slab is
 * 64 KiB however little is in it, so holding slabs would cost that per lonely command.
 */
import type { NewChunk } from '../../core/bytes.ts';

const CHUNK_BYTES = 256 * 1024;
const LARGE_BYTES = 32 * 1024;

export class CommandArena {
  readonly #newChunk: NewChunk;
  #chunk: Uint8Array = new Uint8Array(0);
  #used = 0;

  constructor(newChunk: NewChunk) {
    this.#newChunk = newChunk;
  }

  /** A copy that nobody else writes to. */
  keep(bytes: Uint8Array): Uint8Array {
    const { length } = bytes;
    if (length > LARGE_BYTES) return bytes.slice();
    if (this.#used + length > this.#chunk.length) {
      this.#chunk = this.#newChunk(CHUNK_BYTES);
      this.#used = 0;
    }
    const kept = this.#chunk.subarray(this.#used, this.#used + length);
    kept.set(bytes);
    this.#used += (length + 7) & ~7;
    return kept;
  }
}
