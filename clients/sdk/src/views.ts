/**
 * What applications hold of a client: conversations, lists, timelines. Conversations are held
 * weakly: one that nobody looks at is made again when somebody does (S14).
 */
import type { Filter } from './client-interface.ts';
import type { ConversationId } from './contract.ts';
import type { LiveConversation } from './conversation.ts';
import type { OpenTimeline } from './core.ts';
import { LiveListWindow, type ListSource } from './list-window.ts';
import type { Span } from './ranges.ts';

const TIMELINES_MAX = 3;
/** Dead references are swept when this many were made. */
const SWEEP_AT = 1_024;

export class Views {
  readonly #make: (id: ConversationId) => LiveConversation;
  readonly #conversations = new Map<ConversationId, WeakRef<LiveConversation>>();
  readonly #windows = new Set<LiveListWindow>();
  /** In the order of opening. */
  readonly #timelines = new Map<OpenTimeline, LiveConversation>();
  readonly #due = new Set<() => void>();
  #isDue = false;

  constructor(make: (id: ConversationId) => LiveConversation) {
    this.#make = make;
  }

  conversation(id: ConversationId): LiveConversation {
    const held = this.held(id);
    if (held !== undefined) return held;
    if (this.#conversations.size % SWEEP_AT === SWEEP_AT - 1) this.all();
    const made = this.#make(id);
    this.#conversations.set(id, new WeakRef(made));
    return made;
  }

  /** Only if somebody holds it. */
  held(id: ConversationId): LiveConversation | undefined {
    return this.#conversations.get(id)?.deref();
  }

  all(): LiveConversation[] {
    const all: LiveConversation[] = [];
    for (const [id, ref] of this.#conversations) {
      const conversation = ref.deref();
      if (conversation === undefined) this.#conversations.delete(id);
      else all.push(conversation);
    }
    return all;
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

  opened(timeline: OpenTimeline, id: ConversationId): void {
    this.#timelines.set(timeline, this.conversation(id));
    const [oldest] = this.#timelines.keys();
    if (this.#timelines.size > TIMELINES_MAX) oldest?.close();
  }

  closed(timeline: OpenTimeline): void {
    this.#timelines.delete(timeline);
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
