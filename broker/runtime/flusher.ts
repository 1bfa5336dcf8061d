/**
 * Takes the applied prefix of one shard after another to the state store, off the acknowledgement
 * path: each once in an interval, the next at once while more than enough bytes wait; one synced
 * batch a shard, one in flight. So each holds what gathered over seconds, and none is large: writing
 * all shards at once every second cost half as much again over many conversations
 * (docs/decisions/0011). Then the log of the shard and the WAL may forget. Between flushes it does
 * what else writes: merging blocks that readers met, trimming the journal. It is the only writer, so
 * none of these can cross.
 */
import type { Clock, Timer, Timers } from '../../core/clock.ts';
import type { Tasks } from '../../core/tasks.ts';
import type { StateStore } from '../../storage-engine/contract.ts';
import { shardKey } from '../../storage-engine/keys.ts';
import type { BlockCache } from './block-cache.ts';
import { MERGES_WAITING_MAX, mergeStored, type MergeWish } from './block-merge.ts';
import type { Erasure } from './erasures.ts';
import { writeCut, type FlushCut } from './flush-cut.ts';
import type { HotTail } from './hot-tail.ts';
import { SHARD_PART } from './shard-meta.ts';
import { Slices } from './slices.ts';

/** A shard as the flusher sees it. */
export interface FlushedShard {
  /** Freezes what was applied since the last cut; undefined = nothing, or stopped. */
  cut(): FlushCut | undefined;
  /** The cut is durable: what it held may be evicted, and the log may forget it. */
  flushed(cut: FlushCut): void;
}

export interface FlusherOptions {
  readonly state: StateStore;
  readonly shards: readonly FlushedShard[];
  readonly hotTail: HotTail;
  readonly cache: BlockCache;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly tasks: Tasks;
  /** Each shard once in this time. */
  readonly intervalMs: number;
  /** Unflushed rows beyond which no shard waits for its time. */
  readonly bytesMax: number;
  /** Per shard: its state is durable through this index. */
  readonly trimWal: (flushed: ReadonlyMap<number, number>) => void;
  /** These bodies go from the newest state with this batch, though not from old files: to be stored. */
  readonly erasing: (shard: number, erasures: readonly Erasure[]) => Uint8Array;
  /** Between flushes: other writing of bounded length. */
  readonly maintain: () => Promise<void>;
}

/** Merges done between two flushes. */
const MERGES_AT_ONCE = 16;
const STOP_LOOK_MS = 5;
/** Looking more often than this is work of its own. */
const TURN_MS_MIN = 10;

export class Flusher {
  readonly #options: FlusherOptions;
  readonly #slices: Slices;
  #wishes: MergeWish[] = [];
  #timer: Timer | undefined;
  #isRunning = false;
  #isStopped = false;
  /** Whose turn it is. */
  #next = 0;
  #flushed = new Map<number, number>();
  flushes = 0;
  flushMs = 0;
  merges = 0;
  bytes = 0;

  constructor(options: FlusherOptions) {
    this.#options = options;
    const { clock, timers, hotTail, bytesMax, shards } = options;
    const behind = (): number =>
      Math.max(0, hotTail.unflushedBytes - bytesMax) / (bytesMax / shards.length);
    this.#slices = new Slices(clock, timers, behind);
  }

  /** Longest stretch of building that the loop had to wait for. */
  get longestSliceMs(): number {
    return this.#slices.longestMs;
  }
  get isRunning(): boolean {
    return this.#isRunning;
  }

  start(): void {
    const { timers, intervalMs, shards } = this.#options;
    const turnMs = Math.max(TURN_MS_MIN, intervalMs / shards.length);
    this.#timer = timers.every(turnMs, () => this.#begin());
  }

  /** Called by the loop after applying. */
  applied(): void {
    if (this.#options.hotTail.unflushedBytes >= this.#options.bytesMax) this.#begin();
  }

  wantMerge(wish: MergeWish): void {
    if (this.#wishes.length < MERGES_WAITING_MAX) this.#wishes.push(wish);
  }

  /**
   * Flushes what is left, as far as the time reaches: the next start finds the rest in the log.
   * Nothing may be applied any more.
   */
  async stop(untilMs: number): Promise<void> {
    this.#timer?.cancel();
    this.#isStopped = true;
    // By the clock: a slow disk must not be waited for in a loop that never rests.
    while (this.#isRunning)
      await new Promise<void>((done) => void this.#options.timers.after(STOP_LOOK_MS, done));
    const { shards, clock } = this.#options;
    for (const shard of shards) if (clock.monotonicMs() < untilMs) await this.#flush(shard);
  }

  /** What was applied to one shard, by whoever made sure that no flush is under way. */
  async #flush(shard: FlushedShard): Promise<void> {
    const { state, hotTail, cache, clock } = this.#options;
    this.#slices.begin();
    const startedMs = clock.monotonicMs();
    const cut = shard.cut();
    if (cut === undefined) return;
    if (this.#slices.isOver) await this.#slices.rest();
    const batch = state.newBatch();
    await writeCut(cut, batch, state, this.#slices);
    const { erasures } = cut;
    if (erasures.length > 0)
      batch.put(shardKey(cut.shard, SHARD_PART.erased), this.#options.erasing(cut.shard, erasures));
    await batch.write({ sync: true });
    this.bytes += batch.bytes;
    for (const { conversation } of erasures) cache.forget(conversation);
    this.#keepOverlays(cut);
    hotTail.flushed(cut.rows);
    shard.flushed(cut);
    this.#flushed.set(cut.shard, cut.applied.at.index);
    this.#options.trimWal(this.#flushed);
    this.flushes++;
    this.flushMs += clock.monotonicMs() - startedMs;
  }

  /** Who keeps a conversation's stored overlays in memory keeps them as they are stored now. */
  #keepOverlays(cut: FlushCut): void {
    const { cache } = this.#options;
    if (cut.overlays.length === 0) return;
    cache.generation++;
    for (const overlay of cut.overlays)
      cache.overlaid(overlay.conversation, overlay.target, overlay);
  }

  #begin(): void {
    if (this.#isRunning || this.#isStopped) return;
    this.#isRunning = true;
    try {
      this.#options.tasks.run('store.flush', () => this.#run());
    } catch {
      // Too much is under way elsewhere: the next look, a moment later, begins it.
      this.#isRunning = false;
    }
  }

  async #run(): Promise<void> {
    const { shards } = this.#options;
    const shard = shards[this.#next];
    this.#next = (this.#next + 1) % shards.length;
    try {
      if (shard !== undefined) await this.#flush(shard);
      await this.#merge();
      await this.#options.maintain();
    } finally {
      this.#isRunning = false;
    }
  }

  async #merge(): Promise<void> {
    for (let left = MERGES_AT_ONCE; left > 0 && !this.#isStopped; left--) {
      const wish = this.#wishes.shift();
      if (wish === undefined) return;
      this.merges += await mergeStored(this.#options.state, wish);
      this.#slices.begin();
      await this.#slices.rest();
    }
  }
}
