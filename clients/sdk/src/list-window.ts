/** The conversation list: all of it in order, the shown part as rows (CLIENT §1 ListWindow). */
import type { ConversationRow, Filter, ListWindow } from './client-interface.ts';
import type { ConversationId } from './contract.ts';
import type { ConversationLog } from './conversation-log.ts';
import { Cell, isShallowEqual } from './store.ts';
import { unreadCount } from './unread.ts';

export interface ListSource {
  logs(): Iterable<ConversationLog>;
  row(id: ConversationId): ConversationRow;
  /** Name to match a text against. */
  nameOf(log: ConversationLog): string;
  /** Local time of the newest own message under way; undefined = none. */
  pendingTimeMs(id: ConversationId): number | undefined;
  /** Worth a row though the server does not know it: a draft, an offline-made group. */
  isKept(id: ConversationId): boolean;
  freshness(): 'cached' | 'catching-up' | 'live';
  /** Calls once soon, however often asked. */
  soon(fn: () => void): void;
  closed(window: LiveListWindow): void;
}

type State = ReturnType<ListWindow['get']>;

const SHOWN_MAX = 200;
const SHOWN_FIRST = 50;

export class LiveListWindow implements ListWindow {
  readonly #source: ListSource;
  readonly #filter: Filter;
  readonly #text: string;
  readonly #state: Cell<State>;
  #order: readonly ConversationId[] = [];
  #start = 0;
  #count = SHOWN_FIRST;
  #isClosed = false;
  readonly #refreshNow = (): void => this.#refresh();

  constructor(source: ListSource, query: { readonly filter: Filter; readonly text?: string }) {
    this.#source = source;
    this.#filter = query.filter;
    this.#text = (query.text ?? '').trim().toLocaleLowerCase();
    this.#order = this.#sorted();
    this.#state = new Cell<State>(this.#compute(undefined), isShallowEqual);
  }

  get(): State {
    return this.#state.get();
  }

  subscribe(fn: () => void): () => void {
    return this.#state.subscribe(fn);
  }

  show(start: number, count: number): void {
    this.#start = Math.max(0, start);
    this.#count = Math.min(Math.max(1, count), SHOWN_MAX);
    this.#state.set(this.#compute(this.#state.get()));
  }

  close(): void {
    this.#isClosed = true;
    this.#source.closed(this);
  }

  /** Something in it may have changed. */
  changed(): void {
    if (!this.#isClosed) this.#source.soon(this.#refreshNow);
  }

  #refresh(): void {
    if (this.#isClosed) return;
    this.#order = this.#sorted();
    this.#state.set(this.#compute(this.#state.get()));
  }

  #compute(held: State | undefined): State {
    const shown = this.#order.slice(this.#start, this.#start + this.#count);
    const rows = shown.map((id) => this.#source.row(id));
    const isSame =
      held?.rows.length === rows.length && rows.every((row, i) => row === held.rows[i]);
    return {
      total: this.#order.length,
      start: this.#start,
      rows: isSame ? held.rows : rows,
      freshness: this.#source.freshness(),
    };
  }

  /** Pinned first, then by the newest message, own ones under way included. */
  #sorted(): readonly ConversationId[] {
    const found: { id: ConversationId; isPinned: boolean; timeMs: number }[] = [];
    for (const log of this.#source.logs()) {
      const pendingMs = this.#source.pendingTimeMs(log.id);
      if (!this.#isShown(log, pendingMs !== undefined)) continue;
      const { me, lastMessage, createTimeMs } = log.resource;
      const lastMs = lastMessage?.timeMs ?? createTimeMs ?? 0;
      const timeMs = Math.max(lastMs, pendingMs ?? 0);
      found.push({ id: log.id, isPinned: me?.pinned === true, timeMs });
    }
    found.sort((a, b) => {
      if (a.isPinned !== b.isPinned) return a.isPinned ? -1 : 1;
      return b.timeMs - a.timeMs || (a.id < b.id ? -1 : 1);
    });
    return found.map((each) => each.id);
  }

  #isShown(log: ConversationLog, hasPending: boolean): boolean {
    const isKept = log.isOnServer || hasPending || this.#source.isKept(log.id);
    // Left or removed: gone from the list, unless own words are stuck in it.
    if (!isKept || (log.resource.me?.role === '' && !hasPending)) return false;
    const isArchived = log.resource.me?.archived === true;
    if (this.#filter === 'archived' ? !isArchived : isArchived) return false;
    if (this.#filter === 'groups' && log.resource.kind !== 'group') return false;
    if (this.#filter === 'unread' || this.#filter === 'mentions') {
      const unread = unreadCount(log.unread);
      const isMarked = log.resource.me?.markedUnread === true;
      if (this.#filter === 'mentions' ? unread.mentions === 0 : unread.messages === 0 && !isMarked)
        return false;
    }
    return this.#text === '' || this.#source.nameOf(log).toLocaleLowerCase().includes(this.#text);
  }
}
