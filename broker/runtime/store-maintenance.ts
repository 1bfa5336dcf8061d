/**
 * What a store does beside its work, rarely and between flushes: drops old journal, and rewrites the
 * files of key ranges from which bodies were erased, so that they leave the disk within a day.
 */
import type { Clock } from '../../core/clock.ts';
import type { StateStore } from '../../storage-engine/contract.ts';
import { shardKey } from '../../storage-engine/keys.ts';
import type { ErasedRanges } from './erased-ranges.ts';
import { JOURNAL_KEPT_MS, trimJournal } from './journal-walk.ts';
import { SHARD_PART } from './shard-meta.ts';
import type { StampClock } from './stamp-clock.ts';

const JOURNAL_TRIM_MS = 60 * 60 * 1000;
const COMPACT_MS = 60 * 60 * 1000;
/** After a start that found something to do: a store that never lives for an hour does it too. */
const COMPACT_AT_START_MS = 60_000;

export interface StoreMaintenanceParts {
  readonly state: StateStore;
  readonly clock: Clock;
  readonly stamps: StampClock;
  readonly erased: ErasedRanges;
  /** Per shard: the index below which no courier reads the journal any more. */
  readonly courierFloors: () => readonly number[];
}

export class StoreMaintenance {
  readonly #parts: StoreMaintenanceParts;
  #trimmedMs: number;
  #compactedMs: number;
  #next = 0;

  constructor(parts: StoreMaintenanceParts) {
    this.#parts = parts;
    this.#trimmedMs = parts.clock.monotonicMs();
    this.#compactedMs = this.#trimmedMs;
    if (!parts.erased.isEmpty) this.#compactedMs -= COMPACT_MS - COMPACT_AT_START_MS;
  }

  /** One bounded step, if one is due. No other writer runs. */
  async step(): Promise<void> {
    const nowMs = this.#parts.clock.monotonicMs();
    if (this.#next > 0 || nowMs - this.#trimmedMs >= JOURNAL_TRIM_MS) await this.#trim(nowMs);
    const { erased } = this.#parts;
    if (!erased.isEmpty && nowMs - this.#compactedMs >= COMPACT_MS) await this.#compact();
    if (erased.isEmpty) this.#compactedMs = nowMs;
  }

  /** One shard a step. By log time, and only while the clock is trusted. */
  async #trim(nowMs: number): Promise<void> {
    const { state, stamps, courierFloors } = this.#parts;
    const floors = courierFloors();
    const shard = this.#next;
    const aboveIndex = floors[shard];
    this.#trimmedMs = nowMs;
    if (!stamps.isConfirmed || aboveIndex === undefined) {
      this.#next = 0;
      return;
    }
    const sinceMs = stamps.now() - JOURNAL_KEPT_MS;
    const dropped = await trimJournal(state, shard, { sinceMs, aboveIndex });
    if (dropped === 0) this.#next = (shard + 1) % floors.length;
  }

  async #compact(): Promise<void> {
    const { state, erased } = this.#parts;
    const due = erased.next();
    if (due === undefined) return;
    for (const { gte, lt } of due.ranges) await state.compactRange(gte, lt);
    const left = erased.done(due);
    const key = shardKey(due.shard, SHARD_PART.erased);
    const batch = state.newBatch();
    if (left === undefined) batch.del(key);
    else batch.put(key, left);
    await batch.write({ sync: true });
  }
}
