/**
 * The store as the rest uses it: what the platform does to storage ends here (S12). A failure is met
 * by reopening once; if that fails too everything goes on in memory, and the client says `saved:
 * false`. Only FENCED passes through: then another owner has the data, and this copy must not write.
 */
import { ClientError } from './errors.ts';
import { memoryStore } from './stores/memory.ts';
import type {
  CacheTable,
  DatabaseName,
  OwnTable,
  StoredPair,
  StorePort,
  StorePut,
  StoreRange,
} from './stores/store-port.ts';

export interface SavedStoreEvents {
  /** Storage is gone; what was in the cache is not readable any more. */
  unsaved(): void;
  /** Another owner claimed the data. */
  fenced(): void;
}

export class SavedStore {
  readonly #events: SavedStoreEvents;
  #port: StorePort;
  #fence = 0;
  #isSaved = true;
  #isFenced = false;
  #moving: Promise<void> | undefined;

  constructor(port: StorePort, events: SavedStoreEvents) {
    this.#port = port;
    this.#events = events;
  }

  async open(): Promise<void> {
    await this.#attempt(async (port) => port.open());
  }

  async close(): Promise<void> {
    await this.#port.close().catch(() => undefined);
  }

  async claim(): Promise<void> {
    this.#isFenced = false;
    this.#fence = await this.#attempt(async (port) => port.claim());
  }

  readOwn(table: OwnTable, range: StoreRange): Promise<readonly StoredPair[]> {
    return this.#attempt(async (port) => port.readOwn(table, range));
  }

  readCache(table: CacheTable, range: StoreRange): Promise<readonly StoredPair[]> {
    return this.#attempt(async (port) => port.readCache(table, range));
  }

  async writeOwn(puts: readonly StorePut<OwnTable>[]): Promise<void> {
    if (puts.length === 0) return;
    await this.#attempt(async (port) => port.writeOwn(puts, this.#fence));
  }

  /** A follower's cache is the owner's to write: FENCED like what is own. */
  async writeCache(puts: readonly StorePut<CacheTable>[]): Promise<void> {
    if (puts.length === 0) return;
    await this.#attempt(async (port) => port.writeCache(puts, this.#fence));
  }

  async wipe(database: DatabaseName): Promise<void> {
    await this.#attempt(async (port) => port.wipe(database));
  }

  get isSaved(): boolean {
    return this.#isSaved;
  }

  async #attempt<T>(use: (port: StorePort) => Promise<T>): Promise<T> {
    try {
      return await use(this.#port);
    } catch (error) {
      if (this.#passes(error)) throw error;
    }
    try {
      await this.#port.open();
      return await use(this.#port);
    } catch (error) {
      if (this.#passes(error)) throw error;
    }
    await this.#toMemory();
    return use(this.#port);
  }

  #passes(error: unknown): boolean {
    if (!(error instanceof ClientError)) return false;
    if (error.reason === 'FENCED' && !this.#isFenced) {
      this.#isFenced = true;
      this.#events.fenced();
    }
    return true;
  }

  /** Once, whoever meets the failure first; the others wait for it. */
  #toMemory(): Promise<void> {
    this.#moving ??= (async () => {
      const memory = memoryStore();
      this.#fence = await memory.claim();
      this.#port = memory;
      this.#isSaved = false;
      this.#events.unsaved();
    })();
    return this.#moving;
  }
}
