/**
 * What one shard owns: the slots that `shard = slot mod shards` gave it at creation, and the fence
 * of who may write them. For other slots a shard answers MOVED, whatever a metadata map says.
 *
 * LIMIT: slots do not move between shards yet (DESIGN §9), so ownership is what creation made it
 * and the fence is the Raft term: the leader's own-term entry is its claim (DESIGN §3 ShardLog).
 */
import { slotOf } from '../../core/ids.ts';
import { invariant } from '../../core/invariant.ts';
import type { ShardMap } from './shard-map.ts';

export class Owner {
  readonly shard: number;
  readonly #map: ShardMap;
  #fence = 0;

  constructor(shard: number, map: ShardMap) {
    invariant(shard >= 0 && shard < map.shards, 'placement.shard-in-map', { shard });
    this.shard = shard;
    this.#map = map;
  }

  /** Highest claim applied. 0 = none yet: nobody may write. */
  get fence(): number {
    return this.#fence;
  }

  owns(raw: Uint8Array): boolean {
    return this.#map.shardOfSlot(slotOf(raw)) === this.shard;
  }

  /** A claim was applied. Older fences are no-ops from now on. */
  claim(fence: number): void {
    invariant(fence >= this.#fence, 'placement.fence-never-falls', { fence, was: this.#fence });
    this.#fence = fence;
  }
}
