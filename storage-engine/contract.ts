/**
 * What the storage engine promises to the rooms above it, as types. Three parts: the Disk (files,
 * injected), the Wal (one per store, for all its shards: durable before it answers), and the
 * StateStore (the applied prefix). Every part has a real form and a memory twin that forgets what
 * was not synced; one suite judges both (disk-contract.ts, state-store-contract.ts).
 *
 * Operating errors are ParleyErrors: CORRUPT_ENTRY = bytes that were durable are wrong or gone;
 * BACKEND_UNAVAILABLE = the disk, a lock or a key stands in the way. `details.problem` is one of
 * StorageProblem and the message says what to do.
 */
import type { Index, ShardId, Term } from '../core/ids.ts';

// ---- Disk -------------------------------------------------------------------------------------

/** `details.problem` of errors from this room. */
export type StorageProblem =
  | 'corrupt'
  | 'disk_full'
  | 'io'
  | 'in_use'
  | 'key_missing'
  | 'key_wrong'
  | 'key_damaged'
  | 'closed';

/**
 * A directory tree, addressed by relative paths with `/`. All calls are synchronous: they run on
 * the sync thread or before the server is ready. Nothing is durable until `sync` of the file *and*
 * `syncDirectory` of the directory that names it have returned. A failed sync is final: what it
 * covered is unknown for ever and the caller ends the process.
 */
export interface Disk {
  /** Opens for reading and writing. Without `create` a missing file is an error; with it an existing one is. */
  open(path: string, options?: { readonly create?: boolean }): DiskFile;
  /** Names (not paths) in a directory, sorted; empty if the directory does not exist. */
  list(directory: string): string[];
  /** Bytes of a file, or undefined if there is none. */
  sizeOf(path: string): number | undefined;
  /** Creates a directory and its parents; existing ones are kept. */
  makeDirectory(path: string): void;
  /** Atomic; replaces `to`. Durable after `syncDirectory`. */
  rename(from: string, to: string): void;
  /** Removes a file; a missing one is no error. Durable after `syncDirectory`. */
  remove(path: string): void;
  /**
   * As `remove`, without blocking the caller's thread: that of 64 MiB takes 20 ms. One after the other
   * in the order of the calls; when one has rejected, so do those behind it.
   */
  discard(path: string): Promise<void>;
  /** Makes creations, renames and removals in a directory durable. */
  syncDirectory(path: string): void;
  space(): DiskSpace;
  /**
   * Creates `path` filled with `bytes` zeros and makes it durable, without blocking the caller's
   * thread. `piece` says how many of the bytes left (1 to all) are written and synced next. An
   * existing file is replaced. Rejects on any error and leaves then at most a `.tmp`.
   */
  prepare(path: string, bytes: number, piece: (left: number) => Promise<number>): Promise<void>;
}

/** An open file. Calls after `close` are broken invariants. */
export interface DiskFile {
  size(): number;
  /** Fills `into` from `offset`; returns the bytes read (fewer only at the end of the file). */
  read(offset: number, into: Uint8Array): number;
  /** Writes all parts one behind the other, or throws; extends the file when needed. */
  write(offset: number, parts: readonly Uint8Array[]): void;
  /** fdatasync: contents and size are durable when it returns. Never retried after an error. */
  sync(): void;
  truncate(bytes: number): void;
  close(): void;
}

export interface DiskSpace {
  readonly freeBytes: number;
  readonly totalBytes: number;
}

// ---- Wal --------------------------------------------------------------------------------------

/**
 * Kinds of WAL records. `entry` and `config` take an index of the shard's log (a config entry is
 * one that the consensus core itself reads); the others do not.
 * hardState: term = current term, index = commit index, payload = the vote, opaque here; the last wins.
 * truncate: entries above `index` are gone; term = that of the entry at `index` (0 at 0).
 * snapshot: the log up to (term, index) is replaced by state; entries above it stay, so whoever
 * installs one that does not match its log writes a truncate first.
 * carried: written by the WAL itself where a segment begins: the shard's log ended at (term, index).
 */
export const RECORD_KIND = {
  entry: 1,
  hardState: 2,
  truncate: 3,
  snapshot: 4,
  config: 5,
  carried: 6,
} as const;
export type RecordKind = (typeof RECORD_KIND)[keyof typeof RECORD_KIND];

/** One record read in place: `payload` is a view into the frame and 8-byte aligned. */
export interface WalRecord {
  readonly kind: RecordKind;
  readonly shard: ShardId;
  readonly term: Term;
  readonly index: Index;
  readonly payload: Uint8Array;
}

/**
 * The write-ahead log as a store loop sees it. Frames are packed with FrameWriter (wal/frame.ts).
 * At most one frame is in flight: whatever comes meanwhile is the next frame. After `failed` the
 * process must end; nothing is retried.
 */
export interface Wal {
  /**
   * Takes the frame's buffer (it is transferred; the caller must not touch it until it comes back
   * by `synced`, the same bytes, ready to be read in place and then reused). Throws an invariant
   * violation when a frame is in flight.
   */
  submit(frame: ArrayBuffer): void;
  /** Indexes up to which each shard's state is durable; older segments may then go. */
  trim(flushed: ReadonlyMap<ShardId, Index>): void;
  /** Marks the end as clean and closes; rejects if the disk fails. Idempotent. No frame may be in flight. */
  close(): Promise<void>;
  /** As of the last frame that came back. */
  stats(): WalStats;
}

/** Since the start of the process. */
export interface WalStats {
  readonly frames: number;
  /** Written, heads included. */
  readonly bytes: number;
  readonly syncs: number;
  readonly syncMs: number;
  /** Longest single write and sync. */
  readonly syncMsMax: number;
  readonly segments: number;
  /** Of all segments on the disk. */
  readonly segmentBytes: number;
}

/** Called by a Wal in later turns of the loop, never from inside `submit`. */
export interface WalListener {
  /** All records of this frame, the only one in flight, are durable. */
  synced(frame: ArrayBuffer): void;
  /** The log cannot be written any more: report and end the process with a non-zero code. */
  failed(error: Error): void;
  /** Free space fell below 5 % or rose above it again: while low, refuse sends, go on with votes and trims. */
  spaceChanged(isLow: boolean): void;
}

/** What a shard left behind in the WAL. */
export interface ShardRemains {
  readonly shard: ShardId;
  /** The last hard state record, if any. */
  readonly hardState: WalRecord | undefined;
  /** The last snapshot mark, if any. */
  readonly snapshot: WalRecord | undefined;
  /**
   * Entries and configs in dense index order, after truncations, above the applied index that was
   * given to recovery (all that the WAL holds if none was given).
   */
  readonly log: readonly WalRecord[];
  /** (term, index) of the shard's last entry, also when `log` is empty; 0, 0 if it never had one. */
  readonly lastTerm: Term;
  readonly lastIndex: Index;
}

/** Where the next process continues; plain, so that it can be posted to the sync thread. */
export interface WalTail {
  /** Id of the last segment, 0 if there is none. */
  readonly segment: number;
  /** Where its valid frames end, in bytes, and how many they are. */
  readonly endOffset: number;
  readonly frames: number;
  /** Closed segments still on the disk, oldest first, the last one included. */
  readonly segments: readonly WalSegment[];
  /** What each shard needs carried into the next segment. */
  readonly carried: readonly WalCarried[];
}

export interface WalSegment {
  readonly id: number;
  readonly bytes: number;
  /** Wall clock when it was begun, ms. */
  readonly createdMs: number;
  /** Where each shard's log ended when this segment did: once all that is flushed, it may go. */
  readonly last: readonly (readonly [shard: number, index: number])[];
}

export interface WalCarried {
  readonly shard: number;
  readonly lastTerm: number;
  readonly lastIndex: number;
  readonly hardState:
    | { readonly term: number; readonly index: number; readonly payload: Uint8Array }
    | undefined;
  readonly snapshot:
    | { readonly term: number; readonly index: number; readonly payload: Uint8Array }
    | undefined;
}

export interface WalRecovery {
  readonly shards: ReadonlyMap<ShardId, ShardRemains>;
  /** clean: the last process closed it. cut: it ended at the last whole frame; what followed was never acknowledged. */
  readonly verdict: 'new' | 'clean' | 'cut';
  /** Bytes of a torn frame that were left out; 0 unless the verdict is `cut`. */
  readonly tornBytes: number;
  /** Numbers of the data keys that segments on the disk are sealed with. */
  readonly keyNumbers: ReadonlySet<number>;
  readonly tail: WalTail;
}

// ---- StateStore -------------------------------------------------------------------------------

/** opening → open → closing → closed; any error of the medium or a value that fails its check → suspect, for good. */
export type StateHealth = 'new' | 'opening' | 'open' | 'suspect' | 'closing' | 'closed';

export interface StateEntry {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

export interface StateRange {
  readonly gte: Uint8Array;
  readonly lt: Uint8Array;
  readonly reverse?: boolean;
  /** 1 ..= STATE_RANGE_LIMIT_MAX; that if absent. */
  readonly limit?: number;
}

export const STATE_RANGE_LIMIT_MAX = 16_384;

/**
 * Ordered map of bytes to bytes; keys compare bytewise and have 1 to 255 bytes; the prefix
 * STATE_RESERVED_PREFIX is the store's own. Values are sealed (AES-256-GCM, bound to their key) on
 * the way in and verified on every read; none that fails is ever returned.
 *
 * One owner on one thread. After the first error the store is `suspect`: every later call is
 * refused with that error's reason, nothing is served, and the owner rebuilds it.
 */
export interface StateStore {
  readonly health: StateHealth;
  /** Opens or creates; verifies the ring of batches and that the files it names are there. Once. */
  open(): Promise<StateOpening>;
  /** Waits for what is in flight. Idempotent. Later calls are refused with problem `closed`. */
  close(): Promise<void>;
  get(key: Uint8Array): Promise<Uint8Array | undefined>;
  /** In the order of the keys; undefined for absent ones. One snapshot. */
  getMany(keys: readonly Uint8Array[]): Promise<(Uint8Array | undefined)[]>;
  /**
   * Entries in order, one snapshot. A value that rotted is refused; a *key* that rotted on the disk
   * can make its entry vanish from a range (never from `get`), so who reads what is dense by nature
   * (blocks) checks that it is.
   */
  range(range: StateRange): Promise<StateEntry[]>;
  /** Several may be filled at once; they are written one at a time, in the order of the `write` calls. */
  newBatch(): StateBatch;
  /** Deletes all keys in [gte, lt) by synced batches of bounded size, not as one atom. Returns how many. */
  clearRange(gte: Uint8Array, lt: Uint8Array): Promise<number>;
  /** Rewrites the files of a key range, so that deleted values leave the disk. */
  compactRange(gte: Uint8Array, lt: Uint8Array): Promise<void>;
  stats(): StateStats;
}

export interface StateOpening {
  readonly isNew: boolean;
  /** Number of the last batch that was written; 0 in a new store. */
  readonly lastBatch: number;
}

/** Puts and deletes that become visible together, in order; later ones win. Used once. */
export interface StateBatch {
  readonly operations: number;
  /** Sealed bytes so far, keys included. */
  readonly bytes: number;
  /** Seals at once: key and value may be reused when it returns. */
  put(key: Uint8Array, value: Uint8Array): void;
  del(key: Uint8Array): void;
  /**
   * Writes all or nothing together with the next ring entry. With `sync` it is durable when the
   * promise resolves; without it a power cut may lose it, also while keeping later ones.
   */
  write(options: { readonly sync: boolean }): Promise<void>;
}

export interface StateStats {
  readonly batches: number;
  readonly bytesWritten: number;
  readonly memtableFlushes: number;
  /** Of the engine, 0 in the memory twin. */
  readonly memtableBytes: number;
  readonly tableBytes: number;
  readonly tableFiles: number;
  readonly levelZeroFiles: number;
  readonly pendingCompactionBytes: number;
  readonly isWriteStopped: boolean;
}

/** First byte of keys that belong to the store itself (the ring of batches): `b`. */
export const STATE_RESERVED_PREFIX = 0x62;
