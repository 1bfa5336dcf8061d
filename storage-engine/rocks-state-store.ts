/**
 * The StateStore over RocksDB. Every value is sealed on the way in and verified on every read, so
 * neither a flipped bit (its iterator returns those) nor a value under a wrong key is ever served.
 * Opening verifies what RocksDB does not: that no batch is missing in the middle and that every
 * table file it counts on is there.
 */
import fs from 'node:fs';
import path from 'node:path';
import { compareBytes } from '../core/bytes.ts';
import { invariant } from '../core/invariant.ts';
import { FLUSH_EVERY_BATCHES, RING_SLOTS, ringEntry, ringRange, verifyRing } from './batch-ring.ts';
import {
  STATE_RANGE_LIMIT_MAX,
  STATE_RESERVED_PREFIX,
  type StateBatch,
  type StateEntry,
  type StateHealth,
  type StateOpening,
  type StateRange,
  type StateStats,
  type StateStore,
} from './contract.ts';
import { Opener, Sealer } from './envelope.ts';
import { KEY_DIRECTORY, keyFileName, type DataKey, type DataKeys } from './key-ring.ts';
import { keyAfter } from './keys.ts';
import type { RocksBatch, RocksBinding } from './rocks-binding.ts';
import { RocksHandle } from './rocks-handle.ts';
import { storageError } from './storage-error.ts';

const LEVELS: readonly string[] = [0, 1, 2, 3, 4, 5, 6].map(
  (level) => `rocksdb.num-files-at-level${level}`,
);

export interface RocksStateStoreParts {
  /** From loadRocksBinding, in this thread. */
  readonly binding: RocksBinding;
  /** Absolute path of the database's own directory. */
  readonly path: string;
  readonly keys: DataKeys;
  /**
   * Makes the key of this process start, which this store alone seals with. Called once, when RocksDB's
   * lock is held and its files were found whole: a start that is refused leaves no key behind.
   */
  readonly newDataKey: () => DataKey;
  readonly cacheBytes: number;
}

export const KEY_BYTES_MAX = 255;

const WRITE_BUFFER_BYTES: number = 64 << 20;
const BLOCK_BYTES: number = 16 << 10;
const OPEN_FILES_MAX = 4096;
/** Bytes of one native step of a range: few steps, yet no step holds the pool for long. */
const RANGE_STEP_BYTES: number = 4 << 20;
const CLEAR_KEYS_PER_BATCH = 4096;
/** Batches written or waiting to be: the flusher's, a merge's, a clear's. */
const WRITES_MAX = 16;
/** A forced flush that has not ended by then holds the next batch back: the ring must see the whole log. */
const UNFLUSHED_BATCHES_MAX: number = RING_SLOTS - 1024;

export class RocksStateStore implements StateStore {
  readonly #handle: RocksHandle;
  readonly #path: string;
  readonly #cacheBytes: number;
  readonly #newDataKey: () => DataKey;
  readonly #opener: Opener;
  /** Once it is open. */
  #sealer: Sealer | undefined;
  readonly #nativeKey = nativeKeys();
  #writes: Promise<void> = Promise.resolve();
  #writesWaiting = 0;
  #lastBatch = 0;
  #flushedBatch = 0;
  #flushing: Promise<void> | undefined;
  #bytesWritten = 0;
  #batches = 0;
  #flushes = 0;

  constructor(parts: RocksStateStoreParts) {
    this.#path = parts.path;
    this.#cacheBytes = parts.cacheBytes;
    this.#newDataKey = parts.newDataKey;
    this.#opener = new Opener(parts.keys);
    this.#handle = new RocksHandle(parts.binding, parts.path);
  }

  get health(): StateHealth {
    return this.#handle.health;
  }

  async open(): Promise<StateOpening> {
    const isNew = !fs.existsSync(path.join(this.#path, 'CURRENT'));
    fs.mkdirSync(this.#path, { recursive: true, mode: 0o700 });
    await this.#handle.open({
      createIfMissing: true,
      // Ciphertext does not shrink.
      compression: false,
      writeBufferSize: WRITE_BUFFER_BYTES,
      blockSize: BLOCK_BYTES,
      cacheSize: this.#cacheBytes,
      maxOpenFiles: OPEN_FILES_MAX,
    });
    try {
      this.#checkFiles();
      const { gte, lt } = ringRange();
      const rows = await this.#rows({ gte, lt, limit: RING_SLOTS }, true);
      const entries = rows.map(([key, value]) => ({ key, value }));
      this.#lastBatch = verifyRing(entries, this.#path);
      this.#sealer = new Sealer(this.#newDataKey());
    } catch (thrown) {
      if (thrown instanceof Error && 'reason' in thrown)
        throw this.#handle.fail(thrown as ReturnType<typeof storageError>);
      throw thrown;
    }
    // Opening replays RocksDB's log into a table file, so the log begins empty.
    this.#flushedBatch = this.#lastBatch;
    return { isNew, lastBatch: this.#lastBatch };
  }

  close(): Promise<void> {
    return this.#handle.close();
  }

  async get(key: Uint8Array): Promise<Uint8Array | undefined> {
    return (await this.getMany([key]))[0];
  }

  async getMany(keys: readonly Uint8Array[]): Promise<(Uint8Array | undefined)[]> {
    for (const key of keys) checkKey(key);
    if (keys.length === 0) return [];
    const sealed = await this.#handle.getMany(keys, true);
    return sealed.map((value, i) =>
      value === undefined ? undefined : this.#unseal(keys[i] as Uint8Array, value),
    );
  }

  async range(range: StateRange): Promise<StateEntry[]> {
    const rows = await this.#rows(range, true);
    return rows.map(([key, value]) => ({ key, value: this.#unseal(key, value) }));
  }

  newBatch(): StateBatch {
    const handle = this.#handle;
    // Refuses unless the store is open.
    const batch = handle.newBatch();
    const sealer = this.#sealer;
    invariant(sealer !== undefined, 'state.opened-before-written');
    return new RocksStateBatch({
      handle,
      batch,
      sealer,
      nativeKey: this.#nativeKey,
      write: (options, bytes) => this.#write(batch, options.sync, bytes),
    });
  }

  async clearRange(gte: Uint8Array, lt: Uint8Array): Promise<number> {
    let cleared = 0;
    let from = gte;
    for (;;) {
      const rows = await this.#rows({ gte: from, lt, limit: CLEAR_KEYS_PER_BATCH }, false);
      if (rows.length === 0) return cleared;
      const batch = this.newBatch();
      for (const [key] of rows) batch.del(key);
      await batch.write({ sync: true });
      cleared += rows.length;
      from = keyAfter(rows.at(-1)?.[0] ?? from);
    }
  }

  compactRange(gte: Uint8Array, lt: Uint8Array): Promise<void> {
    return this.#handle.compactRange(gte, lt);
  }

  stats(): StateStats {
    const handle = this.#handle;
    return {
      batches: this.#batches,
      bytesWritten: this.#bytesWritten,
      memtableFlushes: this.#flushes,
      memtableBytes: handle.number('rocksdb.cur-size-all-mem-tables'),
      tableBytes: handle.number('rocksdb.total-sst-files-size'),
      tableFiles: LEVELS.reduce((sum, level) => sum + handle.number(level), 0),
      levelZeroFiles: handle.number(LEVELS[0] ?? ''),
      pendingCompactionBytes: handle.number('rocksdb.estimate-pending-compaction-bytes'),
      isWriteStopped: handle.number('rocksdb.is-write-stopped') !== 0,
    };
  }

  #rows(range: StateRange, values: boolean): Promise<(readonly [Uint8Array, Uint8Array])[]> {
    const limit = range.limit ?? STATE_RANGE_LIMIT_MAX;
    invariant(limit >= 1 && limit <= STATE_RANGE_LIMIT_MAX, 'state.range-limit', { limit });
    invariant(range.gte.length > 0 && range.lt.length > 0, 'state.range-bounds');
    if (compareBytes(range.gte, range.lt) >= 0) return Promise.resolve([]);
    return this.#handle.range({
      gte: range.gte,
      lt: range.lt,
      reverse: range.reverse ?? false,
      limit,
      values,
      // RocksDB's iterators check no checksums: blocks that they put into the cache would take the
      // check away from `get` as well, and a rotten key would be "not found".
      fillCache: false,
      highWaterMark: RANGE_STEP_BYTES,
    });
  }

  #unseal(key: Uint8Array, sealed: Uint8Array): Uint8Array {
    const value = this.#opener.open(this.#nativeKey(key), sealed);
    if (value !== undefined) return value;
    const number = this.#opener.missingKey(sealed);
    const why =
      number === undefined
        ? 'fails its check; it is not served; remove that directory'
        : `was sealed with a data key that is not there; put ${KEY_DIRECTORY}/${keyFileName({ purpose: 'state', number })} back from a backup; if there never was one, remove that directory`;
    throw this.#handle.fail(
      storageError(
        'corrupt',
        `a value in the state store ${this.#path} ${why} and start again: it is rebuilt from the log if that reaches back, else restore a backup`,
        { file: this.#path, prefix: key[0] ?? 0 },
      ),
    );
  }

  /** Batches are numbered and written in the order of the calls, one at a time. */
  #write(batch: RocksBatch, sync: boolean, bytes: number): Promise<void> {
    invariant(this.#writesWaiting < WRITES_MAX, 'state.writes-bounded');
    this.#writesWaiting++;
    const written = this.#writes.then(() => this.#writeNext(batch, sync, bytes));
    this.#writes = written.then(
      () => {
        this.#writesWaiting--;
      },
      () => {
        // The store is suspect now; whoever waits behind is refused with the same error.
        this.#writesWaiting--;
      },
    );
    return written;
  }

  async #writeNext(batch: RocksBatch, sync: boolean, bytes: number): Promise<void> {
    if (this.#lastBatch + 1 - this.#flushedBatch > UNFLUSHED_BATCHES_MAX) await this.#flushing;
    const number = this.#lastBatch + 1;
    const ring = ringEntry(number);
    this.#handle.put(batch, ring.key, ring.value);
    await this.#handle.write(batch, sync);
    this.#lastBatch = number;
    this.#batches++;
    this.#bytesWritten += bytes + ring.key.length + ring.value.length;
    const isDue = number - this.#flushedBatch >= FLUSH_EVERY_BATCHES;
    if (isDue && this.#flushing === undefined) this.#flushing = this.#flushMemtable(number);
  }

  /**
   * The binding has no flush, but compacting a range that the memtable overlaps flushes it first,
   * and the newest ring entry is in it. RocksDB says by its oldest log that it happened.
   */
  async #flushMemtable(number: number): Promise<void> {
    try {
      const { key } = ringEntry(number);
      const before = this.#handle.number('rocksdb.min-log-number-to-keep');
      await this.#handle.compactRange(key, key);
      if (this.#handle.health !== 'open') return;
      const after = this.#handle.number('rocksdb.min-log-number-to-keep');
      if (after <= before)
        throw storageError('io', `RocksDB did not flush its memtable in ${this.#path}`, {
          file: this.#path,
        });
      this.#flushedBatch = number;
      this.#flushes++;
    } catch (thrown) {
      // Nobody awaits this: the next call on the store is refused with the error.
      if (thrown instanceof Error && 'reason' in thrown)
        this.#handle.fail(thrown as ReturnType<typeof storageError>);
      else throw thrown;
    } finally {
      this.#flushing = undefined;
    }
  }

  /**
   * RocksDB opens happily without a table file and fails at the first read that needs it. It may be
   * merging tables already: one that is gone is missing only if it is still listed.
   */
  #checkFiles(): void {
    for (const { file, bytes } of this.#tables()) {
      const full = path.join(this.#path, file);
      const size = fs.statSync(full, { throwIfNoEntry: false })?.size;
      if (size === bytes || !this.#tables().some((table) => table.file === file)) continue;
      const what = size === undefined ? 'is missing' : `has ${size} bytes instead of ${bytes}`;
      throw storageError(
        'corrupt',
        `${full} ${what}; the state store is not served; restore the file, or remove ${this.#path} and start again: it is rebuilt from the log if that reaches back, else restore a backup`,
        { file: full },
      );
    }
  }

  #tables(): readonly Table[] {
    return tablesIn(this.#handle.property('rocksdb.sstables'));
  }
}

interface RocksStateBatchParts {
  readonly handle: RocksHandle;
  readonly batch: RocksBatch;
  readonly sealer: Sealer;
  readonly nativeKey: (key: Uint8Array) => Uint8Array;
  readonly write: (options: { readonly sync: boolean }, bytes: number) => Promise<void>;
}

class RocksStateBatch implements StateBatch {
  readonly #parts: RocksStateBatchParts;
  readonly #batch: RocksBatch;
  #isWritten = false;
  #operations = 0;
  #bytes = 0;

  constructor(parts: RocksStateBatchParts) {
    this.#parts = parts;
    this.#batch = parts.batch;
  }

  get operations(): number {
    return this.#operations;
  }

  get bytes(): number {
    return this.#bytes;
  }

  put(key: Uint8Array, value: Uint8Array): void {
    this.#add(key);
    const { handle, sealer, nativeKey } = this.#parts;
    const native = nativeKey(key);
    const sealed = sealer.seal(native, value);
    handle.put(this.#batch, native, sealed);
    this.#bytes += key.length + sealed.length;
  }

  del(key: Uint8Array): void {
    this.#add(key);
    this.#parts.handle.del(this.#batch, key);
    this.#bytes += key.length;
  }

  write(options: { readonly sync: boolean }): Promise<void> {
    invariant(!this.#isWritten, 'state.batch-used-once');
    this.#isWritten = true;
    return this.#parts.write(options, this.#bytes);
  }

  #add(key: Uint8Array): void {
    invariant(!this.#isWritten, 'state.batch-used-once');
    checkKey(key);
    invariant(key[0] !== STATE_RESERVED_PREFIX, 'state.prefix-not-reserved');
    this.#operations++;
  }
}

/**
 * The same key in memory outside of V8's heap, until the next one. Small arrays live on that heap, and
 * the first native call that sees one gives it a buffer of its own: a fifth of what sealing costs.
 */
function nativeKeys(): (key: Uint8Array) => Uint8Array {
  const space = Buffer.allocUnsafeSlow(KEY_BYTES_MAX);
  const ofLength = Array.from({ length: KEY_BYTES_MAX + 1 }, (_, n) => space.subarray(0, n));
  return (key) => {
    space.set(key);
    return ofLength[key.length] ?? key;
  };
}

export function checkKey(key: Uint8Array): void {
  invariant(key.length >= 1 && key.length <= KEY_BYTES_MAX, 'state.key-length', {
    length: key.length,
  });
}

interface Table {
  readonly file: string;
  readonly bytes: number;
}

/** Table files and their sizes, from RocksDB's own list: ` 8:516006[1 .. 505][...`. */
function tablesIn(list: string): Table[] {
  const tables: Table[] = [];
  for (const match of list.matchAll(/^ (\d+):(\d+)\[/gm))
    tables.push({ file: `${(match[1] ?? '').padStart(6, '0')}.sst`, bytes: Number(match[2]) });
  return tables;
}
