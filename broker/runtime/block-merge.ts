/**
 * Merging of small blocks, asked for by readers whose page opened many and done between flushes,
 * never by the flush itself (it would triple its CPU and double what is written). What comes out
 * holds the same rows under the first key of each new block.
 */
import { decodeBlock, mergeBlocks, BLOCK_ROWS_MAX } from '../../storage-engine/block.ts';
import type { StateEntry, StateStore } from '../../storage-engine/contract.ts';
import { blockKey, blockRange, readBlockKey } from '../../storage-engine/keys.ts';

/** Blocks that one merge reads. */
export const MERGE_BLOCKS_MAX = 64;
/** Wishes waiting; more are dropped, the next reader asks again. */
export const MERGES_WAITING_MAX = 1024;

export interface MergeWish {
  readonly conversation: Uint8Array;
  readonly bucket: number;
  /** The newest row that the reader wanted; durable. */
  readonly through: number;
}

/** Merges what lies at and below the wish. Returns how many blocks went; no other writer may run. */
export async function mergeStored(state: StateStore, wish: MergeWish): Promise<number> {
  const { conversation, bucket, through } = wish;
  const range = blockRange(bucket, conversation, 0, through + 1);
  const entries = await state.range({ ...range, reverse: true, limit: MERGE_BLOCKS_MAX });
  const open = openRun(entries.reverse());
  if (open.length < 2) return 0;
  const merged = mergeBlocks(open.map(({ value }) => value));
  if (merged.length >= open.length) return 0;
  const batch = state.newBatch();
  const firsts = new Set<number>(merged.map(({ first }) => first));
  for (const { key } of open) if (!firsts.has(readBlockKey(key).first)) batch.del(key);
  for (const { first, value } of merged) batch.put(blockKey(bucket, conversation, first), value);
  await batch.write({ sync: true });
  return open.length - merged.length;
}

/** Behind the last full block: full ones stay as they are. */
function openRun(entries: readonly StateEntry[]): readonly StateEntry[] {
  let from = 0;
  for (const [i, { value }] of entries.entries())
    if (decodeBlock(value).rows === BLOCK_ROWS_MAX) from = i + 1;
  return entries.slice(from);
}
