/** Users by id: from the cache at once, from the server in batches when somebody asks. */
import type { People, Store } from './client-interface.ts';
import type { User, UserId } from './contract.ts';
import type { HostPort } from './host.ts';
import type { SavedStore } from './saved-store.ts';
import { Cell } from './store.ts';
import type { StoredPair } from './stores/store-port.ts';

const BATCH_MS = 20;
const IDS_MAX = 200;
/** Users kept in memory; beyond it those nobody watches go. */
export const HELD_MAX = 5_000;

export interface PeopleHooks {
  call<T>(method: string, request: unknown): Promise<T>;
  /** Waits for a connection first. */
  ask<T>(method: string, request: unknown): Promise<T>;
  isReady(): boolean;
  changed(id: UserId): void;
}

export class PeopleStore implements People {
  readonly #store: SavedStore;
  readonly #host: HostPort;
  readonly #hooks: PeopleHooks;
  readonly #cells = new Map<UserId, Cell<User | undefined>>();
  /** Asked for and not yet answered in this connection. */
  readonly #wanted = new Set<UserId>();
  readonly #fresh = new Set<UserId>();
  #cancel: (() => void) | undefined;

  constructor(o: { store: SavedStore; host: HostPort; hooks: PeopleHooks }) {
    this.#store = o.store;
    this.#host = o.host;
    this.#hooks = o.hooks;
  }

  load(pairs: readonly StoredPair[]): void {
    for (const { value } of pairs.slice(0, HELD_MAX)) {
      const user = value as User;
      this.#cell(user.userId).set(user);
    }
  }

  get(id: UserId): Store<User | undefined> {
    const cell = this.#cell(id);
    if (!this.#fresh.has(id)) this.#want(id);
    return cell;
  }

  /** Without asking anybody. */
  known(id: UserId): User | undefined {
    const user = this.#cells.get(id)?.get();
    if (user === undefined && !this.#fresh.has(id)) this.#want(id);
    return user;
  }

  /** Everything a text may be matched against. */
  namesOf(id: UserId): string {
    const user = this.known(id);
    return `${user?.displayName ?? ''} ${user?.username ?? ''}`;
  }

  async search(text: string): Promise<readonly User[]> {
    const answer = await this.#hooks.ask<{ users?: readonly User[] }>('Users.Search', {
      query: text,
    });
    const users = answer.users ?? [];
    this.learn(users);
    return users;
  }

  learn(users: readonly User[]): void {
    for (const user of users) {
      this.#fresh.add(user.userId);
      const cell = this.#cell(user.userId);
      const held = cell.get();
      if (held !== undefined && JSON.stringify(held) === JSON.stringify(user)) continue;
      cell.set(user);
      this.#hooks.changed(user.userId);
    }
    this.#store
      .writeCache(users.map((user) => ({ table: 'users', key: [user.userId], value: user })))
      .catch(() => undefined);
    if (this.#cells.size > HELD_MAX) this.#forget();
  }

  online(): void {
    this.#fresh.clear();
    for (const [id, cell] of this.#cells)
      if (cell.isWatched || cell.get() === undefined) this.#want(id);
  }

  stop(): void {
    this.#cancel?.();
    this.#cancel = undefined;
    this.#wanted.clear();
  }

  #want(id: UserId): void {
    if (id === '') return;
    this.#wanted.add(id);
    if (this.#hooks.isReady()) this.#cancel ??= this.#host.after(BATCH_MS, () => this.#ask());
  }

  #ask(): void {
    this.#cancel = undefined;
    const ids = [...this.#wanted].slice(0, IDS_MAX);
    for (const id of ids) this.#wanted.delete(id);
    if (ids.length === 0 || !this.#hooks.isReady()) return;
    // Also those the server does not know: asked once a connection.
    for (const id of ids) this.#fresh.add(id);
    this.#hooks
      .call<{ users?: readonly User[] }>('Users.Search', { ids })
      .then((answer) => this.learn(answer.users ?? []))
      // Asked again on the next connection, or when looked at.
      .catch(() => undefined);
    if (this.#wanted.size > 0) this.#cancel = this.#host.after(BATCH_MS, () => this.#ask());
  }

  #cell(id: UserId): Cell<User | undefined> {
    let cell = this.#cells.get(id);
    if (cell === undefined) this.#cells.set(id, (cell = new Cell<User | undefined>(undefined)));
    return cell;
  }

  #forget(): void {
    const forgotten: UserId[] = [];
    for (const [id, cell] of this.#cells) {
      if (this.#cells.size <= HELD_MAX / 2) break;
      if (cell.isWatched) continue;
      this.#cells.delete(id);
      this.#fresh.delete(id);
      forgotten.push(id);
    }
    // The cache is bounded too (S12); whoever is looked at again is asked for again.
    this.#store
      .writeCache(forgotten.map((id) => ({ table: 'users', key: [id] })))
      .catch(() => undefined);
  }
}
