/**
 * Reads the segments of a WAL directory and settles where they end. A frame that does not open is
 * either a torn tail (the last one of the last segment: never acknowledged, so it is left out) or
 * damage to something that had been synced: that is an error naming file and offset, never repaired
 * in silence.
 */
import { isZero } from '../../core/bytes.ts';
import type { ParleyError } from '../../core/errors.ts';
import { invariant } from '../../core/invariant.ts';
import type { Disk, WalRecord } from '../contract.ts';
import type { DataKey, DataKeys } from '../key-ring.ts';
import { storageError } from '../storage-error.ts';
import { readRecords } from './frame.ts';
import { FRAME_KIND, findFrameAfter, openFrame, type OpenedFrame } from './sealed-frame.ts';
import {
  SEGMENT_HEAD_BYTES,
  WAL_DIRECTORY,
  decodeSegmentHead,
  segmentIds,
  segmentPath,
  type SegmentHead,
} from './segment.ts';

/** How the last segment ended. */
export interface WalEnd {
  readonly endOffset: number;
  readonly frames: number;
  readonly isClosed: boolean;
  readonly tornBytes: number;
}

/** A segment whose head is whole and fits its neighbours. */
export interface FoundSegment extends SegmentHead {
  readonly bytes: number;
  /** Where its frames end, if a later segment says so. */
  readonly settledEnd: WalEnd | undefined;
}

const WHAT_TO_DO =
  'acknowledged messages may be missing, so it is not served; restore a backup, or, where the shard has other replicas, remove this one and add it anew';

export class WalReader {
  readonly #disk: Disk;
  readonly #keys: DataKeys;
  #segments: readonly FoundSegment[] = [];

  constructor(disk: Disk, keys: DataKeys) {
    this.#disk = disk;
    this.#keys = keys;
  }

  /** Finds the segments, oldest first, and checks that they are one chain. */
  open(): readonly FoundSegment[] {
    const ids = segmentIds(this.#disk.list(WAL_DIRECTORY));
    const heads = ids.map((id) => this.#readHead(id));
    for (const [i, head] of heads.entries()) {
      const before = heads[i - 1];
      if (before !== undefined && head.id !== before.id + 1)
        throw corruptFile(segmentPath(before.id + 1), 0, 'the segment is missing');
    }
    this.#segments = heads.map((head, i) => {
      const next = heads[i + 1];
      return {
        ...head,
        bytes: this.#disk.sizeOf(segmentPath(head.id)) ?? 0,
        settledEnd: next === undefined ? undefined : settledBy(next),
      };
    });
    return this.#segments;
  }

  /** The records that a segment's first frame carries over from the segments before it. */
  carriedInto(segment: FoundSegment): WalRecord[] {
    const bytes = this.#readBytes(segment, firstFrameBytes(segment.bytes));
    const whole =
      this.#firstFrame(segment, bytes) ??
      this.#firstFrame(segment, this.#readBytes(segment, segment.bytes));
    if (whole === undefined) throw corruptFrame(segment.id, SEGMENT_HEAD_BYTES);
    return whole.kind === FRAME_KIND.data ? [...readRecords(whole.body)] : [];
  }

  /** Calls `each` with every frame of a segment, in order; returns where and how it ended. */
  readSegment(segment: FoundSegment, each: (frame: OpenedFrame) => void): WalEnd {
    const { id, settledEnd } = segment;
    const key = this.#keyOf(segment);
    const bytes = this.#readBytes(segment, settledEnd?.endOffset ?? segment.bytes);
    let at = SEGMENT_HEAD_BYTES;
    let number = 0;
    let isClosed = false;
    while (settledEnd === undefined || number < settledEnd.frames) {
      const frame = openFrame(bytes, at, { segment: id, number, key });
      if (frame === undefined) break;
      each(frame);
      isClosed = frame.kind === FRAME_KIND.closed;
      at = frame.end;
      number++;
    }
    if (settledEnd !== undefined) {
      if (number !== settledEnd.frames || at !== settledEnd.endOffset) throw corruptFrame(id, at);
      return settledEnd;
    }
    return { endOffset: at, frames: number, isClosed, tornBytes: tornAt(bytes, at, number, id) };
  }

  /**
   * Makes durable what was read: a killed process may have left its last frame in the page cache
   * only. The frame is written again, because after a failed sync the kernel takes its pages for
   * clean and a second sync would cover nothing. Earlier frames were synced before it was written.
   */
  settleLast(lastFrameOffset: number, endOffset: number): void {
    const last = this.#segments.at(-1);
    if (last === undefined) return;
    const file = this.#disk.open(segmentPath(last.id));
    const frame = new Uint8Array(endOffset - lastFrameOffset);
    const count = file.read(lastFrameOffset, frame);
    invariant(count === frame.length, 'wal-reader.last-frame-readable');
    file.write(lastFrameOffset, [frame]);
    file.sync();
    file.close();
    this.#disk.syncDirectory(WAL_DIRECTORY);
  }

  #readHead(id: number): SegmentHead {
    const file = this.#disk.open(segmentPath(id));
    const bytes = new Uint8Array(SEGMENT_HEAD_BYTES);
    const count = file.read(0, bytes);
    file.close();
    const head = decodeSegmentHead(bytes.subarray(0, count));
    // A segment gets its name only once its head is durable, so this is never a half-made one.
    if (head === undefined || head.id !== id)
      throw corruptFile(segmentPath(id), 0, 'the head of the segment is damaged');
    return head;
  }

  #firstFrame(segment: FoundSegment, bytes: Uint8Array): OpenedFrame | undefined {
    const key = this.#keyOf(segment);
    return openFrame(bytes, SEGMENT_HEAD_BYTES, { segment: segment.id, number: 0, key });
  }

  #keyOf(segment: FoundSegment): DataKey {
    const key = this.#keys.find('wal', segment.keyNumber);
    if (key !== undefined) return key;
    throw storageError(
      'key_missing',
      `${segmentPath(segment.id)} was sealed with data key ${segment.keyNumber}, which is not in keys/; restore that file from a backup of the data directory`,
      { file: segmentPath(segment.id) },
    );
  }

  #readBytes(segment: FoundSegment, bytes: number): Uint8Array {
    const file = this.#disk.open(segmentPath(segment.id));
    const content = new Uint8Array(bytes);
    const count = file.read(0, content);
    file.close();
    return content.subarray(0, count);
  }
}

/** An error about a segment: what is wrong, where, and what to do. */
export function corruptFile(file: string, offset: number, what: string): ParleyError {
  return storageError('corrupt', `${file}: ${what} (offset ${offset}); ${WHAT_TO_DO}`, {
    file,
    offset,
  });
}

function corruptFrame(id: number, offset: number): ParleyError {
  return corruptFile(segmentPath(id), offset, 'a frame that had been synced does not open');
}

function settledBy(next: SegmentHead): WalEnd {
  const { previousEndOffset, previousFrames } = next;
  invariant(previousEndOffset >= SEGMENT_HEAD_BYTES, 'wal-reader.settled-end-sane');
  return { endOffset: previousEndOffset, frames: previousFrames, isClosed: true, tornBytes: 0 };
}

/** First frames carry a few hundred bytes a shard: usually no more than this has to be read. */
function firstFrameBytes(segmentBytes: number): number {
  return Math.min(segmentBytes, 1 << 16);
}

/**
 * Bytes of a torn tail behind the last whole frame; 0 when only zeros follow. A whole frame further
 * on proves that the bad one had been synced. The first frame never comes here: `carriedInto` refuses
 * a bad one, since the segment's name waited for it.
 */
function tornAt(bytes: Uint8Array, at: number, number: number, segment: number): number {
  const rest = bytes.subarray(at);
  invariant(number > 0, 'wal-reader.first-frame-checked');
  if (findFrameAfter(bytes, at - 8, segment) >= 0) throw corruptFrame(segment, at);
  if (isZero(rest)) return 0;
  let end = rest.length;
  while (end > 0 && rest[end - 1] === 0) end--;
  invariant(end > 0, 'wal-reader.torn-bytes-exist');
  return end;
}
