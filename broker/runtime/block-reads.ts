/**
 * Rows of a conversation, wherever they lie: the hot tail for the newest, cached blocks, blocks of
 * the store. Sequences are dense, so a stretch [from, through] is either whole or the store is
 * damaged. Each block is opened once and then served from memory.
 */
import { readU53, viewOf } from '../../core/bytes.ts';
import { ParleyError } from '../../core/errors.ts';
import { invariant } from '../../core/invariant.ts';
import { decodeBlock, type BlockView } from '../../storage-engine/block.ts';
import type { StateStore } from '../../storage-engine/contract.ts';
import { blockRange, changeRange, readChangeKey } from '../../storage-engine/keys.ts';
import type { BucketView, ConversationView } from '../conversation/contract.ts';
import type { BlockCache } from './block-cache.ts';
import type { HotTail } from './hot-tail.ts';
import { readOverlayEntry, storedOverlayRange, type StoredOverlay } from './overlays.ts';

/** Blocks fetched by one range. */
const BLOCKS_PER_FETCH_MAX = 64;
/** A page that opened more than this asks for its blocks to be merged. */
const BLOCKS_PER_PAGE_MERGED = 8;
/** Conversations with more overlays than this are read by ranges, not kept whole. */
const OVERLAYS_CACHED_MAX = 1024;

/** What a read must know of a conversation; taken from its view, valid over awaits. */
export interface Extent {
  readonly conversation: Uint8Array;
  readonly head: number;
  readonly buckets: readonly BucketView[];
  readonly overlayCount: number;
}

export function extentOf(view: ConversationView): Extent {
  const { head, buckets, overlayCount } = view;
  return { conversation: view.conversation.slice(), head, buckets, overlayCount };
}

export interface BlockReadsOptions {
  readonly state: StateStore;
  readonly hotTail: HotTail;
  readonly cache: BlockCache;
  /** A reader met many small blocks here. */
  readonly wantMerge: (conversation: Uint8Array, bucket: number, through: number) => void;
}

export class BlockReads {
  readonly #options: BlockReadsOptions;
  blocksRead = 0;

  constructor(options: BlockReadsOptions) {
    this.#options = options;
  }

  /** Rows [from, through], oldest first. Both must exist. */
  async rows(extent: Extent, from: number, through: number): Promise<Uint8Array[]> {
    if (from > through) return [];
    invariant(from >= 1 && through <= extent.head, 'reads.within-head', () => ({ from, through }));
    const rows = new Array<Uint8Array>(through - from + 1);
    let at = this.#fromTail(extent, rows, from, through);
    let opened = 0;
    const highest = at;
    while (at >= from) {
      const cached = this.#options.cache.of(extent.conversation);
      const block = this.#options.cache.find(cached, at);
      const blocks = block === undefined ? await this.#fetch(extent, at, from) : [block];
      if (block === undefined) opened += blocks.length;
      for (const view of blocks)
        for (; at >= from && at >= view.first; at--) rows[at - from] = rowOf(view, at);
    }
    if (opened > BLOCKS_PER_PAGE_MERGED) this.#wantMerge(extent, highest);
    return rows;
  }

  /** Rows [from, through] if all are in memory. */
  rowsNow(extent: Extent, from: number, through: number): Uint8Array[] | undefined {
    if (from > through) return [];
    const rows = new Array<Uint8Array>(through - from + 1);
    let at = this.#fromTail(extent, rows, from, through);
    if (at < from) return rows;
    const cached = this.#options.cache.get(extent.conversation);
    while (cached !== undefined && at >= from) {
      const block = this.#options.cache.find(cached, at);
      if (block === undefined) return undefined;
      for (; at >= from && at >= block.first; at--) rows[at - from] = rowOf(block, at);
    }
    return at < from ? rows : undefined;
  }

  /** Stored overlays of rows in [from, through]; the caller lays pending ones over them. */
  async overlays(
    extent: Extent,
    from: number,
    through: number,
  ): Promise<ReadonlyMap<number, StoredOverlay>> {
    const { cache } = this.#options;
    if (extent.overlayCount === 0) return NO_OVERLAYS;
    const cached = cache.of(extent.conversation);
    if (cached.overlays !== undefined) return cached.overlays;
    const isWhole = extent.overlayCount <= OVERLAYS_CACHED_MAX;
    const range = isWhole ? [1, extent.head] : [from, through];
    const { generation } = cache;
    const read = await this.#readOverlays(extent.conversation, range[0] ?? 1, range[1] ?? 1);
    if (isWhole && generation === cache.generation) cache.keepOverlays(cached, read);
    return read;
  }

  /** Stored changes in (above, through] as (changed row, its change), by change. */
  async changes(
    conversation: Uint8Array,
    above: number,
    limit: number,
  ): Promise<{ readonly target: number; readonly changeSequence: number }[]> {
    const entries = await this.#options.state.range({ ...changeRange(conversation, above), limit });
    return entries.map(({ key, value }) => ({
      changeSequence: readChangeKey(key),
      target: readU53(viewOf(value), 0),
    }));
  }

  /** Takes from the tail what it holds, newest first; returns the sequence where the rest ends. */
  #fromTail(extent: Extent, rows: Uint8Array[], from: number, through: number): number {
    const { hotTail } = this.#options;
    const tail = hotTail.tail(extent.conversation);
    if (tail === undefined) return through;
    const first = Math.max(from, tail.first);
    if (through < first) return through;
    const found = hotTail.rows(extent.conversation, first, through);
    // The tail ends at the head: what it does not hold above its first row does not exist.
    invariant(found.length === through - first + 1, 'reads.tail-reaches-head', { first, through });
    for (let i = 0; i < found.length; i++) rows[first - from + i] = found[i] as Uint8Array;
    return first - 1;
  }

  /** Blocks downwards from the one that holds `at`, newest first, as many as the stretch may need. */
  async #fetch(extent: Extent, at: number, from: number): Promise<readonly BlockView[]> {
    const { state, cache } = this.#options;
    const wanted = Math.ceil((at - from + 1) / cache.of(extent.conversation).rowsPerBlock);
    const limit = Math.min(Math.max(wanted, 1), BLOCKS_PER_FETCH_MAX);
    const bucket = bucketAt(extent.buckets, at);
    const { generation } = cache;
    const range = blockRange(bucket, extent.conversation, 0, at + 1);
    const entries = await state.range({ ...range, reverse: true, limit });
    const blocks = entries.map(({ value }) => decodeBlock(value));
    checkHolds(blocks, at);
    this.blocksRead += blocks.length;
    let rows = 0;
    for (const [i, block] of blocks.entries()) {
      rows += block.rows;
      // What was read before a rewrite is good for this answer, but not for later ones.
      if (generation !== cache.generation) continue;
      cache.add(cache.of(extent.conversation), block, entries[i]?.value.length ?? 0);
    }
    cache.of(extent.conversation).rowsPerBlock = Math.max(1, Math.floor(rows / blocks.length));
    return blocks;
  }

  async #readOverlays(
    conversation: Uint8Array,
    from: number,
    through: number,
  ): Promise<Map<number, StoredOverlay>> {
    const range = storedOverlayRange(conversation, from, through);
    const overlays = new Map<number, StoredOverlay>();
    for (const entry of await this.#options.state.range(range)) {
      const overlay = readOverlayEntry(entry);
      overlays.set(overlay.target, overlay);
    }
    return overlays;
  }

  #wantMerge(extent: Extent, through: number): void {
    this.#options.wantMerge(extent.conversation, bucketAt(extent.buckets, through), through);
  }
}

const NO_OVERLAYS: ReadonlyMap<number, StoredOverlay> = new Map();

/** The bucket that holds a row: the last one that begins at or below it. */
export function bucketAt(buckets: readonly BucketView[], sequence: number): number {
  for (let i = buckets.length - 1; i >= 0; i--) {
    const bucket = buckets[i];
    if (bucket !== undefined && bucket.firstSequence <= sequence) return bucket.bucket;
  }
  invariant(false, 'reads.bucket-of-row', { sequence });
}

function rowOf(block: BlockView, sequence: number): Uint8Array {
  const row = block.rowAt(sequence);
  invariant(row !== undefined, 'reads.row-in-block', () => ({ sequence, first: block.first }));
  return row;
}

/** A key that rotted can vanish from a range: rows are dense, so that shows here. */
function checkHolds(blocks: readonly BlockView[], at: number): void {
  let next = at;
  for (const [i, block] of blocks.entries()) {
    const isNext = i === 0 ? block.first <= at && block.last >= at : block.last === next;
    if (!isNext) break;
    next = block.first - 1;
  }
  if (next < at && next === (blocks.at(-1)?.first ?? 0) - 1) return;
  throw new ParleyError('CORRUPT_ENTRY', 'rows are missing from the state store', {
    problem: 'corrupt',
    sequence: next,
  });
}
