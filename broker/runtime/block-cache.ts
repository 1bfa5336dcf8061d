/**
 * Decoded blocks of conversations that are being read, bounded in bytes, the least recently read
 * conversation first. Rows are opened once, however many pages show them.
 */
import { IdMap } from '../../core/id-map.ts';
import type { BlockView } from '../../storage-engine/block.ts';
import type { StoredOverlay } from './overlays.ts';

/** What one conversation, and one overlay beside its value, cost in memory. */
const CONVERSATION_BYTES = 256;
const OVERLAY_BYTES = 96;

export interface CachedBlock {
  readonly view: BlockView;
  readonly bytes: number;
}

export interface CachedConversation {
  readonly conversation: Uint8Array;
  /** By first sequence; may have holes between them. */
  readonly blocks: CachedBlock[];
  /** All stored overlays of the conversation, kept up to date; undefined = not read yet. */
  overlays: Map<number, StoredOverlay> | undefined;
  bytes: number;
  /** Rows per block that the last fetch found: how many blocks a page will need. */
  rowsPerBlock: number;
  older: CachedConversation | undefined;
  newer: CachedConversation | undefined;
}

export class BlockCache {
  readonly #bytesMax: number;
  readonly #conversations = new IdMap<CachedConversation>();
  #oldest: CachedConversation | undefined;
  #newest: CachedConversation | undefined;
  #bytes = 0;
  /** Rises when stored rows or overlays change: a read begun before must not fill the cache. */
  generation = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get(conversation: Uint8Array): CachedConversation | undefined {
    const cached = this.#conversations.get(conversation);
    if (cached !== undefined && cached !== this.#newest) {
      this.#unlink(cached);
      this.#link(cached);
    }
    return cached;
  }

  of(conversation: Uint8Array): CachedConversation {
    const known = this.get(conversation);
    if (known !== undefined) return known;
    const cached: CachedConversation = {
      conversation: conversation.slice(),
      blocks: [],
      overlays: undefined,
      bytes: 0,
      rowsPerBlock: 32,
      older: undefined,
      newer: undefined,
    };
    this.#conversations.set(cached.conversation, cached);
    this.#link(cached);
    this.#charge(cached, CONVERSATION_BYTES);
    return cached;
  }

  /** From now on these are all its stored overlays; whoever changes them says so by `overlaid`. */
  keepOverlays(cached: CachedConversation, overlays: Map<number, StoredOverlay>): void {
    cached.overlays = overlays;
    let bytes = 0;
    for (const { value } of overlays.values()) bytes += value.length + OVERLAY_BYTES;
    this.#charge(cached, bytes);
  }

  /** An overlay of this conversation is stored, or stored anew. */
  overlaid(conversation: Uint8Array, target: number, overlay: StoredOverlay): void {
    const cached = this.#conversations.get(conversation);
    if (cached?.overlays === undefined) return;
    const before = cached.overlays.get(target);
    cached.overlays.set(target, overlay);
    const grown = overlay.value.length + OVERLAY_BYTES;
    this.#charge(cached, before === undefined ? grown : overlay.value.length - before.value.length);
  }

  /** The block that holds the sequence. */
  find(cached: CachedConversation, sequence: number): BlockView | undefined {
    const { blocks } = cached;
    let low = 0;
    let high = blocks.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((blocks[middle]?.view.first ?? 0) <= sequence) low = middle + 1;
      else high = middle;
    }
    const view = blocks[low - 1]?.view;
    return view !== undefined && sequence <= view.last ? view : undefined;
  }

  add(cached: CachedConversation, view: BlockView, bytes: number): void {
    const { blocks } = cached;
    let at = blocks.length;
    while (at > 0 && (blocks[at - 1]?.view.first ?? 0) > view.first) at--;
    if (blocks[at - 1]?.view.first === view.first) return;
    blocks.splice(at, 0, { view, bytes });
    this.#charge(cached, bytes);
  }

  /** Stored rows of this conversation were rewritten. */
  forget(conversation: Uint8Array): void {
    this.generation++;
    const cached = this.#conversations.get(conversation);
    if (cached !== undefined) this.#remove(cached);
  }

  /** The least recently read go, in the end this one: whoever holds it reads on, for himself alone. */
  #charge(cached: CachedConversation, bytes: number): void {
    if (this.#conversations.get(cached.conversation) !== cached) return;
    cached.bytes += bytes;
    this.#bytes += bytes;
    while (this.#bytes > this.#bytesMax && this.#oldest !== undefined) {
      const oldest = this.#oldest;
      this.#remove(oldest);
      if (oldest === cached) return;
    }
  }

  #remove(cached: CachedConversation): void {
    this.#unlink(cached);
    this.#conversations.delete(cached.conversation);
    this.#bytes -= cached.bytes;
  }

  #link(cached: CachedConversation): void {
    cached.older = this.#newest;
    cached.newer = undefined;
    if (this.#newest !== undefined) this.#newest.newer = cached;
    this.#newest = cached;
    this.#oldest ??= cached;
  }

  #unlink(cached: CachedConversation): void {
    if (cached.older === undefined) this.#oldest = cached.newer;
    else cached.older.newer = cached.newer;
    if (cached.newer === undefined) this.#newest = cached.older;
    else cached.newer.older = cached.older;
  }
}
