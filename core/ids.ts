/**
 * Names of things. Text form: `<prefix>_` + 26 lower-case Crockford base32 characters of a 16-byte
 * UUID, so that text sorts as bytes do (CONTRACT §1). Inside the broker an id is its 16 raw bytes.
 * Branded types are minted here and at decode boundaries only.
 */
import { hash, randomBytes } from 'node:crypto';
import { ParleyError } from './errors.ts';

declare const brand: unique symbol;
type Brand<T, B extends string> = T & { readonly [brand]: B };

export type UserId = Brand<string, 'UserId'>;
export type DeviceId = Brand<string, 'DeviceId'>;
export type SessionId = Brand<string, 'SessionId'>;

/** Dense 1-based place of a row in its conversation; 0 = before the first. At most 2^40 - 1. */
export type Sequence = Brand<number, 'Sequence'>;
/** A leader's reign in a shard; only rises. */
export type Term = Brand<number, 'Term'>;
/** Place of an entry in a shard's log; the first entry has index 1. */
export type Index = Brand<number, 'Index'>;
/** Number of a shard, 0-based; fixed at creation. */
export type ShardId = Brand<number, 'ShardId'>;
/** One copy of a shard, for all time: a wiped disk comes back under a new one. 0 = nobody. */
export type ReplicaId = Brand<number, 'ReplicaId'>;

export const ID_BYTES = 16;
export const SLOT_COUNT = 4096;
export const SEQUENCE_MAX: number = 2 ** 40 - 1;

export type IdPrefix =
  | 'usr' | 'dev' | 'ses' | 'con' | 'cnv' | 'msg' | 'med' | 'inv' | 'whk' | 'evt' | 'opr' | 'req'; // biome-ignore format: one line reads best

const ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz';
const UNDERSCORE = 95;
const DIGIT = new Int8Array(128).fill(-1);
for (let i = 0; i < ALPHABET.length; i++) DIGIT[ALPHABET.charCodeAt(i)] = i;

const CHARACTER: Buffer = Buffer.from(ALPHABET, 'latin1');
/** Holds nothing between two calls. Text that is put together from characters is joined anew by each of its readers. */
const SCRATCH: Buffer = Buffer.alloc(64);

/** Text of 16 raw bytes. The first character carries 3 bits, so it is at most `7`. */
export function encodeId(prefix: IdPrefix, raw: Uint8Array): string {
  let end = 0;
  for (; end < prefix.length; end++) SCRATCH[end] = prefix.charCodeAt(end);
  SCRATCH[end++] = UNDERSCORE;
  let buffer = 0;
  let bits = 2;
  for (let i = 0; i < ID_BYTES; i++) {
    buffer = ((buffer << 8) | (raw[i] ?? 0)) & 0xffff;
    bits += 8;
    while (bits >= 5) {
      bits -= 5;
      SCRATCH[end++] = CHARACTER[(buffer >>> bits) & 31] ?? 0;
    }
  }
  return SCRATCH.toString('latin1', 0, end);
}

/** Raw bytes of an id's text, or undefined if it is not an id with this prefix. */
export function decodeId(prefix: IdPrefix, text: string): Uint8Array | undefined {
  const start = prefix.length + 1;
  if (text.length !== start + 26 || text[start - 1] !== '_' || !text.startsWith(prefix))
    return undefined;
  const raw = new Uint8Array(ID_BYTES);
  let buffer = 0;
  let bits = -2;
  let at = 0;
  for (let i = start; i < text.length; i++) {
    const digit = DIGIT[text.charCodeAt(i)] ?? -1;
    if (digit < 0 || (i === start && digit > 7)) return undefined;
    buffer = ((buffer << 5) | digit) & 0x1fff;
    bits += 5;
    if (bits >= 8) {
      bits -= 8;
      raw[at++] = (buffer >>> bits) & 255;
    }
  }
  return raw;
}

/**
 * Raw bytes of an id that a caller sent. Refuses with BAD_ID, naming the field, also what cannot be an
 * id of this kind: conversations are UUIDs of version 8, everything else of version 7 (CONTRACT §1).
 * Zero, which stands for "none", and the keys of shards' own settings are therefore nobody's ids.
 */
export function parseId(prefix: IdPrefix, text: string, field: string): Uint8Array {
  const raw = decodeId(prefix, text);
  if (raw === undefined || !isUuid(raw, prefix === 'cnv' ? 8 : 7))
    throw new ParleyError('BAD_ID', `${field} is not a ${prefix}_ id of 26 base32 characters`, {
      field,
    });
  return raw;
}

function isUuid(raw: Uint8Array, version: number): boolean {
  return (raw[6] ?? 0) >>> 4 === version && (raw[8] ?? 0) >>> 6 === 2;
}

const UUID_CHARACTERS = 36;
const HYPHEN = 45;
const HEX: Buffer = Buffer.from('0123456789abcdef', 'latin1');
/** Value of a hexadecimal digit's character code; -1 = it is none. */
const HEX_DIGIT = new Int8Array(128).fill(-1);
for (let i = 0; i < 10; i++) HEX_DIGIT[48 + i] = i;
for (let i = 10; i < 16; i++) {
  HEX_DIGIT[87 + i] = i;
  HEX_DIGIT[55 + i] = i;
}

/** Raw bytes of a UUID's hyphenated text, or undefined. */
export function decodeUuid(text: string): Uint8Array | undefined {
  if (text.length !== UUID_CHARACTERS) return undefined;
  const raw = new Uint8Array(ID_BYTES);
  let at = 0;
  for (let i = 0; i < UUID_CHARACTERS; i++) {
    if (i === 8 || i === 13 || i === 18 || i === 23) {
      if (text.charCodeAt(i) !== HYPHEN) return undefined;
      continue;
    }
    const high = HEX_DIGIT[text.charCodeAt(i)] ?? -1;
    const low = HEX_DIGIT[text.charCodeAt(++i)] ?? -1;
    if (high < 0 || low < 0) return undefined;
    raw[at++] = (high << 4) | low;
  }
  return raw;
}

/** Hyphenated lower-case text of 16 raw bytes. */
export function encodeUuid(raw: Uint8Array): string {
  let end = 0;
  for (let i = 0; i < ID_BYTES; i++) {
    if (i === 4 || i === 6 || i === 8 || i === 10) SCRATCH[end++] = HYPHEN;
    const byte = raw[i] ?? 0;
    SCRATCH[end++] = HEX[byte >>> 4] ?? 0;
    SCRATCH[end++] = HEX[byte & 15] ?? 0;
  }
  return SCRATCH.toString('latin1', 0, UUID_CHARACTERS);
}

/** A new UUIDv7 (RFC 9562 §5.7): 48 bits of ms, then 74 random bits. */
export function newRawId(
  nowMs: number,
  random: (count: number) => Uint8Array = randomBytes,
): Uint8Array {
  const raw = new Uint8Array(ID_BYTES);
  raw.set(random(10), 6);
  writeTimeAndVersion(raw, nowMs, 7);
  return raw;
}

export function newId(
  prefix: IdPrefix,
  nowMs: number,
  random?: (count: number) => Uint8Array,
): string {
  return encodeId(prefix, newRawId(nowMs, random));
}

/** The 1:1 conversation of two users; both the same = notes to self (CONTRACT §1). */
export function directConversationRaw(a: Uint8Array, b: Uint8Array): Uint8Array {
  const isOrdered = Buffer.compare(a, b) <= 0;
  return derived('parley.direct.v1\0', isOrdered ? a : b, isOrdered ? b : a);
}

/** A group's conversation, derived so that creating it again finds it (CONTRACT §1). */
export function groupConversationRaw(creator: Uint8Array, requestId: Uint8Array): Uint8Array {
  return derived('parley.group.v1\0', creator, requestId);
}

/** Slot of a user's or conversation's id: its last 12 bits. Fixed for ever. */
export function slotOf(raw: Uint8Array): number {
  return (((raw[14] ?? 0) & 15) << 8) | (raw[15] ?? 0);
}

/**
 * A message's global name: UUIDv7 whose 74 free bits are the sequence (40) and the last 34 bits of
 * the conversation id; so id → (sequence, slot) needs no index, and ids sort as (time, sequence).
 */
export function messageIdRaw(
  timeMs: number,
  sequence: number,
  conversation: Uint8Array,
): Uint8Array {
  const raw = new Uint8Array(ID_BYTES);
  const high = Math.floor(sequence / 2 ** 28); // 12 bits: rand_a
  const low = sequence % 2 ** 28; // 28 bits, then 34 of the conversation: rand_b (62)
  raw[6] = high >>> 8;
  raw[7] = high & 255;
  raw[8] = low >>> 22;
  raw[9] = (low >>> 14) & 255;
  raw[10] = (low >>> 6) & 255;
  raw[11] = ((low & 63) << 2) | ((conversation[11] ?? 0) & 3);
  for (let i = 12; i < ID_BYTES; i++) raw[i] = conversation[i] ?? 0;
  writeTimeAndVersion(raw, timeMs, 7);
  return raw;
}

/** The sequence inside a message id. */
export function sequenceOfMessageId(raw: Uint8Array): number {
  const high = (((raw[6] ?? 0) & 15) << 8) | (raw[7] ?? 0);
  const b = (i: number): number => raw[i] ?? 0;
  // rand_b: 6 bits of byte 8, then bytes 9.. ; its upper 28 bits are the low part of the sequence.
  const low = (b(8) & 63) * 2 ** 22 + b(9) * 2 ** 14 + b(10) * 2 ** 6 + (b(11) >>> 2);
  return high * 2 ** 28 + low;
}

function derived(label: string, first: Uint8Array, second: Uint8Array): Uint8Array {
  for (let i = 0; i < label.length; i++) SCRATCH[i] = label.charCodeAt(i);
  SCRATCH.set(first, label.length);
  SCRATCH.set(second, label.length + first.length);
  const input = SCRATCH.subarray(0, label.length + first.length + second.length);
  const raw = new Uint8Array(hash('sha256', input, 'buffer').subarray(0, ID_BYTES));
  raw[6] = ((raw[6] ?? 0) & 15) | 0x80;
  raw[8] = ((raw[8] ?? 0) & 63) | 0x80;
  return raw;
}

function writeTimeAndVersion(raw: Uint8Array, timeMs: number, version: number): void {
  const high = Math.floor(timeMs / 2 ** 32);
  const low = timeMs >>> 0;
  raw[0] = high >>> 8;
  raw[1] = high & 255;
  raw[2] = low >>> 24;
  raw[3] = (low >>> 16) & 255;
  raw[4] = (low >>> 8) & 255;
  raw[5] = low & 255;
  raw[6] = ((raw[6] ?? 0) & 15) | (version << 4);
  raw[8] = ((raw[8] ?? 0) & 63) | 0x80;
}
