/**
 * What applications hold of a client: conversations, lists, timelines, the count of all that is
 * unread; and who of them hears of a change. Conversations are held weakly, except while something of
 * them is subscribed to: one that nobody looks at is made again when somebody does (S14).
 */
import type { Filter } from './client-interface.ts';
import type { ConversationId } from './contract.ts';
import type { LiveConversation } from './conversation.ts';
import type { OpenTimeline } from './core.ts';
import { LiveListWindow, type ListSource } from './list-window.ts';
import type { MessageBatch } from './message-batch.ts';
import type { SettledRef } from './outbox.ts';
import type { Span } from './ranges.ts';
import { Derived } from './store.ts';
import type { SyncOutcome } from './sync-machine.ts';

const TIMELINES_MAX = 3;
/** Dead references are swept when this many were made. */
const SWEEP_AT = 1_024;

export interface UnreadCounts {
  readonly messages: number;
  readonly mentions: number;
}

export class Views {
  readonly unread: Derived<UnreadCounts>;
  readonly #make: (id: ConversationId) => LiveConversation;
  readonly #conversations = new Map<ConversationId, WeakRef<LiveConversation>>();
  /** How many of their values are subscribed to. */
  readonly #watched = new Map<object, number>();
  readonly #windows = new Set<LiveListWindow>();
  /** In the order of opening. */
  readonly #timelines = new Map<OpenTimeline, LiveConversation>();
  readonly #due = new Set<() => void>();
  #isDue = false;

  constructor(make: (id: ConversationId) => LiveConversation, unread: () => UnreadCounts) {
    this.#make = make;
    this.unread = new Derived(unread);
  }

  conversation(id: ConversationId): LiveConversation {
    const held = this.#held(id);
    if (held !== undefined) return held;
    if (this.#conversations.size % SWEEP_AT === SWEEP_AT - 1) this.#all();
    const made = this.#make(id);
    this.#conversations.set(id, new WeakRef(made));
    return made;
  }

  list(
    source: Omit<ListSource, 'row' | 'soon' | 'closed'>,
    query: { readonly filter: Filter; readonly text?: string },
  ): LiveListWindow {
    const window = new LiveListWindow(
      {
        ...source,
        row: (id) => this.conversation(id).row(),
        soon: (fn) => this.#soon(fn),
        closed: (closed) => this.#windows.delete(closed),
      },
      query,
    );
    this.#windows.add(window);
    return window;
  }

  listsChanged(): void {
    for (const list of this.#windows) list.changed();
  }

  /** Something about a conversation is not what it was. */
  changed(id: ConversationId): void {
    this.#held(id)?.changed(undefined);
    this.listsChanged();
    this.unread.invalidate();
  }

  allChanged(): void {
    for (const conversation of this.#all()) conversation.changed(undefined);
    this.listsChanged();
    this.unread.invalidate();
  }

  /** What a batch of pushes, pages and answers brought. */
  synced(outcome: SyncOutcome, messages: MessageBatch): void {
    const changed = messages.changed();
    for (const id of outcome.touched) this.#held(id)?.changed(changed.get(id));
    for (const { conversationId, span } of outcome.trimmed)
      this.#held(conversationId)?.erased(span);
    for (const id of outcome.resources) this.#held(id)?.members.changed();
    for (const each of outcome.typing)
      this.#held(each.conversationId)?.heardTyping(each.userId, each.isTyping);
    this.listsChanged();
    this.unread.invalidate();
  }

  outboxChanged(id: ConversationId, settled: SettledRef | undefined): void {
    // What settled goes on as a row's state, whoever holds it: not to be lost with the conversation.
    const conversation = settled === undefined ? this.#held(id) : this.conversation(id);
    conversation?.outboxChanged(settled);
    this.listsChanged();
  }

  /** An accepted send is in the cache. */
  outboxCached(id: ConversationId): void {
    if (this.#held(id)?.outboxCached() === true) this.listsChanged();
  }

  /** Of whom it is the direct with goes by another name. */
  nameChanged(direct: ConversationId): void {
    this.#held(direct)?.namesChanged();
    this.listsChanged();
  }

  /** The server can be asked. */
  online(): void {
    for (const conversation of this.#all()) conversation.online();
  }

  stop(): void {
    for (const conversation of this.#all()) conversation.stop();
  }

  opened(timeline: OpenTimeline, id: ConversationId): void {
    this.#timelines.set(timeline, this.conversation(id));
    const [oldest] = this.#timelines.keys();
    if (this.#timelines.size > TIMELINES_MAX) oldest?.close();
  }

  closed(timeline: OpenTimeline): void {
    this.#timelines.delete(timeline);
  }

  /** Somebody looks at one value more, or less, of it. */
  watch(conversation: object, by: 1 | -1): void {
    const watched = (this.#watched.get(conversation) ?? 0) + by;
    if (watched > 0) this.#watched.set(conversation, watched);
    else this.#watched.delete(conversation);
  }

  isShown(page: { readonly conversationId: ConversationId; readonly span: Span }): boolean {
    for (const [timeline, conversation] of this.#timelines) {
      const { from, through } = timeline.shown();
      if (conversation.id !== page.conversationId) continue;
      if (from <= page.span.through && page.span.from <= through) return true;
    }
    return false;
  }

  /** Conversations somebody reads. */
  open(): ConversationId[] {
    return [...this.#timelines.values()].map((conversation) => conversation.id);
  }

  /** Only if somebody holds it. */
  #held(id: ConversationId): LiveConversation | undefined {
    return this.#conversations.get(id)?.deref();
  }

  #all(): LiveConversation[] {
    const all: LiveConversation[] = [];
    for (const [id, ref] of this.#conversations) {
      const conversation = ref.deref();
      if (conversation === undefined) this.#conversations.delete(id);
      else all.push(conversation);
    }
    return all;
  }

  /** Views are told once a turn, however much changed in it. */
  #soon(fn: () => void): void {
    this.#due.add(fn);
    if (this.#isDue) return;
    this.#isDue = true;
    queueMicrotask(() => {
      this.#isDue = false;
      const due = [...this.#due];
      this.#due.clear();
      for (const each of due) each();
    });
  }
}
