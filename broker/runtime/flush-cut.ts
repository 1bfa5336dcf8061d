/**
 * What one flush writes of one shard: everything between two applied indexes, frozen in one turn of
 * the loop, so that rows, units, journal and the applied index agree.
 */
import { u53At, viewOf, writeU53 } from '../../core/bytes.ts';
import { invariant } from '../../core/invariant.ts';
import { BLOCK_ROWS_MAX, packBlocks, sharedSpace } from '../../storage-engine/block.ts';
import type { StateBatch, StateStore } from '../../storage-engine/contract.ts';
import {
  accountKey,
  blockKey,
  bucketOf,
  changeKey,
  headerKey,
  journalKey,
  memberPageKey,
  senderRecordKey,
  shardKey,
} from '../../storage-engine/keys.ts';
import { encodeSparse } from '../../storage-engine/sparse.ts';
import type { DirtyDirectoryPage } from '../account/contract.ts';
import type { DirtyUnit } from '../conversation/contract.ts';
import { eraseStored, type Erasure } from './erasures.ts';
import type { TailCut } from './hot-tail.ts';
import type { JournalCut } from './journal-builder.ts';
import {
  decodeStoredOverlay,
  encodeStoredOverlay,
  storedOverlayKey,
  type PendingOverlay,
} from './overlays.ts';
import { ACCOUNT_PART } from './residency.ts';
import { SHARD_PART, encodeApplied, encodeCouriers, type AppliedMeta } from './shard-meta.ts';
import type { Slices } from './slices.ts';

export interface FlushCut {
  readonly shard: number;
  readonly applied: AppliedMeta;
  readonly couriers: Float64Array;
  readonly rows: readonly TailCut[];
  readonly units: readonly DirtyUnit[];
  readonly pages: readonly DirtyDirectoryPage[];
  readonly overlays: readonly PendingOverlay[];
  readonly erasures: readonly Erasure[];
  readonly journal: JournalCut | undefined;
}

const ROW_STAMP_AT = 16;
const LOOK_UPS_AT_ONCE = 256;
const ROWS_PER_STEP: number = 2 * BLOCK_ROWS_MAX;
/** A batch seals what it is given before it returns. */
const blockSpace = sharedSpace();

/** Puts the cut into the batch, yielding between slices. */
export async function writeCut(
  cut: FlushCut,
  batch: StateBatch,
  state: StateStore,
  slices: Slices,
): Promise<void> {
  for (const { conversation, from, rows } of cut.rows) {
    // A busy group alone may have thousands.
    for (let i = 0; i < rows.length; i += ROWS_PER_STEP) {
      const step = rows.length <= ROWS_PER_STEP ? rows : rows.slice(i, i + ROWS_PER_STEP);
      putRows(batch, conversation, from + i, step);
      if (slices.isOver) await slices.rest();
    }
  }
  for (const unit of cut.units) {
    batch.put(unitKey(unit), encodeSparse(unit.value));
    if (slices.isOver) await slices.rest();
  }
  for (const { user, page, value } of cut.pages) {
    batch.put(accountKey(user, ACCOUNT_PART, page), encodeSparse(value));
    if (slices.isOver) await slices.rest();
  }
  if (cut.overlays.length > 0) await putOverlays(cut.overlays, batch, state);
  if (cut.erasures.length > 0) await eraseStored(state, batch, cut.erasures);
  if (slices.isOver) await slices.rest();
  const { shard, journal } = cut;
  if (journal !== undefined) batch.put(journalKey(shard, journal.firstIndex), journal.value);
  batch.put(shardKey(shard, SHARD_PART.couriers), encodeCouriers(cut.couriers));
  batch.put(shardKey(shard, SHARD_PART.applied), encodeApplied(cut.applied));
}

/** One block per touched conversation, more only where it is full or a bucket ends. */
function putRows(
  batch: StateBatch,
  conversation: Uint8Array,
  first: number,
  rows: readonly Uint8Array[],
): void {
  let begin = 0;
  while (begin < rows.length) {
    const bucket = bucketOfRow(rows[begin]);
    let end = begin + 1;
    while (end < rows.length && bucketOfRow(rows[end]) === bucket) end++;
    const part = end - begin === rows.length ? rows : rows.slice(begin, end);
    for (const block of packBlocks(first + begin, part, blockSpace))
      batch.put(blockKey(bucket, conversation, block.first), block.value);
    begin = end;
  }
}

function bucketOfRow(row: Uint8Array | undefined): number {
  invariant(row !== undefined, 'flush.row-there');
  return bucketOf(u53At(row, ROW_STAMP_AT));
}

function unitKey(unit: DirtyUnit): Uint8Array {
  if (unit.kind === 0) return headerKey(unit.conversation);
  if (unit.kind === 1) return memberPageKey(unit.conversation, unit.page);
  return senderRecordKey(unit.conversation, unit.user);
}

/** The change index has one key a changed row: the newer change replaces the older. */
async function putOverlays(
  overlays: readonly PendingOverlay[],
  batch: StateBatch,
  state: StateStore,
): Promise<void> {
  for (let from = 0; from < overlays.length; from += LOOK_UPS_AT_ONCE) {
    const part = overlays.slice(from, from + LOOK_UPS_AT_ONCE);
    const keys = part.map(({ conversation, target }) => storedOverlayKey(conversation, target));
    const before = await state.getMany(keys);
    for (const [i, overlay] of part.entries()) {
      const { conversation, target, changeSequence } = overlay;
      const older = before[i];
      if (older !== undefined)
        batch.del(changeKey(conversation, decodeStoredOverlay(older).changeSequence));
      const value = new Uint8Array(8);
      writeU53(viewOf(value), 0, target);
      batch.put(changeKey(conversation, changeSequence), value);
      batch.put(storedOverlayKey(conversation, target), encodeStoredOverlay(overlay));
    }
  }
}
