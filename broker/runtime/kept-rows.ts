/**
 * Rows that are kept, each as one number: the chunk that it lies in and where. A view of its own
 * would outlive the young generation with every row, and marking some hundred thousand of them again
 * and again cost a quarter of a send over 10^5 conversations. A chunk is let go with its last row;
 * it is never written again, so views that were handed out stay what they were.
 */
import { invariant } from '../../core/invariant.ts';
import { rowLengthAt } from '../../core/row.ts';

/** Rows begin below this in their chunk; one that does not is copied. */
const SPAN = 2 ** 17;

export class KeptRows {
  readonly #chunks: (Uint8Array | undefined)[] = [];
  /** Rows kept of each chunk. */
  readonly #live: number[] = [];
  readonly #free: number[] = [];
  readonly #numbers = new Map<ArrayBufferLike, number>();
  // Rows come one behind the other.
  #lastBuffer: ArrayBufferLike | undefined;
  #lastNumber = 0;

  /** Its place: to be given back by `drop`. */
  keep(row: Uint8Array): number {
    const kept = row.byteOffset < SPAN ? row : row.slice();
    invariant(rowLengthAt(kept, 0) === row.length, 'kept-rows.length-told', () => ({
      bytes: row.length,
    }));
    const number = this.#numberOf(kept.buffer);
    this.#live[number] = (this.#live[number] ?? 0) + 1;
    return number * SPAN + kept.byteOffset;
  }

  row(place: number): Uint8Array {
    const chunk = this.#chunkOf(place);
    const at = place % SPAN;
    return chunk.subarray(at, at + rowLengthAt(chunk, at));
  }

  lengthOf(place: number): number {
    return rowLengthAt(this.#chunkOf(place), place % SPAN);
  }

  drop(place: number): void {
    const number = Math.floor(place / SPAN);
    const live = (this.#live[number] ?? 0) - 1;
    this.#live[number] = live;
    if (live > 0) return;
    const chunk = this.#chunks[number];
    invariant(chunk !== undefined && live === 0, 'kept-rows.dropped-once', { place });
    this.#numbers.delete(chunk.buffer);
    if (this.#lastBuffer === chunk.buffer) this.#lastBuffer = undefined;
    this.#chunks[number] = undefined;
    this.#free.push(number);
  }

  /** Chunks held. */
  get chunks(): number {
    return this.#numbers.size;
  }

  #chunkOf(place: number): Uint8Array {
    const chunk = this.#chunks[Math.floor(place / SPAN)];
    invariant(chunk !== undefined, 'kept-rows.chunk-there', () => ({ place }));
    return chunk;
  }

  #numberOf(buffer: ArrayBufferLike): number {
    if (buffer === this.#lastBuffer) return this.#lastNumber;
    let number = this.#numbers.get(buffer);
    if (number === undefined) {
      number = this.#free.pop() ?? this.#chunks.length;
      this.#chunks[number] = new Uint8Array(buffer);
      this.#live[number] = 0;
      this.#numbers.set(buffer, number);
    }
    this.#lastBuffer = buffer;
    this.#lastNumber = number;
    return number;
  }
}
