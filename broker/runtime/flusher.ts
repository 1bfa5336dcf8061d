/**
 * Takes the applied prefix to the state store, off the acknowledgement path: once a second or when
 * enough bytes have gathered, one batch for all shards, synced, one in flight. Then the logs and the
 * WAL may forget. Between flushes it does what else writes: merging blocks that readers met, trimming
 * the journal. It is the only writer, so none of these can cross.
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
  readonly intervalMs: number;
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

export class Flusher {
  readonly #options: FlusherOptions;
  readonly #slices: Slices;
  #wishes: MergeWish[] = [];
  #timer: Timer | undefined;
  #isRunning = false;
  #isStopped = false;
  #lastMs = 0;
  #flushed = new Map<number, number>();
  flushes = 0;
  flushMs = 0;
  merges = 0;
  bytes = 0;

  constructor(options: FlusherOptions) {
    this.#options = options;
    const { clock, timers, hotTail, bytesMax } = options;
    // What one flush holds is in the tail until it is durable: beyond that, others wait behind it.
    this.#slices = new Slices(clock, timers, () => hotTail.unflushedBytes / bytesMax);
  }

  /** Longest stretch of building that the loop had to wait for. */
  get longestSliceMs(): number {
    return this.#slices.longestMs;
  }
  get isRunning(): boolean {
    return this.#isRunning;
  }

  start(): void {
    const { timers, intervalMs, clock } = this.#options;
    this.#lastMs = clock.monotonicMs();
    this.#timer = timers.every(Math.max(10, intervalMs / 4), () => this.#due(intervalMs));
  }

  /** Called by the loop after applying. */
  applied(): void {
    if (this.#options.hotTail.unflushedBytes >= this.#options.bytesMax) this.#begin();
  }

  wantMerge(wish: MergeWish): void {
    if (this.#wishes.length < MERGES_WAITING_MAX) this.#wishes.push(wish);
  }

  /** Flushes what is left. Nothing may be applied any more. */
  async stop(): Promise<void> {
    this.#timer?.cancel();
    this.#isStopped = true;
    // By the clock: a slow disk must not be waited for in a loop that never rests.
    while (this.#isRunning)
      await new Promise<void>((done) => void this.#options.timers.after(STOP_LOOK_MS, done));
    await this.flush();
  }

  /** One flush, by whoever made sure that none is under way. */
  async flush(): Promise<void> {
    const { state, hotTail, cache, shards, clock } = this.#options;
    this.#slices.begin();
    const startedMs = clock.monotonicMs();
    this.#lastMs = startedMs;
    const cuts: { shard: FlushedShard; cut: FlushCut }[] = [];
    for (const shard of shards) {
      const cut = shard.cut();
      if (cut !== undefined) cuts.push({ shard, cut });
      if (this.#slices.isOver) await this.#slices.rest();
    }
    if (cuts.length === 0) return;
    const batch = state.newBatch();
    for (const { cut } of cuts) {
      await writeCut(cut, batch, state, this.#slices);
      const { shard, erasures } = cut;
      if (erasures.length > 0)
        batch.put(shardKey(shard, SHARD_PART.erased), this.#options.erasing(shard, erasures));
    }
    await batch.write({ sync: true });
    this.bytes += batch.bytes;
    for (const { shard, cut } of cuts) {
      for (const { conversation } of cut.erasures) cache.forget(conversation);
      this.#keepOverlays(cut);
      hotTail.flushed(cut.rows);
      shard.flushed(cut);
      this.#flushed.set(cut.shard, cut.applied.at.index);
    }
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

  #due(intervalMs: number): void {
    if (this.#options.clock.monotonicMs() - this.#lastMs >= intervalMs) this.#begin();
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
    try {
      await this.flush();
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
