/**
 * Records and the frames that carry them, as bytes. A frame buffer is an ArrayBuffer that the store
 * loop fills, posts to the sync thread and gets back; records are read in place afterwards.
 *
 * Buffer: 0 u32 bytes used (this head included) · 4 u32 records · 8 records. Little-endian.
 * Record, 8-byte aligned: 0 u32 payload bytes · 4 u8 version · 5 u8 kind · 6 u16 shard ·
 * 8 u64 index · 16 u64 term · 24 payload · zeros to the next multiple of 8.
 */
import type { Index, ShardId, Term } from '../../core/ids.ts';
import { invariant } from '../../core/invariant.ts';
import { RECORD_KIND, type RecordKind, type WalRecord } from '../contract.ts';

export const FRAME_HEAD_BYTES = 8;
export const RECORD_HEAD_BYTES = 24;
export const RECORD_VERSION = 1;
/** What a frame buffer starts with; it doubles when a record does not fit. */
export const FRAME_CAPACITY_MIN: number = 1 << 18;
/** No buffer above this is kept for the next frame. */
const FRAME_KEPT_BYTES_MAX: number = 1 << 22;
/** No frame is larger: a store refuses (OVERLOADED) long before. */
export const FRAME_BYTES_MAX: number = 1 << 28;

const U32 = 2 ** 32;
const KIND_MAX = RECORD_KIND.carried;

/** Fills frame buffers. Owns the buffer between `begin` and `take`. */
export class FrameWriter {
  #buffer: ArrayBuffer;
  #bytes: Uint8Array;
  #u32: Uint32Array;
  #used = FRAME_HEAD_BYTES;
  #records = 0;
  #spare: ArrayBuffer | undefined;

  constructor(capacity: number = FRAME_CAPACITY_MIN) {
    invariant(capacity >= 64 && capacity % 8 === 0, 'frame.capacity-aligned', { capacity });
    this.#buffer = new ArrayBuffer(capacity);
    this.#bytes = new Uint8Array(this.#buffer);
    this.#u32 = new Uint32Array(this.#buffer);
  }

  get records(): number {
    return this.#records;
  }

  /** Bytes of the frame so far, its head included. */
  get bytes(): number {
    return this.#used;
  }

  /** Appends a record and copies its payload; returns the payload's offset in the buffer. */
  add(kind: RecordKind, shard: number, place: RecordPlace, payload: Uint8Array): number {
    const at = this.reserve(kind, shard, place, payload.length);
    this.#bytes.set(payload, at);
    return at;
  }

  /**
   * Appends a record whose payload the caller writes into `view(at, length)` before `take`. Returns
   * the payload's offset. Unwritten bytes are whatever an earlier frame left there, so write all.
   */
  reserve(kind: RecordKind, shard: number, place: RecordPlace, length: number): number {
    const at = this.#used;
    const end = at + RECORD_HEAD_BYTES + padded(length);
    if (end > this.#buffer.byteLength) this.#grow(end);
    const i = at >>> 2;
    this.#u32[i] = length;
    this.#u32[i + 1] = RECORD_VERSION | (kind << 8) | (shard << 16);
    this.#u32[i + 2] = place.index >>> 0;
    this.#u32[i + 3] = Math.floor(place.index / U32);
    this.#u32[i + 4] = place.term >>> 0;
    this.#u32[i + 5] = Math.floor(place.term / U32);
    // The padding is part of the bytes that are sealed: it must not carry an older frame's content.
    for (let k = at + RECORD_HEAD_BYTES + length; k < end; k++) this.#bytes[k] = 0;
    this.#used = end;
    this.#records++;
    return at + RECORD_HEAD_BYTES;
  }

  /** A view of the buffer being filled; valid until the next call that may grow it. */
  view(offset: number, length: number): Uint8Array {
    return this.#bytes.subarray(offset, offset + length);
  }

  /** Ends the frame and gives its buffer away; the writer goes on with a spare or a new one. */
  take(): ArrayBuffer {
    invariant(this.#records > 0, 'frame.not-empty');
    this.#u32[0] = this.#used;
    this.#u32[1] = this.#records;
    const full = this.#buffer;
    this.#begin(this.#spare ?? new ArrayBuffer(FRAME_CAPACITY_MIN));
    this.#spare = undefined;
    return full;
  }

  /**
   * Gives a buffer back that is not read any more. The larger one is kept: under load each frame
   * would otherwise grow from the smallest again, in fresh memory.
   */
  recycle(buffer: ArrayBuffer): void {
    const { byteLength } = buffer;
    if (byteLength < FRAME_CAPACITY_MIN || byteLength > FRAME_KEPT_BYTES_MAX) return;
    if (byteLength >= (this.#spare?.byteLength ?? 0)) this.#spare = buffer;
  }

  #begin(buffer: ArrayBuffer): void {
    this.#buffer = buffer;
    this.#bytes = new Uint8Array(buffer);
    this.#u32 = new Uint32Array(buffer);
    this.#used = FRAME_HEAD_BYTES;
    this.#records = 0;
  }

  #grow(needed: number): void {
    invariant(needed <= FRAME_BYTES_MAX, 'frame.bounded', { needed });
    let capacity = this.#buffer.byteLength;
    while (capacity < needed) capacity *= 2;
    const old = this.#bytes.subarray(0, this.#used);
    const records = this.#records;
    const used = this.#used;
    this.#begin(new ArrayBuffer(capacity));
    this.#bytes.set(old);
    this.#used = used;
    this.#records = records;
  }
}

/** Where in its shard's log a record stands. */
export interface RecordPlace {
  readonly term: number;
  readonly index: number;
}

/** Bytes used by a frame buffer, its head included. */
export function frameBytes(frame: ArrayBuffer): number {
  return new Uint32Array(frame, 0, 1)[0] ?? 0;
}

/** The bytes that go to the disk: the buffer's used part. */
export function frameBody(frame: ArrayBuffer): Uint8Array {
  return new Uint8Array(frame, 0, frameBytes(frame));
}

/** Records of a frame body, in order, as views into it. The body must begin 8-byte aligned. */
export function* readRecords(body: Uint8Array): Generator<WalRecord, void, undefined> {
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  const used = view.getUint32(0, true);
  const records = view.getUint32(4, true);
  invariant(used === body.byteLength, 'frame.length-matches', { used, have: body.byteLength });
  let at = FRAME_HEAD_BYTES;
  for (let i = 0; i < records; i++) {
    invariant(at + RECORD_HEAD_BYTES <= used, 'frame.record-head-inside', { at, used });
    const length = view.getUint32(at, true);
    const end = at + RECORD_HEAD_BYTES + padded(length);
    invariant(end <= used, 'frame.record-inside', { at, length, used });
    yield readRecord(body, view, at, length);
    at = end;
  }
  invariant(at === used, 'frame.records-fill-it', { at, used });
}

/** Bytes up to the next multiple of 8. */
export function padded(bytes: number): number {
  return (bytes + 7) & ~7;
}

/** The record whose head lies at `at`; the caller has checked that it fits. */
export function readRecord(
  body: Uint8Array,
  view: DataView,
  at: number,
  length: number,
): WalRecord {
  const version = view.getUint8(at + 4);
  const kind = view.getUint8(at + 5);
  invariant(version === RECORD_VERSION, 'frame.record-version-known', { version });
  invariant(kind >= 1 && kind <= KIND_MAX, 'frame.record-kind-known', { kind });
  const start = at + RECORD_HEAD_BYTES;
  return {
    kind: kind as RecordKind,
    shard: view.getUint16(at + 6, true) as ShardId,
    index: readU64(view, at + 8) as Index,
    term: readU64(view, at + 16) as Term,
    payload: body.subarray(start, start + length),
  };
}

function readU64(view: DataView, at: number): number {
  const value = view.getUint32(at, true) + view.getUint32(at + 4, true) * U32;
  invariant(Number.isSafeInteger(value), 'frame.number-safe');
  return value;
}
