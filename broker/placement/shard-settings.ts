/**
 * The settings entry that every shard's log begins with: what `apply` needs of configuration. It
 * comes from the configuration first and is proposed again when that has changed; cluster id, epoch
 * and hash key stay what the first entry said.
 */
import { sameBytes } from '../../core/bytes.ts';
import { COMMAND_KIND, NO_ID, type ShardSettingsCommand } from '../../core/command.ts';
import { encodeCommand } from '../../core/command-codec.ts';
import { ID_BYTES } from '../../core/ids.ts';
import { invariant } from '../../core/invariant.ts';

export type ShardSettings = Omit<ShardSettingsCommand, 'kind' | 'timeMs' | 'key' | 'caller'>;

/**
 * Key of a shard's settings entry, and of the header unit that they are flushed as: an id that no
 * conversation has (it is zero but for its slot), in a slot that the shard owns.
 */
export function settingsKey(shard: number): Uint8Array {
  const key = new Uint8Array(ID_BYTES);
  key[14] = shard >>> 8;
  key[15] = shard & 255;
  return key;
}

/** The entry's payload, unstamped. */
export function settingsCommand(shard: number, settings: ShardSettings): Uint8Array {
  return encodeCommand({
    kind: COMMAND_KIND.shardSettings,
    timeMs: 0,
    key: settingsKey(shard),
    caller: NO_ID,
    ...settings,
  });
}

/**
 * What to propose, given what is applied: undefined = nothing to change. A shard of another cluster
 * is a wrong disk and breaks an invariant.
 */
export function settingsToPropose(
  wanted: ShardSettings,
  applied: ShardSettings | undefined,
): ShardSettings | undefined {
  if (applied === undefined) return wanted;
  invariant(sameBytes(wanted.clusterId, applied.clusterId), 'placement.same-cluster');
  const isSame =
    wanted.membersMax === applied.membersMax &&
    wanted.editWindowMs === applied.editWindowMs &&
    wanted.editsMax === applied.editsMax &&
    wanted.featureLevel <= applied.featureLevel;
  if (isSame) return undefined;
  return {
    ...wanted,
    featureLevel: Math.max(wanted.featureLevel, applied.featureLevel),
    epoch: applied.epoch,
    hashKey: applied.hashKey,
  };
}
