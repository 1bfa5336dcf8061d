/**
 * The StateStore as the simulator's. A StateMedium is the disk below it and outlives the process: a
 * power cut keeps of the batches that were not synced any subset, in order, as RocksDB may after a
 * log with a hole. Opening then verifies the same ring as the real one.
 */
import type { Random } from '../core/clock.ts';
import { compareBytes } from '../core/bytes.ts';
import type { ParleyError } from '../core/errors.ts';
import { invariant } from '../core/invariant.ts';
import { RING_SLOTS, ringEntry, ringRange, verifyRing } from './batch-ring.ts';
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
import { keyAfter } from './keys.ts';
import { storageError } from './storage-error.ts';

/** What a simulation does to a store. Hooks may throw to fail the call; the store is then suspect. */
export interface StateFaults {
  beforeRead?(): void;
  beforeWrite?(batch: number): void;
}

type Operation = { readonly key: string; readonly value: Uint8Array | undefined };
type PendingBatch = { readonly operations: readonly Operation[] };

const KEY_BYTES_MAX = 255;
const CLEAR_KEYS_PER_BATCH = 4096;

/** The medium: what is durable, and what was written since the last sync. */
export class StateMedium {
  readonly #durable = new Map<string, Uint8Array>();
  #pending: PendingBatch[] = [];
  #exists = false;
  #life = 0;
  readonly #damaged = new Set<string>();
  faults: StateFaults = {};

  get exists(): boolean {
    return this.#exists;
  }

  /** Rises with every crash: a store of an earlier life can do nothing any more. */
  get life(): number {
    return this.#life;
  }

  create(): void {
    this.#exists = true;
  }

  /** Everything that a process sees, ordered later by the store. */
  contents(): Map<string, Uint8Array> {
    const contents = new Map(this.#durable);
    for (const batch of this.#pending) applyBatch(contents, batch);
    return contents;
  }

  append(batch: PendingBatch): void {
    if (this.#damaged.size > 0) for (const { key } of batch.operations) this.#damaged.delete(key);
    this.#pending.push(batch);
  }

  /** One log: a sync covers every batch before it. */
  sync(): void {
    for (const batch of this.#pending) applyBatch(this.#durable, batch);
    this.#pending = [];
  }

  /** Cuts the power: of the batches not synced each is kept or lost by itself, kept ones in order. */
  crash(random: Random): void {
    this.#life++;
    for (const batch of this.#pending) if (random.unit() < 0.5) applyBatch(this.#durable, batch);
    this.#pending = [];
  }

  /** Kills the process only. */
  kill(): void {
    this.#life++;
  }

  /** Rots one value: the next read of it makes the store suspect. A later put heals it. */
  damage(key: Uint8Array): void {
    this.#damaged.add(nameOf(key));
  }

  /** True if what lies under this key fails its check. */
  isDamaged(key: Uint8Array): boolean {
    return this.#damaged.size > 0 && this.#damaged.has(nameOf(key));
  }
}

export interface MemoryStateStoreParts {
  readonly medium: StateMedium;
  /** Runs its argument in a later turn: when a write or read of the medium is done. */
  readonly later?: (run: () => void) => void;
}

export class MemoryStateStore implements StateStore {
  readonly #medium: StateMedium;
  readonly #later: (run: () => void) => void;
  readonly #life: number;
  #contents = new Map<string, Uint8Array>();
  #sorted: string[] = [];
  /** Keys put since they were last sorted; some may be among the sorted ones already. */
  #added: string[] = [];
  #health: StateHealth = 'new';
  #error: ParleyError | undefined;
  #writes: Promise<void> = Promise.resolve();
  #lastBatch = 0;
  #batches = 0;
  #bytesWritten = 0;

  constructor(parts: MemoryStateStoreParts) {
    this.#medium = parts.medium;
    this.#later = parts.later ?? queueMicrotask;
    this.#life = parts.medium.life;
  }

  get health(): StateHealth {
    return this.#health;
  }

  async open(): Promise<StateOpening> {
    invariant(this.#health === 'new', 'memory-state.opened-once');
    this.#health = 'opening';
    await this.#turn();
    const isNew = !this.#medium.exists;
    this.#medium.create();
    this.#contents = this.#medium.contents();
    this.#sorted = [...this.#contents.keys()].sort();
    this.#health = 'open';
    const { gte, lt } = ringRange();
    const ring = this.#select({ gte, lt, limit: RING_SLOTS });
    try {
      this.#lastBatch = verifyRing(ring, 'memory');
    } catch (thrown) {
      throw this.#fail(thrown);
    }
    // As RocksDB does: what it finds in its log becomes a table, synced, before anything is served.
    this.#medium.sync();
    return { isNew, lastBatch: this.#lastBatch };
  }

  async close(): Promise<void> {
    if (this.#health === 'closed') return;
    this.#health = 'closing';
    await this.#writes;
    this.#health = 'closed';
  }

  async get(key: Uint8Array): Promise<Uint8Array | undefined> {
    return (await this.getMany([key]))[0];
  }

  async getMany(keys: readonly Uint8Array[]): Promise<(Uint8Array | undefined)[]> {
    for (const key of keys) checkKey(key);
    this.#mustBeOpen();
    const found = keys.map((key) => this.#contents.get(nameOf(key)));
    await this.#read();
    return found.map((value, i) =>
      value === undefined ? undefined : this.#verified(keys[i] as Uint8Array, value),
    );
  }

  async range(range: StateRange): Promise<StateEntry[]> {
    this.#mustBeOpen();
    const found = this.#select(range);
    await this.#read();
    return found.map(({ key, value }) => ({ key, value: this.#verified(key, value) }));
  }

  newBatch(): StateBatch {
    this.#mustBeOpen();
    return new MemoryStateBatch((operations, sync) => this.#write(operations, sync));
  }

  async clearRange(gte: Uint8Array, lt: Uint8Array): Promise<number> {
    let cleared = 0;
    let from = gte;
    for (;;) {
      this.#mustBeOpen();
      const found = this.#select({ gte: from, lt, limit: CLEAR_KEYS_PER_BATCH });
      if (found.length === 0) return cleared;
      const batch = this.newBatch();
      for (const { key } of found) batch.del(key);
      await batch.write({ sync: true });
      cleared += found.length;
      from = keyAfter(found.at(-1)?.key ?? from);
    }
  }

  async compactRange(): Promise<void> {
    this.#mustBeOpen();
    await this.#turn();
  }

  stats(): StateStats {
    this.#mustBeOpen();
    return {
      batches: this.#batches,
      bytesWritten: this.#bytesWritten,
      memtableFlushes: 0,
      memtableBytes: 0,
      tableBytes: 0,
      tableFiles: 0,
      levelZeroFiles: 0,
      pendingCompactionBytes: 0,
      isWriteStopped: false,
    };
  }

  #write(operations: readonly Operation[], sync: boolean): Promise<void> {
    const written = this.#writes.then(() => this.#writeNext(operations, sync));
    this.#writes = written.catch(() => undefined);
    return written;
  }

  async #writeNext(operations: readonly Operation[], sync: boolean): Promise<void> {
    this.#mustBeOpen();
    const number = this.#lastBatch + 1;
    const ring = ringEntry(number);
    const batch = { operations: [...operations, { key: nameOf(ring.key), value: ring.value }] };
    // On the medium before it is durable: a crash from here to the end of the turn may lose it.
    this.#medium.append(batch);
    await this.#turn();
    this.#mustBeAlive();
    this.#attempt(() => this.#medium.faults.beforeWrite?.(number));
    if (sync) this.#medium.sync();
    this.#lastBatch = number;
    this.#batches++;
    for (const { key, value } of batch.operations) {
      this.#bytesWritten += key.length + (value?.length ?? 0);
      if (value === undefined) this.#contents.delete(key);
      else {
        if (!this.#contents.has(key)) this.#added.push(key);
        this.#contents.set(key, value);
      }
    }
  }

  #select(range: StateRange): StateEntry[] {
    const limit = range.limit ?? STATE_RANGE_LIMIT_MAX;
    invariant(limit >= 1 && limit <= STATE_RANGE_LIMIT_MAX, 'state.range-limit', { limit });
    invariant(range.gte.length > 0 && range.lt.length > 0, 'state.range-bounds');
    if (compareBytes(range.gte, range.lt) >= 0) return [];
    const names = this.#names();
    const from = firstAtLeast(names, nameOf(range.gte));
    const to = firstAtLeast(names, nameOf(range.lt));
    const found: StateEntry[] = [];
    for (let i = 0; i < to - from && found.length < limit; i++) {
      const name = names[range.reverse === true ? to - 1 - i : from + i] ?? '';
      const value = this.#contents.get(name);
      // Deleted since the names were sorted.
      if (value !== undefined) found.push({ key: Buffer.from(name, 'latin1'), value });
    }
    return found;
  }

  #names(): readonly string[] {
    if (this.#added.length > 0) {
      this.#sorted = merged(this.#sorted, this.#added.sort(), this.#contents);
      this.#added = [];
    }
    return this.#sorted;
  }

  /** Values are handed out as copies: what a caller does to one must not change the store. */
  #verified(key: Uint8Array, value: Uint8Array): Uint8Array {
    if (!this.#medium.isDamaged(key)) return value.slice();
    throw this.#fail(
      storageError('corrupt', 'a value in the state store fails its check; it is not served'),
    );
  }

  async #read(): Promise<void> {
    await this.#turn();
    this.#mustBeAlive();
    this.#attempt(() => this.#medium.faults.beforeRead?.());
  }

  #turn(): Promise<void> {
    return new Promise((resolve) => this.#later(resolve));
  }

  #attempt(run: () => void): void {
    try {
      run();
    } catch (thrown) {
      throw this.#fail(storageError('io', 'the state store failed', {}, thrown));
    }
  }

  #fail(thrown: unknown): ParleyError {
    this.#error ??= thrown as ParleyError;
    if (this.#health === 'open') this.#health = 'suspect';
    return this.#error;
  }

  #mustBeOpen(): void {
    this.#mustBeAlive();
    if (this.#error !== undefined) throw this.#error;
    if (this.#health !== 'open' && this.#health !== 'closing')
      throw storageError('closed', `the state store is ${this.#health}`);
  }

  #mustBeAlive(): void {
    if (this.#life !== this.#medium.life) throw storageError('closed', 'this process has crashed');
  }
}

class MemoryStateBatch implements StateBatch {
  readonly #write: (operations: readonly Operation[], sync: boolean) => Promise<void>;
  readonly #list: Operation[] = [];
  #isWritten = false;
  #bytes = 0;

  constructor(write: (operations: readonly Operation[], sync: boolean) => Promise<void>) {
    this.#write = write;
  }

  get operations(): number {
    return this.#list.length;
  }

  get bytes(): number {
    return this.#bytes;
  }

  put(key: Uint8Array, value: Uint8Array): void {
    this.#add(key, value.slice());
    this.#bytes += value.length;
  }

  del(key: Uint8Array): void {
    this.#add(key, undefined);
  }

  write(options: { readonly sync: boolean }): Promise<void> {
    invariant(!this.#isWritten, 'state.batch-used-once');
    this.#isWritten = true;
    return this.#write(this.#list, options.sync);
  }

  #add(key: Uint8Array, value: Uint8Array | undefined): void {
    invariant(!this.#isWritten, 'state.batch-used-once');
    checkKey(key);
    invariant(key[0] !== STATE_RESERVED_PREFIX, 'state.prefix-not-reserved');
    this.#list.push({ key: nameOf(key), value });
    this.#bytes += key.length;
  }
}

/** Keys as text of one character a byte: it sorts as the bytes do. */
function nameOf(key: Uint8Array): string {
  return Buffer.from(key.buffer, key.byteOffset, key.length).toString('latin1');
}

function applyBatch(contents: Map<string, Uint8Array>, batch: PendingBatch): void {
  for (const { key, value } of batch.operations) {
    if (value === undefined) contents.delete(key);
    else contents.set(key, value);
  }
}

/** Two sorted lists as one, without repetitions and without what is not there any more. */
function merged(
  a: readonly string[],
  b: readonly string[],
  present: ReadonlyMap<string, unknown>,
): string[] {
  const out: string[] = [];
  let i = 0;
  let k = 0;
  while (i < a.length || k < b.length) {
    const left = a[i];
    const right = b[k];
    const isLeft = right === undefined || (left !== undefined && left <= right);
    const next = (isLeft ? left : right) ?? '';
    if (isLeft) i++;
    else k++;
    if (next !== out.at(-1) && present.has(next)) out.push(next);
  }
  return out;
}

function firstAtLeast(names: readonly string[], name: string): number {
  let low = 0;
  let high = names.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((names[middle] ?? '') < name) low = middle + 1;
    else high = middle;
  }
  return low;
}

function checkKey(key: Uint8Array): void {
  invariant(key.length >= 1 && key.length <= KEY_BYTES_MAX, 'state.key-length', {
    length: key.length,
  });
}
