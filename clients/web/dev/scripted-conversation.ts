/** One scripted conversation: rows in memory, sends that climb through the states by timers. */
import type {
  Content,
  Conversation,
  ConversationRow,
  Draft,
  Info,
  Invites,
  Key,
  Member,
  Members,
  MessageRef,
  MessageRow,
  Place,
  Row,
  SendState,
  Timeline,
  TimelineState,
  UserId,
} from '@parley/sdk';
import { Cell } from './cell.ts';
import { DAY_MS, ME, type ScriptedConversation } from './script.ts';

export interface ScriptedWorld {
  isOnline(): boolean;
  changed(): void;
}

const PAGE = 50;
const WINDOW_MAX = 200;
const FILLER = [
  'The list is on the board.',
  'Moved to Thursday.',
  'Two metres of water at the inner berth, enough for us at half tide.',
  'Yes.',
  'I asked; they say the crane is free from three o’clock, but only if we bring our own slings.',
  'Good night.',
];

export class ScriptedTalk implements Conversation {
  readonly id: string;
  readonly info: Cell<Info>;
  readonly draft: Cell<Draft> = new Cell<Draft>({ text: '' });
  readonly typing: Cell<readonly UserId[]> = new Cell<readonly UserId[]>([]);
  readonly members: Members;
  readonly invites: Invites = { create: refuse, list: refuse };
  readonly script: ScriptedConversation;
  readonly #world: ScriptedWorld;
  #rows: Row[] = [];
  #pending: MessageRow[] = [];
  readonly #timelines = new Set<ScriptedTimeline>();

  constructor(script: ScriptedConversation, world: ScriptedWorld) {
    this.id = script.id;
    this.script = script;
    this.#world = world;
    this.#rows = rowsOf(script);
    this.members = new ScriptedMembers(script);
    const peer = script.members.find((id) => id !== ME);
    this.info = new Cell<Info>({
      id: script.id,
      kind: script.kind,
      name: script.name,
      ...(script.kind === 'direct' && peer !== undefined ? { peer } : {}),
      memberCount: script.members.length,
      settings: {},
      closed: false,
      role: script.kind === 'group' ? 'owner' : 'member',
      canSend: true,
      onServer: true,
      head: this.#rows.length,
      first: 1,
      readThrough: this.#rows.length - script.unread,
      unread: script.unread,
      mentions: 0,
      markedUnread: false,
      notify: 'all',
      muteUntilMs: 0,
      archived: false,
      pinned: false,
    });
    this.draft.subscribe(() => world.changed());
  }

  get rows(): readonly Row[] {
    return [...this.#rows, ...this.#pending];
  }

  listRow(): ConversationRow {
    const last = this.rows.findLast((row) => row.is === 'message');
    const info = this.info.get();
    return {
      id: this.id,
      kind: info.kind,
      name: info.name,
      ...(info.peer === undefined ? {} : { peer: info.peer }),
      ...(last === undefined ? {} : { last: previewOf(last) }),
      timeMs: last?.timeMs ?? 0,
      unread: info.unread,
      mentions: 0,
      markedUnread: false,
      muted: false,
      pinned: false,
      archived: false,
      draft: this.draft.get().text,
      waiting: this.#pending.length,
      typing: this.typing.get(),
    };
  }

  timeline(at: Place = 'latest'): Timeline {
    const made = new ScriptedTimeline(this, at, () => this.#timelines.delete(made));
    this.#timelines.add(made);
    return made;
  }

  receipts(): ReturnType<Conversation['receipts']> {
    return Object.assign(new Cell({ of: 1, queued: 0, delivered: 1, read: 1 }), {
      who: async () => [],
    });
  }

  send(content: Content): MessageRef {
    const key = crypto.randomUUID();
    const state = new Cell<SendState>({ is: 'SENDING', step: 'queued' });
    const pending: MessageRef = {
      key,
      state,
      accepted: new Promise(() => undefined),
      retry: () => this.#transmit(key, state),
      cancel: () => {
        this.#pending = this.#pending.filter((row) => row.key !== key);
        this.#tell();
        return true;
      },
    };
    const row: MessageRow = {
      is: 'message',
      key,
      timeMs: Date.now(),
      sender: ME,
      mine: true,
      content,
      deleted: false,
      edited: false,
      reactions: [],
      state,
      pending,
    };
    this.#pending.push(row);
    this.draft.set({ text: '' });
    this.#tell();
    this.#transmit(key, state);
    return pending;
  }

  flush(): void {
    for (const row of this.#pending) {
      if (row.state?.get().is === 'SENDING') this.#commit(row.key, row.state as Cell<SendState>);
    }
  }

  edit(key: Key, content: Content): MessageRef {
    this.draft.set({ text: this.draft.get().aside ?? '' });
    return this.#change(key, { content, edited: true });
  }

  remove(key: Key): MessageRef {
    return this.#change(key, { deleted: true });
  }

  react(key: Key): MessageRef {
    return this.#change(key, {});
  }

  setTyping(): void {}

  markRead(sequence: number): void {
    const info = this.info.get();
    const unread = Math.max(0, info.head - sequence);
    this.info.set({ ...info, readThrough: Math.max(info.readThrough, sequence), unread });
    this.#world.changed();
  }

  markUnread(): void {}
  notify(): void {}

  async update(change: { readonly name?: string }): Promise<void> {
    this.info.set({ ...this.info.get(), ...change });
    this.#world.changed();
  }

  /** Another's message arrives. */
  arrive(from: UserId, text: string): MessageRow {
    const row = messageOf(this.#rows.length + 1, from, text, lastTime(this.#rows) + 60_000);
    this.#rows.push(row);
    const info = this.info.get();
    this.info.set({ ...info, head: row.sequence ?? 0, unread: info.unread + 1 });
    this.#tell();
    return row;
  }

  #transmit(key: Key, state: Cell<SendState>): void {
    state.set({ is: 'SENDING', step: 'queued' });
    if (!this.#world.isOnline()) return;
    setTimeout(() => this.#commit(key, state), 90);
  }

  #commit(key: Key, state: Cell<SendState>): void {
    const at = this.#pending.findIndex((row) => row.key === key);
    const row = this.#pending[at];
    if (row === undefined) return;
    if (row.content?.text?.body.startsWith('!') === true) {
      state.set({ is: 'FAILED', reason: 'DEADLINE', retryable: true });
      this.#tell();
      return;
    }
    this.#pending.splice(at, 1);
    const { pending: _pending, ...rest } = row;
    const sequence = this.#rows.length + 1;
    this.#rows.push({ ...rest, sequence, timeMs: lastTime(this.#rows) + 30_000 });
    state.set({ is: 'SENT' });
    this.info.set({ ...this.info.get(), head: sequence });
    this.#tell();
    setTimeout(() => state.set({ is: 'DELIVERED' }), 700);
    setTimeout(() => state.set({ is: 'READ' }), 2_500);
  }

  #change(key: Key, change: Partial<MessageRow>): MessageRef {
    this.#rows = this.#rows.map((row) =>
      row.key === key && row.is === 'message' ? { ...row, ...change } : row,
    );
    this.#tell();
    const state = new Cell<SendState>({ is: 'SENT' });
    return {
      key,
      state,
      accepted: new Promise(() => undefined),
      retry: () => undefined,
      cancel: () => false,
    };
  }

  #tell(): void {
    for (const timeline of this.#timelines) timeline.changed();
    this.#world.changed();
  }
}

class ScriptedTimeline implements Timeline {
  readonly #talk: ScriptedTalk;
  readonly #closed: () => void;
  readonly #state: Cell<TimelineState>;
  #from: number;
  /** Rows after this one are not in the window: the reader does not follow. */
  #through: number | undefined;

  constructor(talk: ScriptedTalk, at: Place, closed: () => void) {
    this.#talk = talk;
    this.#closed = closed;
    const { unread, readThrough } = talk.info.get();
    this.#from = Math.max(0, talk.rows.length - PAGE);
    const newFrom = at === 'first-unread' && unread > 0 ? readThrough + 1 : undefined;
    this.#state = new Cell(this.#read(newFrom === undefined ? {} : { newFrom }));
  }

  get(): TimelineState {
    return this.#state.get();
  }

  subscribe(fn: () => void): () => void {
    return this.#state.subscribe(fn);
  }

  changed(): void {
    const { newFrom } = this.#state.get();
    this.#state.set(this.#read(newFrom === undefined ? {} : { newFrom }));
  }

  async more(edge: 'older' | 'newer'): Promise<void> {
    if (this.#state.get().loading !== undefined) return;
    if (edge === 'newer') return this.follow(true);
    this.#state.set({ ...this.#state.get(), loading: 'older' });
    await new Promise((done) => setTimeout(done, 150));
    this.#from = Math.max(0, this.#from - PAGE);
    this.changed();
  }

  async moveTo(): Promise<void> {
    this.follow(true);
  }

  follow(isFollowing: boolean): void {
    const { length } = this.#talk.rows;
    this.#through = isFollowing ? undefined : (this.#through ?? length);
    if (isFollowing && length - this.#from > WINDOW_MAX) this.#from = length - PAGE;
    this.changed();
  }

  close(): void {
    this.#closed();
  }

  #read(more: { newFrom?: number }): TimelineState {
    const { head } = this.#talk.info.get();
    const through = this.#through ?? this.#talk.rows.length;
    const rows = this.#talk.rows.slice(this.#from, through).slice(0, WINDOW_MAX);
    const below = this.#talk.rows.length - this.#from - rows.length;
    return { rows, first: 1, head, below, atEnd: below === 0, ...more };
  }
}

class ScriptedMembers
  extends Cell<{ readonly items: readonly Member[]; readonly complete: boolean }>
  implements Members
{
  constructor(script: ScriptedConversation) {
    const items = script.members.map((userId, i) => ({
      userId,
      role: (['owner', 'admin'] as const)[i] ?? ('member' as const),
      joinSequence: 1,
    }));
    super({ items, complete: true });
  }

  async load(): Promise<void> {}

  async add(users: readonly UserId[]): Promise<void> {
    const added = users.map((userId) => ({ userId, role: 'member' as const }));
    this.set({ items: [...this.get().items, ...added], complete: true });
  }

  async remove(user: UserId): Promise<void> {
    this.set({ items: this.get().items.filter((m) => m.userId !== user), complete: true });
  }

  async setRole(user: UserId, role: 'member' | 'owner' | 'admin' | 'guest'): Promise<void> {
    const items = this.get().items.map((m) => (m.userId === user ? { ...m, role } : m));
    this.set({ items, complete: true });
  }

  async leave(): Promise<void> {}
}

function rowsOf(script: ScriptedConversation): Row[] {
  const rows: Row[] = [];
  const start = DAY_MS - script.older * 31 * 60_000 - 3 * 86_400_000;
  if (script.kind === 'group') {
    rows.push({
      is: 'service',
      key: `s-${script.id}`,
      sequence: 1,
      timeMs: start - 60_000,
      created: { name: script.name, by: ME, users: script.members },
    });
  }
  for (let i = 0; i < script.older; i++) {
    const from = script.members[(i * 7) % script.members.length] ?? ME;
    const text = FILLER[(i * 5 + (i >> 2)) % FILLER.length] ?? '';
    rows.push(messageOf(rows.length + 1, from, text, start + i * 31 * 60_000));
  }
  for (const m of script.messages) {
    const row = messageOf(rows.length + 1, m.from, m.text, DAY_MS + m.minutes * 60_000);
    rows.push({ ...row, edited: m.edited === true, deleted: m.deleted === true });
  }
  markLast(rows);
  return rows;
}

/** The newest own ones show the states one after the other. */
function markLast(rows: Row[]): void {
  const states: readonly SendState['is'][] = ['DELIVERED', 'READ'];
  let at = 0;
  for (let i = rows.length - 1; i >= 0; i--) {
    const row = rows[i];
    if (row?.is !== 'message' || !row.mine) continue;
    const is = states[Math.min(at++, states.length - 1)] ?? 'READ';
    if (is !== 'FAILED' && is !== 'SENDING') rows[i] = { ...row, state: new Cell({ is }) };
  }
}

function messageOf(sequence: number, sender: UserId, text: string, timeMs: number): MessageRow {
  return {
    is: 'message',
    key: crypto.randomUUID(),
    sequence,
    timeMs,
    sender,
    mine: sender === ME,
    content: { text: { body: text } },
    deleted: false,
    edited: false,
    reactions: [],
  };
}

function previewOf(row: MessageRow): NonNullable<ConversationRow['last']> {
  return {
    key: row.key,
    sender: row.sender,
    mine: row.mine,
    text: row.content?.text?.body ?? '',
    deleted: row.deleted,
    timeMs: row.timeMs,
    ...(row.state === undefined ? {} : { state: row.state }),
  };
}

function lastTime(rows: readonly Row[]): number {
  const last = rows.at(-1);
  return last !== undefined && 'timeMs' in last ? last.timeMs : DAY_MS;
}

function refuse(): Promise<never> {
  return Promise.reject(new TypeError('not in the scripted workspace'));
}
