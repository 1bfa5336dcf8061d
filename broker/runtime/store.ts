/**
 * A store: all its shards, their shared parts, the gateways' Links, and the loop that drives them.
 * Assembled here and nowhere else; made of what server/ hands in. `start` ends when every shard
 * leads and serves.
 */
import { toParleyError } from '../../core/errors.ts';
import type { ParleyError } from '../../core/errors.ts';
import type { Timer } from '../../core/clock.ts';
import type { Link } from '../../core/link.ts';
import type { Metered, MetricSample } from '../../core/observe.ts';
import { Tasks } from '../../core/tasks.ts';
import type { Wal } from '../../storage-engine/contract.ts';
import type { AccountMachine } from '../account/contract.ts';
import type { ConversationMachine } from '../conversation/contract.ts';
import { Planner } from '../fanout/planner.ts';
import { Routes } from '../fanout/routes.ts';
import { ShardMap } from '../placement/shard-map.ts';
import { settingsCommand, settingsToPropose } from '../placement/shard-settings.ts';
import type { Answerer } from './answers.ts';
import { BlockCache } from './block-cache.ts';
import { BlockReads } from './block-reads.ts';
import { CommandArena } from './command-arena.ts';
import type { StoreReads } from './contract.ts';
import { ErasedRanges } from './erased-ranges.ts';
import { Flusher } from './flusher.ts';
import { GatewayLink } from './gateway-link.ts';
import { GroupCounts } from './group-counts.ts';
import { HotTail } from './hot-tail.ts';
import { refillHeads, resumeCourier } from './journal-walk.ts';
import type { QueryHandler } from './query-handler.ts';
import { Residency } from './residency.ts';
import { ShardUnit, type StoreParts } from './shard-unit.ts';
import { StampClock } from './stamp-clock.ts';
import { StoreBudget } from './store-budget.ts';
import { StoreLoop } from './store-loop.ts';
import { StoreMaintenance } from './store-maintenance.ts';
import { storeMetrics } from './store-metrics.ts';
import type { StoreOptions } from './store-options.ts';
import {
  appliedIndexes,
  findShards,
  loadSettings,
  restoredShard,
  type FoundShard,
} from './store-recovery.ts';
import { LocalStoreReads } from './store-reads.ts';

/** Background work of a store at once: loads, reads for commands, flush, walks. */
const TASKS_MAX = 4096;
/** Sends are refused beyond this many times what makes flushes hurry. */
const UNFLUSHED_TIMES_MAX = 2;
/** How often gateways hear how far the feed is. */
const PROGRESS_MS = 200;
const COUNTS_EVERY_PROGRESS = 5;
/** How long a stop waits for what is under way. */
const DRAIN_MS = 5000;
/** Then this long for flushing: what is left is in the log, and a server must be gone in 10 s. */
const FLUSH_AT_STOP_MS = 3000;
const POLL_MS = 5;

export class Store implements Metered {
  readonly options: StoreOptions;
  readonly map: ShardMap;
  readonly loop: StoreLoop;
  readonly budget: StoreBudget;
  readonly hotTail: HotTail;
  readonly cache: BlockCache;
  readonly routes: Routes = new Routes();
  readonly links: Set<GatewayLink> = new Set();
  readonly #tasks: Tasks;
  readonly #stamps: StampClock;
  #units: readonly ShardUnit[] = [];
  #residency: Residency | undefined;
  #flusher: Flusher | undefined;
  #reads: StoreReads | undefined;
  #blockReads: BlockReads | undefined;
  #planner: Planner | undefined;
  #counts: GroupCounts | undefined;
  #queries: QueryHandler | undefined;
  #wal: Wal | undefined;
  #progress: Timer | undefined;
  #progressRuns = 0;
  #isFatal = false;
  #isClosing = false;
  /** Of the log, while the store stopped. */
  #failure: ParleyError | undefined;
  #ready: (() => void) | undefined;
  #opening: Promise<unknown> | undefined;

  constructor(options: StoreOptions) {
    const { limits, clock, timers, log } = options;
    this.options = options;
    this.map = new ShardMap(limits.shards);
    this.hotTail = new HotTail({ shards: limits.shards, bytesMax: limits.hotTailBytesMax });
    this.cache = new BlockCache(limits.blockCacheBytesMax);
    this.#stamps = new StampClock(clock);
    this.#tasks = new Tasks({
      max: TASKS_MAX,
      log,
      failed: (name, error) => this.#fatal(name, error),
    });
    this.budget = new StoreBudget({
      shards: limits.shards,
      shardBytesMax: limits.uncommittedShardBytesMax,
      storeBytesMax: limits.uncommittedStoreBytesMax,
      unflushedBytes: () => this.hotTail.unflushedBytes,
      unflushedBytesMax: UNFLUSHED_TIMES_MAX * limits.flushBytesMax,
    });
    this.loop = new StoreLoop({
      clock,
      timers,
      tickMs: limits.tickMs,
      applied: () => this.#flusher?.applied(),
      fatal: (error) => this.#fatal('wal', error),
      spaceChanged: (isLow) => {
        this.budget.isDiskLow = isLow;
        log.warn(isLow ? 'the disk is nearly full: sends are refused' : 'the disk has room again');
      },
    });
  }

  /**
   * Opens the state store, whose lock keeps every other process off this data. `start` does it too;
   * apart it is for who must not touch what lies beside it before. Idempotent.
   */
  async open(): Promise<void> {
    this.#opening ??= this.options.storage.state.open();
    await this.#opening;
  }

  /** Opens, recovers, leads. Rejects when storage refuses; then nothing was changed. */
  async start(): Promise<void> {
    const { storage, limits, voters, log } = this.options;
    const { state } = storage;
    await this.open();
    const found = await findShards(state, limits.shards, voters);
    const recovery = await storage.recover(appliedIndexes(found));
    log.info('the log was recovered', {
      verdict: recovery.verdict,
      tornBytes: recovery.tornBytes,
      entries: [...recovery.shards.values()].reduce((sum, { log: left }) => sum + left.length, 0),
    });
    const machines = found.map(() => this.options.machine());
    await loadSettings(state, machines);
    const accounts = found.map(() => this.options.accounts());
    const parts = this.#assemble(machines, accounts);
    this.#units = found.map((shard, number) => {
      this.#stamps.raise(shard.applied.stampMs);
      const unit = new ShardUnit({
        number,
        store: parts,
        machine: machines[number] as (typeof machines)[number],
        accounts: accounts[number] as (typeof accounts)[number],
        floor: shard.applied.at.index,
        raft: { ...this.#raft(), restored: restoredShard(number, shard, recovery) },
      });
      if (shard.couriers !== undefined) unit.courier.restore(shard.couriers);
      return unit;
    });
    this.#serve(parts, found);
    this.#wal = await storage.openWal(recovery, this.loop);
    const ready = new Promise<void>((resolve) => {
      this.#ready = resolve;
    });
    this.loop.start(this.#wal, this.#units);
    this.#judgeReady();
    await ready;
    this.#flusher?.start();
    this.#tasks.run('store.refill-heads', () => this.#refill());
  }

  /** A gateway's Link. Before `start` has ended everything but routes is refused. */
  attach(link: Link): void {
    const gateway = new GatewayLink({
      link,
      shards: this.map.shards,
      routes: this.routes,
      queries: this.#handler,
      log: this.options.log,
      schedule: this.loop.schedule,
      command: (bytes, from, request) => this.submit(bytes, from, request),
      typing: (conversation, user, state) => this.#typing(conversation, user, state),
      closed: (ended) => this.links.delete(ended),
    });
    this.links.add(gateway);
    gateway.listen();
  }

  /** Reads for broker/service; there once `start` has ended. */
  get reads(): StoreReads {
    return this.#reads as StoreReads;
  }
  get units(): readonly ShardUnit[] {
    return this.#units;
  }
  get flusher(): Flusher | undefined {
    return this.#flusher;
  }
  get residency(): Residency | undefined {
    return this.#residency;
  }
  get blockReads(): BlockReads | undefined {
    return this.#blockReads;
  }

  /** A command for whichever shard owns its key; exactly one answer. */
  submit(bytes: Uint8Array, from: Answerer, request: number): void {
    const shard = this.map.shardOf(bytes.subarray(24, 40));
    this.#units[shard]?.shard.receive(bytes, from, request);
  }

  metrics(): readonly MetricSample[] {
    return storeMetrics(this);
  }

  /**
   * Takes nothing new, answers what is under way, flushes, closes. Bounded by a deadline, after
   * which what is unanswered stays an unknown outcome. Idempotent.
   */
  async stop(): Promise<void> {
    if (this.#isClosing) return;
    this.#isClosing = true;
    this.budget.isDraining = true;
    const { clock, timers, storage } = this.options;
    const untilMs = clock.monotonicMs() + DRAIN_MS;
    while (!this.#isIdle && !this.#isFatal && clock.monotonicMs() < untilMs)
      await new Promise<void>((done) => timers.after(POLL_MS, done));
    this.#progress?.cancel();
    this.loop.ship();
    for (const link of [...this.links]) link.close();
    this.loop.stop();
    try {
      if (!this.#isFatal && !this.loop.isInFlight) {
        await this.#flusher?.stop(clock.monotonicMs() + FLUSH_AT_STOP_MS);
        await this.#wal?.close();
      }
    } finally {
      await storage.state.close();
    }
    if (this.#failure !== undefined) throw this.#failure;
  }

  // ---- inside

  get #isIdle(): boolean {
    return !this.loop.isInFlight && this.#units.every(({ shard }) => shard.awaited === 0);
  }

  get #handler(): QueryHandler {
    return {
      query: (query, reply) => {
        if (this.#queries !== undefined) this.#queries.query(query, reply);
        else
          reply.error({
            reason: 'SHARD_UNAVAILABLE',
            message: 'the store is starting',
            details: {},
            retryAfterMs: undefined,
          });
      },
    };
  }

  #assemble(
    machines: readonly ConversationMachine[],
    accounts: readonly AccountMachine[],
  ): StoreParts {
    const { limits, storage, timers, log, render } = this.options;
    const { state } = storage;
    const { routes, hotTail, cache, budget, map } = this;
    const tasks = this.#tasks;
    const bytesMax = limits.residentBytesMax;
    const residency = new Residency({ state, timers, tasks, bytesMax, machines, accounts });
    const planner = new Planner({ routes, render, headsMembersMin: limits.groupHeadsMembersMin });
    const epochOf = (shard: number): number => machines[shard]?.settings.epoch ?? 0;
    const counts = new GroupCounts({ machines, planner, routes, epochOf });
    const reads = new BlockReads({
      state,
      hotTail,
      cache,
      wantMerge: (conversation, bucket, through) =>
        this.#flusher?.wantMerge({ conversation, bucket, through }),
    });
    counts.use(reads);
    this.#residency = residency;
    this.#planner = planner;
    this.#counts = counts;
    this.#blockReads = reads;
    return {
      map,
      timers,
      tasks,
      log,
      residency,
      reads,
      hotTail,
      cache,
      planner,
      counts,
      budget,
      shardLog: this.options.shardLog,
      arena: new CommandArena(this.options.newChunk),
      stamps: this.#stamps,
      arm: this.loop.arm,
      stopped: (shard, index) => log.error('shard stopped', { shard, index }),
      leading: (shard, isLeading) => this.#leading(shard, isLeading),
      submit: (destination, command, answerer, request) =>
        this.#units[destination]?.shard.receive(command, answerer, request),
    };
  }

  #serve(parts: StoreParts, found: readonly FoundShard[]): void {
    const { storage, clock, timers, limits } = this.options;
    const { map, residency, reads, planner, hotTail, cache, tasks } = parts;
    const { state } = storage;
    const units = this.#units;
    this.#reads = new LocalStoreReads({ map, shards: units, residency, reads, planner, timers });
    this.#queries = this.options.queries(this.#reads);
    const erased = new ErasedRanges();
    for (const [shard, { erased: value }] of found.entries())
      if (value !== undefined) erased.restore(shard, value);
    const maintenance = new StoreMaintenance({
      state,
      clock,
      erased,
      stamps: this.#stamps,
      courierFloors: () => units.map(({ courier }) => courier.floor),
    });
    this.#flusher = new Flusher({
      state,
      shards: units,
      hotTail,
      cache,
      clock,
      timers,
      tasks,
      intervalMs: limits.flushIntervalMs,
      bytesMax: limits.flushBytesMax,
      trimWal: (flushed) => this.#wal?.trim(flushed as Parameters<Wal['trim']>[0]),
      erasing: (shard, erasures) => erased.add(shard, erasures),
      maintain: async () => {
        residency.shrink();
        await maintenance.step();
      },
    });
    this.#progress = timers.every(PROGRESS_MS, () => this.#tellProgress());
  }

  #raft(): Omit<ConstructorParameters<typeof ShardUnit>[0]['raft'], 'restored'> {
    const { limits, random, replica } = this.options;
    return {
      id: replica,
      random: () => random.unit(),
      electionTicks: limits.electionTicks,
      heartbeatTicks: limits.heartbeatTicks,
      uncommittedBytesMax: limits.uncommittedShardBytesMax,
      // LIMIT: one replica sends to nobody; carriers between nodes come with replication.
      send: () => undefined,
    };
  }

  #leading(shard: number, isLeading: boolean): void {
    const unit = this.#units[shard];
    if (unit === undefined) return;
    const { log, storage } = this.options;
    log.debug(isLeading ? 'leads a shard' : 'leads a shard no longer', { shard });
    if (!isLeading) {
      unit.courier.stop();
      return;
    }
    unit.courier.activate(unit.unflushedMemberships);
    this.#tasks.run('store.resume-courier', () =>
      resumeCourier(storage.state, shard, unit.courier),
    );
    const { settings } = unit.machine;
    const wanted = settingsToPropose(
      this.options.settings,
      settings.epoch === 0 ? undefined : settings,
    );
    if (wanted === undefined) {
      this.#judgeReady();
      return;
    }
    const settled: Answerer = {
      committed: () => this.#judgeReady(),
      refused: (_, { reason }) => log.error('settings were refused', { shard, reason }),
    };
    unit.shard.propose(settingsCommand(shard, wanted), settled);
  }

  #judgeReady(): void {
    // Answered from inside `apply`: what follows it in the same entry is not done yet.
    this.options.timers.soon(() => {
      if (this.#units.every(({ shard }) => shard.isServing || shard.isStopped)) this.#ready?.();
    });
  }

  #typing(conversation: Uint8Array, user: Uint8Array, state: number): void {
    const unit = this.#units[this.map.shardOf(conversation)];
    // Ephemeral: it is not worth a load, and in a live conversation none is needed.
    const view = unit?.machine.view(conversation);
    if (unit === undefined || view === undefined || !unit.shard.isServing) return;
    this.#planner?.typing(unit.effects.place, view, { user, state });
  }

  #tellProgress(): void {
    for (const link of this.links) {
      if (!link.isWritable) continue;
      link.feed.announce(true);
      for (const [shard, unit] of this.#units.entries())
        link.feed.progress(shard, unit.shard.applied);
    }
    if (++this.#progressRuns % COUNTS_EVERY_PROGRESS === 0) this.#counts?.sweep();
  }

  async #refill(): Promise<void> {
    for (const [shard, { heads }] of this.#units.entries()) {
      if (this.#isClosing) return;
      await refillHeads(this.options.storage.state, shard, heads);
    }
  }

  #fatal(what: string, error: unknown): void {
    // What still ran at the end may find the state store closed; the log fails only by itself.
    if (this.#isFatal || (this.#isClosing && what !== 'wal')) return;
    this.#isFatal = true;
    const cause: ParleyError = toParleyError(error);
    this.options.log.error('the store cannot go on', { task: what, cause: String(error) });
    this.loop.stop();
    if (this.#isClosing) this.#failure = cause;
    else this.options.fatal(cause);
  }
}
