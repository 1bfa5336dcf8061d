/**
 * Brings state from the store into the machines: what is asked for in one turn is one batch. What
 * the store does not hold becomes known as absent, so a first message costs one look-up more, not a
 * scan. Nothing that is not resident changes meanwhile (apply needs it resident), so what a batch
 * read cannot be older than what it fills.
 */
import type { Timers } from '../../core/clock.ts';
import { EMPTY } from '../../core/bytes.ts';
import { IdMap } from '../../core/id-map.ts';
import { ID_BYTES } from '../../core/ids.ts';
import type { Tasks } from '../../core/tasks.ts';
import {
  STATE_RANGE_LIMIT_MAX,
  type StateEntry,
  type StateStore,
} from '../../storage-engine/contract.ts';
import {
  accountKey,
  accountRange,
  headerKey,
  headerUnitsRange,
  keyAfter,
  senderRecordKey,
  type KeyRange,
} from '../../storage-engine/keys.ts';
import { decodeSparse } from '../../storage-engine/sparse.ts';
import type { AccountMachine } from '../account/contract.ts';
import type { ConversationMachine, StateUnit } from '../conversation/contract.ts';

/** Ids of one batch of look-ups. */
export const LOAD_BATCH_MAX = 256;
/** Batches under way at once, so that a burst leaves threads of the pool to others. */
export const LOAD_BATCHES_MAX = 4;
const RANGES_AT_ONCE = 16;
const SENDERS_AT_ONCE = 1024;
const BUSY_MS = 5;
/** Users whose directories stay in memory, per shard. */
export const ACCOUNTS_RESIDENT_MAX = 16_384;
/** The part of an account's key under which its directory lies; page 0 is the head. */
export const ACCOUNT_PART = 0;

interface Load {
  readonly id: Uint8Array;
  /** Exactly one of these. */
  readonly machine: ConversationMachine | undefined;
  readonly accounts: AccountMachine | undefined;
  readonly done: (() => void)[];
}

export interface ResidencyOptions {
  readonly state: StateStore;
  readonly timers: Timers;
  readonly tasks: Tasks;
  /** Resident bytes of all machines together; above it the least recently used go. */
  readonly bytesMax: number;
  readonly machines: readonly ConversationMachine[];
  readonly accounts: readonly AccountMachine[];
}

export class Residency {
  readonly #options: ResidencyOptions;
  readonly #conversations = new IdMap<Load>();
  readonly #accounts = new IdMap<Load>();
  #wanted: Load[] = [];
  #isArmed = false;
  #running = 0;
  loads = 0;
  evictions = 0;

  constructor(options: ResidencyOptions) {
    this.#options = options;
  }

  get residentBytes(): number {
    let bytes = 0;
    for (const machine of this.#options.machines) bytes += machine.residentBytes;
    return bytes;
  }

  /** Calls `done` in a later turn, when the conversation is resident or known as absent. */
  conversation(machine: ConversationMachine, raw: Uint8Array, done: () => void): void {
    this.#want(this.#conversations, raw, { machine, accounts: undefined }, done);
  }

  account(accounts: AccountMachine, user: Uint8Array, done: () => void): void {
    this.#want(this.#accounts, user, { machine: undefined, accounts }, done);
  }

  /** Gives up the least recently used of what is clean, down to nine tenths of the bounds. */
  shrink(): void {
    for (const accounts of this.#options.accounts) this.#shrinkAccounts(accounts);
    this.#shrinkConversations();
  }

  #shrinkAccounts(accounts: AccountMachine): void {
    if (accounts.residentCount <= ACCOUNTS_RESIDENT_MAX) return;
    const wanted = accounts.residentCount - (ACCOUNTS_RESIDENT_MAX * 9) / 10;
    const users: Uint8Array[] = [];
    accounts.eachEvictable((user) => {
      users.push(user);
      return users.length < wanted;
    });
    for (const user of users) if (accounts.evict(user)) this.evictions++;
  }

  #shrinkConversations(): void {
    const { bytesMax, machines } = this.#options;
    let excess = this.residentBytes - bytesMax;
    if (excess <= 0) return;
    excess += bytesMax / 10;
    const share = Math.ceil(excess / machines.length);
    for (const machine of machines) {
      const target = machine.residentBytes - share;
      const ids: Uint8Array[] = [];
      const average = machine.residentBytes / Math.max(1, machine.residentCount);
      const wanted = Math.ceil(share / Math.max(1, average));
      machine.eachEvictable((id) => {
        ids.push(id.slice());
        return ids.length < wanted;
      });
      for (const id of ids) {
        if (machine.residentBytes <= target) break;
        if (machine.evict(id)) this.evictions++;
      }
    }
  }

  #want(
    loads: IdMap<Load>,
    id: Uint8Array,
    into: Pick<Load, 'machine' | 'accounts'>,
    done: () => void,
  ): void {
    const known = loads.get(id);
    if (known !== undefined) {
      known.done.push(done);
      return;
    }
    const load: Load = { id: id.slice(), ...into, done: [done] };
    loads.set(load.id, load);
    this.#wanted.push(load);
    this.#arm();
  }

  #arm(): void {
    if (this.#isArmed || this.#wanted.length === 0 || this.#running >= LOAD_BATCHES_MAX) return;
    this.#isArmed = true;
    this.#options.timers.soon(this.#begin);
  }

  readonly #begin = (): void => {
    this.#isArmed = false;
    const batch = this.#wanted.slice(0, LOAD_BATCH_MAX);
    try {
      this.#options.tasks.run('store.load', () => this.#run(batch));
    } catch {
      // Too much is under way: they stay wanted, and are loaded a moment later.
      this.#isArmed = true;
      this.#options.timers.after(BUSY_MS, this.#begin);
      return;
    }
    this.#wanted.splice(0, batch.length);
    this.#running++;
    this.#arm();
  };

  async #run(batch: readonly Load[]): Promise<void> {
    const units = await this.#read(batch);
    this.#running--;
    this.loads += batch.length;
    for (const [i, load] of batch.entries()) {
      const entries = units[i] ?? [];
      if (load.machine !== undefined) {
        this.#conversations.delete(load.id);
        if (!load.machine.isResident(load.id)) load.machine.load(load.id, entries.map(toUnit));
      } else if (load.accounts !== undefined) {
        this.#accounts.delete(load.id);
        if (!load.accounts.isResident(load.id)) load.accounts.load(load.id, entries.map(toPage));
      }
    }
    this.#arm();
    for (const load of batch) for (const done of load.done) done();
    // Later: who waited must come to use what was loaded before it may go again.
    if (this.residentBytes > this.#options.bytesMax) this.#options.timers.soon(() => this.shrink());
  }

  /**
   * A look-up by key tells absent ones cheaply (filters), and who has anything has a header or a
   * first page. A small conversation's header names all who may have more; only the others are worth
   * a range, which costs as much as fifty look-ups.
   */
  async #read(batch: readonly Load[]): Promise<(readonly StateEntry[])[]> {
    const { state } = this.#options;
    const found: StateEntry[][] = batch.map(() => []);
    const keys = batch.map(({ id, machine }) =>
      machine === undefined ? accountKey(id, ACCOUNT_PART, 0) : headerKey(id),
    );
    const ranges: number[] = [];
    const senders: { readonly of: number; readonly key: Uint8Array }[] = [];
    for (const [i, stored] of (await state.getMany(keys)).entries()) {
      const { id, machine } = batch[i] as Load;
      if (stored === undefined) continue;
      const value = decodeSparse(stored);
      const users = machine?.sendersOf(value);
      if (users === undefined) {
        ranges.push(i);
        continue;
      }
      found[i]?.push({ key: keys[i] as Uint8Array, value });
      for (let at = 0; at < users.length; at += ID_BYTES)
        senders.push({ of: i, key: senderRecordKey(id, users.subarray(at, at + ID_BYTES)) });
    }
    await Promise.all([this.#readSenders(senders, found), this.#readRanges(ranges, batch, found)]);
    return found;
  }

  async #readSenders(
    senders: readonly { readonly of: number; readonly key: Uint8Array }[],
    found: readonly StateEntry[][],
  ): Promise<void> {
    for (let from = 0; from < senders.length; from += SENDERS_AT_ONCE) {
      const part = senders.slice(from, from + SENDERS_AT_ONCE);
      const values = await this.#options.state.getMany(part.map(({ key }) => key));
      for (const [i, { of, key }] of part.entries()) {
        const value = values[i];
        if (value !== undefined) found[of]?.push({ key, value: decodeSparse(value) });
      }
    }
  }

  async #readRanges(
    ranges: readonly number[],
    batch: readonly Load[],
    found: StateEntry[][],
  ): Promise<void> {
    const { state } = this.#options;
    for (let from = 0; from < ranges.length; from += RANGES_AT_ONCE) {
      const part = ranges.slice(from, from + RANGES_AT_ONCE);
      await Promise.all(
        part.map(async (i) => {
          const { id, machine } = batch[i] as Load;
          found[i] = await allOf(state, machine ? headerUnitsRange(id) : accountRange(id));
        }),
      );
    }
  }
}

/** A range to its end: half of a conversation would be taken for all of it, windows and counts lost. */
async function allOf(state: StateStore, { gte, lt }: KeyRange): Promise<StateEntry[]> {
  const entries = await state.range({ gte, lt });
  for (let part = entries; part.length === STATE_RANGE_LIMIT_MAX; entries.push(...part))
    part = await state.range({ gte: keyAfter((part.at(-1) as StateEntry).key), lt });
  return entries.map(({ key, value }) => ({ key, value: decodeSparse(value) }));
}

const UNIT_AT = 1 + 2 + 16;

/** A header unit out of its key: …slot, conversation, part, then page or user. */
export function toUnit({ key, value }: StateEntry): StateUnit {
  const kind = (key[UNIT_AT] ?? 0) as StateUnit['kind'];
  const rest = key.subarray(UNIT_AT + 1);
  return {
    kind,
    page: kind === 1 ? readU32(rest) : 0,
    user: kind === 2 ? rest.slice() : EMPTY,
    value,
  };
}

function toPage({ key, value }: StateEntry): { page: number; value: Uint8Array } {
  return { page: readU32(key.subarray(UNIT_AT + 1)), value };
}

function readU32(bytes: Uint8Array): number {
  return (
    (((bytes[0] ?? 0) << 24) |
      ((bytes[1] ?? 0) << 16) |
      ((bytes[2] ?? 0) << 8) |
      (bytes[3] ?? 0)) >>>
    0
  );
}
