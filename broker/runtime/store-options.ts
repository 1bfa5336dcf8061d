/** What a store is made of and bounded by. server/ fills it; nothing in here has a default. */
import type { NewChunk } from '../../core/bytes.ts';
import type { Clock, Random, Timers } from '../../core/clock.ts';
import type { Index, ReplicaId, ShardId } from '../../core/ids.ts';
import type { Logger } from '../../core/observe.ts';
import type { StateStore, Wal, WalListener, WalRecovery } from '../../storage-engine/contract.ts';
import type { AccountMachine } from '../account/contract.ts';
import type { ConversationMachine } from '../conversation/contract.ts';
import type { RenderConversation } from '../fanout/planner.ts';
import type { ShardSettings } from '../placement/shard-settings.ts';
import type { StoreReads } from './contract.ts';
import type { ShardLog } from './shard-log.ts';
import type { QueryHandler } from './query-handler.ts';

export interface StoreLimits {
  readonly shards: number;
  readonly flushIntervalMs: number;
  readonly flushBytesMax: number;
  /** Resident conversation state of all machines together. */
  readonly residentBytesMax: number;
  /** Rows kept in memory behind those that are not flushed yet. */
  readonly hotTailBytesMax: number;
  /** Decoded blocks kept for readers. */
  readonly blockCacheBytesMax: number;
  readonly uncommittedShardBytesMax: number;
  readonly uncommittedStoreBytesMax: number;
  /** Groups of this size get heads where unfocused. */
  readonly groupHeadsMembersMin: number;
  readonly tickMs: number;
  readonly electionTicks: number;
  readonly heartbeatTicks: number;
}

/** The LAN preset (DESIGN §3 Shards). */
export const LAN_TICKS = { tickMs: 25, electionTicks: 10, heartbeatTicks: 2 } as const;

/** The disk side of a store, made by server/ (or a test's twins). */
export interface StoreStorage {
  /** Not opened yet. */
  readonly state: StateStore;
  /** Reads what the WAL holds above these durable indexes. After the state was opened. */
  recover(applied: ReadonlyMap<ShardId, Index>): WalRecovery | Promise<WalRecovery>;
  /** The WAL that goes on where the recovery ended. */
  openWal(recovery: WalRecovery, listener: WalListener): Wal | Promise<Wal>;
}

export interface StoreOptions {
  readonly limits: StoreLimits;
  readonly storage: StoreStorage;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly log: Logger;
  /** This replica, and the voters that a new shard begins with. */
  readonly replica: ReplicaId;
  readonly voters: readonly ReplicaId[];
  /** What the log of a new shard begins with. */
  readonly settings: ShardSettings;
  /** What each shard sees in place of its log; absent = the log itself. For twins of the simulator. */
  readonly shardLog?: (log: ShardLog) => ShardLog;
  /** Of what commands are kept in. */
  readonly newChunk: NewChunk;
  readonly machine: () => ConversationMachine;
  readonly accounts: () => AccountMachine;
  readonly render: RenderConversation;
  readonly queries: (reads: StoreReads) => QueryHandler;
  /** The store cannot go on (WAL, state store): the process reports it and ends. Called once. */
  readonly fatal: (error: Error) => void;
}
