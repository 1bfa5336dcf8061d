/**
 * Writes the WAL: frames into segments that this process began, each synced before the next. Runs
 * on the sync thread (or inside the simulator). Any error of a write or sync is final: what it
 * covered is unknown, so the writer refuses everything afterwards and the process must end.
 */
import type { Clock } from '../../core/clock.ts';
import { invariant } from '../../core/invariant.ts';
import type { Disk, DiskFile, WalSegment, WalStats, WalTail } from '../contract.ts';
import type { DataKey } from '../key-ring.ts';
import { FRAME_KIND, FrameSealer, SEALED_HEAD_BYTES, type FrameKind } from './sealed-frame.ts';
import { SEGMENT_HEAD_BYTES, encodeSegmentHead, segmentPath } from './segment.ts';
import { ENOUGH_ABOVE_LOW, SegmentFiles } from './segment-files.ts';
import { ShardTracker, carryBody } from './shard-tracker.ts';

export interface WalOptions {
  readonly segmentBytes: number;
  /** A segment with frames in it is closed at this age, so that what was deleted leaves the disk in time. */
  readonly rollMs: number;
  /** Flushed segments are kept up to this many bytes and this age: a state store may be rebuilt from them. */
  readonly retentionBytes: number;
  readonly retentionMs: number;
  /** Size of the file that is given up when the disk is full, so that votes and trims go on; 0 = none. */
  readonly reserveBytes: number;
  /** Below this share of free space (0 to 1) the disk is low: sends are refused, votes and trims go on. */
  readonly freeShareMin: number;
}

export const WAL_OPTIONS: WalOptions = {
  segmentBytes: 64 << 20,
  rollMs: 3_600_000,
  retentionBytes: 1 << 30,
  retentionMs: 24 * 3_600_000,
  reserveBytes: 256 << 20,
  freeShareMin: 0.05,
};

export interface WalWriterParts {
  readonly disk: Disk;
  /** Made for this process start and used by nobody else: the nonces count from 0. */
  readonly key: DataKey;
  /** From recovery. */
  readonly tail: WalTail;
  readonly clock: Clock;
  readonly options: WalOptions;
}

const NO_BODY = new Uint8Array(0);

type WriterState = 'new' | 'open' | 'failed' | 'closed';

export class WalWriter {
  readonly #disk: Disk;
  readonly #clock: Clock;
  readonly #options: WalOptions;
  readonly #files: SegmentFiles;
  readonly #sealer: FrameSealer;
  readonly #keyNumber: number;
  readonly #tracker: ShardTracker;
  /** Closed segments, oldest first. */
  #segments: WalSegment[];
  #state: WriterState = 'new';
  #file: DiskFile | undefined;
  #id: number;
  #createdMs = 0;
  #startedMs = 0;
  /** Where the next frame goes; everything below it is synced, except between write and sync. */
  #offset: number;
  #number: number;
  #capacityBytes = 0;
  #hasUnsynced = false;
  /** Frames since the last mark: the newest is not yet known to be synced by anything behind it. */
  #isUnmarked = false;
  #hasData = false;
  #isLow = false;
  /** What the last `trim` was told. */
  #flushed: ReadonlyMap<number, number> | undefined;
  #frames = 0;
  #bytes = 0;
  #syncs = 0;
  #syncMs = 0;
  #syncMsMax = 0;

  constructor(parts: WalWriterParts) {
    this.#disk = parts.disk;
    this.#clock = parts.clock;
    this.#options = parts.options;
    this.#sealer = new FrameSealer(parts.key);
    this.#keyNumber = parts.key.number;
    this.#tracker = new ShardTracker(parts.tail.carried);
    this.#segments = [...parts.tail.segments];
    this.#id = parts.tail.segment;
    this.#offset = parts.tail.endOffset;
    this.#number = parts.tail.frames;
    this.#files = new SegmentFiles(parts.disk, parts.options);
  }

  /** Begins this process's first segment; durable when it returns. */
  start(): void {
    invariant(this.#state === 'new', 'wal-writer.started-once');
    this.#state = 'open';
    this.#guard(() => {
      this.#files.start();
      this.#begin();
    });
    this.checkSpace();
  }

  /** True while less than 5 % of the disk is free. */
  get isLow(): boolean {
    return this.#isLow;
  }

  /** Resolves when no file is being prepared or removed. */
  get settled(): Promise<void> {
    return this.#files.settled;
  }

  /** Resolves when no segment is being removed any more. */
  get discarded(): Promise<void> {
    return this.#files.discarded;
  }

  /** Writes one frame and makes it durable. */
  append(body: Uint8Array): void {
    this.write(body);
    this.sync();
  }

  /** Writes one frame (see frame.ts) without making it durable; `sync` must follow before the next. */
  write(body: Uint8Array): void {
    this.#mustBeOpen();
    this.#guard(() => {
      const end = this.#offset + SEALED_HEAD_BYTES + body.length;
      // Before the records are counted: the next segment carries only what earlier ones hold.
      if (end > this.#capacityBytes && this.#hasData) this.#roll();
      // Checked before it is written: a broken record must never reach the disk.
      this.#tracker.takeFrame(body);
      this.#writeFrame(FRAME_KIND.data, body);
    });
    this.#hasData = true;
    this.#isUnmarked = true;
  }

  sync(): void {
    this.#mustBeOpen();
    this.#guard(() => this.#syncFrame());
  }

  /**
   * Called about every 50 ms: files needed later are prepared, faster while nobody waits. Throws what
   * failed in the background since.
   */
  pace(isIdle: boolean): void {
    this.#mustBeOpen();
    const filled = this.#offset / Math.max(this.#capacityBytes, this.#offset);
    this.#guard(() => this.#files.pace(filled, isIdle));
  }

  /** Called when idle, about every 50 ms: marks the last frame as synced, rolls by age. */
  tick(): void {
    this.#mustBeOpen();
    this.#guard(() => {
      if (this.#isUnmarked) this.#mark(FRAME_KIND.mark);
      const isOld = this.#clock.monotonicMs() - this.#startedMs >= this.#options.rollMs;
      if (isOld && this.#hasData) this.#roll();
    });
  }

  /** Removes segments that no shard needs and retention does not keep. Returns how many go. */
  trim(flushed: ReadonlyMap<number, number>): number {
    this.#mustBeOpen();
    this.#flushed = flushed;
    const retentionBytes = this.#isLow ? 0 : this.#options.retentionBytes;
    const oldest = this.#clock.nowMs() - this.#options.retentionMs;
    const flushedCount = this.#segments.findIndex(
      ({ last }) => !last.every(([shard, index]) => (flushed.get(shard) ?? 0) >= index),
    );
    const candidates = this.#segments.slice(
      0,
      flushedCount < 0 ? this.#segments.length : flushedCount,
    );
    let bytes = candidates.reduce((sum, segment) => sum + segment.bytes, 0);
    let removed = 0;
    for (const segment of candidates) {
      if (bytes <= retentionBytes && segment.createdMs >= oldest) break;
      this.#files.discard(segmentPath(segment.id));
      bytes -= segment.bytes;
      removed++;
    }
    this.#segments.splice(0, removed);
    return removed;
  }

  /** Asks the disk for its free space and trims again; returns whether `isLow` changed. */
  checkSpace(): boolean {
    this.#mustBeOpen();
    const { freeBytes, totalBytes } = this.#guard(() => this.#disk.space());
    const share = totalBytes === 0 ? 1 : freeBytes / totalBytes;
    const low = this.#options.freeShareMin;
    const isLow = share < (this.#isLow ? low * ENOUGH_ABOVE_LOW : low);
    if (isLow) this.#files.abandon();
    else this.#files.keepReserve();
    const changed = isLow !== this.#isLow;
    this.#isLow = isLow;
    // On a low disk what was kept for a rebuild goes at once, and at any time what has come of age:
    // while sends are refused, or nobody writes, no flush asks for it.
    if (this.#flushed !== undefined) this.trim(this.#flushed);
    return changed;
  }

  /** Marks the end as clean. Idempotent; after a failure it only lets go. */
  close(): void {
    if (this.#state !== 'open') return;
    this.#guard(() => {
      if (this.#hasUnsynced) this.#syncFrame();
      this.#mark(FRAME_KIND.closed);
      this.#file?.truncate(this.#offset);
      this.#file?.close();
    });
    this.#file = undefined;
    this.#state = 'closed';
  }

  stats(): WalStats {
    const closedBytes = this.#segments.reduce((sum, segment) => sum + segment.bytes, 0);
    return {
      frames: this.#frames,
      bytes: this.#bytes,
      syncs: this.#syncs,
      syncMs: this.#syncMs,
      syncMsMax: this.#syncMsMax,
      segments: this.#segments.length + 1,
      segmentBytes: closedBytes + Math.max(this.#capacityBytes, this.#offset),
    };
  }

  #mark(kind: FrameKind): void {
    this.#writeFrame(kind, NO_BODY);
    this.#syncFrame();
    this.#isUnmarked = false;
  }

  #writeFrame(kind: FrameKind, body: Uint8Array): void {
    invariant(!this.#hasUnsynced, 'wal-writer.synced-before-next');
    const file = this.#file;
    invariant(file !== undefined, 'wal-writer.segment-open');
    const place = {
      kind,
      segment: this.#id,
      number: this.#number,
      syncedOffset: this.#offset,
    };
    const parts = this.#sealer.seal(place, body);
    // The same bytes at the same place: sealed once, so a repeated write repeats no nonce.
    this.#files.withReserve(() => file.write(this.#offset, parts));
    this.#hasUnsynced = true;
    this.#offset += SEALED_HEAD_BYTES + body.length;
    this.#number++;
    this.#frames++;
    this.#bytes += SEALED_HEAD_BYTES + body.length;
  }

  #syncFrame(): void {
    const before = this.#clock.monotonicMs();
    this.#file?.sync();
    const took = this.#clock.monotonicMs() - before;
    this.#hasUnsynced = false;
    this.#syncs++;
    this.#syncMs += took;
    this.#syncMsMax = Math.max(this.#syncMsMax, took);
  }

  #roll(): void {
    invariant(!this.#hasUnsynced, 'wal-writer.rolls-synced');
    this.#file?.close();
    this.#file = undefined;
    this.#segments.push({
      id: this.#id,
      bytes: this.#offset,
      createdMs: this.#createdMs,
      last: this.#tracker.lasts(),
    });
    this.#begin();
  }

  /**
   * Begins the next segment. Its head says where the one before ended; the name appears only when
   * head and first frame are durable, so a segment is never half there.
   */
  #begin(): void {
    const previous = { id: this.#id, endOffset: this.#offset, frames: this.#number };
    this.#id++;
    this.#createdMs = this.#clock.nowMs();
    this.#startedMs = this.#clock.monotonicMs();
    const { file, capacityBytes } = this.#files.take();
    this.#file = file;
    this.#capacityBytes = capacityBytes;
    const head = encodeSegmentHead({
      id: this.#id,
      keyNumber: this.#keyNumber,
      createdMs: this.#createdMs,
      previousEndOffset: previous.endOffset,
      previousFrames: previous.frames,
    });
    file.write(0, [head]);
    this.#offset = SEGMENT_HEAD_BYTES;
    this.#number = 0;
    const body = carryBody(this.#tracker.carried());
    if (body === undefined) this.#writeFrame(FRAME_KIND.mark, NO_BODY);
    else this.#writeFrame(FRAME_KIND.data, body);
    this.#syncFrame();
    this.#files.name(segmentPath(this.#id));
    this.#hasData = false;
    this.#isUnmarked = false;
    if (previous.id > 0) this.#shorten(previous.id, previous.endOffset);
  }

  /** Gives back the zeros, or the torn bytes, behind the end that the next head has settled. */
  #shorten(id: number, endOffset: number): void {
    const path = segmentPath(id);
    if ((this.#disk.sizeOf(path) ?? 0) <= endOffset) return;
    const file = this.#disk.open(path);
    file.truncate(endOffset);
    file.close();
  }

  #guard<T>(run: () => T): T {
    try {
      return run();
    } catch (thrown) {
      this.#state = 'failed';
      throw thrown;
    }
  }

  #mustBeOpen(): void {
    invariant(this.#state !== 'failed', 'wal-writer.never-after-an-error');
    invariant(this.#state === 'open', 'wal-writer.open');
  }
}
