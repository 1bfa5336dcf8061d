/** A conversation's members: as last read; read again when a row says that they changed. */
import type { Members } from './client-interface.ts';
import type { ConversationId, Member, Role, UserId } from './contract.ts';
import type { Core } from './core.ts';
import { Cell, type Watch } from './store.ts';

interface MembersState {
  readonly items: readonly Member[];
  readonly complete: boolean;
}

const PAGE_SIZE = 200;
const PAGES_MAX = 10;

export class LiveMembers implements Members {
  readonly #core: Core;
  readonly #id: ConversationId;
  readonly #state: Cell<MembersState>;
  #isLoaded = false;
  /** Never read, or asked for in vain since. */
  #isOwed = true;
  #loading: Promise<void> | undefined;

  constructor(core: Core, id: ConversationId, watch: Watch) {
    this.#core = core;
    this.#id = id;
    const group = core.localGroup(id);
    // Offline-made: those it will be created with.
    const items = group === undefined ? [] : [core.me(), ...group.members];
    const state = { items: items.map((userId) => ({ userId })), complete: group !== undefined };
    this.#state = new Cell<MembersState>(state, Object.is, watch);
  }

  get(): MembersState {
    return this.#state.get();
  }

  subscribe(fn: () => void): () => void {
    const stop = this.#state.subscribe(fn);
    if (this.#isOwed) this.load().catch(() => undefined);
    return stop;
  }

  load(): Promise<void> {
    this.#isOwed = true;
    this.#loading ??= this.#load().finally(() => {
      this.#loading = undefined;
    });
    return this.#loading;
  }

  /** Rows or the resource say that they changed. */
  changed(): void {
    if (this.#isLoaded || this.#state.isWatched) this.load().catch(() => undefined);
  }

  /** The server can be asked again. */
  online(): void {
    if (this.#isOwed && this.#state.isWatched) this.load().catch(() => undefined);
  }

  async add(users: readonly UserId[], role?: Role): Promise<void> {
    await this.#core.ask('Conversations.AddMembers', {
      conversationId: this.#id,
      userIds: users,
      ...(role === undefined ? {} : { role }),
    });
    await this.load();
  }

  async remove(user: UserId): Promise<void> {
    await this.#core.ask('Conversations.RemoveMember', { conversationId: this.#id, userId: user });
    if (user !== this.#core.me()) await this.load();
  }

  async setRole(user: UserId, role: Role): Promise<void> {
    const request = { conversationId: this.#id, userId: user, role };
    await this.#core.ask('Conversations.UpdateMember', request);
    await this.load();
  }

  async leave(): Promise<void> {
    await this.remove(this.#core.me());
  }

  async #load(): Promise<void> {
    const items: Member[] = [];
    let pageToken = '';
    for (let page = 0; page < PAGES_MAX; page++) {
      const answer = await this.#core.call<{
        members?: readonly Member[];
        nextPageToken?: string;
      }>('Conversations.ListMembers', {
        conversationId: this.#id,
        pageSize: PAGE_SIZE,
        ...(pageToken === '' ? {} : { pageToken }),
      });
      items.push(...(answer.members ?? []));
      pageToken = answer.nextPageToken ?? '';
      if (pageToken === '') break;
    }
    this.#isLoaded = true;
    this.#isOwed = false;
    this.#state.set({ items, complete: pageToken === '' });
  }
}
