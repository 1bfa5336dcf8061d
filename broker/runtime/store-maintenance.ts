/**
 * What a store does beside its work, rarely and between flushes: drops old journal, and rewrites the
 * files of key ranges from which bodies were erased, so that they leave the disk within a day.
 */
import type { Clock } from '../../core/clock.ts';
import type { StateStore } from '../../storage-engine/contract.ts';
import { blockRange } from '../../storage-engine/keys.ts';
import type { Erasure } from './erasures.ts';
import { JOURNAL_KEPT_MS, trimJournal } from './journal-walk.ts';
import type { StampClock } from './stamp-clock.ts';

const JOURNAL_TRIM_MS = 60 * 60 * 1000;
const COMPACT_MS = 60 * 60 * 1000;
/** Conversations whose files wait to be rewritten; beyond it the whole of the blocks is. */
const COMPACTIONS_MAX = 4096;

export interface StoreMaintenanceParts {
  readonly state: StateStore;
  readonly clock: Clock;
  readonly stamps: StampClock;
  /** Per shard: the index below which no courier reads the journal any more. */
  readonly courierFloors: () => readonly number[];
}

export class StoreMaintenance {
  readonly #parts: StoreMaintenanceParts;
  readonly #erased = new Map<
    string,
    { readonly conversation: Uint8Array; readonly bucket: number }
  >();
  #trimmedMs: number;
  #compactedMs: number;
  #next = 0;

  constructor(parts: StoreMaintenanceParts) {
    this.#parts = parts;
    this.#trimmedMs = parts.clock.monotonicMs();
    this.#compactedMs = this.#trimmedMs;
  }

  erased(erasures: readonly Erasure[]): void {
    for (const { conversation, bucket } of erasures) {
      if (this.#erased.size >= COMPACTIONS_MAX) return;
      this.#erased.set(`${bucket} ${conversation.join()}`, { conversation, bucket });
    }
  }

  /** One bounded step, if one is due. No other writer runs. */
  async step(): Promise<void> {
    const nowMs = this.#parts.clock.monotonicMs();
    if (this.#next > 0 || nowMs - this.#trimmedMs >= JOURNAL_TRIM_MS) await this.#trim(nowMs);
    if (this.#erased.size > 0 && nowMs - this.#compactedMs >= COMPACT_MS) await this.#compact();
    if (this.#erased.size === 0) this.#compactedMs = nowMs;
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
    const [first] = this.#erased;
    if (first === undefined) return;
    const [key, { conversation, bucket }] = first;
    this.#erased.delete(key);
    const { gte, lt } = blockRange(bucket, conversation);
    await this.#parts.state.compactRange(gte, lt);
  }
}
