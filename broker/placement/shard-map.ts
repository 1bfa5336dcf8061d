/**
 * Which shard a slot belongs to. Fixed at the creation of the cluster: shard = slot mod shards. A
 * map of metadata may only be a hint beside this; each shard's own state decides (owner.ts).
 */
import { SLOT_COUNT, slotOf } from '../../core/ids.ts';
import { invariant } from '../../core/invariant.ts';

export const SHARDS_MAX = 256;

export class ShardMap {
  readonly shards: number;

  constructor(shards: number) {
    invariant(
      Number.isInteger(shards) && shards >= 1 && shards <= SHARDS_MAX,
      'placement.shard-count',
      { shards },
    );
    invariant(SLOT_COUNT % shards === 0, 'placement.shards-divide-slots', { shards });
    this.shards = shards;
  }

  /** Shard of a conversation's or user's raw id. */
  shardOf(raw: Uint8Array): number {
    return slotOf(raw) % this.shards;
  }

  shardOfSlot(slot: number): number {
    invariant(slot >= 0 && slot < SLOT_COUNT, 'placement.slot-in-range', { slot });
    return slot % this.shards;
  }
}
