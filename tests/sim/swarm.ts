/**
 * What one seed is made of: sizes, speeds, and which faults it has. Every fault is on or off by
 * itself, so that some worlds have only one kind and some have nearly all ("swarm").
 */
import { LAN_TICKS } from '../../broker/runtime/store-options.ts';
import { DEFAULT_LIMITS } from '../../gateways/session/limits.ts';
import type { Chance } from './chance.ts';
import type { NodeSettings } from './virtual-node.ts';

export const FAULTS = [
  'kill',
  'power-cut',
  'restart',
  'gateway-kill',
  'link-cut',
  'link-stall',
  'socket-cut',
  'socket-silent',
  'slow-reader',
  'device-sleep',
  'disk-stall',
  'sync-error',
  'state-error',
  'disk-full',
  'clock-jump',
] as const;
export type FaultKind = (typeof FAULTS)[number];

export interface Fault {
  readonly kind: FaultKind;
  readonly atMs: number;
  /** Picks its victim and its size. */
  readonly seed: number;
}

export interface Swarm {
  readonly seed: number;
  readonly users: number;
  readonly devicesEach: number;
  /** Of them, by chance: users who also have a device with the SDK. */
  readonly sdkShare: number;
  /** Nearly all happens on devices with the SDK, which their owners treat roughly. */
  readonly isAboutPhones: boolean;
  readonly gateways: number;
  /** Things that people do. */
  readonly acts: number;
  readonly chaosMs: number;
  readonly socketDelayMaxMs: number;
  /** Gateways and store are one process and die together, as on one node. */
  readonly isOneProcess: boolean;
  readonly faults: readonly Fault[];
  readonly node: NodeSettings;
}

export const EPOCH = 1_800_000_000;

export function swarmOf(seed: number, chance: Chance, acts: number): Swarm {
  const kinds = FAULTS.filter(() => chance.is(0.35));
  const chaosMs = Math.max(2000, acts * chance.between(20, 120));
  const count = kinds.length === 0 ? 0 : Math.ceil((chaosMs / 1000) * chance.between(1, 3) * 0.4);
  const faults = Array.from({ length: count }, () => ({
    kind: chance.pick(kinds),
    atMs: chance.unit() * chaosMs,
    seed: chance.between(1, 2 ** 30),
  })).sort((a, b) => a.atMs - b.atMs);
  const isAboutPhones = chance.fork('phones').is(0.25);
  return {
    seed,
    users: chance.between(2, 5),
    devicesEach: chance.between(1, 2),
    sdkShare: isAboutPhones ? 1 : chance.pick([0, 0.5, 1]),
    isAboutPhones,
    gateways: chance.between(1, 2),
    acts,
    chaosMs,
    socketDelayMaxMs: chance.pick([2, 30, 200]),
    isOneProcess: chance.is(0.5),
    faults,
    node: nodeSettings(chance),
  };
}

function nodeSettings(chance: Chance): NodeSettings {
  const small = (size: number, often = 0.3): number => (chance.is(often) ? size : 64 << 20);
  return {
    limits: {
      shards: chance.pick([1, 2, 4, 16]),
      flushIntervalMs: chance.pick([40, 250, 1000]),
      flushBytesMax: small(4096),
      residentBytesMax: small(2048),
      hotTailBytesMax: small(2048),
      blockCacheBytesMax: small(2048),
      uncommittedShardBytesMax: chance.is(0.2) ? 32_768 : 16 << 20,
      uncommittedStoreBytesMax: 256 << 20,
      groupHeadsMembersMin: chance.pick([3, 100]),
      ...LAN_TICKS,
    },
    wal: {
      segmentBytes: chance.pick([8192, 65_536, 1 << 20]),
      rollMs: chance.pick([2000, 3_600_000]),
      retentionBytes: chance.pick([0, 65_536, 1 << 30]),
      retentionMs: 24 * 3_600_000,
      reserveBytes: chance.pick([0, 16_384]),
      freeShareMin: 0.05,
    },
    settings: {
      clusterId: new Uint8Array(16).fill(3),
      epoch: EPOCH,
      hashKey: new Uint8Array(32).fill(7),
      membersMax: 500,
      editWindowMs: 48 * 3_600_000,
      editsMax: 100,
      featureLevel: 1,
    },
    session: {
      ...DEFAULT_LIMITS,
      socketBufferSoftBytes: chance.is(0.3) ? 2048 : DEFAULT_LIMITS.socketBufferSoftBytes,
      socketBufferHardBytes: chance.is(0.3) ? 65_536 : DEFAULT_LIMITS.socketBufferHardBytes,
    },
    diskBytes: 2 ** 40,
    linkWindowBytes: chance.is(0.2) ? 32_768 : 16 << 20,
    linkDelayMaxMs: chance.pick([0.5, 10, 60]),
    syncMaxMs: chance.pick([1, 5, 30]),
    stateMaxMs: chance.pick([0.2, 3, 20]),
  };
}
