/**
 * The turn of a store: everything that arrived is proposed, the writes of all shards go into one WAL
 * frame, and when that frame is durable what it committed is applied, answered and fanned out. No
 * timer batches: whatever arrives while a frame is being synced is the next frame.
 *
 * Order in `synced`: the next frame leaves first, so that the disk works while this one is applied.
 */
import type { Clock, Timer, Timers } from '../../core/clock.ts';
import { invariant } from '../../core/invariant.ts';
import type { Wal, WalListener } from '../../storage-engine/contract.ts';
import { FrameWriter } from '../../storage-engine/wal/frame.ts';
import type { RaftShardLog } from './raft-shard-log.ts';
import type { Shard } from './shard.ts';

export interface LoopShard {
  readonly shard: Shard;
  readonly log: RaftShardLog;
}

export interface StoreLoopParts {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly tickMs: number;
  /** Something was applied in this turn. */
  readonly applied: () => void;
  /** The WAL cannot go on: the process must end. */
  readonly fatal: (error: Error) => void;
  readonly spaceChanged: (isLow: boolean) => void;
}

export class StoreLoop implements WalListener {
  readonly #parts: StoreLoopParts;
  readonly #frame = new FrameWriter();
  readonly #flushes: (() => void)[] = [];
  #shards: readonly LoopShard[] = [];
  #wal: Wal | undefined;
  #ticker: Timer | undefined;
  #isArmed = false;
  #isInFlight = false;
  #isFlushArmed = false;
  #isOver = false;
  #submittedMs = 0;
  #tickedMs = 0;
  // Exported: sums and counts since the start, the longest since it was last read.
  frames = 0;
  syncMs = 0;
  syncLongestMs = 0;
  frameBytes = 0;
  loopDelayLongestMs = 0;

  constructor(parts: StoreLoopParts) {
    this.#parts = parts;
  }

  start(wal: Wal, shards: readonly LoopShard[]): void {
    invariant(this.#wal === undefined, 'store-loop.started-once');
    this.#wal = wal;
    this.#shards = shards;
    const { timers, clock, tickMs } = this.#parts;
    this.#tickedMs = clock.monotonicMs();
    this.#ticker = timers.every(tickMs, () => this.#tick());
    for (const { log } of shards) log.campaign();
    this.arm();
  }

  /** Proposes nothing more and waits for nothing: frames in flight are of no use any more. */
  stop(): void {
    this.#ticker?.cancel();
    this.#isOver = true;
  }

  get isInFlight(): boolean {
    return this.#isInFlight;
  }

  /** Has `turn` run soon. Cheap, and often called. */
  readonly arm: () => void = (): void => {
    if (this.#isArmed || this.#isOver) return;
    this.#isArmed = true;
    this.#parts.timers.soon(this.turn);
  };

  /** Ships slabs at the end of this turn of the loop. */
  readonly schedule: (flush: () => void) => void = (flush) => {
    this.#flushes.push(flush);
    if (this.#isFlushArmed) return;
    this.#isFlushArmed = true;
    this.#parts.timers.soon(this.ship);
  };

  readonly turn: () => void = (): void => {
    this.#isArmed = false;
    if (this.#isOver) return;
    if (!this.#isInFlight) this.#propose();
    this.#collect();
    this.#submit();
    this.#apply();
    this.ship();
  };

  // ---- WalListener

  synced(frame: ArrayBuffer): void {
    if (this.#isOver) return;
    const tookMs = this.#parts.clock.monotonicMs() - this.#submittedMs;
    this.syncMs += tookMs;
    this.syncLongestMs = Math.max(this.syncLongestMs, tookMs);
    this.#isInFlight = false;
    this.#frame.recycle(frame);
    for (const { log } of this.#shards) log.landed();
    this.#propose();
    this.#collect();
    this.#submit();
    for (const { log } of this.#shards) log.persisted();
    this.#collect();
    this.#apply();
    this.#submit();
    this.ship();
  }

  failed(error: Error): void {
    this.stop();
    this.#parts.fatal(error);
  }

  spaceChanged(isLow: boolean): void {
    this.#parts.spaceChanged(isLow);
  }

  // ---- inside

  #propose(): void {
    for (const { shard } of this.#shards) if (shard.hasCommands) shard.proposeAll();
  }

  #collect(): void {
    for (const { shard, log } of this.#shards) {
      if (!log.hasEffects()) continue;
      shard.closeRound();
      log.collect(this.#frame);
    }
  }

  #submit(): void {
    if (this.#isInFlight) return;
    if (this.#frame.records === 0) {
      this.#settleEmpty();
      return;
    }
    for (const { log } of this.#shards) log.submitted();
    this.#isInFlight = true;
    this.frames++;
    this.frameBytes += this.#frame.bytes;
    this.#submittedMs = this.#parts.clock.monotonicMs();
    this.#wal?.submit(this.#frame.take());
  }

  /** Writes of nothing are durable with what went before, which here is all. */
  #settleEmpty(): void {
    for (const { log } of this.#shards) {
      if (!log.wantsSync) continue;
      log.submitted();
      log.landed();
      log.persisted();
      this.arm();
    }
  }

  #apply(): void {
    let isAny = false;
    for (const { shard } of this.#shards) if (shard.applyAll()) isAny = true;
    if (isAny) this.#parts.applied();
  }

  /** What was packed in this turn leaves. */
  readonly ship: () => void = (): void => {
    this.#isFlushArmed = false;
    if (this.#flushes.length === 0) return;
    const flushes = this.#flushes.splice(0);
    for (const flush of flushes) flush();
  };

  #tick(): void {
    const nowMs = this.#parts.clock.monotonicMs();
    const delayMs = nowMs - this.#tickedMs - this.#parts.tickMs;
    this.#tickedMs = nowMs;
    this.loopDelayLongestMs = Math.max(this.loopDelayLongestMs, delayMs);
    let isAny = false;
    for (const { log } of this.#shards) {
      log.tick();
      if (log.hasEffects()) isAny = true;
    }
    if (isAny) this.arm();
  }
}
