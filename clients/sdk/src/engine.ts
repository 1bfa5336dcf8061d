/**
 * The running client: owns connection, sync, outbox and what hangs on them, and carries events from
 * one to another. When it runs is its life's (life.ts).
 */
import { Account } from './account.ts';
import { CACHE_BYTES_MAX } from './cache-pages.ts';
import type { ClientOptions, Events, Filter, Store } from './client-interface.ts';
import { Connection } from './connection.ts';
import type { ConversationId, Message, Ready, Sequence, User, UserId } from './contract.ts';
import { LiveConversation } from './conversation.ts';
import type { ConversationLog } from './conversation-log.ts';
import type { Core, MyPatch, OpenTimeline } from './core.ts';
import { SavedDraft } from './draft.ts';
import { Emitter } from './emitter.ts';
import { ClientError } from './errors.ts';
import { Focus } from './focus.ts';
import { GroupMaker } from './group-maker.ts';
import { History } from './history.ts';
import { type HostPort, platformHost } from './host.ts';
import { directConversationId } from './ids.ts';
import type { LocalGroup } from './info.ts';
import { Life } from './life.ts';
import type { FirstScreen, Loaded } from './load.ts';
import type { LiveListWindow } from './list-window.ts';
import { localDirect } from './local-conversations.ts';
import { Marks } from './marks.ts';
import type { MessageBatch } from './message-batch.ts';
import { isCountable } from './message-merge.ts';
import { MySettings } from './my-settings.ts';
import { Outbox } from './outbox.ts';
import { OwnState } from './own-state.ts';
import { PeopleStore } from './people.ts';
import type { Reason } from './reasons.ts';
import { SavedStore } from './saved-store.ts';
import { Shelf } from './shelf.ts';
import type { Derived } from './store.ts';
import { memoryStore } from './stores/memory.ts';
import { Sync } from './sync.ts';
import type { SyncOutcome } from './sync-machine.ts';
import { transmit } from './transmit.ts';
import { webSocketTransport } from './transports/websocket.ts';
import { type UnreadCounts, Views } from './views.ts';

const ASK_MS_MAX = 10_000;

export class Engine implements Core {
  readonly host: HostPort;
  readonly connection: Connection;
  readonly people: PeopleStore;
  readonly history: History;
  readonly user: Store<User>;
  readonly unread: Derived<UnreadCounts>;
  outbox: Outbox;
  readonly #options: ClientOptions;
  readonly #store: SavedStore;
  readonly #own: OwnState;
  readonly #account: Account;
  readonly #marks: Marks;
  readonly #focus: Focus;
  readonly #groups: GroupMaker;
  readonly #settings: MySettings;
  readonly #views: Views;
  readonly #events = new Emitter();
  readonly #shelf: Shelf;
  readonly #life: Life;
  #sync: Sync;

  constructor(options: ClientOptions) {
    this.#options = options;
    this.host = options.host ?? platformHost();
    this.#store = new SavedStore(options.store ?? memoryStore(), {
      unsaved: () => this.#unsaved(),
      fenced: () => this.#life.follow(),
    });
    this.#own = new OwnState(this.#store);
    this.#account = new Account(this.#own, options);
    this.user = this.#account.user;
    this.connection = this.#newConnection();
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
      tell: (frame) => this.connection.tell(frame),
    });
    this.#focus = new Focus(this.host, (frame) => this.connection.tell(frame));
    this.#groups = this.#newGroupMaker();
    this.#settings = new MySettings(this.host, this.#own, {
      log: (id) => this.log(id),
      call: (method, request) => this.call(method, request),
      isReady: () => this.isReady(),
      answered: (resource) => this.#sync.push({ is: 'resource', resource }),
    });
    this.#views = new Views(
      (id) => this.#newConversation(id),
      () => this.#sync.machine.unread(),
    );
    this.unread = this.#views.unread;
    this.#shelf = new Shelf(this.host, this.#store, () => ({
      logs: this.#sync.machine.logs.values(),
      user: this.user.get(),
    }));
    this.outbox = this.#newOutbox(undefined);
    this.#sync = this.#newSync();
    this.history = new History(this.#store, {
      call: (method, request) => this.call(method, request),
      sync: () => this.#sync,
      entry: (key) => this.outbox.machine.entry(key),
      seen: (row) => {
        if (row.senderUserId === this.me()) this.outbox.appeared(row);
      },
    });
    this.#life = this.#newLife();
    this.connection.state.subscribe(() => this.#views.listsChanged());
  }

  #newConnection(): Connection {
    return new Connection(
      {
        url: this.#options.url,
        transports: this.#options.transports ?? [webSocketTransport()],
        host: this.host,
        credential: (why) => this.#account.credential(why),
      },
      {
        resume: () => this.#sync.machine.resume(new Set(this.#views.open())),
        ready: (ready) => this.#ready(ready),
        pushed: (frames) => {
          for (const frame of frames) this.#sync.push({ is: 'frame', frame });
        },
        lost: () => this.#lost(),
        signedOut: (reason) => this.#events.emit('signedOut', { reason }),
        replaced: () => this.#life.follow(),
      },
    );
  }

  start(): Promise<void> {
    return this.#life.start();
  }

  stop(): Promise<void> {
    this.#views.stop();
    return this.#life.stop();
  }

  async takeOver(): Promise<void> {
    await this.#life.takeOver(this.me());
    this.#views.online();
  }

  async signOut(wipe: boolean): Promise<void> {
    if (this.isReady())
      await this.call('Auth.RevokeSession', { sessionId: 'current' }).catch(() => undefined);
    await this.stop();
    if (wipe) await this.#life.wipe();
  }

  #newLife(): Life {
    const { url, locks } = this.#options;
    return new Life({
      store: this.#store,
      own: this.#own,
      credential: () => this.#options.credential('start'),
      take: (userId) => locks?.take(`parley:${url}:${userId}`),
      hooks: {
        identified: (userId) => this.#account.user.set({ userId }),
        shelf: (first) => this.#shown(first),
        loadOutbox: () => this.outbox.load(),
        running: () => this.#running(),
        logs: (logs) => this.#took(logs),
        loaded: (loaded) => this.#loaded(loaded),
        followed: () => this.#followed(),
        halt: () => this.#halt(undefined),
        over: () => {
          this.outbox = this.#newOutbox(this.outbox);
          this.#sync = this.#newSync();
        },
      },
    });
  }

  #shown(first: FirstScreen | undefined): void {
    if (first?.user !== undefined) this.#account.user.set(first.user);
    this.#took(first?.logs ?? []);
  }

  #running(): void {
    // Behind the outbox: holding the sends of a group makes lanes, which need the outbox's id.
    this.#groups.adoptAll();
    this.connection.note({ saved: this.#store.isSaved, readOnly: false, follower: false });
    this.#views.allChanged();
  }

  #took(logs: readonly ConversationLog[]): void {
    this.#sync.machine.load(logs);
    for (const { id } of logs) {
      const read = this.#own.reads.get(id);
      if (read !== undefined) this.log(id)?.read(read);
      this.#settings.apply(id);
    }
  }

  #loaded(loaded: Loaded): void {
    this.people.load(loaded.users);
    for (const id of this.outbox.machine.conversations()) this.#adoptUnknown(id);
    this.#sync.machine.resumeFrom(loaded.syncToken);
    this.#views.allChanged();
    if (this.mayWrite()) this.connection.start();
  }

  #followed(): Promise<void> {
    this.connection.note({ readOnly: true, follower: true });
    const halted = this.#halt('REPLACED');
    this.#events.emit('replaced', {});
    return halted;
  }

  /** Ends everything that runs; the state shown stays. */
  async #halt(reason: Reason | undefined): Promise<void> {
    this.connection.stop(reason);
    this.people.stop();
    this.#focus.stop();
    this.#groups.stop();
    this.#settings.stop();
    await this.outbox.stop();
    await this.#sync.stop();
    // What the sync stored at last was still reported to it.
    this.#marks.stop();
    await this.#shelf.flush();
    await this.#own.settled();
  }

  #unsaved(): void {
    // What was stored cannot be read any more: all of it is a hole again, and nothing is lost.
    this.#sync.unsaved();
    this.connection.note({ saved: false });
    this.#views.allChanged();
  }

  conversation(id: ConversationId): LiveConversation {
    return this.#views.conversation(id);
  }

  direct(peer: UserId): LiveConversation {
    this.#mustBeStarted();
    const id = directConversationId(this.me(), peer);
    if (this.log(id) === undefined) this.#sync.machine.adopt(localDirect(id, peer));
    return this.conversation(id);
  }

  createGroup(group: {
    readonly name: string;
    readonly members: readonly UserId[];
  }): LiveConversation {
    this.#mustBeStarted();
    if (!this.mayWrite())
      throw new ClientError('REPLACED', 'another tab or process has taken over');
    return this.conversation(this.#groups.create(group));
  }

  #mustBeStarted(): void {
    if (this.me() === '') throw new ClientError('TOKEN_INVALID', 'start the client first');
  }

  list(query: { readonly filter: Filter; readonly text?: string }): LiveListWindow {
    const source = {
      logs: () => this.#sync.machine.logs.values(),
      nameOf: (log: ConversationLog) =>
        log.resource.kind === 'group'
          ? (log.resource.name ?? '')
          : this.people.namesOf(log.resource.peerUserId ?? ''),
      pendingTimeMs: (id: ConversationId) => this.outbox.machine.entriesOf(id).at(-1)?.queuedTimeMs,
      isKept: (id: ConversationId) => this.#own.drafts.has(id) || this.#own.groups.has(id),
      freshness: () => {
        const { phase } = this.connection.state.get();
        return phase === 'live' || phase === 'catching-up' ? phase : 'cached';
      },
    };
    return this.#views.list(source, query);
  }

  on<E extends keyof Events>(event: E, fn: (x: Events[E]) => void): () => void {
    return this.#events.on(event, fn);
  }

  me(): UserId {
    return this.#account.userId;
  }

  log(id: ConversationId): ConversationLog | undefined {
    return this.#sync.machine.logs.get(id);
  }

  localGroup(id: ConversationId): LocalGroup | undefined {
    return this.#own.groups.get(id);
  }

  mayWrite(): boolean {
    return !this.#life.isFollower;
  }

  isReady(): boolean {
    return this.connection.isReady;
  }

  call<T>(method: string, request: unknown): Promise<T> {
    return this.connection.call<T>(method, request);
  }

  async ask<T>(method: string, request: unknown): Promise<T> {
    await this.connection.untilReady(ASK_MS_MAX);
    return this.call<T>(method, request);
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
    this.#views.changed(id);
  }

  setTyping(id: ConversationId): void {
    this.#focus.typing(id);
  }

  setMine(id: ConversationId, patch: MyPatch): void {
    if (!this.mayWrite()) return;
    this.#settings.set(id, patch);
    this.#views.changed(id);
  }

  timelineOpened(timeline: OpenTimeline, id: ConversationId): void {
    this.#views.opened(timeline, id);
    this.#focus.set(this.#views.open());
  }

  timelineClosed(timeline: OpenTimeline): void {
    this.#views.closed(timeline);
    this.#focus.set(this.#views.open());
  }

  learnMe(user: User): void {
    this.#account.user.set(user);
    this.people.learn([user]);
  }

  #ready(ready: Ready): void {
    this.#account.ready(ready);
    this.#sync.push({ is: 'ready', ready });
    this.outbox.live(true);
    this.#groups.online();
    this.people.online();
    this.#focus.ready();
    this.#settings.online();
    this.call<User>('Users.Get', { userId: 'me' })
      .then((user) => this.learnMe(user))
      // The cached one stays.
      .catch(() => undefined);
  }

  #lost(): void {
    this.outbox.live(false);
    this.#sync.lost();
    this.#marks.lost();
    this.#groups.stop();
    this.#focus.stop();
    this.#settings.stop();
  }

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
        isShown: (page) => this.#views.isShown(page),
      },
      cacheBytesMax: this.#options.cacheBytesMax ?? CACHE_BYTES_MAX,
    });
  }

  #syncChanged(outcome: SyncOutcome, messages: MessageBatch): void {
    for (const id of outcome.touched) {
      this.#settings.apply(id);
      const log = this.log(id);
      if (log !== undefined) this.#own.confirmRead(id, log.receipts.reported.read);
    }
    this.#views.synced(outcome, messages);
  }

  #syncStored(outcome: SyncOutcome): void {
    for (const { row } of outcome.own) this.outbox.appeared(row);
    for (const id of outcome.touched) this.#marks.stored(id, this.#own.reads.get(id));
    for (const conversationId of outcome.removed) this.#events.emit('removed', { conversationId });
    if (this.connection.state.get().phase === 'live')
      for (const { conversationId, message } of outcome.arrived)
        this.#announce(conversationId, message);
    if (outcome.isCaughtUp && !this.#sync.isListing) this.#isLive();
    this.#shelf.changed();
  }

  #isLive(): void {
    this.connection.caughtUp();
    this.outbox.listed();
    this.#marks.live(this.#own.reads);
    this.#views.online();
  }

  #announce(conversationId: ConversationId, message: Message): void {
    const log = this.log(conversationId);
    const isNews =
      isCountable(message.content) && message.sequence > (log?.unread.readThrough ?? 0);
    if (!isNews || !this.#events.has('message')) return;
    const row = this.conversation(conversationId).rowOf(message);
    if (row !== undefined) this.#events.emit('message', { conversationId, row });
  }

  #newOutbox(former: Outbox | undefined): Outbox {
    return new Outbox({
      former,
      store: this.#store,
      host: this.host,
      hooks: {
        request: (entries, answered) => transmit(this.connection, entries, answered),
        me: () => ({ userId: this.me(), deviceId: this.#account.deviceId }),
        committed: (settled, message, done) =>
          this.#sync.push({
            is: 'committed',
            conversationId: settled.entry.conversationId,
            ...(message === undefined ? {} : { message }),
            done,
          }),
        cached: (id) => this.#views.outboxCached(id),
        failed: ({ conversationId, key }, reason) =>
          this.#events.emit('failed', { conversationId, key, reason }),
        changed: (id, settled) => this.#views.outboxChanged(id, settled),
        recover: (id, keys) => this.history.recover(id, keys),
      },
    });
  }

  watch(conversation: object, by: 1 | -1): void {
    this.#views.watch(conversation, by);
  }

  #newConversation(id: ConversationId): LiveConversation {
    const changed = (): void => this.#views.listsChanged();
    const draft = new SavedDraft(id, { host: this.host, own: this.#own, changed });
    return new LiveConversation(this, id, draft);
  }

  /** The cache vanished, the outbox did not: its sends say where they go. */
  #adoptUnknown(id: ConversationId): void {
    const [entry] = this.outbox.machine.entriesOf(id);
    if (entry?.to.startsWith('direct:') === true)
      this.#sync.machine.adopt(localDirect(id, entry.to.slice('direct:'.length)));
  }

  #newGroupMaker(): GroupMaker {
    return new GroupMaker(this.host, this.#own, {
      me: () => this.me(),
      call: (method, request) => this.call(method, request),
      isReady: () => this.isReady(),
      hold: (id, isHeld) => this.outbox.hold(id, isHeld),
      adopt: (log) => this.#sync.machine.adopt(log),
      made: (resource) => this.#sync.push({ is: 'resource', resource }),
      left: (conversationId) => this.#sync.push({ is: 'gone', conversationId }),
      changed: (id) => this.#views.changed(id),
    });
  }

  #nameChanged(userId: UserId): void {
    if (this.me() !== '') this.#views.nameChanged(directConversationId(this.me(), userId));
  }
}
