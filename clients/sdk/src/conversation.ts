/** One conversation as an application holds it (CLIENT §1): state in stores, acts as calls. */
import type {
  Content,
  Conversation,
  ConversationRow,
  Info,
  Invites,
  Key,
  MessageRef,
  MessageRow,
  Place,
  ReceiptsStore,
  SendOptions,
  SendState,
  Timeline,
} from './client-interface.ts';
import type {
  ConversationId,
  ConversationSettings,
  Message,
  Sequence,
  UserId,
} from './contract.ts';
import type { ConversationLog } from './conversation-log.ts';
import type { Core } from './core.ts';
import type { SavedDraft } from './draft.ts';
import { ClientError, featureDisabled } from './errors.ts';
import { newUuid } from './ids.ts';
import { type InfoContext, infoOf, listRowOf } from './info.ts';
import { LiveMembers } from './members.ts';
import { MessageReceipts } from './message-receipts.ts';
import type { OutboxEntry, RowRef } from './outbox-entry.ts';
import type { SettledRef } from './outbox.ts';
import { Quotes } from './quotes.ts';
import { type Span, spanOf } from './ranges.ts';
import { Cell, Derived, isShallowEqual, type Watch } from './store.ts';
import { Ticks } from './ticks.ts';
import { type TimelineOwner, WindowTimeline } from './timeline.ts';
import { type PendingChange, RowMaker, type RowsInput } from './timeline-rows.ts';

const TYPING_MS = 6_000;
const CONTENT_BYTES_MAX: number = 64 * 1024;

export class LiveConversation implements Conversation, TimelineOwner {
  readonly id: ConversationId;
  readonly info: Derived<Info>;
  readonly members: LiveMembers;
  readonly invites: Invites = {
    create: () => Promise.reject(featureDisabled('invites')),
    list: () => Promise.reject(featureDisabled('invites')),
  };
  readonly draft: SavedDraft;
  readonly typing: Cell<readonly UserId[]>;
  readonly #core: Core;
  /** Every value handed out has it, so that none outlives who keeps it true. */
  readonly #watch: Watch;
  readonly #timelines = new Set<WindowTimeline>();
  readonly #ticks: Ticks;
  readonly #typingTimers = new Map<UserId, () => void>();
  readonly #quotes: Quotes;
  readonly #receipts: MessageReceipts;
  /** Accepted, and not yet in the log as held here: still shown as made, so that nothing flickers. */
  readonly #landing = new Map<Key, SettledRef>();
  #row: ConversationRow | undefined;

  constructor(core: Core, id: ConversationId, draft: SavedDraft) {
    this.#core = core;
    this.id = id;
    this.#watch = (by) => core.watch(this, by);
    this.draft = draft;
    draft.watchedBy(this.#watch);
    this.typing = new Cell<readonly UserId[]>([], Object.is, this.#watch);
    this.#ticks = new Ticks(this.#watch);
    this.#quotes = new Quotes(core, id, () => this.#refresh());
    this.#receipts = new MessageReceipts(core, id, {
      watch: this.#watch,
      moved: () => this.receiptsMoved(),
    });
    this.members = new LiveMembers(core, id, this.#watch);
    this.info = new Derived<Info>(() => infoOf(this.id, this.#log(), this.#context()), this.#watch);
  }

  // --- reading -----------------------------------------------------------------------------------

  timeline(at: Place = 'latest'): Timeline {
    const timeline = new WindowTimeline(this.#core, this);
    this.#timelines.add(timeline);
    this.#core.timelineOpened(timeline, this.id);
    timeline.moveTo(at).catch(() => undefined);
    return timeline;
  }

  closed(timeline: WindowTimeline): void {
    this.#timelines.delete(timeline);
    this.#core.timelineClosed(timeline);
  }

  receipts(sequence: Sequence): ReceiptsStore {
    return this.#receipts.open(sequence);
  }

  /** The list's row; the same object until it changes. */
  row(): ConversationRow {
    const log = this.#log();
    const last = log?.resource.lastMessage;
    const next = listRowOf(this.info.get(), last, {
      ...this.#context(),
      pending: this.#pendingMessages(),
      draft: this.draft.get().text,
      typing: this.typing.get(),
      tickOf: (key, sequence) => this.tickOf(key, sequence),
    });
    const held = this.#row;
    const isSame =
      held !== undefined &&
      isShallowEqual({ ...held, last: undefined }, { ...next, last: undefined }) &&
      isShallowEqual(held.last, next.last);
    if (!isSame) this.#row = next;
    return this.#row ?? next;
  }

  // --- acts --------------------------------------------------------------------------------------

  send(content: Content, options: SendOptions = {}): MessageRef {
    const replyTo = options.replyTo === undefined ? undefined : this.#refOf(options.replyTo);
    const ref = this.#add(
      { is: 'message', content, ...(replyTo === undefined ? {} : { replyTo }) },
      { after: options.after, clearsDraft: true },
    );
    for (const timeline of this.#timelines) timeline.sent();
    return ref;
  }

  edit(key: Key, content: Content): MessageRef {
    return this.#add({ is: 'edit', target: this.#refOf(key), content }, { clearsDraft: true });
  }

  remove(key: Key, scope: 'me' | 'all'): MessageRef {
    if (scope === 'me') throw featureDisabled('hiding a message for oneself');
    return this.#add({ is: 'delete', target: this.#refOf(key) }, {});
  }

  react(key: Key, emoji: string, on: boolean): MessageRef {
    const op = on ? ('add' as const) : ('remove' as const);
    return this.#add({ is: 'reaction', target: this.#refOf(key), emoji, op }, {});
  }

  setTyping(): void {
    this.#core.setTyping(this.id);
  }

  markRead(sequence: Sequence): void {
    this.#core.markRead(this.id, sequence);
  }

  markUnread(): void {
    this.#core.setMine(this.id, { markedUnread: true });
  }

  notify(level: 'all' | 'mentions' | 'none', until?: Date): void {
    this.#core.setMine(this.id, { notify: level, muteUntilMs: until?.getTime() ?? 0 });
  }

  async update(change: {
    readonly name?: string;
    readonly settings?: ConversationSettings;
  }): Promise<void> {
    await this.#core.ask('Conversations.Update', {
      conversationId: this.id,
      conversation: change,
      updateMask: Object.keys(change),
    });
  }

  // --- told by the client ------------------------------------------------------------------------

  get isOpen(): boolean {
    return this.#timelines.size > 0;
  }

  /** The log or its messages changed. */
  changed(messages: ReadonlyMap<Sequence, Message> | undefined): void {
    this.#land();
    for (const message of messages?.values() ?? []) {
      this.#quotes.take(message);
      // Whoever wrote has stopped typing.
      if (message.senderUserId !== undefined) this.heardTyping(message.senderUserId, false);
    }
    this.receiptsMoved();
    this.info.invalidate();
    for (const timeline of this.#timelines)
      if (messages !== undefined && messages.size > 0) timeline.take(messages);
      else timeline.refresh();
  }

  receiptsMoved(): void {
    const log = this.#log();
    if (log === undefined) return;
    this.#ticks.moved(log);
    this.#receipts.moved(log);
  }

  erased(span: Span): void {
    for (const timeline of this.#timelines) timeline.erase(span);
  }

  /** An accepted send is in the cache. True = it had stood here for itself until now. */
  outboxCached(): boolean {
    if (!this.#land()) return false;
    this.#refresh();
    return true;
  }

  #refresh(): void {
    for (const timeline of this.#timelines) timeline.refresh();
  }

  #land(): boolean {
    const log = this.#log();
    const before = this.#landing.size;
    for (const [key, landing] of this.#landing)
      if (hasLanded(landing, log)) this.#landing.delete(key);
    return this.#landing.size < before;
  }

  outboxChanged(settled: SettledRef | undefined): void {
    if (settled !== undefined) {
      const { entry, sequence, state } = settled;
      if (entry.action.is === 'message')
        this.#ticks.adopt(entry.key, { sequence, state }, this.#log());
      if (!hasLanded(settled, this.#log())) this.#landing.set(entry.key, settled);
    }
    this.#refresh();
  }

  online(): void {
    this.#quotes.online();
    for (const timeline of this.#timelines) timeline.online();
    this.members.online();
    this.#receipts.online().catch(() => undefined);
  }

  namesChanged(): void {
    this.info.invalidate();
  }

  heardTyping(user: UserId, isTyping: boolean): void {
    const others = this.typing.get().filter((each) => each !== user);
    this.#typingTimers.get(user)?.();
    this.#typingTimers.delete(user);
    if (isTyping) {
      const stop = this.#core.host.after(TYPING_MS, () => this.heardTyping(user, false));
      this.#typingTimers.set(user, stop);
      this.typing.set([...others, user]);
    } else if (others.length !== this.typing.get().length) this.typing.set(others);
  }

  stop(): void {
    for (const timeline of [...this.#timelines]) timeline.close();
    for (const stop of this.#typingTimers.values()) stop();
    this.#typingTimers.clear();
    this.#quotes.stop();
    this.draft.flush();
  }

  // --- rows --------------------------------------------------------------------------------------

  rowsInput(): Omit<RowsInput, 'messages' | 'holes'> {
    const changes = this.#changes();
    return {
      me: this.#core.me(),
      pending: this.#pendingMessages(),
      changeOf: (message, key) =>
        (message === undefined ? undefined : changes.get(message.sequence)) ?? changes.get(key),
      quoteOf: (sequence) => this.#quotes.get(sequence),
      tickOf: (key, sequence) => this.tickOf(key, sequence),
    };
  }

  /** A message of it by itself, outside any timeline; undefined = it is not shown as one. */
  rowOf(message: Message): MessageRow | undefined {
    const input = { ...this.rowsInput(), messages: [message], holes: [], pending: [] };
    const [row] = new RowMaker().make(input);
    return row?.is === 'message' ? row : undefined;
  }

  tickOf(key: Key, sequence: Sequence): Cell<SendState> {
    return this.#ticks.get(key, sequence, this.#log());
  }

  #pendingMessages(): { readonly entry: OutboxEntry; readonly ref: MessageRef }[] {
    const landing = [...this.#landing.values()].sort((a, b) => a.sequence - b.sequence);
    return [...landing, ...this.#entries()].filter(({ entry }) => entry.action.is === 'message');
  }

  #entries(): { readonly entry: OutboxEntry; readonly ref: MessageRef }[] {
    return this.#core.outbox.machine.entriesOf(this.id).flatMap((entry) => {
      const ref = this.#core.outbox.ref(entry.key);
      return ref === undefined ? [] : [{ entry, ref }];
    });
  }

  /** Newest own change by the message it is of. */
  #changes(): ReadonlyMap<Sequence | Key, PendingChange> {
    const changes = new Map<Sequence | Key, PendingChange>();
    for (const change of [...this.#landing.values(), ...this.#entries()]) {
      const action = change.entry.action;
      if (action.is === 'message') continue;
      const target = action.target;
      changes.set('key' in target ? target.key : target.sequence, change);
    }
    return changes;
  }

  // --- parts -------------------------------------------------------------------------------------

  #add(
    action: OutboxEntry['action'],
    o: { readonly after?: Key | undefined; readonly clearsDraft?: boolean },
  ): MessageRef {
    if (!this.#core.mayWrite())
      throw new ClientError('REPLACED', 'another tab or process has taken over');
    const json = JSON.stringify(action);
    if (json.length > CONTENT_BYTES_MAX)
      throw new ClientError('PAYLOAD_TOO_LARGE', 'content is at most 64 KiB');
    const log = this.#log();
    const peer = log?.resource.kind === 'direct' ? log.resource.peerUserId : undefined;
    const entry = {
      key: newUuid((count) => this.#core.host.randomBytes(count)),
      conversationId: this.id,
      // The first append makes a direct, and only this form names its members.
      to: peer === undefined ? this.id : `direct:${peer}`,
      // A copy: what the caller does with its object later is not sent.
      action: JSON.parse(json) as OutboxEntry['action'],
      ...(log === undefined ? {} : { above: { epoch: log.epoch, sequence: log.head } }),
      ...(o.after === undefined ? {} : this.#dependency(o.after)),
    };
    return this.#core.outbox.add(entry, () => (o.clearsDraft === true ? this.draft.take() : []));
  }

  #dependency(key: Key): { after?: Key } {
    return this.#core.outbox.machine.entry(key) === undefined ? {} : { after: key };
  }

  /** By key while it is under way, else by place. */
  #refOf(key: Key): RowRef {
    if (this.#core.outbox.machine.entry(key) !== undefined) return { key };
    const sequence = this.#sequenceOf(key);
    if (sequence === undefined) throw new ClientError('MESSAGE_UNKNOWN', 'no such row is open');
    return { sequence };
  }

  #sequenceOf(key: Key): Sequence | undefined {
    const known = this.#ticks.sequenceOf(key);
    if (known !== undefined) return known;
    for (const timeline of this.#timelines)
      for (const row of timeline.get().rows)
        if (row.key === key && row.is === 'message') return row.sequence;
    const last = this.#log()?.resource.lastMessage;
    return last?.clientMessageId === key ? last.sequence : undefined;
  }

  #log(): ConversationLog | undefined {
    return this.#core.log(this.id);
  }

  #context(): InfoContext {
    return {
      me: this.#core.me(),
      nameOf: (id) => {
        const user = this.#core.people.known(id);
        return user?.displayName || user?.username || '';
      },
      localGroup: this.#core.localGroup(this.id),
      nowMs: this.#core.host.nowMs(),
    };
  }
}

/**
 * A message is held here, or the sync took it for one of a noted hole, which pages fill; a change's
 * row was applied in its place.
 */
function hasLanded(settled: SettledRef, log: ConversationLog | undefined): boolean {
  if (log === undefined) return true;
  const isPassed = log.cursor >= settled.sequence;
  if (settled.entry.action.is !== 'message') return isPassed;
  return (settled.isCached && isPassed) || spanOf(log.ranges, settled.sequence) !== undefined;
}
