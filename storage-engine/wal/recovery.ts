/**
 * What a start finds in the WAL: per shard its hard state, its snapshot mark and the entries that
 * the state store does not hold yet, and where the next process goes on.
 */
import type { Index, ShardId, Term } from '../../core/ids.ts';
import { invariant } from '../../core/invariant.ts';
import {
  RECORD_KIND,
  type Disk,
  type ShardRemains,
  type WalRecord,
  type WalRecovery,
  type WalSegment,
} from '../contract.ts';
import type { DataKeys } from '../key-ring.ts';
import { FRAME_KIND } from './sealed-frame.ts';
import { readRecords } from './frame.ts';
import { WAL_DIRECTORY, segmentPath } from './segment.ts';
import { ShardTracker } from './shard-tracker.ts';
import { WalReader, corruptFile, type FoundSegment, type WalEnd } from './wal-reader.ts';

export interface RecoveryParts {
  readonly disk: Disk;
  readonly keys: DataKeys;
  /**
   * Index up to which each shard's state is durable, of all shards that the state store knows.
   * Segments that hold nothing above are not read, and a WAL that does not reach down or up to it
   * is refused. Without it everything is read and nothing is compared.
   */
  readonly applied?: ReadonlyMap<number, number>;
}

/**
 * Reads the WAL. Throws CORRUPT_ENTRY when something that had been synced is damaged or gone, or
 * when WAL and state leave a gap between them. What it returns is durable: the last frame was written and synced again.
 */
export function recoverWal(parts: RecoveryParts): WalRecovery {
  const reader = new WalReader(parts.disk, parts.keys);
  const segments = reader.open();
  const carried = segments.map((segment) => reader.carriedInto(segment));
  const from = firstToRead(carried, parts.applied);
  checkReachesDown(segments, carried, parts.applied);
  const remains = new RemainsBuilder(parts.applied);
  let lastFrameOffset = 0;
  let end: WalEnd = { endOffset: 0, frames: 0, isClosed: true, tornBytes: 0 };
  for (const [i, segment] of segments.entries()) {
    if (i < from) continue;
    remains.begin(carried[i] ?? []);
    end = reader.readSegment(segment, (frame) => {
      lastFrameOffset = frame.at;
      if (frame.kind !== FRAME_KIND.data || frame.number === 0) return;
      for (const record of readRecords(frame.body)) remains.take(record);
    });
  }
  checkReachesUp(segments, remains, parts.applied);
  reader.settleLast(lastFrameOffset, end.endOffset);
  const lasts = [...carried.slice(1).map(lastsOf), remains.tracker.lasts()];
  return {
    shards: remains.finish(),
    verdict: verdictOf(segments, end),
    tornBytes: end.tornBytes,
    keyNumbers: new Set(segments.map((segment) => segment.keyNumber)),
    tail: {
      segment: segments.at(-1)?.id ?? 0,
      endOffset: end.endOffset,
      frames: end.frames,
      segments: segments.map((segment, i) => walSegment(segment, end, lasts[i])),
      carried: remains.tracker.carried(),
    },
  };
}

/** All records that the WAL holds, in order, for tools and tests. */
export function* walRecords(disk: Disk, keys: DataKeys): Generator<WalRecord, void, undefined> {
  const reader = new WalReader(disk, keys);
  for (const segment of reader.open()) {
    const records: WalRecord[] = [];
    reader.readSegment(segment, (frame) => {
      if (frame.kind === FRAME_KIND.data) records.push(...readRecords(frame.body));
    });
    yield* records;
  }
}

/** Builds the remains from records in log order. */
class RemainsBuilder {
  readonly tracker = new ShardTracker();
  readonly #applied: ReadonlyMap<number, number> | undefined;
  readonly #logs = new Map<number, WalRecord[]>();
  #hasBegun = false;

  constructor(applied: ReadonlyMap<number, number> | undefined) {
    this.#applied = applied;
  }

  /** Takes what a segment carries: news from the first one read, a repetition from later ones. */
  begin(carried: readonly WalRecord[]): void {
    for (const record of carried) {
      if (!this.#hasBegun) this.tracker.take(record);
      else if (record.kind === RECORD_KIND.carried)
        invariant(this.tracker.lastIndexOf(record.shard) === record.index, 'wal.carried-matches', {
          shard: record.shard,
          index: record.index,
        });
    }
    this.#hasBegun = true;
  }

  take(record: WalRecord): void {
    const { shard, index, kind } = record;
    this.tracker.take(record);
    const log = this.#logOf(shard);
    if (kind === RECORD_KIND.entry || kind === RECORD_KIND.config) {
      if (index > (this.#applied?.get(shard) ?? 0)) log.push(record);
    } else if (kind === RECORD_KIND.truncate) {
      while ((log.at(-1)?.index ?? 0) > index) log.pop();
    } else if (kind === RECORD_KIND.snapshot) {
      const kept = log.findIndex((entry) => entry.index > index);
      log.splice(0, kept < 0 ? log.length : kept);
    }
  }

  finish(): ReadonlyMap<ShardId, ShardRemains> {
    const shards = new Map<ShardId, ShardRemains>();
    for (const carried of this.tracker.carried()) {
      const shard = carried.shard as ShardId;
      shards.set(shard, {
        shard,
        hardState: markOf(RECORD_KIND.hardState, shard, carried.hardState),
        snapshot: markOf(RECORD_KIND.snapshot, shard, carried.snapshot),
        log: this.#logs.get(carried.shard) ?? [],
        lastTerm: carried.lastTerm as Term,
        lastIndex: carried.lastIndex as Index,
      });
    }
    return shards;
  }

  #logOf(shard: number): WalRecord[] {
    let log = this.#logs.get(shard);
    if (log === undefined) {
      log = [];
      this.#logs.set(shard, log);
    }
    return log;
  }
}

/** The newest segment before which everything is in the state already. */
function firstToRead(
  carried: readonly (readonly WalRecord[])[],
  applied: ReadonlyMap<number, number> | undefined,
): number {
  if (applied === undefined) return 0;
  for (let i = carried.length - 1; i > 0; i--) {
    const lasts = lastsOf(carried[i] ?? []);
    if (lasts.every(([shard, index]) => (applied.get(shard) ?? 0) >= index)) return i;
  }
  return 0;
}

/** What older segments held must be in the state: they were removed only after it was durable there. */
function checkReachesDown(
  segments: readonly FoundSegment[],
  carried: readonly (readonly WalRecord[])[],
  applied: ReadonlyMap<number, number> | undefined,
): void {
  const first = segments[0];
  if (first === undefined || applied === undefined) return;
  for (const [shard, index] of lastsOf(carried[0] ?? [])) {
    const have = applied.get(shard) ?? 0;
    if (have < index)
      throw corruptFile(
        segmentPath(first.id),
        0,
        `the log of shard ${shard} goes on from index ${index}, but its state ends at ${have}: the state store lost writes that had been synced`,
      );
  }
}

/** What the state holds was in the WAL first, and the last segment is never removed. */
function checkReachesUp(
  segments: readonly FoundSegment[],
  remains: RemainsBuilder,
  applied: ReadonlyMap<number, number> | undefined,
): void {
  for (const [shard, have] of applied ?? []) {
    const last = remains.tracker.lastIndexOf(shard);
    if (last >= have) continue;
    const file = segmentPath(segments.at(-1)?.id ?? 1);
    throw corruptFile(
      file,
      0,
      `the state of shard ${shard} reaches index ${have}, but the log ends at ${last} in ${WAL_DIRECTORY}/: segments are missing or were cut`,
    );
  }
}

function verdictOf(segments: readonly FoundSegment[], end: WalEnd): WalRecovery['verdict'] {
  if (segments.length === 0) return 'new';
  return end.isClosed ? 'clean' : 'cut';
}

function lastsOf(carried: readonly WalRecord[]): (readonly [shard: number, index: number])[] {
  const lasts: (readonly [shard: number, index: number])[] = [];
  for (const record of carried)
    if (record.kind === RECORD_KIND.carried) lasts.push([record.shard, record.index]);
  return lasts;
}

function walSegment(
  segment: FoundSegment,
  end: WalEnd,
  last: readonly (readonly [shard: number, index: number])[] | undefined,
): WalSegment {
  const { id, createdMs } = segment;
  return { id, createdMs, bytes: (segment.settledEnd ?? end).endOffset, last: last ?? [] };
}

function markOf(
  kind: WalRecord['kind'],
  shard: ShardId,
  mark: { readonly term: number; readonly index: number; readonly payload: Uint8Array } | undefined,
): WalRecord | undefined {
  if (mark === undefined) return undefined;
  return {
    kind,
    shard,
    term: mark.term as Term,
    index: mark.index as Index,
    payload: mark.payload,
  };
}
