/**
 * The settings entry that every shard's log begins with: what `apply` needs of configuration. It
 * comes from the configuration first and is proposed again when that has changed; cluster id, epoch
 * and hash key stay what the first entry said.
 */
import { sameBytes } from '../../core/bytes.ts';
import {
  COMMAND_KIND,
  NO_ID,
  encodeCommand,
  type ShardSettingsCommand,
} from '../../core/command.ts';
import { invariant } from '../../core/invariant.ts';

export type ShardSettings = Omit<ShardSettingsCommand, 'kind' | 'timeMs' | 'key' | 'caller'>;

/** The entry's payload, unstamped. */
export function settingsCommand(settings: ShardSettings): Uint8Array {
  return encodeCommand({
    kind: COMMAND_KIND.shardSettings,
    timeMs: 0,
    key: NO_ID,
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
