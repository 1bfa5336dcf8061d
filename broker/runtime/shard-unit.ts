/**
 * A shard with everything around it that belongs to it alone, assembled; and what the flusher asks
 * of it.
 */
import type { Logger } from '../../core/observe.ts';
import type { Tasks } from '../../core/tasks.ts';
import type { Timers } from '../../core/clock.ts';
import type { AccountMachine } from '../account/contract.ts';
import type { ConversationMachine } from '../conversation/contract.ts';
import type { Planner } from '../fanout/planner.ts';
import { Owner } from '../placement/owner.ts';
import type { ShardMap } from '../placement/shard-map.ts';
import type { Answerer } from './answers.ts';
import type { BlockCache } from './block-cache.ts';
import type { BlockReads } from './block-reads.ts';
import type { CommandArena } from './command-arena.ts';
import { CommandNeeds } from './command-needs.ts';
import { Courier } from './courier.ts';
import { Erasures } from './erasures.ts';
import type { FlushCut } from './flush-cut.ts';
import type { FlushedShard } from './flusher.ts';
import type { GroupCounts } from './group-counts.ts';
import { Heads } from './heads.ts';
import type { HotTail } from './hot-tail.ts';
import { JournalBuilder } from './journal-builder.ts';
import type { JournalMembership } from './journal.ts';
import { Overlays } from './overlays.ts';
import { RaftShardLog, type RaftShardLogOptions } from './raft-shard-log.ts';
import type { Residency } from './residency.ts';
import { Shard } from './shard.ts';
import { ShardEffects } from './shard-effects.ts';
import type { ShardLog } from './shard-log.ts';
import type { StampClock } from './stamp-clock.ts';
import type { StoreBudget } from './store-budget.ts';

/** What the shards of a store share. */
export interface StoreParts {
  readonly map: ShardMap;
  readonly timers: Timers;
  readonly tasks: Tasks;
  readonly log: Logger;
  readonly residency: Residency;
  readonly reads: BlockReads;
  readonly hotTail: HotTail;
  readonly cache: BlockCache;
  readonly planner: Planner;
  readonly counts: GroupCounts;
  readonly arena: CommandArena;
  readonly budget: StoreBudget;
  readonly shardLog: ((log: ShardLog) => ShardLog) | undefined;
  readonly stamps: StampClock;
  readonly arm: () => void;
  readonly stopped: (shard: number, index: number, cause: unknown) => void;
  readonly leading: (shard: number, isLeading: boolean) => void;
  readonly submit: (
    destination: number,
    command: Uint8Array,
    answerer: Answerer,
    request: number,
  ) => void;
}

export interface ShardUnitParts {
  readonly number: number;
  readonly store: StoreParts;
  readonly machine: ConversationMachine;
  readonly accounts: AccountMachine;
  /** Durably applied at start: the floor of the heads. */
  readonly floor: number;
  readonly raft: Omit<RaftShardLogOptions, 'shard' | 'events'>;
}

export class ShardUnit implements FlushedShard {
  readonly shard: Shard;
  readonly machine: ConversationMachine;
  readonly accounts: AccountMachine;
  readonly heads: Heads;
  readonly overlays: Overlays = new Overlays();
  readonly erasures: Erasures = new Erasures();
  readonly courier: Courier;
  readonly effects: ShardEffects;
  readonly log: RaftShardLog;
  readonly #journal = new JournalBuilder();
  readonly #stamps: StampClock;
  readonly #hotTail: HotTail;
  #flushedIndex: number;
  #cutMemberships: readonly JournalMembership[] = [];

  constructor(parts: ShardUnitParts) {
    const { number, store, machine, accounts, floor } = parts;
    this.machine = machine;
    this.accounts = accounts;
    this.heads = new Heads(floor);
    this.#flushedIndex = floor;
    this.#stamps = store.stamps;
    this.#hotTail = store.hotTail;
    this.courier = new Courier({
      shards: store.map.shards,
      shardOf: (user) => store.map.shardOf(user),
      timers: store.timers,
      submit: store.submit,
    });
    this.effects = new ShardEffects({
      ...store,
      shard: number,
      machine,
      heads: this.heads,
      journal: this.#journal,
      overlays: this.overlays,
      erasures: this.erasures,
      courier: this.courier,
    });
    const needs = new CommandNeeds({ ...store, machine, accounts, overlays: this.overlays });
    const owner = new Owner(number, store.map);
    const { effects } = this;
    this.shard = new Shard({ ...store, shard: number, machine, accounts, owner, needs, effects });
    this.log = new RaftShardLog({ ...parts.raft, shard: number, events: this.shard });
    const { snapshot } = parts.raft.restored;
    this.shard.start(store.shardLog?.(this.log) ?? this.log, snapshot);
  }

  /** Membership changes that the journal in the store does not hold. */
  get unflushedMemberships(): readonly JournalMembership[] {
    return [...this.#cutMemberships, ...this.#journal.memberships];
  }

  get flushedIndex(): number {
    return this.#flushedIndex;
  }

  // ---- FlushedShard

  cut(): FlushCut | undefined {
    const { shard, machine, accounts, courier, log } = this;
    // A stopped shard may be half applied: its state stays that of the last flush.
    if (shard.isStopped || shard.applied === this.#flushedIndex) return undefined;
    const hotTail = this.#hotTail;
    const number = shard.shard;
    const journal = this.#journal.cut();
    this.#cutMemberships = journal?.memberships ?? [];
    return {
      shard: number,
      applied: {
        at: log.snapshotAt(shard.applied, shard.appliedTerm),
        stampMs: this.#stamps.last,
      },
      couriers: courier.cursors(shard.applied),
      rows: hotTail.cut(number),
      units: machine.takeDirty(),
      pages: accounts.takeDirty(),
      overlays: this.overlays.cut(),
      erasures: this.erasures.cut(),
      journal,
    };
  }

  flushed(cut: FlushCut): void {
    const { index } = cut.applied.at;
    this.#flushedIndex = index;
    this.#cutMemberships = [];
    this.machine.flushed();
    this.accounts.flushed();
    this.overlays.flushed();
    this.erasures.flushed();
    this.log.trim(index);
  }
}
