/**
 * The running client: owns connection, sync, outbox and what hangs on them, and carries events from
 * one to another. Start reads the device and never waits for the network; stop leaves no timer, lock
 * or socket (S18).
 */
import { CACHE_BYTES_MAX } from './cache-pages.ts';
import type {
  ClientOptions,
  Credential,
  CredentialWhy,
  Events,
  Filter,
} from './client-interface.ts';
import { Connection } from './connection.ts';
import type {
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
import type { ConversationLog } from './conversation-log.ts';
import type { Core, MyPatch, OpenTimeline, PageRequest } from './core.ts';
import { SavedDraft } from './draft.ts';
import { Emitter } from './emitter.ts';
import { ClientError } from './errors.ts';
import { Focus } from './focus.ts';
import { GroupMaker } from './group-maker.ts';
import { History } from './history.ts';
import { type HostPort, platformHost } from './host.ts';
import { directConversationId } from './ids.ts';
import type { LocalGroup } from './info.ts';
import type { LiveListWindow } from './list-window.ts';
import { loadCache, loadShelf } from './load.ts';
import { localDirect, logOfLocalGroup, newLocalGroup } from './local-conversations.ts';
import type { Lease } from './locks.ts';
import { Marks } from './marks.ts';
import type { MessageBatch } from './message-batch.ts';
import { isCountable } from './message-merge.ts';
import { MySettings } from './my-settings.ts';
import { Outbox, type SettledRef } from './outbox.ts';
import { OwnState } from './own-state.ts';
import { PeopleStore } from './people.ts';
import type { Reason } from './reasons.ts';
import { SavedStore } from './saved-store.ts';
import { Shelf } from './shelf.ts';
import { Cell, Derived } from './store.ts';
import { memoryStore } from './stores/memory.ts';
import { Sync } from './sync.ts';
import type { SyncOutcome } from './sync-machine.ts';
import { RowMaker } from './timeline-rows.ts';
import { transmit } from './transmit.ts';
import { webSocketTransport } from './transports/websocket.ts';
import { Views } from './views.ts';

const ASK_MS_MAX = 10_000;

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
  readonly #settings: MySettings;
  readonly #history: History;
  readonly #views: Views;
  readonly #events = new Emitter();
  readonly #shelf: Shelf;
  #sync: Sync;
  #lease: Lease | undefined;
  #isRunning = false;
  #isFollower = false;
  #deviceId = '';
  #starting: Promise<void> | undefined;
  #loading: Promise<void> | undefined;
  /** Rises with each stop and take-over: what an earlier start still does is void. */
  #life = 0;

  constructor(options: ClientOptions) {
    this.#options = options;
    this.host = options.host ?? platformHost();
    this.#store = new SavedStore(options.store ?? memoryStore(), {
      unsaved: () => this.#unsaved(),
      fenced: () => this.#follow(),
    });
    this.#own = new OwnState(this.#store);
    this.user = new Cell<User>({ userId: '' });
    this.unread = new Derived(() => this.#sync.machine.unread());
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
      left: (group) => this.#groupLeft(group),
      failed: (group) => this.#touch(group.conversationId),
    });
    this.#settings = new MySettings(this.host, this.#own, {
      log: (id) => this.log(id),
      call: (method, request) => this.call(method, request),
      isReady: () => this.isReady(),
      answered: (resource) => this.#sync.push({ is: 'resource', resource }),
    });
    this.#views = new Views((id) => this.#newConversation(id));
    this.#shelf = new Shelf(this.host, this.#store, () => ({
      logs: this.#sync.machine.logs.values(),
      user: this.user.get(),
    }));
    this.outbox = this.#newOutbox();
    this.#sync = this.#newSync();
    this.#history = new History(this.#store, {
      call: (method, request) => this.call(method, request),
      sync: () => this.#sync,
      entry: (key) => this.outbox.machine.entry(key),
      seen: (row) => {
        if (row.senderUserId === this.me()) this.outbox.appeared(row);
      },
    });
    this.connection.state.subscribe(() => this.#views.listsChanged());
  }

  #newConnection(): Connection {
    return new Connection(
      {
        url: this.#options.url,
        transports: this.#options.transports ?? [webSocketTransport()],
        host: this.host,
        credential: (why) => this.#credential(why),
      },
      {
        resume: () => this.#sync.machine.resume(new Set(this.#views.open())),
        ready: (ready) => this.#ready(ready),
        pushed: (frames) => this.#pushed(frames),
        lost: () => this.#lost(),
        signedOut: (reason) => this.#events.emit('signedOut', { reason }),
        replaced: () => this.#follow(),
      },
    );
  }

  // --- life --------------------------------------------------------------------------------------

  start(): Promise<void> {
    this.#starting ??= this.#start(this.#life).catch((error: unknown) => {
      this.#starting = undefined;
      throw error;
    });
    return this.#starting;
  }

  async #start(life: number): Promise<void> {
    await this.#store.open();
    await this.#own.loadIdentity();
    const identity = this.#own.identity;
    if (identity === undefined) {
      // The very first use: which account this is, only the credential says.
      const { userId, deviceId = '' } = await this.#options.credential('start');
      if (life !== this.#life) return;
      await this.#claim(userId);
      this.#own.setIdentity({ userId, deviceId });
    } else await this.#claim(identity.userId);
    await this.#load(life);
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

  /** What is one's own and the first screen now; the rest, then the network, behind it (S13). */
  async #load(life: number): Promise<void> {
    await this.#own.load();
    this.user.set({ userId: this.me() });
    const first = await loadShelf(this.#store, this.me());
    if (life !== this.#life) return;
    if (first?.user !== undefined) this.user.set(first.user);
    this.#took(first?.logs ?? []);
    // Before the groups that wait to be made: holding their sends makes lanes, which need its id.
    await this.outbox.load();
    if (life !== this.#life) return;
    for (const group of this.#own.groups.values()) this.#adoptGroup(group);
    this.#isRunning = true;
    this.connection.note({ saved: this.#store.isSaved, readOnly: false, follower: false });
    this.#changedAll();
    this.#loading = this.#loadRest(life);
    // Who waits for it hears of a failure; nobody has to.
    this.#loading.catch(() => undefined);
    // Without a shelf there is nothing to show before the rest.
    if (first === undefined) await this.#loading;
  }

  async #loadRest(life: number): Promise<void> {
    const loaded = await loadCache(this.#store, (logs) => {
      if (life === this.#life) this.#took(logs);
    });
    if (life !== this.#life) return;
    this.people.load(loaded.users);
    for (const id of this.outbox.machine.conversations()) this.#adoptUnknown(id);
    this.#sync.machine.resumeFrom(loaded.syncToken);
    this.#changedAll();
    this.connection.start();
  }

  #took(logs: readonly ConversationLog[]): void {
    this.#sync.machine.load(logs);
    for (const { id } of logs) {
      const read = this.#own.reads.get(id);
      if (read !== undefined) this.log(id)?.read(read);
      this.#settings.apply(id);
    }
  }

  async stop(): Promise<void> {
    this.#life += 1;
    const starting = this.#starting;
    this.#starting = undefined;
    this.#isRunning = false;
    this.#lease?.release();
    this.#lease = undefined;
    for (const conversation of this.#views.all()) conversation.stop();
    await this.#halt(undefined);
    // A start on its way sees that its life is over; only a credential may keep it waiting.
    if (this.me() !== '') await starting?.catch(() => undefined);
    await this.#loading?.catch(() => undefined);
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
    this.#settings.stop();
    await this.outbox.stop();
    await this.#sync.stop();
    await this.#shelf.flush();
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
    this.#events.emit('replaced', {});
  }

  async takeOver(): Promise<void> {
    if (!this.#isFollower) return;
    this.#life += 1;
    await this.#loading?.catch(() => undefined);
    await this.#claim(this.me());
    this.outbox = this.#newOutbox();
    this.#sync = this.#newSync();
    await this.#load(this.#life);
    for (const conversation of this.#views.all()) conversation.online();
  }

  #unsaved(): void {
    // What was stored cannot be read any more: all of it is a hole again, and nothing is lost.
    this.#sync.unsaved();
    this.connection.note({ saved: false });
    this.#changedAll();
  }

  // --- what an application asks for ----------------------------------------------------------------

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
    const made = newLocalGroup(this.host, this.me(), group);
    this.#own.setGroup(made);
    this.#adoptGroup(made);
    this.#touch(made.conversationId);
    this.#groups.make(made.conversationId);
    return this.conversation(made.conversationId);
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

  readMessages(
    id: ConversationId,
    o: { from: Sequence; through: Sequence; limit: number; isNewest: boolean },
  ): Promise<readonly Message[]> {
    return this.#history.readMessages(id, o);
  }

  readPage(id: ConversationId, request: PageRequest): Promise<ListMessagesAnswer> {
    return this.#history.readPage(id, request);
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
    this.#touch(id);
  }

  setTyping(id: ConversationId): void {
    this.#focus.typing(id);
  }

  setMine(id: ConversationId, patch: MyPatch): void {
    if (!this.mayWrite()) return;
    this.#settings.set(id, patch);
    this.#touch(id);
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

  #ready(ready: Ready): void {
    if (ready.deviceId !== undefined) this.#deviceId = ready.deviceId;
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

  #pushed(frames: readonly ServerFrame[]): void {
    for (const frame of frames) this.#sync.push({ is: 'frame', frame });
  }

  #lost(): void {
    this.outbox.live(false);
    this.#sync.lost();
    this.#marks.lost();
    this.#groups.stop();
    this.#focus.stop();
    this.#settings.stop();
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
        isShown: (page) => this.#views.isShown(page),
      },
      cacheBytesMax: this.#options.cacheBytesMax ?? CACHE_BYTES_MAX,
    });
  }

  #syncChanged(outcome: SyncOutcome, messages: MessageBatch): void {
    const changed = messages.changed();
    for (const id of outcome.touched) {
      this.#settings.apply(id);
      const log = this.log(id);
      if (log !== undefined) this.#own.confirmRead(id, log.reportedRead);
      this.#views.held(id)?.changed(changed.get(id));
    }
    for (const { conversationId, span } of outcome.trimmed)
      this.#views.held(conversationId)?.erased(span);
    for (const id of outcome.resources) this.#views.held(id)?.members.changed();
    for (const each of outcome.typing)
      this.#views.held(each.conversationId)?.heardTyping(each.userId, each.isTyping);
    this.#views.listsChanged();
    this.unread.invalidate();
  }

  #syncStored(outcome: SyncOutcome): void {
    for (const { row } of outcome.own) this.outbox.appeared(row);
    for (const id of outcome.touched) this.#marks.stored(id);
    for (const conversationId of outcome.removed) this.#events.emit('removed', { conversationId });
    if (this.connection.state.get().phase === 'live')
      for (const { conversationId, message } of outcome.arrived)
        this.#announce(conversationId, message);
    if (outcome.isCaughtUp && !this.#sync.isListing) this.#isLive();
    this.#shelf.changed();
  }

  #isLive(): void {
    this.connection.caughtUp();
    this.#marks.live(this.#own.reads);
    for (const conversation of this.#views.all()) conversation.online();
  }

  #announce(conversationId: ConversationId, message: Message): void {
    const log = this.log(conversationId);
    const isNews =
      isCountable(message.content) && message.sequence > (log?.unread.readThrough ?? 0);
    if (!isNews || !this.#events.has('message')) return;
    const [row] = new RowMaker().make({
      ...this.conversation(conversationId).rowsInput(),
      messages: [message],
      holes: [],
      pending: [],
    });
    if (row?.is === 'message') this.#events.emit('message', { conversationId, row });
  }

  // --- outbox --------------------------------------------------------------------------------------

  #newOutbox(): Outbox {
    return new Outbox({
      store: this.#store,
      host: this.host,
      hooks: {
        request: (entries, answered) => transmit(this.connection, entries, answered),
        me: () => ({ userId: this.me(), deviceId: this.#deviceId }),
        committed: (settled, message, done) =>
          this.#sync.push({
            is: 'committed',
            conversationId: settled.entry.conversationId,
            ...(message === undefined ? {} : { message }),
            done,
          }),
        cached: (id) => {
          if (this.#views.held(id)?.outboxCached() === true) this.#views.listsChanged();
        },
        failed: (entry, reason) => {
          this.#events.emit('failed', {
            conversationId: entry.conversationId,
            key: entry.key,
            reason,
          });
        },
        changed: (id, settled) => this.#outboxChanged(id, settled),
        recover: (id, keys) => this.#history.recover(id, keys),
      },
    });
  }

  #outboxChanged(id: ConversationId, settled: SettledRef | undefined): void {
    this.#views.held(id)?.outboxChanged(settled);
    this.#views.listsChanged();
  }

  // --- parts ---------------------------------------------------------------------------------------

  #newConversation(id: ConversationId): LiveConversation {
    const draft = new SavedDraft({
      id,
      draft: this.#own.drafts.get(id),
      host: this.host,
      write: (puts) => this.#own.write(puts),
      changed: (value) => {
        this.#own.noteDraft(id, value);
        this.#views.listsChanged();
      },
    });
    const made = new LiveConversation(this, id, draft);
    const group = this.#own.groups.get(id);
    if (group !== undefined)
      made.members.set([this.me(), ...group.members].map((userId) => ({ userId })));
    return made;
  }

  /** The cache vanished, the outbox did not: its sends say where they go. */
  #adoptUnknown(id: ConversationId): void {
    const [entry] = this.outbox.machine.entriesOf(id);
    if (entry?.to.startsWith('direct:') === true)
      this.#sync.machine.adopt(localDirect(id, entry.to.slice('direct:'.length)));
  }

  #adoptGroup(group: LocalGroup): void {
    this.outbox.hold(group.conversationId, true);
    this.#sync.machine.adopt(logOfLocalGroup(group, this.me()));
  }

  #groupMade(group: LocalGroup, resource: ConversationResource): void {
    this.#sync.push({ is: 'resource', resource });
    this.#released(group);
  }

  #groupLeft(group: LocalGroup): void {
    this.#sync.push({ is: 'gone', conversationId: group.conversationId });
    this.#released(group);
  }

  #released(group: LocalGroup): void {
    this.#own.dropGroup(group.conversationId);
    this.outbox.hold(group.conversationId, false);
    this.#touch(group.conversationId);
  }

  #touch(id: ConversationId): void {
    this.#views.held(id)?.changed(undefined);
    this.#views.listsChanged();
    this.unread.invalidate();
  }

  #changedAll(): void {
    for (const conversation of this.#views.all()) conversation.changed(undefined);
    this.#views.listsChanged();
    this.unread.invalidate();
  }

  #nameChanged(userId: UserId): void {
    if (this.me() === '') return;
    this.#views.held(directConversationId(this.me(), userId))?.namesChanged();
    this.#views.listsChanged();
  }
}
