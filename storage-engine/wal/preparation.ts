/**
 * A file zeroed ahead of need, in the background and no faster than its owner lets it: syncs of the
 * log wait behind its bytes. At full speed 64 MiB made every acknowledgement of a quarter of a
 * second late; what is needed in a minute may take half of it.
 */
import type { Disk } from '../contract.ts';
import { isDiskFull } from '../storage-error.ts';

/** Written at least at a time, when that much is left: a piece costs a sync, however small it is. */
const PIECE_BYTES_MIN: number = 256 << 10;
const PIECE_BYTES_MAX: number = 4 << 20;

export class Preparation {
  readonly #disk: Disk;
  readonly #path: string;
  #isRunning = false;
  /** Of the file being prepared: let to be written so far, and given out to be. */
  #allowedBytes = 0;
  #writtenBytes = 0;
  /** Looks again whether a piece may be written; there while one waits. */
  #look: (() => void) | undefined;
  #settled: Promise<void> = Promise.resolve();

  constructor(disk: Disk, path: string) {
    this.#disk = disk;
    this.#path = path;
  }

  get isRunning(): boolean {
    return this.#isRunning;
  }

  /** Resolves when nothing is being prepared; rejects if the disk failed (a full one is no failure). */
  get settled(): Promise<void> {
    return this.#settled;
  }

  /** Begins, unless it is under way. The first `allowedBytes` go at once. */
  begin(bytes: number, allowedBytes: number): void {
    if (this.#isRunning) return;
    this.#isRunning = true;
    this.#allowedBytes = allowedBytes;
    this.#writtenBytes = 0;
    this.#settled = this.#disk
      .prepare(this.#path, bytes, (left) => this.#piece(left))
      .then(
        () => {
          this.#isRunning = false;
        },
        (thrown: unknown) => {
          this.#isRunning = false;
          this.#disk.remove(`${this.#path}.tmp`);
          // Without a spare the next segment grows as it is written; without a reserve the disk is
          // low soon. Neither touches what was acknowledged. Any other error is the disk failing.
          if (!isDiskFull(thrown)) throw thrown;
        },
      );
    // Whoever cares awaits `settled`; this keeps an early rejection from counting as unhandled.
    this.#settled.catch(() => undefined);
  }

  /** Lets it write up to `bytes` in all, and `more` than it has written. */
  allow(bytes: number, more: number): void {
    this.#allowedBytes = Math.max(this.#allowedBytes, bytes, this.#writtenBytes + more);
    this.#look?.();
  }

  /** Size of the next piece, as soon as there may be one. */
  #piece(left: number): Promise<number> {
    const least = Math.min(left, PIECE_BYTES_MIN);
    return new Promise((give) => {
      this.#look = () => {
        const allowed = Math.floor(this.#allowedBytes) - this.#writtenBytes;
        if (allowed < least) return;
        this.#look = undefined;
        const bytes = Math.min(left, allowed, PIECE_BYTES_MAX);
        this.#writtenBytes += bytes;
        give(bytes);
      };
      this.#look();
    });
  }
}
