/**
 * What the messages of the cache weigh, by pages of 64 sequences, and which pages go when there are
 * too many (S12): the oldest by the server's time, never one that a window shows or that was just
 * read. Their positions become holes, which whoever scrolls there reads again. Only the cache is
 * weighed: outbox, drafts and marks lie in the other database and are nobody's to drop.
 *
 * Invariant: the record of a page is written in the transaction that writes its messages, so the
 * weights are true after any crash.
 */
import type { ConversationId, Message, Sequence } from './contract.ts';
import type { WeighedMessage } from './message-batch.ts';
import type { Span } from './ranges.ts';
import type { CacheTable, StoredPair, StorePut } from './stores/store-port.ts';

/** The cache as a whole: what `ClientOptions.cacheBytesMax` is if nobody says otherwise. */
export const CACHE_BYTES_MAX = 200_000_000;
/** The share of messages; the list, names and the shelf have the rest and are bounded by themselves. */
const MESSAGES_SHARE = 0.8;
/** Evicting goes on to here, so that the next message does not evict again. */
const LOW_SHARE = 0.99;
/** Of what was written last this much stays: a page just read is about to be shown. */
const RECENT_SHARE = 0.05;
/** Two answers of List, each of which may begin and end within a page. */
const RECENT_PAGES_MIN = 4;
const PAGE_ROWS = 64;
/** Evicted in one transaction. */
const EXCESS_MAX = 32;

export interface PageSpan {
  readonly conversationId: ConversationId;
  readonly span: Span;
}

interface Page {
  readonly conversationId: ConversationId;
  readonly number: number;
  bytes: number;
  /** Of its newest message. */
  timeMs: number;
}

export class CachePages {
  readonly #bytesMax: number;
  /** The least recently written first. */
  readonly #pages = new Map<string, Page>();
  #bytes = 0;

  constructor(cacheBytesMax: number) {
    this.#bytesMax = Math.floor(cacheBytesMax * MESSAGES_SHARE);
  }

  /** As the cache holds them. */
  load(pairs: readonly StoredPair[]): void {
    this.clear();
    for (const { key, value } of pairs) {
      const { bytes, timeMs } = value as { bytes: number; timeMs: number };
      const page = { conversationId: String(key[0]), number: Number(key[1]), bytes, timeMs };
      this.#pages.set(idOf(page), page);
      this.#bytes += bytes;
    }
  }

  clear(): void {
    this.#pages.clear();
    this.#bytes = 0;
  }

  get isFull(): boolean {
    return this.#bytes > this.#bytesMax;
  }

  /** Counts messages that are written and erased; returns what must be written with them. */
  weigh(messages: Iterable<WeighedMessage>): StorePut<CacheTable>[] {
    const touched = new Map<string, Page>();
    for (const { conversationId, sequence, timeMs, bytes } of messages) {
      const page = this.#pageOf(conversationId, sequence);
      page.bytes = Math.max(0, page.bytes + bytes);
      page.timeMs = Math.max(page.timeMs, timeMs);
      this.#bytes = Math.max(0, this.#bytes + bytes);
      touched.set(idOf(page), page);
    }
    for (const [id, page] of touched) {
      this.#pages.delete(id);
      if (page.bytes > 0) this.#pages.set(id, page);
    }
    return [...touched.values()].map((page) => putOf(page));
  }

  /** Some pages to evict, the oldest first; none while there is room. They count until `evicted`. */
  excess(isShown: (page: PageSpan) => boolean): PageSpan[] {
    if (!this.isFull) return [];
    const recent = this.#recent();
    const candidates = [...this.#pages.values()].filter((page) => !recent.has(page));
    candidates.sort((a, b) => a.timeMs - b.timeMs);
    const excess: PageSpan[] = [];
    let bytes = this.#bytes;
    for (const page of candidates) {
      if (bytes <= this.#bytesMax * LOW_SHARE || excess.length >= EXCESS_MAX) break;
      const span = spanOf(page);
      if (isShown(span)) continue;
      excess.push(span);
      bytes -= page.bytes;
    }
    return excess;
  }

  /** What must be written with the deletes of its messages. */
  evicted({ conversationId, span }: PageSpan): StorePut<CacheTable> {
    const page = this.#pageOf(conversationId, span.from);
    this.#pages.delete(idOf(page));
    this.#bytes -= page.bytes;
    return putOf({ ...page, bytes: 0 });
  }

  #pageOf(conversationId: ConversationId, sequence: Sequence): Page {
    const page = { conversationId, number: Math.floor(sequence / PAGE_ROWS), bytes: 0, timeMs: 0 };
    const held = this.#pages.get(idOf(page));
    if (held !== undefined) return held;
    this.#pages.set(idOf(page), page);
    return page;
  }

  #recent(): ReadonlySet<Page> {
    const recent = new Set<Page>();
    let bytes = 0;
    for (const page of [...this.#pages.values()].reverse()) {
      bytes += page.bytes;
      if (recent.size >= RECENT_PAGES_MIN && bytes > this.#bytesMax * RECENT_SHARE) break;
      recent.add(page);
    }
    return recent;
  }
}

/** As the store keeps it. */
export function weightOf(message: Message): number {
  return JSON.stringify(message).length;
}

function idOf(page: { readonly conversationId: ConversationId; readonly number: number }): string {
  return `${page.conversationId} ${page.number}`;
}

function spanOf({ conversationId, number }: Page): PageSpan {
  const from = number * PAGE_ROWS;
  return { conversationId, span: { from, through: from + PAGE_ROWS - 1 } };
}

/** An empty page has no record. */
function putOf({ conversationId, number, bytes, timeMs }: Page): StorePut<CacheTable> {
  const key = [conversationId, number];
  return bytes > 0 ? { table: 'pages', key, value: { bytes, timeMs } } : { table: 'pages', key };
}
