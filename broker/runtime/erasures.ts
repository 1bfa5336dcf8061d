/**
 * Erasing: a delete leaves the row's fixed part and hash, and nothing of what it said. In memory at
 * once; in stored blocks by the next flush, which rewrites the block that holds the row.
 */
import { viewOf } from '../../core/bytes.ts';
import { IdMap } from '../../core/id-map.ts';
import { invariant } from '../../core/invariant.ts';
import { ROW_FIXED_BYTES, ROW_FLAG } from '../../core/row.ts';
import { decodeBlock, encodeBlock } from '../../storage-engine/block.ts';
import type { StateBatch, StateStore } from '../../storage-engine/contract.ts';
import { blockKey, blockRange } from '../../storage-engine/keys.ts';

/** A stored row whose body must go. */
export interface Erasure {
  readonly conversation: Uint8Array;
  readonly sequence: number;
  /** Where its block lies. */
  readonly bucket: number;
}

/** Of one shard: rows whose stored bodies are still there. Readers are given none of them. */
export class Erasures {
  #fresh: Erasure[] = [];
  #flushing: Erasure[] = [];
  readonly #rows = new IdMap<Set<number>>();

  add(erasure: Erasure): void {
    this.#fresh.push(erasure);
    const rows = this.#rows.get(erasure.conversation);
    if (rows === undefined) this.#rows.set(erasure.conversation, new Set([erasure.sequence]));
    else rows.add(erasure.sequence);
  }

  has(conversation: Uint8Array, sequence: number): boolean {
    return this.#rows.size > 0 && this.#rows.get(conversation)?.has(sequence) === true;
  }

  /** For the next flush. */
  cut(): readonly Erasure[] {
    this.#flushing = this.#fresh;
    this.#fresh = [];
    return this.#flushing;
  }

  flushed(): void {
    for (const { conversation, sequence } of this.#flushing) {
      const rows = this.#rows.get(conversation);
      rows?.delete(sequence);
      if (rows?.size === 0) this.#rows.delete(conversation);
    }
    this.#flushing = [];
  }
}

/** The row without body and mentions. Its hash stays, so chains and audits hold. */
export function redactedRow(row: Uint8Array): Uint8Array {
  const redacted = row.slice(0, ROW_FIXED_BYTES);
  const view = viewOf(redacted);
  view.setUint32(0, ROW_FIXED_BYTES, true);
  view.setUint16(6, view.getUint16(6, true) | ROW_FLAG.redacted, true);
  view.setUint16(136, 0, true);
  return redacted;
}

/** Rewrites the blocks that hold these rows, in the batch. Nobody else may write them meanwhile. */
export async function eraseStored(
  state: StateStore,
  batch: StateBatch,
  erasures: readonly Erasure[],
): Promise<number> {
  const done = new Set<Erasure>();
  let blocks = 0;
  for (const erasure of erasures) {
    if (done.has(erasure)) continue;
    const { conversation, sequence, bucket } = erasure;
    const range = blockRange(bucket, conversation, 0, sequence + 1);
    const [found] = await state.range({ ...range, reverse: true, limit: 1 });
    invariant(found !== undefined, 'erase.block-stored', { sequence });
    const block = decodeBlock(found.value);
    invariant(sequence <= block.last, 'erase.row-in-block', { sequence, last: block.last });
    const rows = block.allRows();
    for (const other of erasures) {
      const i = other.sequence - block.first;
      const row = rows[i];
      if (other.bucket !== bucket || row === undefined || !isSame(other, erasure)) continue;
      rows[i] = redactedRow(row);
      done.add(other);
    }
    batch.put(blockKey(bucket, conversation, block.first), encodeBlock(block.first, rows));
    blocks++;
  }
  return blocks;
}

function isSame(a: Erasure, b: Erasure): boolean {
  for (let i = 15; i >= 0; i--) if (a.conversation[i] !== b.conversation[i]) return false;
  return true;
}
