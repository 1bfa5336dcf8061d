/**
 * A file zeroed ahead of need, in the background and no faster than its owner lets it: syncs of the
 * log wait behind its bytes. At full speed 64 MiB made every acknowledgement of a quarter of a
 * second late; what is needed in a minute may take half of it.
 */
import type { Disk } from '../contract.ts';
import { isDiskFull, storageError } from '../storage-error.ts';

/** Written at least at a time, when that much is left: a piece costs a sync, however small it is. */
const PIECE_BYTES_MIN: number = 256 << 10;
/** Written at most at a time, and at most let ahead of what is written. */
const PIECE_BYTES_MAX: number = 4 << 20;

export class Preparation {
  readonly #disk: Disk;
  readonly #path: string;
  readonly #failed: (thrown: unknown) => void;
  #isRunning = false;
  #isAbandoned = false;
  /** Of the file being prepared: in all, let to be written so far, and given out to be. */
  #bytes = 0;
  #allowedBytes = 0;
  #writtenBytes = 0;
  /** Looks again whether a piece may be written; there while one waits. */
  #look: (() => void) | undefined;
  #settled: Promise<void> = Promise.resolve();

  /** `failed` is told of a disk that failed. A full one is no failure: the file is then not there. */
  constructor(disk: Disk, path: string, failed: (thrown: unknown) => void) {
    this.#disk = disk;
    this.#path = path;
    this.#failed = failed;
  }

  get isRunning(): boolean {
    return this.#isRunning;
  }

  /** What it has yet to take of the disk. */
  get leftBytes(): number {
    return this.#isRunning ? this.#bytes - this.#writtenBytes : 0;
  }

  /** Resolves when nothing is being prepared. */
  get settled(): Promise<void> {
    return this.#settled;
  }

  /** Begins, unless it is under way. Nothing is written before it is let to be. */
  begin(bytes: number): void {
    if (this.#isRunning) return;
    this.#isRunning = true;
    this.#isAbandoned = false;
    this.#bytes = bytes;
    this.#allowedBytes = 0;
    this.#writtenBytes = 0;
    this.#settled = this.#run(bytes)
      .catch(this.#failed)
      .then(() => {
        this.#isRunning = false;
      });
  }

  /** Lets it get so far, not all at once. */
  reach(bytes: number): void {
    const ahead = Math.min(Math.floor(bytes), this.#writtenBytes + PIECE_BYTES_MAX);
    this.#allowedBytes = Math.max(this.#allowedBytes, ahead);
    this.#look?.();
  }

  /** Lets it write so much more. */
  grant(bytes: number): void {
    this.reach(this.#allowedBytes + bytes);
  }

  /** Gives up what is under way, and the room that it has taken. */
  abandon(): void {
    this.#isAbandoned = true;
    this.#look?.();
  }

  async #run(bytes: number): Promise<void> {
    try {
      await this.#disk.prepare(this.#path, bytes, (left) => this.#piece(left));
    } catch (thrown) {
      await this.#disk.discard(`${this.#path}.tmp`);
      // Without a spare the next segment grows as it is written; without a reserve the disk is
      // low soon. Neither touches what was acknowledged. Any other error is the disk failing.
      if (!isDiskFull(thrown)) throw thrown;
    }
  }

  /** Size of the next piece, as soon as there may be one. */
  #piece(left: number): Promise<number> {
    const least = Math.min(left, PIECE_BYTES_MIN);
    return new Promise((give, refuse) => {
      this.#look = () => {
        const allowed = this.#allowedBytes - this.#writtenBytes;
        if (allowed < least && !this.#isAbandoned) return;
        this.#look = undefined;
        if (this.#isAbandoned)
          return refuse(storageError('disk_full', `${this.#path} was given up: the disk is low`));
        const bytes = Math.min(left, allowed, PIECE_BYTES_MAX);
        this.#writtenBytes += bytes;
        give(bytes);
      };
      this.#look();
    });
  }
}
