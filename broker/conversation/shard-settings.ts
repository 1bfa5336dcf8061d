/**
 * What `apply` needs of configuration: entries of the shard's own log, never a file or a flag
 * (DESIGN §3, Deterministic apply). Stored as a header of its own kind under the entry's key.
 * Disk format, version 1: u8 version, u8 kind 3, u16 0, then the fields as written below.
 */
import { ByteReader, ByteWriter } from '../../core/bytes.ts';
import type { ShardSettingsCommand } from '../../core/command.ts';
import { invariant } from '../../core/invariant.ts';
import { HEADER_KIND } from './header.ts';

const SETTINGS_VERSION = 1;

export interface ShardSettings {
  /** 16 bytes. */
  readonly clusterId: Uint8Array;
  readonly epoch: number;
  readonly membersMax: number;
  readonly editWindowMs: number;
  readonly editsMax: number;
  readonly featureLevel: number;
  /** 32 bytes. */
  readonly hashKey: Uint8Array;
}

/** In force until a shard's first settings entry; the contract's defaults. */
export const SETTINGS_AT_FIRST: ShardSettings = {
  clusterId: new Uint8Array(16),
  epoch: 0,
  membersMax: 500,
  editWindowMs: 48 * 3_600_000,
  editsMax: 100,
  featureLevel: 0,
  hashKey: new Uint8Array(32),
};

export function settingsOf(command: ShardSettingsCommand): ShardSettings {
  invariant(command.hashKey.length === 32, 'shard-settings.key-length', {
    length: command.hashKey.length,
  });
  return {
    clusterId: command.clusterId.slice(),
    epoch: command.epoch,
    membersMax: command.membersMax,
    editWindowMs: command.editWindowMs,
    editsMax: command.editsMax,
    featureLevel: command.featureLevel,
    hashKey: command.hashKey.slice(),
  };
}

export function isShardSettings(value: Uint8Array): boolean {
  return value[0] === SETTINGS_VERSION && value[1] === HEADER_KIND.shardSettings;
}

export function encodeShardSettings(settings: ShardSettings): Uint8Array {
  const out = new ByteWriter(112).u8(SETTINGS_VERSION).u8(HEADER_KIND.shardSettings).u16(0);
  out.raw(settings.clusterId).u53(settings.epoch).u32(settings.membersMax);
  out.u53(settings.editWindowMs).u32(settings.editsMax).u32(settings.featureLevel);
  return out.bytes(settings.hashKey).finish();
}

export function decodeShardSettings(value: Uint8Array): ShardSettings {
  invariant(isShardSettings(value), 'shard-settings.known', { length: value.length });
  const input = new ByteReader(value, 4);
  return {
    clusterId: input.raw(16).slice(),
    epoch: input.u53(),
    membersMax: input.u32(),
    editWindowMs: input.u53(),
    editsMax: input.u32(),
    featureLevel: input.u32(),
    hashKey: input.bytes().slice(),
  };
}
