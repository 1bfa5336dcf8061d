/**
 * Memory for what is handed out: rows of sends, copies of units. Cut from chunks of 64 KiB, because a
 * buffer of its own costs a row more than all of `apply`. A row is its receiver's; its chunk goes
 * when the last of its rows goes, and rows of one chunk are of one moment.
 */
import type { NewChunk } from '../../core/bytes.ts';
import { chunkOver, EMPTY_CHUNK, type Chunk } from './packed.ts';

const CHUNK_BYTES = 65_536;
const SHARED_ROW_BYTES_MAX = 16_384;

export class RowSpace {
  readonly #newChunk: NewChunk;
  #chunk: Chunk = EMPTY_CHUNK;
  #used = CHUNK_BYTES;
  /** The chunk and the offset of the row last taken. */
  chunk: Chunk = EMPTY_CHUNK;
  at = 0;

  constructor(newChunk: NewChunk) {
    this.#newChunk = newChunk;
  }

  /** Zeros of this length, at `at` in `chunk`. */
  take(bytes: number): void {
    if (bytes > SHARED_ROW_BYTES_MAX) {
      this.chunk = chunkOver(new Uint8Array(bytes));
      this.at = 0;
      return;
    }
    if (this.#used + bytes > CHUNK_BYTES) {
      this.#chunk = chunkOver(this.#newChunk(CHUNK_BYTES));
      this.#used = 0;
    }
    this.chunk = this.#chunk;
    this.at = this.#used;
    this.#used += bytes;
  }
}
