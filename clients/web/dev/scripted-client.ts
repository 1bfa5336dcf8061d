/** A `Client` without a server: for looking at the screens, and later the demo workspace. */
import type {
  Client,
  ConnectionState,
  Conversation,
  ConversationRow,
  Devices,
  Events,
  Filter,
  ListWindow,
  Me,
  People,
  Push,
  Store,
  User,
  UserId,
} from '@parley/sdk';
import { Cell } from './cell.ts';
import { CONVERSATIONS, ME, USERS } from './script.ts';
import { ScriptedTalk } from './scripted-conversation.ts';

const LIVE: ConnectionState = {
  phase: 'live',
  slow: false,
  readOnly: false,
  saved: true,
  follower: false,
  transport: 'websocket',
};

export class ScriptedClient implements Client {
  readonly connection: Cell<ConnectionState> = new Cell<ConnectionState>(LIVE);
  readonly unread: Cell<{ messages: number; mentions: number }> = new Cell({
    messages: 0,
    mentions: 0,
  });
  readonly me: Me;
  readonly devices: Devices = scriptedDevices();
  readonly people: People;
  readonly push: Push = Object.assign(new Cell('unsupported' as const), {
    enable: async () => undefined,
    disable: async () => undefined,
  });
  readonly #talks = new Map<string, ScriptedTalk>();
  readonly #lists = new Set<ScriptedList>();
  readonly #heard = new Set<(x: Events['message']) => void>();

  constructor() {
    this.me = Object.assign(new Cell<User>({ userId: ME, ...USERS[ME] }), {
      update: async () => undefined,
    });
    this.people = scriptedPeople();
    for (const script of CONVERSATIONS) this.#talks.set(script.id, this.#open(script));
    this.#changed();
  }

  async start(): Promise<void> {}
  async stop(): Promise<void> {}
  async signOut(): Promise<void> {}

  async takeOver(): Promise<void> {
    this.connection.set(LIVE);
  }

  conversations(query: { readonly filter: Filter; readonly text?: string }): ListWindow {
    const list: ScriptedList = new ScriptedList(query, () => this.#lists.delete(list));
    this.#lists.add(list);
    list.take(this.#rows());
    return list;
  }

  conversation(id: string): Conversation {
    return this.#talks.get(id) ?? this.#make(id, 'direct', '', []);
  }

  direct(user: UserId): Conversation {
    for (const talk of this.#talks.values()) {
      if (talk.script.kind === 'direct' && talk.script.members.includes(user)) return talk;
    }
    return this.#make(`cnv_${user.slice(4)}`, 'direct', '', [ME, user]);
  }

  createGroup(group: { readonly name: string; readonly members: readonly UserId[] }): Conversation {
    const tail = String(this.#talks.size).padStart(26, '0');
    return this.#make(`cnv_${tail}`, 'group', group.name, [ME, ...group.members]);
  }

  search(): never {
    throw new TypeError('not in the scripted workspace');
  }

  presence(): never {
    throw new TypeError('not in the scripted workspace');
  }

  on<E extends keyof Events>(event: E, fn: (x: Events[E]) => void): () => void {
    if (event !== 'message') return () => undefined;
    const heard = fn as (x: Events['message']) => void;
    this.#heard.add(heard);
    return () => this.#heard.delete(heard);
  }

  /** For the console: `parley.offline()`, `parley.arrive('hello')`. */
  offline(): void {
    this.connection.set({ ...LIVE, phase: 'offline' });
  }

  online(): void {
    this.connection.set(LIVE);
    for (const talk of this.#talks.values()) talk.flush();
  }

  arrive(text: string, at = 0): void {
    const talk = [...this.#talks.values()][at];
    const from = talk?.script.members.find((id) => id !== ME);
    if (talk === undefined || from === undefined) return;
    const row = talk.arrive(from, text);
    for (const tell of this.#heard) tell({ conversationId: talk.id, row });
  }

  #open(script: (typeof CONVERSATIONS)[number]): ScriptedTalk {
    return new ScriptedTalk(script, {
      isOnline: () => this.connection.get().phase === 'live',
      changed: () => this.#changed(),
    });
  }

  #make(id: string, kind: 'direct' | 'group', name: string, members: UserId[]): ScriptedTalk {
    const talk = this.#open({ id, kind, name, members, messages: [], unread: 0, older: 0 });
    this.#talks.set(id, talk);
    this.#changed();
    return talk;
  }

  #rows(): ConversationRow[] {
    return [...this.#talks.values()]
      .map((talk) => talk.listRow())
      .toSorted((a, b) => b.timeMs - a.timeMs);
  }

  #changed(): void {
    const rows = this.#rows();
    for (const list of this.#lists) list.take(rows);
    const messages = rows.reduce((sum, row) => sum + row.unread, 0);
    if (messages !== this.unread.get().messages) this.unread.set({ messages, mentions: 0 });
  }
}

class ScriptedList extends Cell<ReturnType<ListWindow['get']>> implements ListWindow {
  readonly #query: { readonly filter: Filter; readonly text?: string };
  readonly #closed: () => void;
  #all: readonly ConversationRow[] = [];
  #start = 0;
  #count = 0;

  constructor(query: { readonly filter: Filter; readonly text?: string }, closed: () => void) {
    super({ total: 0, start: 0, rows: [], freshness: 'live' });
    this.#query = query;
    this.#closed = closed;
  }

  show(start: number, count: number): void {
    if (start === this.#start && count === this.#count) return;
    this.#start = start;
    this.#count = count;
    this.#publish();
  }

  take(rows: readonly ConversationRow[]): void {
    this.#all = rows.filter((row) => this.#fits(row));
    this.#publish();
  }

  close(): void {
    this.#closed();
  }

  #fits(row: ConversationRow): boolean {
    const text = this.#query.text?.toLowerCase() ?? '';
    const name = row.name || (row.peer === undefined ? '' : (USERS[row.peer]?.displayName ?? ''));
    if (!name.toLowerCase().includes(text)) return false;
    if (this.#query.filter === 'unread') return row.unread > 0;
    return this.#query.filter !== 'groups' || row.kind === 'group';
  }

  #publish(): void {
    const rows = this.#all.slice(this.#start, this.#start + this.#count);
    this.set({ total: this.#all.length, start: this.#start, rows, freshness: 'live' });
  }
}

function scriptedPeople(): People {
  const stores = new Map<UserId, Store<User | undefined>>();
  const users = Object.entries(USERS).map(([userId, user]) => ({ userId, ...user }));
  for (const user of users) stores.set(user.userId, new Cell<User | undefined>(user));
  const nobody = new Cell<User | undefined>(undefined);
  return {
    get: (id) => stores.get(id) ?? nobody,
    search: async (text) =>
      users.filter((user) =>
        `${user.username} ${user.displayName}`.toLowerCase().includes(text.toLowerCase()),
      ),
  };
}

function scriptedDevices(): Devices {
  const now = Date.now();
  return {
    sessions: async () => [
      { sessionId: 'ses_1', deviceId: 'dev_1', deviceName: 'Chrome on Linux', current: true },
      { sessionId: 'ses_2', deviceId: 'dev_2', deviceName: 'Safari on iOS', lastSeenTimeMs: now },
    ],
    revoke: async () => undefined,
    list: async () => [],
  };
}
