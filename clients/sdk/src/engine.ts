/**
 * The running client: owns connection, sync, outbox and what hangs on them, and carries events from
 * one to another. Start reads the device and never waits for the network; stop leaves no timer, lock
 * or socket (S18).
 */
import type {
  ClientOptions,
  Credential,
  CredentialWhy,
  Events,
  Filter,
  Key,
} from './client-interface.ts';
import { Connection } from './connection.ts';
import type {
  ClientFrame,
  ConversationId,
  ConversationResource,
  ListMessagesAnswer,
  Message,
  Ready,
  Sequence,
  ServerFrame,
  User,
  UserId,
} from './contract.ts';
import { LiveConversation } from './conversation.ts';
import { ConversationLog } from './conversation-log.ts';
import type { Core, MyPatch, PageRequest } from './core.ts';
import { coversOf } from './covers.ts';
import { SavedDraft } from './draft.ts';
import { ClientError, reasonOf } from './errors.ts';
import { Focus } from './focus.ts';
import { GroupMaker } from './group-maker.ts';
import { type HostPort, platformHost } from './host.ts';
import { directConversationId, groupConversationId, newUuid } from './ids.ts';
import type { LocalGroup } from './info.ts';
import { LiveListWindow } from './list-window.ts';
import { loadCache, saveShelf } from './load.ts';
import type { Lease } from './locks.ts';
import { Marks } from './marks.ts';
import type { MessageBatch } from './message-batch.ts';
import { isCountable } from './message-merge.ts';
import { Outbox, type SettledRef } from './outbox.ts';
import type { OutboxEntry } from './outbox-entry.ts';
import { OwnState } from './own-state.ts';
import { PeopleStore } from './people.ts';
import { REASONS, type Reason } from './reasons.ts';
import { SavedStore } from './saved-store.ts';
import { Cell, Derived } from './store.ts';
import { memoryStore } from './stores/memory.ts';
import { Sync } from './sync.ts';
import type { SyncOutcome } from './sync-machine.ts';
import { RowMaker } from './timeline-rows.ts';
import { webSocketTransport } from './transports/websocket.ts';
import { unreadCount } from './unread.ts';

const TIMELINES_MAX = 3;
const PAGE_TRIES = 3;
const RECOVERY_PAGES_MAX = 50;
/** How much a device's clock and the server's may differ when a restored outbox is compared. */
const CLOCK_SLACK_MS: number = 26 * 3600 * 1000;
const PATCH_RETRY_MS = 5_000;
const SHELF_MS = 3_000;
const ASK_MS_MAX = 10_000;

type Listeners = { [E in keyof Events]: Set<(x: Events[E]) => void> };

export class Engine implements Core {
  readonly host: HostPort;
  readonly connection: Connection;
  readonly people: PeopleStore;
  readonly user: Cell<User>;
  readonly unread: Derived<{ readonly messages: number; readonly mentions: number }>;
  outbox: Outbox;
  readonly #options: ClientOptions;
  readonly #store: SavedStore;
  readonly #own: OwnState;
  readonly #marks: Marks;
  readonly #focus: Focus;
  readonly #groups: GroupMaker;
  /** Held weakly: what nobody looks at is made again when somebody does. */
  readonly #conversations = new Map<ConversationId, WeakRef<LiveConversation>>();
  readonly #windows = new Set<LiveListWindow>();
  readonly #timelines = new Map<{ close(): void }, LiveConversation>();
  readonly #soon = new Set<() => void>();
  readonly #timers = new Set<() => void>();
  readonly #patching = new Set<ConversationId>();
  readonly #listeners: Listeners = {
    message: new Set(),
    failed: new Set(),
    removed: new Set(),
    signedOut: new Set(),
    replaced: new Set(),
  };
  #sync: Sync;
  #lease: Lease | undefined;
  #isRunning = false;
  #isFollower = false;
  #isSoon = false;
  #isShelfDue = false;
  #deviceId = '';
  #starting: Promise<void> | undefined;

  constructor(options: ClientOptions) {
    this.#options = options;
    this.host = options.host ?? platformHost();
    this.#store = new SavedStore(options.store ?? memoryStore(), {
      unsaved: () => this.#unsaved(),
      fenced: () => this.#follow(),
    });
    this.#own = new OwnState(this.#store);
    this.user = new Cell<User>({ userId: '' });
    this.unread = new Derived(() => this.#unreadNow());
    this.connection = new Connection(
      {
        url: options.url,
        transports: options.transports ?? [webSocketTransport()],
        host: this.host,
        credential: (why) => this.#credential(why),
      },
      {
        resume: () => this.#resume(),
        ready: (ready) => this.#ready(ready),
        pushed: (frames) => this.#pushed(frames),
        lost: () => this.#lost(),
        signedOut: (reason) => this.#emit('signedOut', { reason }),
        replaced: () => this.#follow(),
      },
    );
    this.people = new PeopleStore({
      store: this.#store,
      host: this.host,
      hooks: {
        call: (method, request) => this.call(method, request),
        ask: (method, request) => this.ask(method, request),
        isReady: () => this.isReady(),
        changed: (id) => this.#nameChanged(id),
      },
    });
    this.#marks = new Marks(this.host, {
      log: (id) => this.log(id),
      logs: () => this.#sync.machine.logs.values(),
      tell: ({ delivered, read }) =>
        this.connection.tell({
          receipt: {
            ...(delivered.length > 0 ? { delivered } : {}),
            ...(read.length > 0 ? { read } : {}),
          },
        }),
    });
    this.#focus = new Focus(this.host, (frame) => this.connection.tell(frame));
    this.#groups = new GroupMaker(this.host, this.#own, {
      call: (method, request) => this.call(method, request),
      isReady: () => this.isReady(),
      made: (group, resource) => this.#groupMade(group, resource),
      failed: (group) => this.#touch(group.conversationId),
    });
    this.outbox = this.#newOutbox();
    this.#sync = this.#newSync();
    this.connection.state.subscribe(() => this.#phaseChanged());
  }

  // --- life --------------------------------------------------------------------------------------

  start(): Promise<void> {
    this.#starting ??= this.#start().catch((error: unknown) => {
      this.#starting = undefined;
      throw error;
    });
    return this.#starting;
  }

  async #start(): Promise<void> {
    await this.#store.open();
    await this.#own.loadIdentity();
    const identity = this.#own.identity;
    if (identity === undefined) {
      // The very first use: which account this is, only the credential says.
      const { userId, deviceId = '' } = await this.#options.credential('start');
      await this.#claim(userId);
      this.#own.setIdentity({ userId, deviceId });
    } else await this.#claim(identity.userId);
    await this.#load();
    this.#isRunning = true;
    this.connection.note({ saved: this.#store.isSaved, readOnly: false, follower: false });
    this.connection.start();
  }

  async #claim(userId: UserId): Promise<void> {
    const lease = await this.#options.locks?.take(`parley:${this.#options.url}:${userId}`);
    this.#lease = lease;
    lease?.lost
      .then(() => {
        if (this.#lease === lease) this.#follow();
      })
      .catch(() => undefined);
    await this.#store.claim();
    this.#isFollower = false;
  }

  async #load(): Promise<void> {
    await this.#own.load();
    this.user.set({ userId: this.me() });
    const loaded = await loadCache(this.#store, this.me());
    if (loaded.user !== undefined) this.user.set(loaded.user);
    this.people.load(loaded.users);
    this.#sync.machine.load(loaded.logs, loaded.syncToken);
    for (const group of this.#own.groups.values()) this.#adoptGroup(group);
    for (const [id, sequence] of this.#own.reads) this.log(id)?.read(sequence);
    for (const id of this.#own.patches.keys()) this.#applyPatch(id);
    await this.outbox.load();
    for (const id of this.outbox.machine.conversations()) this.#adoptUnknown(id);
    for (const id of this.#own.drafts.keys()) this.#touch(id);
    this.#changedAll();
  }

  async stop(): Promise<void> {
    this.#starting = undefined;
    this.#isRunning = false;
    this.#lease?.release();
    this.#lease = undefined;
    for (const ref of this.#conversations.values()) ref.deref()?.stop();
    await this.#halt(undefined);
    this.outbox = this.#newOutbox();
    this.#sync = this.#newSync();
    await this.#store.close();
  }

  /** Ends everything that runs; the state shown stays. */
  async #halt(reason: Reason | undefined): Promise<void> {
    this.connection.stop(reason);
    this.people.stop();
    this.#marks.stop();
    this.#focus.stop();
    this.#groups.stop();
    for (const cancel of this.#timers) cancel();
    this.#timers.clear();
    this.#isSoon = false;
    await this.outbox.stop();
    await this.#sync.stop();
    if (this.#isShelfDue) await this.#saveShelf();
    await this.#own.settled();
  }

  async signOut(wipe: boolean): Promise<void> {
    if (this.isReady())
      await this.call('Auth.RevokeSession', { sessionId: 'current' }).catch(() => undefined);
    await this.stop();
    if (!wipe) return;
    await this.#store.open();
    await this.#store.wipe('cache');
    await this.#store.wipe('own');
    await this.#store.close();
    this.#own.identity = undefined;
  }

  /** Another owner has the data: this copy shows what it has and writes nothing (S11). */
  #follow(): void {
    if (this.#isFollower || !this.#isRunning) return;
    this.#isFollower = true;
    this.#lease = undefined;
    this.connection.note({ readOnly: true, follower: true });
    this.#halt('REPLACED').catch(() => undefined);
    this.#emit('replaced', {});
  }

  async takeOver(): Promise<void> {
    if (!this.#isFollower) return;
    await this.#claim(this.me());
    this.outbox = this.#newOutbox();
    this.#sync = this.#newSync();
    await this.#load();
    this.connection.note({ readOnly: false, follower: false });
    this.connection.start();
    for (const conversation of this.#alive()) conversation.online();
  }

  #unsaved(): void {
    // What was stored cannot be read any more: all of it is a hole again, and nothing is lost.
    for (const log of this.#sync.machine.logs.values()) log.ranges = [];
    this.connection.note({ saved: false });
    this.#changedAll();
  }

  // --- what an application asks for ----------------------------------------------------------------

  conversation(id: ConversationId): LiveConversation {
    const held = this.#conversations.get(id)?.deref();
    if (held !== undefined) return held;
    const draft = new SavedDraft({
      id,
      draft: this.#own.drafts.get(id),
      host: this.host,
      write: (puts) => {
        this.#own.write(puts);
      },
      changed: (value) => {
        this.#own.noteDraft(id, value);
        this.#windowsChanged();
      },
    });
    const made = new LiveConversation(this, id, draft);
    this.#conversations.set(id, new WeakRef(made));
    return made;
  }

  direct(peer: UserId): LiveConversation {
    if (this.me() === '') throw new ClientError('TOKEN_INVALID', 'start the client first');
    const id = directConversationId(this.me(), peer);
    if (this.log(id) === undefined) this.#adoptDirect(id, peer);
    return this.conversation(id);
  }

  createGroup(group: {
    readonly name: string;
    readonly members: readonly UserId[];
  }): LiveConversation {
    if (this.me() === '') throw new ClientError('TOKEN_INVALID', 'start the client first');
    if (!this.mayWrite())
      throw new ClientError('REPLACED', 'another tab or process has taken over');
    const requestId = newUuid((count) => this.host.randomBytes(count));
    const conversationId = groupConversationId(this.me(), requestId);
    const made: LocalGroup = {
      conversationId,
      requestId,
      name: group.name,
      members: group.members.filter((user) => user !== this.me()),
      createTimeMs: this.host.nowMs(),
    };
    this.#own.setGroup(made);
    this.#adoptGroup(made);
    this.#touch(conversationId);
    this.#groups.make(conversationId);
    return this.conversation(conversationId);
  }

  list(query: { readonly filter: Filter; readonly text?: string }): LiveListWindow {
    const window = new LiveListWindow(
      {
        logs: () => this.#sync.machine.logs.values(),
        row: (id) => this.conversation(id).row(),
        nameOf: (log) => this.#nameOf(log),
        pendingTimeMs: (id) => this.outbox.machine.entriesOf(id).at(-1)?.queuedTimeMs,
        isKept: (id) => this.#own.drafts.has(id) || this.#own.groups.has(id),
        freshness: () => {
          const { phase } = this.connection.state.get();
          return phase === 'live' ? 'live' : phase === 'catching-up' ? 'catching-up' : 'cached';
        },
        soon: (fn) => this.#runSoon(fn),
        closed: (closed) => this.#windows.delete(closed),
      },
      query,
    );
    this.#windows.add(window);
    return window;
  }

  on<E extends keyof Events>(event: E, fn: (x: Events[E]) => void): () => void {
    const listeners: Set<(x: Events[E]) => void> = this.#listeners[event];
    listeners.add(fn);
    return () => listeners.delete(fn);
  }

  // --- Core ----------------------------------------------------------------------------------------

  me(): UserId {
    return this.#own.identity?.userId ?? '';
  }

  log(id: ConversationId): ConversationLog | undefined {
    return this.#sync.machine.logs.get(id);
  }

  localGroup(id: ConversationId): LocalGroup | undefined {
    return this.#own.groups.get(id);
  }

  mayWrite(): boolean {
    return !this.#isFollower;
  }

  isReady(): boolean {
    return this.connection.isReady;
  }

  async readMessages(
    id: ConversationId,
    o: { from: Sequence; through: Sequence; limit: number; isNewest: boolean },
  ): Promise<readonly Message[]> {
    if (o.from > o.through) return [];
    const pairs = await this.#store.readCache('messages', {
      from: [id, o.from],
      through: [id, o.through],
      limit: o.limit,
      reverse: o.isNewest,
    });
    const messages = pairs.map((pair) => pair.value as Message);
    return o.isNewest ? messages.reverse() : messages;
  }

  async readPage(id: ConversationId, request: PageRequest): Promise<ListMessagesAnswer> {
    for (let tries = 0; tries < PAGE_TRIES; tries++) {
      const answer = await this.call<ListMessagesAnswer>('Messages.List', {
        conversationId: id,
        ...request,
      });
      const covers = coversOf(request, answer);
      const isTaken = await new Promise<boolean>((done) =>
        this.#sync.push({ is: 'page', conversationId: id, answer, covers, done }),
      );
      if (isTaken) return answer;
    }
    throw new ClientError('BACKEND_UNAVAILABLE', 'the history changes faster than it is read');
  }

  call<T>(method: string, request: unknown): Promise<T> {
    return this.connection.call<T>(method, request);
  }

  /** Waits for a connection first, for a while: what a person asked for. */
  async ask<T>(method: string, request: unknown): Promise<T> {
    if (!this.isReady()) await this.#untilReady();
    return this.call<T>(method, request);
  }

  #untilReady(): Promise<void> {
    return new Promise((resolve, reject) => {
      const state = this.connection.state;
      const end = (error?: ClientError): void => {
        cancel();
        this.#timers.delete(cancel);
        unsubscribe();
        if (error === undefined) resolve();
        else reject(error);
      };
      const offline = (): ClientError =>
        new ClientError('BACKEND_UNAVAILABLE', 'there is no connection');
      const cancel = this.host.after(ASK_MS_MAX, () => end(offline()));
      this.#timers.add(cancel);
      const unsubscribe = state.subscribe(() => {
        if (this.isReady()) end();
        else if (state.get().phase === 'stopped') end(offline());
      });
      if (state.get().phase === 'stopped') end(offline());
    });
  }

  wantSync(id: ConversationId): void {
    if (this.log(id)?.owesSync === true) this.#sync.want(id);
  }

  markRead(id: ConversationId, sequence: Sequence): void {
    const log = this.log(id);
    if (log === undefined || !this.mayWrite()) return;
    if (log.resource.me?.markedUnread === true) this.setMine(id, { markedUnread: false });
    const clamped = Math.min(sequence, log.head);
    if (clamped <= log.unread.readThrough) return;
    this.#own.setRead(id, clamped);
    this.#marks.read(id, clamped);
    log.read(clamped);
    this.#sync.push({ is: 'read', conversationId: id, sequence: clamped });
    this.#touch(id);
  }

  setTyping(id: ConversationId): void {
    this.#focus.typing(id);
  }

  setMine(id: ConversationId, patch: MyPatch): void {
    if (!this.mayWrite()) return;
    this.#own.addPatch(id, patch);
    this.#applyPatch(id);
    this.#touch(id);
    this.#sendPatch(id);
  }

  timelineOpened(timeline: { close(): void }, id: ConversationId): void {
    this.#timelines.set(timeline, this.conversation(id));
    const [oldest] = this.#timelines.keys();
    if (this.#timelines.size > TIMELINES_MAX) oldest?.close();
    this.#focusNow();
  }

  timelineClosed(timeline: { close(): void }): void {
    this.#timelines.delete(timeline);
    this.#focusNow();
  }

  learnMe(user: User): void {
    this.user.set(user);
    this.people.learn([user]);
  }

  // --- connection ----------------------------------------------------------------------------------

  async #credential(why: CredentialWhy): Promise<Credential> {
    const credential = await this.#options.credential(why);
    if (credential.userId !== this.me())
      throw new ClientError('SENDER_MISMATCH', 'the credential is of another account');
    if (credential.deviceId !== undefined) this.#deviceId = credential.deviceId;
    return credential;
  }

  #resume(): NonNullable<ClientFrame['hello']>['resume'] {
    const { syncToken, logs } = this.#sync.machine;
    if (syncToken === '') return undefined;
    const open = new Set([...this.#timelines.values()].map((conversation) => conversation.id));
    const known = [...logs.values()].filter((log) => log.isOnServer && log.cursor > 0);
    const newest = known.sort((a, b) => {
      if (open.has(a.id) !== open.has(b.id)) return open.has(a.id) ? -1 : 1;
      return (b.resource.lastMessage?.timeMs ?? 0) - (a.resource.lastMessage?.timeMs ?? 0);
    });
    const cursors = newest.slice(0, 50).map((log) => ({
      conversationId: log.id,
      epoch: log.epoch,
      sequence: log.cursor,
    }));
    return { syncToken, cursors };
  }

  #ready(ready: Ready): void {
    if (ready.deviceId !== undefined) this.#deviceId = ready.deviceId;
    this.#sync.push({ is: 'ready', ready });
    this.outbox.live(true);
    this.#groups.online();
    this.people.online();
    this.#focus.ready();
    for (const id of this.#own.patches.keys()) this.#sendPatch(id);
    this.call<User>('Users.Get', { userId: 'me' })
      .then((user) => this.learnMe(user))
      // The cached one stays.
      .catch(() => undefined);
  }

  #pushed(frames: readonly ServerFrame[]): void {
    for (const frame of frames) this.#sync.push({ is: 'frame', frame });
  }

  #lost(): void {
    this.outbox.live(false);
    this.#sync.lost();
    this.#marks.lost();
    this.#groups.stop();
    this.#focus.stop();
    this.#patching.clear();
  }

  #phaseChanged(): void {
    this.#windowsChanged();
  }

  // --- sync ----------------------------------------------------------------------------------------

  #newSync(): Sync {
    return new Sync({
      store: this.#store,
      host: this.host,
      ports: { me: () => this.me(), ownBody: (key) => this.outbox.bodyOf(key) },
      hooks: {
        call: (method, request) => this.call(method, request),
        isReady: () => this.isReady(),
        changed: (outcome, messages) => this.#syncChanged(outcome, messages),
        stored: (outcome) => this.#syncStored(outcome),
        listed: () => this.#isLive(),
        flooded: () => this.connection.reconnect(),
      },
    });
  }

  #syncChanged(outcome: SyncOutcome, messages: MessageBatch): void {
    const changed = messages.changed();
    for (const id of outcome.touched) {
      if (this.#own.patches.has(id)) this.#applyPatch(id);
      const log = this.log(id);
      if (log !== undefined) this.#own.confirmRead(id, log.resource.me?.readThrough ?? 0);
      this.#conversations.get(id)?.deref()?.changed(changed.get(id));
    }
    for (const { conversationId, span } of outcome.trimmed)
      this.#conversations.get(conversationId)?.deref()?.erased(span);
    for (const id of outcome.resources) this.#conversations.get(id)?.deref()?.members.changed();
    for (const each of outcome.typing)
      this.#conversations
        .get(each.conversationId)
        ?.deref()
        ?.heardTyping(each.userId, each.isTyping);
    this.#windowsChanged();
    this.unread.invalidate();
  }

  #syncStored(outcome: SyncOutcome): void {
    for (const { row } of outcome.own) this.outbox.appeared(row);
    for (const id of outcome.touched) this.#marks.stored(id);
    for (const conversationId of outcome.removed) this.#emit('removed', { conversationId });
    if (this.connection.state.get().phase === 'live')
      for (const { conversationId, message } of outcome.arrived)
        this.#announce(conversationId, message);
    if (outcome.isCaughtUp && !this.#sync.isListing) this.#isLive();
    this.#shelfSoon();
  }

  #isLive(): void {
    this.connection.caughtUp();
    this.#marks.live(this.#own.reads);
    for (const conversation of this.#alive()) conversation.online();
  }

  #announce(conversationId: ConversationId, message: Message): void {
    const log = this.log(conversationId);
    const isNews =
      isCountable(message.content) && message.sequence > (log?.unread.readThrough ?? 0);
    if (!isNews || this.#listeners.message.size === 0) return;
    const [row] = new RowMaker().make({
      ...this.conversation(conversationId).rowsInput(),
      messages: [message],
      holes: [],
      pending: [],
    });
    if (row?.is === 'message') this.#emit('message', { conversationId, row });
  }

  // --- outbox --------------------------------------------------------------------------------------

  #newOutbox(): Outbox {
    return new Outbox({
      store: this.#store,
      host: this.host,
      hooks: {
        request: (entries, answered) => this.#transmit(entries, answered),
        me: () => ({ userId: this.me(), deviceId: this.#deviceId }),
        committed: (settled, message, done) =>
          this.#sync.push({
            is: 'committed',
            conversationId: settled.entry.conversationId,
            ...(message === undefined ? {} : { message }),
            done,
          }),
        failed: (entry, reason) => {
          this.#emit('failed', { conversationId: entry.conversationId, key: entry.key, reason });
        },
        changed: (id, settled) => this.#outboxChanged(id, settled),
        recover: (id, keys) => this.#recover(id, keys),
      },
    });
  }

  #transmit(
    entries: readonly OutboxEntry[],
    answered: (entry: OutboxEntry, frame: ServerFrame | undefined) => void,
  ): void {
    const sendable = entries.filter((entry) => entry.number !== undefined);
    const frames = sendable.map((entry): ClientFrame => {
      const { outboxId, clientSeq, after } = entry.number ?? {
        outboxId: '',
        clientSeq: 0,
        after: 0,
      };
      const send = {
        to: entry.to,
        outboxId,
        clientSeq,
        ...(after === 0 ? {} : { after }),
        clientMessageId: entry.key,
        body: entry.body ?? {},
      };
      return { send };
    });
    this.connection.request(frames, (i, answer) => {
      const entry = sendable[i];
      if (entry !== undefined) answered(entry, 'frame' in answer ? answer.frame : undefined);
    });
  }

  #outboxChanged(id: ConversationId, settled: SettledRef | undefined): void {
    this.#conversations.get(id)?.deref()?.outboxChanged(settled);
    this.#windowsChanged();
  }

  /** A restored database: what it sent after the backup is on the server under the same keys. */
  async #recover(id: ConversationId, keys: readonly Key[]): Promise<void> {
    await this.#sync.syncOne(id);
    const entries = keys.flatMap((key) => this.outbox.machine.entry(key) ?? []);
    const sinceMs = Math.min(...entries.map((entry) => entry.queuedTimeMs)) - CLOCK_SLACK_MS;
    let before: Sequence | undefined;
    for (let page = 0; page < RECOVERY_PAGES_MAX; page++) {
      if (!keys.some((key) => this.outbox.machine.entry(key) !== undefined)) return;
      const request = { limit: 200, ...(before === undefined ? {} : { before }) };
      const answer = await this.readPage(id, request);
      const oldest = answer.messages?.[0];
      if (oldest === undefined || (oldest.timeMs ?? 0) < sinceMs) return;
      if ((answer.messages?.length ?? 0) < 200) return;
      before = oldest.sequence;
    }
  }

  // --- parts ---------------------------------------------------------------------------------------

  #adoptDirect(id: ConversationId, peer: UserId): void {
    const resource: ConversationResource = {
      conversationId: id,
      kind: 'direct',
      peerUserId: peer,
      me: { role: 'member' },
    };
    this.#sync.machine.logs.set(id, ConversationLog.local(resource));
  }

  /** The cache vanished, the outbox did not: its sends say where they go. */
  #adoptUnknown(id: ConversationId): void {
    if (this.log(id) !== undefined) return;
    const [entry] = this.outbox.machine.entriesOf(id);
    if (entry?.to.startsWith('direct:') === true)
      this.#adoptDirect(id, entry.to.slice('direct:'.length));
  }

  #adoptGroup(group: LocalGroup): void {
    this.outbox.hold(group.conversationId, true);
    if (this.log(group.conversationId) !== undefined) return;
    const resource: ConversationResource = {
      conversationId: group.conversationId,
      kind: 'group',
      name: group.name,
      creatorUserId: this.me(),
      memberCount: group.members.length + 1,
      me: { role: 'owner' },
    };
    this.#sync.machine.logs.set(group.conversationId, ConversationLog.local(resource));
    const members = [this.me(), ...group.members].map((userId) => ({ userId }));
    this.conversation(group.conversationId).members.set(members);
  }

  #groupMade(group: LocalGroup, resource: ConversationResource): void {
    this.#own.dropGroup(group.conversationId);
    this.#sync.push({ is: 'resource', resource });
    this.outbox.hold(group.conversationId, false);
    this.#touch(group.conversationId);
  }

  #applyPatch(id: ConversationId): void {
    const log = this.log(id);
    const patch = this.#own.patches.get(id);
    if (log === undefined || patch === undefined) return;
    log.resource = { ...log.resource, me: { ...log.resource.me, ...patch } };
  }

  #sendPatch(id: ConversationId): void {
    const patch = this.#own.patches.get(id);
    const log = this.log(id);
    if (patch === undefined || !this.isReady() || this.#patching.has(id)) return;
    if (log?.isOnServer !== true) return;
    this.#patching.add(id);
    this.call<ConversationResource>('Conversations.SetMyState', {
      conversationId: id,
      me: patch,
      updateMask: Object.keys(patch),
    })
      .then((resource) => {
        this.#own.confirmPatch(id, patch);
        this.#sync.push({ is: 'resource', resource });
      })
      .catch((error: unknown) => {
        const retry = REASONS[reasonOf(error)].retry;
        // Refused for good: the server's settings stand.
        if (retry === 'never' || retry === 'fix') this.#own.confirmPatch(id, patch);
        else this.#after(PATCH_RETRY_MS, () => this.#sendPatch(id));
      })
      .finally(() => {
        this.#patching.delete(id);
        if (this.#own.patches.get(id) !== patch) this.#sendPatch(id);
      });
  }

  #touch(id: ConversationId): void {
    this.#conversations.get(id)?.deref()?.changed(undefined);
    this.#windowsChanged();
    this.unread.invalidate();
  }

  #changedAll(): void {
    for (const conversation of this.#alive()) conversation.changed(undefined);
    this.#windowsChanged();
    this.unread.invalidate();
  }

  #windowsChanged(): void {
    for (const window of this.#windows) window.changed();
  }

  #nameChanged(userId: UserId): void {
    if (this.me() === '') return;
    this.#conversations.get(directConversationId(this.me(), userId))?.deref()?.namesChanged();
    this.#windowsChanged();
  }

  #nameOf(log: ConversationLog): string {
    if (log.resource.kind === 'group') return log.resource.name ?? '';
    const user = this.people.known(log.resource.peerUserId ?? '');
    return `${user?.displayName ?? ''} ${user?.username ?? ''}`;
  }

  #alive(): LiveConversation[] {
    const alive: LiveConversation[] = [];
    for (const [id, ref] of this.#conversations) {
      const conversation = ref.deref();
      if (conversation === undefined) this.#conversations.delete(id);
      else alive.push(conversation);
    }
    return alive;
  }

  #focusNow(): void {
    this.#focus.set([...this.#timelines.values()].map((conversation) => conversation.id));
  }

  #unreadNow(): { readonly messages: number; readonly mentions: number } {
    let messages = 0;
    let mentions = 0;
    for (const log of this.#sync.machine.logs.values()) {
      if (log.resource.me?.archived === true) continue;
      const unread = unreadCount(log.unread);
      messages += unread.messages;
      mentions += unread.mentions;
    }
    return { messages, mentions };
  }

  /** Views are told once per turn, however much changed in it. */
  #runSoon(fn: () => void): void {
    this.#soon.add(fn);
    if (this.#isSoon) return;
    this.#isSoon = true;
    queueMicrotask(() => {
      this.#isSoon = false;
      const due = [...this.#soon];
      this.#soon.clear();
      for (const each of due) each();
    });
  }

  #shelfSoon(): void {
    if (this.#isShelfDue) return;
    this.#isShelfDue = true;
    this.#after(SHELF_MS, () => {
      this.#saveShelf().catch(() => undefined);
    });
  }

  async #saveShelf(): Promise<void> {
    this.#isShelfDue = false;
    await saveShelf(this.#store, this.#sync.machine.logs.values(), this.user.get());
  }

  #after(ms: number, fn: () => void): void {
    const cancel = this.host.after(ms, () => {
      this.#timers.delete(cancel);
      fn();
    });
    this.#timers.add(cancel);
  }

  #emit<E extends keyof Events>(event: E, value: Events[E]): void {
    for (const fn of [...this.#listeners[event]]) fn(value);
  }
}
