/**
 * A frame on the disk: a head of 64 bytes and the frame body under AES-256-GCM, sealed once for
 * all records of all shards in it. Little-endian:
 *
 *   0 'PWF1' · 4 u8 version · 5 u8 kind · 8 u32 body bytes · 12 u32 crc32 of the head (this field
 *   zero) and the ciphertext · 16 u64 segment id · 24 u64 frame number in the segment, from 0 ·
 *   32 u64 last offset known synced · 40 u64 nonce counter · 48 tag (16) · 64 ciphertext.
 *
 * Bytes 0–11 and 16–47 are bound in, so a frame moved to another place does not open. The nonce is
 * the data key's number and the counter, which only rises while the key lives (one process).
 */
import { createCipheriv, createDecipheriv, createSecretKey, type KeyObject } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { readU53, viewOf, writeU53 } from '../../core/bytes.ts';
import { invariant } from '../../core/invariant.ts';
import type { DataKey } from '../key-ring.ts';
import { FRAME_BYTES_MAX } from './frame.ts';

export const SEALED_HEAD_BYTES = 64;
export const SEALED_VERSION = 1;

/**
 * data: a commit frame. mark: no records; written when the log falls idle, so that the last frame
 * is known to have been synced. closed: a mark after which this process writes no more.
 */
export const FRAME_KIND = { data: 1, mark: 2, closed: 3 } as const;
export type FrameKind = (typeof FRAME_KIND)[keyof typeof FRAME_KIND];

export interface FramePlace {
  readonly kind: FrameKind;
  readonly segment: number;
  readonly number: number;
  /** Everything in the segment below this offset had been synced when the frame was written. */
  readonly syncedOffset: number;
}

export interface OpenedFrame extends FramePlace {
  /** Plain body, 8-byte aligned, in a buffer of its own. */
  readonly body: Uint8Array;
  readonly at: number;
  /** Offset behind the frame. */
  readonly end: number;
}

const MAGIC = 0x31465750;
const NONCE_BYTES = 12;
const CIPHER = 'aes-256-gcm';

/** Seals frames under the data key of this process. The only owner of that key's counter. */
export class FrameSealer {
  readonly #key: KeyObject;
  readonly #nonce = Buffer.alloc(NONCE_BYTES);
  #counter = 0;

  constructor(key: DataKey) {
    this.#key = createSecretKey(key.secret);
    this.#nonce.writeUInt32LE(key.number, 0);
  }

  /** Head and ciphertext, to be written one behind the other. */
  seal(place: FramePlace, body: Uint8Array): readonly [Uint8Array, Uint8Array] {
    invariant(body.length % 8 === 0, 'sealed-frame.body-aligned', { bytes: body.length });
    invariant(body.length <= FRAME_BYTES_MAX, 'sealed-frame.bounded', { bytes: body.length });
    const counter = this.#counter++;
    const head = new Uint8Array(SEALED_HEAD_BYTES);
    const view = viewOf(head);
    view.setUint32(0, MAGIC, true);
    head[4] = SEALED_VERSION;
    head[5] = place.kind;
    view.setUint32(8, body.length, true);
    writeU53(view, 16, place.segment);
    writeU53(view, 24, place.number);
    writeU53(view, 32, place.syncedOffset);
    writeU53(view, 40, counter);
    this.#nonce.set(head.subarray(40, 48), 4);
    const cipher = createCipheriv(CIPHER, this.#key, this.#nonce);
    cipher.setAAD(head.subarray(0, 48));
    const sealed = cipher.update(body);
    cipher.final();
    head.set(cipher.getAuthTag(), 48);
    view.setUint32(12, sumOf(head, sealed), true);
    return [head, sealed];
  }
}

/** True if a whole frame of this segment begins at `at`: magic, bounds and checksum are right. */
export function isFrameAt(bytes: Uint8Array, at: number, segment: number): boolean {
  if (at + SEALED_HEAD_BYTES > bytes.length) return false;
  const view = new DataView(bytes.buffer, bytes.byteOffset + at, SEALED_HEAD_BYTES);
  if (view.getUint32(0, true) !== MAGIC || view.getUint8(4) !== SEALED_VERSION) return false;
  if (readU53(view, 16) !== segment) return false;
  const end = at + SEALED_HEAD_BYTES + view.getUint32(8, true);
  if (end > bytes.length) return false;
  const head = bytes.slice(at, at + SEALED_HEAD_BYTES);
  head.fill(0, 12, 16);
  return sumOf(head, bytes.subarray(at + SEALED_HEAD_BYTES, end)) === view.getUint32(12, true);
}

/**
 * Opens the frame at `at`, or returns undefined if any bit of it is not what was sealed for this
 * place in this segment.
 */
export function openFrame(
  bytes: Uint8Array,
  at: number,
  expected: { readonly segment: number; readonly number: number; readonly key: DataKey },
): OpenedFrame | undefined {
  if (!isFrameAt(bytes, at, expected.segment)) return undefined;
  const head = bytes.subarray(at, at + SEALED_HEAD_BYTES);
  const view = viewOf(head);
  const number = readU53(view, 24);
  const syncedOffset = readU53(view, 32);
  const kind = kindOf(head[5] ?? 0);
  if (kind === undefined || number !== expected.number || syncedOffset > at) return undefined;
  const end = at + SEALED_HEAD_BYTES + view.getUint32(8, true);
  const body = decrypt(head, bytes.subarray(at + SEALED_HEAD_BYTES, end), expected.key);
  if (body === undefined) return undefined;
  return { kind, segment: expected.segment, number, syncedOffset, body, at, end };
}

/**
 * The offset of a whole frame behind `from`, or -1. Frames lie on multiples of 8, and a frame is
 * written only after the one before it was synced: if one follows, what it follows was durable.
 */
export function findFrameAfter(bytes: Uint8Array, from: number, segment: number): number {
  const view = viewOf(bytes);
  for (let at = from + 8; at + SEALED_HEAD_BYTES <= bytes.length; at += 8) {
    if (view.getUint32(at, true) === MAGIC && isFrameAt(bytes, at, segment)) return at;
  }
  return -1;
}

/** Of the head, whose own field for it is zero, and the ciphertext. */
function sumOf(head: Uint8Array, sealed: Uint8Array): number {
  // zlib takes an empty buffer for "start anew" and would forget the head.
  return sealed.length === 0 ? crc32(head) : crc32(sealed, crc32(head));
}

function decrypt(head: Uint8Array, sealed: Uint8Array, key: DataKey): Uint8Array | undefined {
  const nonce = Buffer.alloc(NONCE_BYTES);
  nonce.writeUInt32LE(key.number, 0);
  nonce.set(head.subarray(40, 48), 4);
  const bound = head.slice(0, 48);
  bound.fill(0, 12, 16);
  const decipher = createDecipheriv(CIPHER, key.secret, nonce);
  decipher.setAAD(bound);
  decipher.setAuthTag(head.subarray(48, 64));
  const body = decipher.update(sealed);
  try {
    decipher.final();
  } catch {
    return undefined;
  }
  return body.byteOffset % 8 === 0 ? body : Uint8Array.from(body);
}

function kindOf(code: number): FrameKind | undefined {
  for (const kind of Object.values(FRAME_KIND)) if (kind === code) return kind;
  return undefined;
}
