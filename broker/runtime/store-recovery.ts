/**
 * What a start finds: per shard the state's applied index, settings and courier cursors, and from
 * the WAL the entries above. Nothing is served before the log has been applied to its end.
 */
import type { Index, ReplicaId, ShardId, Term } from '../../core/ids.ts';
import { invariant } from '../../core/invariant.ts';
import type { StateStore, WalRecovery } from '../../storage-engine/contract.ts';
import { headerKey, readShardKey, shardRange } from '../../storage-engine/keys.ts';
import { decodeSparse } from '../../storage-engine/sparse.ts';
import type { RestoredReplica } from '../consensus/contract.ts';
import type { ConversationMachine } from '../conversation/contract.ts';
import { settingsKey } from '../placement/shard-settings.ts';
import { SHARD_PART, decodeApplied, decodeCouriers, type AppliedMeta } from './shard-meta.ts';
import { restoreReplica } from './wal-records.ts';

export interface FoundShard {
  readonly applied: AppliedMeta;
  readonly couriers: Float64Array | undefined;
  /** Where bodies were erased whose files wait to be rewritten (erased-ranges.ts). */
  readonly erased: Uint8Array | undefined;
}

/** What the state store says of each shard; new ones begin at 0 with these voters. */
export async function findShards(
  state: StateStore,
  shards: number,
  voters: readonly ReplicaId[],
): Promise<FoundShard[]> {
  const applied = new Map<number, AppliedMeta>();
  const couriers = new Map<number, Float64Array>();
  const erased = new Map<number, Uint8Array>();
  for (const { key, value } of await state.range(shardRange())) {
    const { shard, part } = readShardKey(key);
    invariant(shard < shards, 'store.shard-count-is-that-of-creation', { shard, shards });
    if (part === SHARD_PART.applied) applied.set(shard, decodeApplied(value));
    else if (part === SHARD_PART.couriers) couriers.set(shard, decodeCouriers(value));
    else if (part === SHARD_PART.erased) erased.set(shard, value);
  }
  return Array.from({ length: shards }, (_, shard) => ({
    applied: applied.get(shard) ?? newShardMeta(voters),
    couriers: couriers.get(shard),
    erased: erased.get(shard),
  }));
}

/** The indexes that recovery of the WAL compares against: of shards that the state knows. */
export function appliedIndexes(found: readonly FoundShard[]): Map<ShardId, Index> {
  const indexes = new Map<ShardId, Index>();
  for (const [shard, { applied }] of found.entries())
    if (applied.at.index > 0) indexes.set(shard as ShardId, applied.at.index);
  return indexes;
}

export function restoredShard(
  shard: number,
  found: FoundShard,
  recovery: WalRecovery,
): RestoredReplica {
  return restoreReplica(found.applied.at, recovery.shards.get(shard as ShardId));
}

/** Brings the settings that are in force back into each machine. */
export async function loadSettings(
  state: StateStore,
  machines: readonly ConversationMachine[],
): Promise<void> {
  const keys = machines.map((_, shard) => settingsKey(shard));
  const values = await state.getMany(keys.map((key) => headerKey(key)));
  for (const [shard, value] of values.entries()) {
    const key = keys[shard];
    if (value === undefined || key === undefined) continue;
    machines[shard]?.load(key, [{ kind: 0, page: 0, user: NOBODY, value: decodeSparse(value) }]);
  }
}

const NOBODY: Uint8Array = new Uint8Array(0);

function newShardMeta(voters: readonly ReplicaId[]): AppliedMeta {
  const configuration = {
    voters: [...voters].sort((a, b) => a - b),
    outgoing: [],
    learners: [],
  };
  return { at: { index: 0 as Index, term: 0 as Term, configuration }, stampMs: 0 };
}
