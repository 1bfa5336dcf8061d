/**
 * Where every shard's log ends, and what a new segment must carry for it: kept by the writer while
 * it appends and by recovery while it reads, by the same rules, so neither can drift.
 */
import { viewOf } from '../../core/bytes.ts';
import { invariant } from '../../core/invariant.ts';
import { RECORD_KIND, type WalCarried, type WalRecord } from '../contract.ts';
import {
  FRAME_HEAD_BYTES,
  FrameWriter,
  RECORD_HEAD_BYTES,
  frameBody,
  padded,
  readRecord,
} from './frame.ts';

interface Marked {
  readonly term: number;
  readonly index: number;
  readonly payload: Uint8Array;
}

interface Tracked {
  lastTerm: number;
  lastIndex: number;
  hardState: Marked | undefined;
  snapshot: Marked | undefined;
}

const U32 = 2 ** 32;
const NO_PAYLOAD = new Uint8Array(0);

export class ShardTracker {
  readonly #shards = new Map<number, Tracked>();

  constructor(carried: readonly WalCarried[] = []) {
    for (const { shard, lastTerm, lastIndex, hardState, snapshot } of carried)
      this.#shards.set(shard, { lastTerm, lastIndex, hardState, snapshot });
  }

  /** Takes all records of a frame body (8-byte aligned). Entries, nearly all, cost no object each. */
  takeFrame(body: Uint8Array): void {
    const u32 = new Uint32Array(body.buffer, body.byteOffset, body.length >>> 2);
    invariant(u32[0] === body.length, 'wal.frame-length-matches', { have: body.length });
    let at = FRAME_HEAD_BYTES;
    for (let left = u32[1] ?? 0; left > 0; left--) {
      const i = at >>> 2;
      const length = u32[i] ?? 0;
      const word = u32[i + 1] ?? 0;
      const end = at + RECORD_HEAD_BYTES + padded(length);
      invariant(end <= body.length, 'wal.record-inside-frame', () => ({ at, length }));
      const kind = (word >>> 8) & 255;
      if (kind === RECORD_KIND.entry || kind === RECORD_KIND.config) {
        const index = (u32[i + 2] ?? 0) + (u32[i + 3] ?? 0) * U32;
        this.#takeEntry(word >>> 16, (u32[i + 4] ?? 0) + (u32[i + 5] ?? 0) * U32, index);
      } else {
        this.take(readRecord(body, viewOf(body), at, length));
      }
      at = end;
    }
    invariant(at === body.length, 'wal.records-fill-frame', () => ({ at, have: body.length }));
  }

  /**
   * Takes one record in log order. An entry must follow the shard's last one: the log has no holes
   * and no overwriting without a `truncate` before it.
   */
  take(record: WalRecord): void {
    const shard = this.#of(record.shard);
    switch (record.kind) {
      case RECORD_KIND.entry:
      case RECORD_KIND.config:
        this.#takeEntry(record.shard, record.term, record.index);
        return;
      case RECORD_KIND.hardState:
        shard.hardState = copied(record);
        return;
      case RECORD_KIND.truncate:
        invariant(record.index <= shard.lastIndex, 'wal.truncate-inside', () => ({
          shard: record.shard,
          index: record.index,
          last: shard.lastIndex,
        }));
        shard.lastIndex = record.index;
        shard.lastTerm = record.term;
        return;
      case RECORD_KIND.snapshot:
        shard.snapshot = copied(record);
        if (record.index > shard.lastIndex) {
          shard.lastIndex = record.index;
          shard.lastTerm = record.term;
        }
        return;
      case RECORD_KIND.carried:
        shard.lastIndex = record.index;
        shard.lastTerm = record.term;
        return;
    }
  }

  lastIndexOf(shard: number): number {
    return this.#shards.get(shard)?.lastIndex ?? 0;
  }

  /** [shard, last index] of all shards. */
  lasts(): (readonly [shard: number, index: number])[] {
    return [...this.#shards].map(([shard, { lastIndex }]) => [shard, lastIndex] as const);
  }

  carried(): WalCarried[] {
    return [...this.#shards]
      .map(([shard, tracked]) => ({ shard, ...tracked }))
      .sort((a, b) => a.shard - b.shard);
  }

  #takeEntry(number: number, term: number, index: number): void {
    const shard = this.#of(number);
    const last = shard.lastIndex;
    invariant(index === last + 1, 'wal.index-dense', () => ({ shard: number, index, last }));
    invariant(term >= shard.lastTerm, 'wal.term-never-falls', () => ({ shard: number, term }));
    shard.lastIndex = index;
    shard.lastTerm = term;
  }

  #of(shard: number): Tracked {
    let tracked = this.#shards.get(shard);
    if (tracked === undefined) {
      tracked = { lastTerm: 0, lastIndex: 0, hardState: undefined, snapshot: undefined };
      this.#shards.set(shard, tracked);
    }
    return tracked;
  }
}

/** The body of a segment's first frame; undefined when no shard exists yet. */
export function carryBody(carried: readonly WalCarried[]): Uint8Array | undefined {
  if (carried.length === 0) return undefined;
  const writer = new FrameWriter();
  for (const { shard, lastTerm, lastIndex, hardState, snapshot } of carried) {
    // The snapshot first: `carried` then says where the log ended, whatever the snapshot implied.
    if (snapshot !== undefined) writer.add(RECORD_KIND.snapshot, shard, snapshot, snapshot.payload);
    writer.add(RECORD_KIND.carried, shard, { term: lastTerm, index: lastIndex }, NO_PAYLOAD);
    if (hardState !== undefined)
      writer.add(RECORD_KIND.hardState, shard, hardState, hardState.payload);
  }
  return frameBody(writer.take());
}

function copied(record: WalRecord): Marked {
  return { term: record.term, index: record.index, payload: record.payload.slice() };
}
