/**
 * The native calls of rocksdb 5.2.1, typed. Only RocksHandle may make them: a call on a closed
 * database ends the whole process.
 *
 * The module must be loaded on the main thread before any worker loads it (else the second worker
 * is told "Module did not self-register"): main calls `loadRocksBinding` once at start.
 */
import { createRequire } from 'node:module';

declare const opaque: unique symbol;
export type RocksContext = { readonly [opaque]: 'database' };
export type RocksBatch = { readonly [opaque]: 'batch' };
export type RocksIterator = { readonly [opaque]: 'iterator' };

export type RocksCallback<T> = (error: Error | null, value: T) => void;

export interface RocksOpenOptions {
  readonly createIfMissing: boolean;
  readonly compression: boolean;
  readonly writeBufferSize: number;
  readonly blockSize: number;
  readonly cacheSize: number;
  readonly maxOpenFiles: number;
}

export interface RocksIteratorOptions {
  readonly gte: Uint8Array;
  readonly lt: Uint8Array;
  readonly reverse: boolean;
  readonly limit: number;
  readonly values: boolean;
  readonly fillCache: boolean;
  readonly highWaterMark: number;
}

/** Rows of one native step, last first: [value, key, value, key, ...]. */
export type RocksRows = readonly Uint8Array[];

export interface RocksBinding {
  db_init(): RocksContext;
  db_open(
    context: RocksContext,
    path: string,
    options: RocksOpenOptions,
    done: RocksCallback<void>,
  ): void;
  db_close(context: RocksContext, done: RocksCallback<void>): void;
  db_get_many(
    context: RocksContext,
    keys: readonly Uint8Array[],
    options: { readonly fillCache: boolean },
    done: RocksCallback<(Uint8Array | undefined)[]>,
  ): void;
  db_compact_range(
    context: RocksContext,
    start: Uint8Array,
    end: Uint8Array,
    done: RocksCallback<void>,
  ): void;
  db_get_property(context: RocksContext, name: string): string;
  iterator_init(context: RocksContext, options: RocksIteratorOptions): RocksIterator;
  iterator_next(
    iterator: RocksIterator,
    done: (error: Error | null, rows: RocksRows, isFinished: boolean) => void,
  ): void;
  iterator_end(iterator: RocksIterator, done: RocksCallback<void>): void;
  batch_init(context: RocksContext): RocksBatch;
  batch_put(batch: RocksBatch, key: Uint8Array, value: Uint8Array): void;
  batch_del(batch: RocksBatch, key: Uint8Array): void;
  batch_write(
    batch: RocksBatch,
    options: { readonly sync: boolean },
    done: RocksCallback<void>,
  ): void;
}

/** Loads the native module of this thread. Main must have called it before a worker does. */
export function loadRocksBinding(): RocksBinding {
  const require = createRequire(import.meta.url);
  return require('rocksdb/binding') as RocksBinding;
}
