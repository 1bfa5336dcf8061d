/**
 * Walks of the stored journal: forwards for a courier that resumes, backwards for heads that refill,
 * from the start to drop what is too old. A bounded number of values at a time, between which the
 * loop has its turn.
 */
import type { StateStore } from '../../storage-engine/contract.ts';
import { journalKey, journalRange } from '../../storage-engine/keys.ts';
import type { Courier } from './courier.ts';
import type { Heads } from './heads.ts';
import { decodeJournal } from './journal.ts';

/** Kept so long, and never above the slowest courier. */
export const JOURNAL_KEPT_MS: number = 7 * 24 * 3600 * 1000;
const VALUES_AT_ONCE = 16;
const VALUES_TRIMMED_AT_ONCE = 64;

/** Hands the courier every membership change above its cursors, unless its reign ends meanwhile. */
export async function resumeCourier(
  state: StateStore,
  shard: number,
  courier: Courier,
): Promise<void> {
  const { reign } = courier;
  // The value that holds the floor begins at or below it: the first one above may not be the first.
  let from = await valueHolding(state, shard, courier.floor + 1);
  for (;;) {
    const entries = await state.range({ ...journalRange(shard, from), limit: VALUES_AT_ONCE });
    if (courier.reign !== reign) return;
    for (const { value } of entries) {
      const journal = decodeJournal(value);
      courier.found(journal.memberships);
      from = journal.firstIndex + 1;
    }
    if (entries.length < VALUES_AT_ONCE) break;
  }
  courier.complete();
}

/** Fills the heads with what the journal knows below their floor, newest first, until they are full. */
export async function refillHeads(state: StateStore, shard: number, heads: Heads): Promise<void> {
  let below = heads.floor + 1;
  for (;;) {
    const range = journalRange(shard, 0, below);
    const entries = await state.range({ ...range, reverse: true, limit: VALUES_AT_ONCE });
    for (const { value } of entries) {
      const journal = decodeJournal(value);
      let isRoom = true;
      for (const { conversation, index, head, ordinal, timeMs, registers } of journal.changes) {
        if (index > 0)
          isRoom = heads.refill(conversation, { index, head, ordinal, timeMs }) && isRoom;
        for (const own of registers)
          isRoom = heads.refillOwn(conversation, own.user, own.index) && isRoom;
      }
      if (!isRoom) return;
      heads.lowerFloor(journal.firstIndex - 1);
      below = journal.firstIndex;
    }
    if (entries.length < VALUES_AT_ONCE) return;
  }
}

/** Drops the oldest values that nobody needs any more. Returns how many. No other writer may run. */
export async function trimJournal(
  state: StateStore,
  shard: number,
  keep: { readonly sinceMs: number; readonly aboveIndex: number },
): Promise<number> {
  const entries = await state.range({ ...journalRange(shard), limit: VALUES_TRIMMED_AT_ONCE });
  const batch = state.newBatch();
  let dropped = 0;
  for (const { value } of entries) {
    const { timeMs, lastIndex, firstIndex } = decodeJournal(value);
    if (timeMs >= keep.sinceMs || lastIndex > keep.aboveIndex) break;
    batch.del(journalKey(shard, firstIndex));
    dropped++;
  }
  if (dropped > 0) await batch.write({ sync: true });
  return dropped;
}

async function valueHolding(state: StateStore, shard: number, index: number): Promise<number> {
  const range = journalRange(shard, 0, index + 1);
  const [entry] = await state.range({ ...range, reverse: true, limit: 1 });
  return entry === undefined ? 0 : decodeJournal(entry.value).firstIndex;
}
