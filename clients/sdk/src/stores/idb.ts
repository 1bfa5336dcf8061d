/**
 * The store contract over IndexedDB (S12): two databases, so that losing the cache never touches
 * what is one's own. The fence lies in the own database and is read in the transaction that writes.
 */
import { type IDBPDatabase, openDB } from 'idb';
import { ClientError } from '../errors.ts';
import {
  type CacheTable,
  type DatabaseName,
  type OwnTable,
  type StoredPair,
  type StoreKey,
  type StorePort,
  type StorePut,
  type StoreRange,
  TABLES,
  VALUE_BYTES_MAX,
} from './store-port.ts';

/** A new version of the cache begins empty: the server has all of it. What is own must be kept. */
const VERSIONS: Readonly<Record<DatabaseName, number>> = { own: 1, cache: 2 };
const FENCE_KEY = ['fence'];
const READ_MAX = 1_000_000;

type Database = IDBPDatabase;
type AnyTable = OwnTable | CacheTable;

/** `name`: one per account, for instance `parley-usr_…`. */
export function indexedDbStore(name: string): StorePort {
  return new IdbStore(name);
}

class IdbStore implements StorePort {
  readonly #name: string;
  readonly #open = new Map<DatabaseName, Database>();

  constructor(name: string) {
    this.#name = name;
  }

  async open(): Promise<void> {
    for (const database of ['own', 'cache'] as const)
      if (!this.#open.has(database)) this.#open.set(database, await this.#openOne(database));
  }

  async close(): Promise<void> {
    for (const database of this.#open.values()) database.close();
    this.#open.clear();
  }

  async claim(): Promise<number> {
    // The own database decides; the cache follows, so that both refuse the owners before.
    const fence = await this.#update('own', (held) => held + 1);
    await this.#update('cache', () => fence);
    return fence;
  }

  readOwn(table: OwnTable, range: StoreRange): Promise<readonly StoredPair[]> {
    return this.#read('own', table, range);
  }

  readCache(table: CacheTable, range: StoreRange): Promise<readonly StoredPair[]> {
    return this.#read('cache', table, range);
  }

  writeOwn(puts: readonly StorePut<OwnTable>[], fence: number): Promise<void> {
    // What is one's own has reached the disk when this resolves.
    return this.#write('own', puts, { fence, durability: 'strict' });
  }

  writeCache(puts: readonly StorePut<CacheTable>[], fence: number): Promise<void> {
    return this.#write('cache', puts, { fence, durability: 'relaxed' });
  }

  async wipe(database: DatabaseName): Promise<void> {
    const tables: readonly AnyTable[] = TABLES[database];
    const transaction = this.#database(database).transaction([...tables], 'readwrite');
    const fence: unknown = await transaction.objectStore('meta').get(FENCE_KEY);
    await Promise.all([
      ...tables.map(async (table) => transaction.objectStore(table).clear()),
      ...(fence === undefined ? [] : [transaction.objectStore('meta').put(fence, FENCE_KEY)]),
      transaction.done,
    ]);
  }

  async #update(database: DatabaseName, next: (held: number) => number): Promise<number> {
    const transaction = this.#database(database).transaction('meta', 'readwrite');
    const held = (await transaction.store.get(FENCE_KEY)) as number | undefined;
    const fence = next(held ?? 0);
    await transaction.store.put(fence, FENCE_KEY);
    await transaction.done;
    return fence;
  }

  async #write(
    database: DatabaseName,
    puts: readonly StorePut<AnyTable>[],
    o: { readonly fence: number; readonly durability: 'strict' | 'relaxed' },
  ): Promise<void> {
    checkSizes(puts);
    const tables = [...new Set<AnyTable>(['meta', ...puts.map((put) => put.table)])];
    const { durability } = o;
    const transaction = this.#database(database).transaction(tables, 'readwrite', { durability });
    const held: unknown = await transaction.objectStore('meta').get(FENCE_KEY);
    if (held !== o.fence) {
      transaction.abort();
      await transaction.done.catch(() => undefined);
      throw new ClientError('FENCED', 'another owner took over');
    }
    await Promise.all([
      ...puts.map((put) => write(transaction.objectStore(put.table), put)),
      transaction.done,
    ]);
  }

  async #read(
    database: DatabaseName,
    table: AnyTable,
    range: StoreRange,
  ): Promise<readonly StoredPair[]> {
    const store = this.#database(database).transaction(table, 'readonly').store;
    const bounds = IDBKeyRange.bound(range.from, range.through);
    const limit = range.limit ?? READ_MAX;
    if (range.reverse !== true) {
      const [keys, values] = await Promise.all([
        store.getAllKeys(bounds, limit),
        store.getAll(bounds, limit),
      ]);
      return keys
        .map((key, i) => ({ key: key as unknown as StoreKey, value: values[i] as unknown }))
        .filter(isData);
    }
    const pairs: StoredPair[] = [];
    let cursor = await store.openCursor(bounds, 'prev');
    while (cursor !== null && pairs.length < limit) {
      pairs.push({ key: cursor.key as unknown as StoreKey, value: cursor.value as unknown });
      cursor = await cursor.continue();
    }
    return pairs.filter(isData);
  }

  async #openOne(database: DatabaseName): Promise<Database> {
    const opened: Database = await openDB(`${this.#name}.${database}`, VERSIONS[database], {
      upgrade: (upgraded) => {
        if (database === 'cache')
          for (const table of [...upgraded.objectStoreNames]) upgraded.deleteObjectStore(table);
        for (const table of TABLES[database]) upgraded.createObjectStore(table);
      },
      // Another tab has a newer version, or storage was cleared: the next use opens it again.
      blocking: () => this.#broke(database),
      terminated: () => this.#broke(database),
    });
    return opened;
  }

  #broke(database: DatabaseName): void {
    this.#open.get(database)?.close();
    this.#open.delete(database);
  }

  #database(database: DatabaseName): Database {
    const open = this.#open.get(database);
    if (open === undefined) throw new DOMException('the database is closed', 'InvalidStateError');
    return open;
  }
}

/** The fence lies beside the data and is none. */
function isData(pair: StoredPair): boolean {
  return pair.key[0] !== FENCE_KEY[0];
}

async function write(
  store: {
    put?: (value: unknown, key: IDBValidKey) => Promise<unknown>;
    delete?: (key: IDBValidKey) => Promise<void>;
  },
  put: StorePut<string>,
): Promise<void> {
  const key = [...put.key];
  if (put.value === undefined) await store.delete?.(key);
  else await store.put?.(put.value, key);
}

function checkSizes(puts: readonly StorePut<string>[]): void {
  for (const put of puts)
    if (put.value !== undefined && JSON.stringify(put.value).length > VALUE_BYTES_MAX)
      throw new ClientError('PAYLOAD_TOO_LARGE', `a value for ${put.table} is too large to keep`);
}
