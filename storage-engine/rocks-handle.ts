/**
 * The one owner of a RocksDB database: counts what is in flight, closes when nothing is, and lets
 * no call through before opening or after closing (the binding would end the process). Its first
 * error makes it suspect for good: after one, RocksDB 6.17 goes on as if nothing had happened, over
 * a log that may have a hole.
 */
import type { ParleyError } from '../core/errors.ts';
import { invariant } from '../core/invariant.ts';
import type { StateHealth } from './contract.ts';
import type {
  RocksBatch,
  RocksBinding,
  RocksCallback,
  RocksContext,
  RocksIteratorOptions,
  RocksOpenOptions,
  RocksRows,
} from './rocks-binding.ts';
import { storageError } from './storage-error.ts';

/** Steps of one iterator: rows are limited, so a longer loop is a fault. */
const ITERATOR_STEPS_MAX = 100_000;

export class RocksHandle {
  readonly #binding: RocksBinding;
  readonly #context: RocksContext;
  readonly #path: string;
  #health: StateHealth = 'new';
  #error: ParleyError | undefined;
  #inFlight = 0;
  #onIdle: (() => void) | undefined;
  #closing: Promise<void> | undefined;
  #isNativeOpen = false;

  constructor(binding: RocksBinding, path: string) {
    this.#binding = binding;
    this.#path = path;
    this.#context = binding.db_init();
  }

  get health(): StateHealth {
    return this.#health;
  }

  async open(options: RocksOpenOptions): Promise<void> {
    invariant(this.#health === 'new', 'rocks.opened-once');
    this.#health = 'opening';
    await this.#run<void>((done) =>
      this.#binding.db_open(this.#context, this.#path, options, (error) => {
        this.#isNativeOpen = error === null || error === undefined;
        done(error, undefined);
      }),
    );
    // Closed meanwhile: `close` has seen that the native side is open and ends it.
    if (this.#health === 'opening') this.#health = 'open';
    this.#mustBeOpen();
  }

  /** Idempotent; waits for calls in flight, then closes the native side, also of a suspect store. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  /** Marks the store suspect from outside: a value that failed its check. Returns the error to throw. */
  fail(error: ParleyError): ParleyError {
    if (this.#error === undefined) {
      this.#error = error;
      if (this.#health === 'open' || this.#health === 'opening') this.#health = 'suspect';
    }
    return this.#error;
  }

  async getMany(
    keys: readonly Uint8Array[],
    fillCache: boolean,
  ): Promise<(Uint8Array | undefined)[]> {
    this.#mustBeOpen();
    const values = await this.#run<(Uint8Array | undefined)[]>((done) =>
      this.#binding.db_get_many(this.#context, keys, { fillCache }, done),
    );
    invariant(values.length === keys.length, 'rocks.one-value-per-key');
    return values;
  }

  /** Keys and values of a range in order; values are empty when `values` is false. */
  async range(options: RocksIteratorOptions): Promise<(readonly [Uint8Array, Uint8Array])[]> {
    this.#mustBeOpen();
    const found: (readonly [Uint8Array, Uint8Array])[] = [];
    // An iterator that is not ended trips an assertion of the binding when it is collected.
    this.#inFlight++;
    const iterator = this.#binding.iterator_init(this.#context, options);
    try {
      for (let step = 0; ; step++) {
        invariant(step < ITERATOR_STEPS_MAX, 'rocks.iterator-ends');
        const [rows, isFinished] = await this.#step(iterator);
        for (let i = rows.length - 1; i > 0; i -= 2)
          found.push([rows[i] as Uint8Array, rows[i - 1] as Uint8Array]);
        if (isFinished || found.length >= options.limit) return found;
      }
    } finally {
      await new Promise<void>((resolve) => this.#binding.iterator_end(iterator, () => resolve()));
      this.#leave();
    }
  }

  newBatch(): RocksBatch {
    this.#mustBeOpen();
    return this.#binding.batch_init(this.#context);
  }

  put(batch: RocksBatch, key: Uint8Array, value: Uint8Array): void {
    this.#mustBeOpen();
    this.#binding.batch_put(batch, key, value);
  }

  del(batch: RocksBatch, key: Uint8Array): void {
    this.#mustBeOpen();
    this.#binding.batch_del(batch, key);
  }

  write(batch: RocksBatch, sync: boolean): Promise<void> {
    this.#mustBeOpen();
    return this.#run<void>((done) => this.#binding.batch_write(batch, { sync }, done));
  }

  /** The binding drops the result of a compaction; RocksDB's own background errors are asked instead. */
  async compactRange(start: Uint8Array, end: Uint8Array): Promise<void> {
    this.#mustBeOpen();
    await this.#run<void>((done) =>
      this.#binding.db_compact_range(this.#context, start, end, done),
    );
    if (this.#health !== 'open') return;
    if (this.number('rocksdb.background-errors') > 0)
      throw this.fail(this.#foreign(new Error('background error of RocksDB')));
  }

  property(name: string): string {
    this.#mustBeOpen();
    return this.#binding.db_get_property(this.#context, name);
  }

  number(name: string): number {
    const value = Number(this.property(name));
    return Number.isFinite(value) ? value : 0;
  }

  #step(
    iterator: ReturnType<RocksBinding['iterator_init']>,
  ): Promise<readonly [RocksRows, boolean]> {
    return new Promise((resolve, reject) => {
      this.#binding.iterator_next(iterator, (error, rows, isFinished) => {
        if (error === null) resolve([rows, isFinished]);
        else reject(this.fail(this.#foreign(error)));
      });
    });
  }

  #run<T>(call: (done: RocksCallback<T>) => void): Promise<T> {
    this.#inFlight++;
    return new Promise<T>((resolve, reject) => {
      call((error, value) => {
        this.#leave();
        if (error === null || error === undefined) resolve(value);
        else reject(this.fail(this.#foreign(error)));
      });
    });
  }

  #leave(): void {
    this.#inFlight--;
    invariant(this.#inFlight >= 0, 'rocks.in-flight-counted');
    if (this.#inFlight === 0) this.#onIdle?.();
  }

  async #close(): Promise<void> {
    this.#health = 'closing';
    if (this.#inFlight > 0)
      await new Promise<void>((resolve) => {
        this.#onIdle = resolve;
      });
    this.#onIdle = undefined;
    if (this.#isNativeOpen) {
      this.#isNativeOpen = false;
      await new Promise<void>((resolve) => {
        this.#binding.db_close(this.#context, () => resolve());
      });
    }
    this.#health = 'closed';
  }

  #mustBeOpen(): void {
    if (this.#health === 'open') return;
    if (this.#error !== undefined) throw this.#error;
    throw storageError('closed', `the state store in ${this.#path} is ${this.#health}`, {
      file: this.#path,
    });
  }

  /** RocksDB's errors by their text; there is nothing else to tell them by. */
  #foreign(error: Error): ParleyError {
    const file = this.#path;
    const text = error.message;
    if (/LOCK/.test(text))
      return storageError(
        'in_use',
        `${file} is in use by another process; stop that server first, or choose another data directory`,
        { file },
        error,
      );
    if (/Corruption|does not exist|No such file/i.test(text))
      return storageError(
        'corrupt',
        `the state store in ${file} is damaged (${text}); it is not served; remove that directory and start again: it is rebuilt from the log if that reaches back, else restore a backup`,
        { file },
        error,
      );
    if (/No space/i.test(text))
      return storageError(
        'disk_full',
        `no space left for the state store in ${file}; free some space and start again`,
        { file },
        error,
      );
    return storageError(
      'io',
      `the state store in ${file} failed (${text}); check the disk, then start again`,
      { file },
      error,
    );
  }
}
