/**
 * The files behind segments: a spare one, zeroed ahead of need so that syncs of its frames need no
 * change of the file system's own records (× 0.6 the time), and a reserve that is given up when the
 * disk is full. Preparing happens in the background, and slowly while acknowledgements wait.
 */
import { invariant } from '../../core/invariant.ts';
import type { Disk, DiskFile } from '../contract.ts';
import { isDiskFull } from '../storage-error.ts';
import { Preparation } from './preparation.ts';
import { SEGMENT_HEAD_BYTES, WAL_DIRECTORY } from './segment.ts';

/** Zeroed whole; durable under this name. */
const SPARE = `${WAL_DIRECTORY}/spare`;
/** A segment being begun that found no spare. */
const FRESH = `${WAL_DIRECTORY}/fresh.tmp`;
const RESERVE = `${WAL_DIRECTORY}/reserve`;
const ZERO_SLICE_BYTES: number = 1 << 20;
/** The spare is this many times as far as the segment before it. */
const SPARE_LEAD = 2;
/** Prepared of each in a tick while nobody waits for the log: 40 MiB a second. */
const IDLE_STEP_BYTES: number = 2 << 20;
/** Of the reserve in a tick while the log is in use. */
const BUSY_STEP_BYTES: number = 128 << 10;
/** A low disk is well again at this many times the share that makes it low. */
export const ENOUGH_ABOVE_LOW = 1.2;
/** A process that finds no spare begins with a smaller segment, so that its start does not wait long. */
const FIRST_SEGMENT_BYTES: number = 8 << 20;

/** A file for a segment, and how much is meant to go into it. */
export interface SegmentFile {
  readonly file: DiskFile;
  readonly capacityBytes: number;
}

export class SegmentFiles {
  readonly #disk: Disk;
  readonly #segmentBytes: number;
  readonly #reserveBytes: number;
  readonly #freeShareMin: number;
  /** Name of the file that `take` gave out and `name` has yet to rename. */
  #taken: string | undefined;
  #isStarting = true;
  #discarded: Promise<void> = Promise.resolve();
  #failure: Error | undefined;
  readonly #spare: Preparation;
  readonly #reserve: Preparation;

  constructor(
    disk: Disk,
    options: {
      readonly segmentBytes: number;
      readonly reserveBytes: number;
      readonly freeShareMin: number;
    },
  ) {
    this.#disk = disk;
    this.#segmentBytes = options.segmentBytes;
    this.#reserveBytes = options.reserveBytes;
    this.#freeShareMin = options.freeShareMin;
    this.#spare = new Preparation(disk, SPARE, this.#failed);
    this.#reserve = new Preparation(disk, RESERVE, this.#failed);
  }

  /** Resolves when nothing is being prepared or removed. */
  get settled(): Promise<void> {
    const all = [this.#spare.settled, this.#reserve.settled, this.#discarded];
    return Promise.all(all).then(() => undefined);
  }

  /** Resolves when nothing is being removed. */
  get discarded(): Promise<void> {
    return this.#discarded;
  }

  /** Removes a segment that nobody needs any more, in the background. */
  discard(path: string): void {
    this.#discarded = this.#disk.discard(path).catch(this.#failed);
  }

  /**
   * Called at every tick of the log: so much of the segment is filled (0 to 1), and whether nobody
   * waits for the log. The spare is ready when half of the segment is filled, and no sooner unless
   * there is time; nothing presses for the reserve. Throws what failed in the background since.
   */
  pace(filled: number, isIdle: boolean): void {
    if (this.#failure !== undefined) throw this.#failure;
    this.#spare.reach(SPARE_LEAD * filled * this.#segmentBytes);
    if (isIdle) this.#spare.grant(IDLE_STEP_BYTES);
    this.#reserve.grant(isIdle ? IDLE_STEP_BYTES : BUSY_STEP_BYTES);
  }

  /** The disk is low: what is only being prepared gives its room back. */
  abandon(): void {
    this.#spare.abandon();
    this.#reserve.abandon();
  }

  /** Clears what an earlier process left half done. */
  start(): void {
    this.#disk.makeDirectory(WAL_DIRECTORY);
    for (const name of this.#disk.list(WAL_DIRECTORY))
      if (name.endsWith('.tmp')) this.#disk.remove(`${WAL_DIRECTORY}/${name}`);
    if (!this.#isSpareUsable()) this.#disk.remove(SPARE);
  }

  /** An open file for the next segment: the spare if it is ready, else a new one. */
  take(): SegmentFile {
    invariant(this.#taken === undefined, 'segment-files.named-before-next');
    const isReady = this.#disk.sizeOf(SPARE) === this.#segmentBytes;
    this.#taken = isReady ? SPARE : FRESH;
    const isFirst = this.#isStarting;
    this.#isStarting = false;
    if (isReady) return { file: this.#disk.open(SPARE), capacityBytes: this.#segmentBytes };
    const capacityBytes = Math.min(this.#segmentBytes, FIRST_SEGMENT_BYTES);
    if (!isFirst || !this.#hasRoomFor(capacityBytes))
      return { file: this.#fresh(SEGMENT_HEAD_BYTES), capacityBytes: this.#segmentBytes };
    return { file: this.#fresh(capacityBytes), capacityBytes };
  }

  /** Gives the file taken its name, durably, and begins to prepare the next spare. */
  name(path: string): void {
    invariant(this.#taken !== undefined, 'segment-files.taken-before-named');
    this.#disk.rename(this.#taken, path);
    this.#disk.syncDirectory(WAL_DIRECTORY);
    this.#taken = undefined;
    this.#prepare(this.#spare, this.#segmentBytes);
  }

  /**
   * Runs a write that may be repeated; if the disk is full, gives up the reserve and runs it once
   * more. Nothing that anybody relies on was synced in between, so this retries no sync.
   */
  withReserve<T>(run: () => T): T {
    try {
      return run();
    } catch (thrown) {
      if (!isDiskFull(thrown) || this.#disk.sizeOf(RESERVE) === undefined) throw thrown;
      this.#disk.remove(RESERVE);
      return run();
    }
  }

  /** Makes the reserve if it is not there; called while space is enough. */
  keepReserve(): void {
    if (this.#reserveBytes === 0 || this.#disk.sizeOf(RESERVE) === this.#reserveBytes) return;
    this.#prepare(this.#reserve, this.#reserveBytes);
  }

  /**
   * The first segment of a process is zeroed while nobody waits for an acknowledgement; a later one
   * without a spare, and any on a disk without room for that, grows as it is written.
   */
  #fresh(bytes: number): DiskFile {
    return this.withReserve(() => {
      this.#disk.remove(FRESH);
      return this.#create(bytes);
    });
  }

  #create(bytes: number): DiskFile {
    const file = this.#disk.open(FRESH, { create: true });
    const zeros = new Uint8Array(Math.min(bytes, ZERO_SLICE_BYTES));
    for (let at = 0; at < bytes; at += zeros.length)
      file.write(at, [zeros.subarray(0, Math.min(zeros.length, bytes - at))]);
    file.sync();
    return file;
  }

  #isSpareUsable(): boolean {
    if (this.#disk.sizeOf(SPARE) !== this.#segmentBytes) return false;
    const file = this.#disk.open(SPARE);
    const head = new Uint8Array(SEGMENT_HEAD_BYTES);
    file.read(0, head);
    file.close();
    // A head in it means that a process died between writing and naming it.
    return head.every((byte) => byte === 0);
  }

  /**
   * What is only prepared must not make the disk low: the state store and PostgreSQL write to it too.
   * What others that are under way will take counts as taken.
   */
  #hasRoomFor(bytes: number): boolean {
    const { freeBytes, totalBytes } = this.#disk.space();
    const left = freeBytes - this.#spare.leftBytes - this.#reserve.leftBytes - bytes;
    return left >= totalBytes * this.#freeShareMin * ENOUGH_ABOVE_LOW;
  }

  #prepare(file: Preparation, bytes: number): void {
    if (file.isRunning || !this.#hasRoomFor(bytes)) return;
    file.begin(bytes);
    file.grant(IDLE_STEP_BYTES);
  }

  readonly #failed = (thrown: unknown): void => {
    this.#failure ??= thrown instanceof Error ? thrown : new Error(String(thrown));
  };
}
