/**
 * A device's storage: transactions take a while and come in order; a crash loses those that were not
 * done, or (by chance) does one of them without anybody hearing of it. It outlives the clients on it,
 * and it can be copied: a backup.
 */
import {
  memoryStore,
  type DatabaseName,
  type StoredPair,
  type StorePort,
  type StorePut,
  type StoreRange,
} from '@parley/sdk';
import type { Chance } from './chance.ts';
import type { Scope } from './virtual-time.ts';

const TABLES: Readonly<Record<DatabaseName, readonly string[]>> = {
  own: ['meta', 'outbox', 'lanes', 'drafts', 'groups', 'marks', 'intents'],
  cache: ['meta', 'conversations', 'messages', 'pages', 'users', 'members'],
};
const EVERYTHING: StoreRange = { from: [], through: ['\uffff'] };
const WRITE_MS_MAX = 20;
const TELL_MS_MAX = 22;

type OwnTable = Parameters<StorePort['readOwn']>[0];
type CacheTable = Parameters<StorePort['readCache']>[0];

export class DeviceStorage {
  #kept: StorePort = memoryStore();

  /** The storage as one life of a client uses it: what it still does when that life ends is lost. */
  open(scope: Scope, chance: Chance): StorePort {
    return new LivingStorage(this.#kept, scope, chance);
  }

  /** What is in it now, to be put back later; without its cache as well, which a browser may drop. */
  async backup(withCache: boolean): Promise<() => Promise<void>> {
    const pairs = new Map<string, readonly StoredPair[]>();
    for (const table of TABLES.own)
      pairs.set(`own/${table}`, await this.#kept.readOwn(table as OwnTable, EVERYTHING));
    for (const table of withCache ? TABLES.cache : [])
      pairs.set(`cache/${table}`, await this.#kept.readCache(table as CacheTable, EVERYTHING));
    return async () => {
      const restored = memoryStore();
      const fence = await restored.claim();
      const puts = <T extends string>(database: DatabaseName): StorePut<T>[] =>
        TABLES[database].flatMap((table) =>
          (pairs.get(`${database}/${table}`) ?? []).map(({ key, value }) => ({
            table: table as T,
            key,
            value,
          })),
        );
      await restored.writeOwn(puts<OwnTable>('own'), fence);
      await restored.writeCache(puts<CacheTable>('cache'), fence);
      this.#kept = restored;
    };
  }
}

class LivingStorage implements StorePort {
  readonly #kept: StorePort;
  readonly #scope: Scope;
  readonly #chance: Chance;
  #doneMs = 0;
  #toldMs = 0;

  constructor(kept: StorePort, scope: Scope, chance: Chance) {
    this.#kept = kept;
    this.#scope = scope;
    this.#chance = chance;
  }

  open(): Promise<void> {
    return this.#kept.open();
  }

  close(): Promise<void> {
    return this.#kept.close();
  }

  claim(): Promise<number> {
    return this.#later(() => this.#kept.claim());
  }

  wipe(database: DatabaseName): Promise<void> {
    return this.#later(() => this.#kept.wipe(database));
  }

  readOwn(table: OwnTable, range: StoreRange): Promise<readonly StoredPair[]> {
    return this.#later(() => this.#kept.readOwn(table, range));
  }

  readCache(table: CacheTable, range: StoreRange): Promise<readonly StoredPair[]> {
    return this.#later(() => this.#kept.readCache(table, range));
  }

  writeOwn(puts: readonly StorePut<OwnTable>[], fence: number): Promise<void> {
    const copy = structuredClone(puts);
    return this.#later(() => this.#kept.writeOwn(copy, fence));
  }

  writeCache(puts: readonly StorePut<CacheTable>[], fence: number): Promise<void> {
    const copy = structuredClone(puts);
    return this.#later(() => this.#kept.writeCache(copy, fence));
  }

  /** Done, and told, one after another. Between doing and telling a client may die. */
  #later<T>(work: () => Promise<T>): Promise<T> {
    this.#doneMs = this.#next(this.#doneMs, WRITE_MS_MAX);
    this.#toldMs = this.#next(Math.max(this.#toldMs, this.#doneMs), TELL_MS_MAX);
    const toldMs = this.#toldMs;
    return new Promise((resolve, reject) => {
      this.#scope.at(this.#doneMs, () => {
        work().then(
          (value) => this.#scope.at(toldMs, () => resolve(value)),
          (error: unknown) => this.#scope.at(toldMs, () => reject(error as Error)),
        );
      });
    });
  }

  #next(beforeMs: number, withinMs: number): number {
    return Math.max(beforeMs, this.#scope.worldMs + this.#chance.delay(0.05, withinMs));
  }
}
