/**
 * Blocks: 1 to 64 consecutive rows of one conversation under one key and one envelope. Rows are
 * opaque bytes here. Layout, little-endian:
 *   0 u8 version · 1 u8 codec (0: none) · 2 u16 rows · 4 u32 bytes of all rows ·
 *   8 u64 first sequence · 16 u32 length of each row · the rows, one behind the other.
 */
import { readU53, viewOf, writeU53 } from '../core/bytes.ts';
import type { Sequence } from '../core/ids.ts';
import { invariant } from '../core/invariant.ts';

export const BLOCK_VERSION = 1;
export const BLOCK_ROWS_MAX = 64;
/** A block of more than one row is not larger; one row alone may be. */
export const BLOCK_BYTES_MAX = 65_536;

const HEAD_BYTES = 16;
const CODEC_NONE = 0;

/** A block as it goes to the store: under blockKey(bucket, conversation, first). */
export interface PackedBlock {
  readonly first: Sequence;
  readonly rows: number;
  readonly value: Uint8Array;
}

/** Rows of a decoded block, as views into the value. */
export class BlockView {
  readonly first: Sequence;
  readonly rows: number;
  readonly #value: Uint8Array;
  /** Row i lies in [starts[i], starts[i + 1]). */
  readonly #starts: Uint32Array;

  constructor(value: Uint8Array) {
    const view = viewOf(value);
    invariant(value.length >= HEAD_BYTES, 'block.head-complete', { bytes: value.length });
    invariant(value[0] === BLOCK_VERSION, 'block.version-known', { version: value[0] ?? -1 });
    invariant(value[1] === CODEC_NONE, 'block.codec-known', { codec: value[1] ?? -1 });
    this.rows = view.getUint16(2, true);
    invariant(this.rows >= 1 && this.rows <= BLOCK_ROWS_MAX, 'block.row-count', {
      rows: this.rows,
    });
    this.first = readU53(view, 8) as Sequence;
    invariant(this.first >= 1, 'block.first-sequence');
    this.#value = value;
    this.#starts = new Uint32Array(this.rows + 1);
    let at = HEAD_BYTES + 4 * this.rows;
    for (let i = 0; i < this.rows; i++) {
      this.#starts[i] = at;
      at += view.getUint32(HEAD_BYTES + 4 * i, true);
    }
    this.#starts[this.rows] = at;
    invariant(at === value.length, 'block.rows-fill-it', { at, bytes: value.length });
    invariant(at - HEAD_BYTES - 4 * this.rows === view.getUint32(4, true), 'block.row-bytes-match');
  }

  /** The sequence of the last row. */
  get last(): Sequence {
    return (this.first + this.rows - 1) as Sequence;
  }

  /** Row by its 0-based place in the block. */
  row(i: number): Uint8Array {
    const start = this.#starts[i];
    const end = this.#starts[i + 1];
    invariant(start !== undefined && end !== undefined, 'block.row-inside', { i });
    return this.#value.subarray(start, end);
  }

  /** All rows, the first first. */
  allRows(): Uint8Array[] {
    return Array.from({ length: this.rows }, (_, i) => this.row(i));
  }

  /** Row by its sequence, or undefined if it is not in this block. */
  rowAt(sequence: number): Uint8Array | undefined {
    const i = sequence - this.first;
    return i >= 0 && i < this.rows ? this.row(i) : undefined;
  }
}

export function decodeBlock(value: Uint8Array): BlockView {
  return new BlockView(value);
}

/** Gives bytes to write a block into; what they hold does not matter. */
export type BlockSpace = (bytes: number) => Uint8Array;

const ownSpace: BlockSpace = (bytes) => new Uint8Array(bytes);

/**
 * The same bytes for every block: for who hands it on before the next is made. A buffer for each of
 * many small blocks costs a third of what sealing them does.
 */
export function sharedSpace(): BlockSpace {
  let space = new Uint8Array(BLOCK_BYTES_MAX);
  return (bytes) => {
    if (bytes > space.length) space = new Uint8Array(2 * bytes);
    return space.subarray(0, bytes);
  };
}

/** One block of consecutive rows, the first of which has this sequence. They must fit. */
export function encodeBlock(
  first: number,
  rows: readonly Uint8Array[],
  space: BlockSpace = ownSpace,
): Uint8Array {
  const count = rows.length;
  invariant(count >= 1 && count <= BLOCK_ROWS_MAX, 'block.row-count', { rows: count });
  let rowBytes = 0;
  for (let i = 0; i < count; i++) rowBytes += rows[i]?.length ?? 0;
  const bodyAt = HEAD_BYTES + 4 * count;
  invariant(count === 1 || bodyAt + rowBytes <= BLOCK_BYTES_MAX, 'block.fits', { rowBytes });
  const value = space(bodyAt + rowBytes);
  const view = viewOf(value);
  value[0] = BLOCK_VERSION;
  value[1] = CODEC_NONE;
  view.setUint16(2, count, true);
  view.setUint32(4, rowBytes, true);
  writeU53(view, 8, first);
  let at = bodyAt;
  for (let i = 0; i < count; i++) {
    const row = rows[i] as Uint8Array;
    view.setUint32(HEAD_BYTES + 4 * i, row.length, true);
    value.set(row, at);
    at += row.length;
  }
  return value;
}

/**
 * Consecutive rows, the first of which has this sequence, as the fewest blocks that keep the bounds,
 * made one after the other as they are asked for.
 */
export function* packBlocks(
  first: number,
  rows: readonly Uint8Array[],
  space: BlockSpace = ownSpace,
): Generator<PackedBlock, void> {
  let from = 0;
  while (from < rows.length) {
    let to = from;
    let bytes = HEAD_BYTES;
    while (to < rows.length && to - from < BLOCK_ROWS_MAX) {
      bytes += 4 + (rows[to]?.length ?? 0);
      if (bytes > BLOCK_BYTES_MAX && to > from) break;
      to++;
    }
    const part = to - from === rows.length ? rows : rows.slice(from, to);
    const value = encodeBlock(first + from, part, space);
    yield { first: (first + from) as Sequence, rows: part.length, value };
    from = to;
  }
}

/**
 * Consecutive blocks (values, oldest first) packed anew. What comes out holds the same rows; the
 * caller writes it, and deletes the keys of the inputs whose first sequence is not among its
 * results, in one batch.
 */
export function mergeBlocks(values: readonly Uint8Array[]): PackedBlock[] {
  const rows: Uint8Array[] = [];
  let first = 0;
  for (const value of values) {
    const block = decodeBlock(value);
    if (rows.length === 0) first = block.first;
    invariant(block.first === first + rows.length, 'block.rows-dense', { first: block.first });
    rows.push(...block.allRows());
  }
  return [...packBlocks(first, rows)];
}
