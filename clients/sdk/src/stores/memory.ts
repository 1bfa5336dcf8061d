/**
 * The store contract in memory: the default, and the twin that tests crash. Values are kept as JSON
 * text, so what was written is what is read, whatever the caller does with its object afterwards.
 */
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
  VALUE_BYTES_MAX,
} from './store-port.ts';

export function memoryStore(): StorePort {
  return new MemoryStore();
}

interface SortedTable {
  /** Ascending. */
  readonly keys: StoreKey[];
  readonly values: string[];
}

class MemoryStore implements StorePort {
  readonly #tables = new Map<string, SortedTable>();
  #fence = 0;

  async open(): Promise<void> {}

  async close(): Promise<void> {}

  async claim(): Promise<number> {
    this.#fence += 1;
    return this.#fence;
  }

  async readOwn(table: OwnTable, range: StoreRange): Promise<readonly StoredPair[]> {
    return this.#read(`own/${table}`, range);
  }

  async readCache(table: CacheTable, range: StoreRange): Promise<readonly StoredPair[]> {
    return this.#read(`cache/${table}`, range);
  }

  async writeOwn(puts: readonly StorePut<OwnTable>[], fence: number): Promise<void> {
    this.#check(fence);
    this.#write('own', puts);
  }

  async writeCache(puts: readonly StorePut<CacheTable>[], fence: number): Promise<void> {
    this.#check(fence);
    this.#write('cache', puts);
  }

  async wipe(database: DatabaseName): Promise<void> {
    for (const name of this.#tables.keys())
      if (name.startsWith(`${database}/`)) this.#tables.delete(name);
  }

  #check(fence: number): void {
    if (fence !== this.#fence) throw new ClientError('FENCED', 'another owner took over');
  }

  #read(name: string, range: StoreRange): readonly StoredPair[] {
    const table = this.#tables.get(name);
    if (table === undefined) return [];
    const limit = range.limit ?? Number.POSITIVE_INFINITY;
    const found: StoredPair[] = [];
    const low = placeOf(table.keys, range.from);
    let high = placeOf(table.keys, range.through);
    const last = table.keys[high];
    if (last !== undefined && compareKeys(last, range.through) === 0) high += 1;
    for (let n = 0; n < Math.min(limit, high - low); n++) {
      const i = range.reverse === true ? high - 1 - n : low + n;
      found.push({ key: table.keys[i] ?? [], value: JSON.parse(table.values[i] ?? 'null') });
    }
    return found;
  }

  #write(database: DatabaseName, puts: readonly StorePut<string>[]): void {
    const ready = puts.map((put) => ({ ...put, text: jsonOf(put) }));
    for (const put of ready) {
      const name = `${database}/${put.table}`;
      let table = this.#tables.get(name);
      if (table === undefined) this.#tables.set(name, (table = { keys: [], values: [] }));
      const i = placeOf(table.keys, put.key);
      const found = table.keys[i];
      const isThere = found !== undefined && compareKeys(found, put.key) === 0;
      if (put.text === undefined) {
        if (isThere) {
          table.keys.splice(i, 1);
          table.values.splice(i, 1);
        }
      } else if (isThere) table.values[i] = put.text;
      else {
        table.keys.splice(i, 0, put.key);
        table.values.splice(i, 0, put.text);
      }
    }
  }
}

/** IndexedDB's order of array keys: part by part, numbers before text, a prefix first. */
export function compareKeys(a: StoreKey, b: StoreKey): number {
  for (let i = 0; i < Math.min(a.length, b.length); i++) {
    const [x, y] = [a[i], b[i]];
    if (x === y) continue;
    if (typeof x === 'number' && typeof y === 'number') return x - y;
    if (typeof x !== typeof y) return typeof x === 'number' ? -1 : 1;
    return (x ?? '') < (y ?? '') ? -1 : 1;
  }
  return a.length - b.length;
}

function jsonOf(put: StorePut<string>): string | undefined {
  if (put.value === undefined) return undefined;
  const text = JSON.stringify(put.value);
  if (text.length > VALUE_BYTES_MAX)
    throw new ClientError('PAYLOAD_TOO_LARGE', `a value for ${put.table} is too large to keep`);
  return text;
}

/** Where the key is, or would be put in. */
function placeOf(keys: readonly StoreKey[], key: StoreKey): number {
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (compareKeys(keys[middle] ?? [], key) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}
