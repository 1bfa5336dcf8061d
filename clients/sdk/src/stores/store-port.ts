/**
 * Where the SDK keeps things on the device: two databases (S12). `own` holds what exists nowhere
 * else (outbox, drafts, marks) and is never dropped silently; `cache` may vanish at any time.
 *
 * Every `write` is one transaction: all of it or nothing, durable when the promise resolves, and
 * writes of one database take effect in the order they were asked for. No value is larger than
 * VALUE_BYTES_MAX as JSON.
 */
export type DatabaseName = 'own' | 'cache';

export const TABLES = {
  own: ['meta', 'outbox', 'lanes', 'drafts', 'groups', 'marks', 'intents'],
  cache: ['meta', 'conversations', 'messages', 'pages', 'users', 'members'],
} as const;

export type OwnTable = (typeof TABLES)['own'][number];
export type CacheTable = (typeof TABLES)['cache'][number];

/** Compared part by part; numbers sort before text. */
export type StoreKey = readonly (string | number)[];

export interface StorePut<T extends string> {
  readonly table: T;
  readonly key: StoreKey;
  /** Absent = delete. Plain JSON. */
  readonly value?: unknown;
}

export interface StoreRange {
  /** Both inclusive. */
  readonly from: StoreKey;
  readonly through: StoreKey;
  readonly limit?: number;
  /** Largest key first. */
  readonly reverse?: boolean;
}

export interface StoredPair {
  readonly key: StoreKey;
  readonly value: unknown;
}

export interface StorePort {
  /** Idempotent. Rejects if the platform refuses storage: the client then lives in memory. */
  open(): Promise<void>;
  close(): Promise<void>;
  readOwn(table: OwnTable, range: StoreRange): Promise<readonly StoredPair[]>;
  readCache(table: CacheTable, range: StoreRange): Promise<readonly StoredPair[]>;
  /** Takes ownership of both: the returned fence is larger than any before it (S11). */
  claim(): Promise<number>;
  /** Both reject with ClientError FENCED, changing nothing, if `fence` is not the newest claim. */
  writeOwn(puts: readonly StorePut<OwnTable>[], fence: number): Promise<void>;
  writeCache(puts: readonly StorePut<CacheTable>[], fence: number): Promise<void>;
  /** Removes all of it but the fence. */
  wipe(database: DatabaseName): Promise<void>;
}

/**
 * Above whatever a server accepts: 64 KiB of protobuf are at most six times that in JSON, where each
 * byte is a control character. One value that is refused would keep a whole batch from being stored.
 */
export const VALUE_BYTES_MAX: number = 512 * 1024;

/** Every key that starts with `prefix`. */
export function under(...prefix: (string | number)[]): StoreRange {
  return { from: prefix, through: [...prefix, '\uffff'] };
}
