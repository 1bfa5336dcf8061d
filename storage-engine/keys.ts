/**
 * Keys of the state store. One prefix byte, then big-endian parts, so that bytes sort as the
 * numbers do and everything of one conversation lies together. Conversation and user ids are their
 * 16 raw bytes; slots are derived from them here, so a key cannot name a wrong one.
 *
 *   a  account unit     slot u16 · user 16 · part u8 · page u32
 *   B  block            bucket u16 · slot u16 · conversation 16 · first sequence u48
 *   b  ring of batches  number mod 16,384 u16                    (the store's own)
 *   c  change index     slot u16 · conversation 16 · change sequence u48
 *   h  header unit      slot u16 · conversation 16 · part u8 · [page u32 | user 16]
 *   j  journal          shard u16 · first index u48
 *   o  overlay          as block
 *   r  who reacted      slot u16 · conversation 16 · sequence u48 · user 16
 *   s  shard meta       shard u16 · part u8
 *   x  expiry index     time u48 · conversation 16 · sequence u48
 */
import { ID_BYTES, SEQUENCE_MAX, slotOf, type Index, type Sequence } from '../core/ids.ts';
import { invariant } from '../core/invariant.ts';

export const PREFIX = {
  account: 0x61,
  block: 0x42,
  ring: 0x62,
  change: 0x63,
  header: 0x68,
  journal: 0x6a,
  overlay: 0x6f,
  reaction: 0x72,
  shard: 0x73,
  expiry: 0x78,
} as const;

/** Units of a conversation's live state under `h`. */
export const HEADER_PART = { header: 0, memberPage: 1, senderRecord: 2 } as const;

/** Blocks of one bucket span 30 days of stamps, so that a retention can drop whole key ranges. */
export const BUCKET_MS: number = 30 * 24 * 3600 * 1000;

export interface KeyRange {
  readonly gte: Uint8Array;
  readonly lt: Uint8Array;
}

const U16_MAX = 0xffff;
const U48_MAX = 2 ** 48 - 1;
const CONVERSATION_PREFIX_BYTES: number = 1 + 2 + ID_BYTES;
const BLOCK_KEY_BYTES: number = 1 + 2 + 2 + ID_BYTES + 6;

/** The bucket of a row's stamp. */
export function bucketOf(stampMs: number): number {
  const bucket = Math.floor(stampMs / BUCKET_MS);
  invariant(bucket >= 0 && bucket <= U16_MAX, 'keys.bucket-in-range', { bucket });
  return bucket;
}

export function headerKey(conversation: Uint8Array): Uint8Array {
  return headerUnit(conversation, HEADER_PART.header, 0);
}

export function memberPageKey(conversation: Uint8Array, page: number): Uint8Array {
  const key = headerUnit(conversation, HEADER_PART.memberPage, 4);
  writeU32(key, CONVERSATION_PREFIX_BYTES + 1, page);
  return key;
}

export function senderRecordKey(conversation: Uint8Array, user: Uint8Array): Uint8Array {
  const key = headerUnit(conversation, HEADER_PART.senderRecord, ID_BYTES);
  writeId(key, CONVERSATION_PREFIX_BYTES + 1, user);
  return key;
}

/** All header units of a conversation: header, member pages, sender records, in this order. */
export function headerUnitsRange(conversation: Uint8Array): KeyRange {
  return prefixRange(conversationPrefix(PREFIX.header, conversation, 0));
}

export function blockKey(bucket: number, conversation: Uint8Array, first: number): Uint8Array {
  return blockLike(PREFIX.block, bucket, conversation, first);
}

/** Blocks of a conversation in one bucket whose first sequence is in [from, to). */
export function blockRange(
  bucket: number,
  conversation: Uint8Array,
  from: number = 0,
  to: number = U48_MAX,
): KeyRange {
  return {
    gte: blockLike(PREFIX.block, bucket, conversation, from),
    lt: blockLike(PREFIX.block, bucket, conversation, to),
  };
}

/** The blocks and the overlays of all conversations. */
export function allBlocksRanges(): readonly KeyRange[] {
  return [PREFIX.block, PREFIX.overlay].map((prefix) => prefixRange(Uint8Array.of(prefix)));
}

/** The overlay of the block with the same parts. */
export function overlayKey(bucket: number, conversation: Uint8Array, first: number): Uint8Array {
  return blockLike(PREFIX.overlay, bucket, conversation, first);
}

export function overlayRange(
  bucket: number,
  conversation: Uint8Array,
  from: number = 0,
  to: number = U48_MAX,
): KeyRange {
  return {
    gte: blockLike(PREFIX.overlay, bucket, conversation, from),
    lt: blockLike(PREFIX.overlay, bucket, conversation, to),
  };
}

export interface BlockKeyParts {
  readonly bucket: number;
  readonly conversation: Uint8Array;
  readonly first: Sequence;
}

/** Parts of a block's or overlay's key. */
export function readBlockKey(key: Uint8Array): BlockKeyParts {
  invariant(key.length === BLOCK_KEY_BYTES, 'keys.block-key-length', { length: key.length });
  return {
    bucket: readU16(key, 1),
    conversation: key.subarray(5, 5 + ID_BYTES),
    first: readU48(key, 5 + ID_BYTES) as Sequence,
  };
}

export function changeKey(conversation: Uint8Array, changeSequence: number): Uint8Array {
  const key = conversationPrefix(PREFIX.change, conversation, 6);
  writeU48(key, CONVERSATION_PREFIX_BYTES, changeSequence);
  return key;
}

/** Changes of a conversation in (above, through]. */
export function changeRange(
  conversation: Uint8Array,
  above: number,
  through: number = SEQUENCE_MAX,
): KeyRange {
  return {
    gte: changeKey(conversation, above + 1),
    lt: changeKey(conversation, through + 1),
  };
}

export function readChangeKey(key: Uint8Array): Sequence {
  invariant(key.length === CONVERSATION_PREFIX_BYTES + 6, 'keys.change-key-length');
  return readU48(key, CONVERSATION_PREFIX_BYTES) as Sequence;
}

export function reactionKey(
  conversation: Uint8Array,
  sequence: number,
  user: Uint8Array,
): Uint8Array {
  const key = conversationPrefix(PREFIX.reaction, conversation, 6 + ID_BYTES);
  writeU48(key, CONVERSATION_PREFIX_BYTES, sequence);
  writeId(key, CONVERSATION_PREFIX_BYTES + 6, user);
  return key;
}

export function reactionRange(conversation: Uint8Array, sequence: number): KeyRange {
  const key = conversationPrefix(PREFIX.reaction, conversation, 6);
  writeU48(key, CONVERSATION_PREFIX_BYTES, sequence);
  return prefixRange(key);
}

export function expiryKey(timeMs: number, conversation: Uint8Array, sequence: number): Uint8Array {
  const key = new Uint8Array(1 + 6 + ID_BYTES + 6);
  key[0] = PREFIX.expiry;
  writeU48(key, 1, timeMs);
  writeId(key, 7, conversation);
  writeU48(key, 7 + ID_BYTES, sequence);
  return key;
}

/** Expiries due before `timeMs`. */
export function expiryRangeBefore(timeMs: number): KeyRange {
  const lt = new Uint8Array(7);
  lt[0] = PREFIX.expiry;
  writeU48(lt, 1, timeMs);
  return { gte: Uint8Array.of(PREFIX.expiry), lt };
}

export interface ExpiryKeyParts {
  readonly timeMs: number;
  readonly conversation: Uint8Array;
  readonly sequence: Sequence;
}

export function readExpiryKey(key: Uint8Array): ExpiryKeyParts {
  invariant(key.length === 13 + ID_BYTES, 'keys.expiry-key-length', { length: key.length });
  return {
    timeMs: readU48(key, 1),
    conversation: key.subarray(7, 7 + ID_BYTES),
    sequence: readU48(key, 7 + ID_BYTES) as Sequence,
  };
}

export function journalKey(shard: number, firstIndex: number): Uint8Array {
  const key = new Uint8Array(9);
  key[0] = PREFIX.journal;
  writeU16(key, 1, shard);
  writeU48(key, 3, firstIndex);
  return key;
}

/** Journal values of a shard whose first index is in [from, to). */
export function journalRange(shard: number, from: number = 0, to: number = U48_MAX): KeyRange {
  return { gte: journalKey(shard, from), lt: journalKey(shard, to) };
}

export function readJournalKey(key: Uint8Array): Index {
  invariant(key.length === 9, 'keys.journal-key-length', { length: key.length });
  return readU48(key, 3) as Index;
}

export function accountKey(user: Uint8Array, part: number, page: number): Uint8Array {
  const key = conversationPrefix(PREFIX.account, user, 5);
  key[CONVERSATION_PREFIX_BYTES] = part;
  writeU32(key, CONVERSATION_PREFIX_BYTES + 1, page);
  return key;
}

/** All units of one user's account. */
export function accountRange(user: Uint8Array): KeyRange {
  return prefixRange(conversationPrefix(PREFIX.account, user, 0));
}

export function shardKey(shard: number, part: number): Uint8Array {
  const key = new Uint8Array(4);
  key[0] = PREFIX.shard;
  writeU16(key, 1, shard);
  key[3] = part;
  return key;
}

/** Meta of all shards, ordered by shard, then part. */
export function shardRange(): KeyRange {
  return prefixRange(Uint8Array.of(PREFIX.shard));
}

export function readShardKey(key: Uint8Array): { readonly shard: number; readonly part: number } {
  invariant(key.length === 4, 'keys.shard-key-length', { length: key.length });
  return { shard: readU16(key, 1), part: key[3] ?? 0 };
}

export function ringKey(slot: number): Uint8Array {
  const key = new Uint8Array(3);
  key[0] = PREFIX.ring;
  writeU16(key, 1, slot);
  return key;
}

export function readRingKey(key: Uint8Array): number {
  invariant(key.length === 3, 'keys.ring-key-length', { length: key.length });
  return readU16(key, 1);
}

/** All keys that begin with `prefix`. */
export function prefixRange(prefix: Uint8Array): KeyRange {
  const lt = prefix.slice();
  for (let i = lt.length - 1; i >= 0; i--) {
    if (lt[i] !== 0xff) {
      lt[i] = (lt[i] ?? 0) + 1;
      return { gte: prefix, lt: lt.subarray(0, i + 1) };
    }
  }
  invariant(false, 'keys.prefix-has-successor');
}

/** The smallest key above `key`. */
export function keyAfter(key: Uint8Array): Uint8Array {
  const next = new Uint8Array(key.length + 1);
  next.set(key);
  return next;
}

function headerUnit(conversation: Uint8Array, part: number, extraBytes: number): Uint8Array {
  const key = conversationPrefix(PREFIX.header, conversation, 1 + extraBytes);
  key[CONVERSATION_PREFIX_BYTES] = part;
  return key;
}

function conversationPrefix(prefix: number, id: Uint8Array, extraBytes: number): Uint8Array {
  const key = new Uint8Array(CONVERSATION_PREFIX_BYTES + extraBytes);
  key[0] = prefix;
  writeU16(key, 1, slotOf(id));
  writeId(key, 3, id);
  return key;
}

function blockLike(
  prefix: number,
  bucket: number,
  conversation: Uint8Array,
  first: number,
): Uint8Array {
  const key = new Uint8Array(BLOCK_KEY_BYTES);
  key[0] = prefix;
  writeU16(key, 1, bucket);
  writeU16(key, 3, slotOf(conversation));
  writeId(key, 5, conversation);
  writeU48(key, 5 + ID_BYTES, first);
  return key;
}

function writeId(key: Uint8Array, at: number, id: Uint8Array): void {
  invariant(id.length === ID_BYTES, 'keys.id-length', { length: id.length });
  key.set(id, at);
}

function writeU16(key: Uint8Array, at: number, value: number): void {
  invariant(Number.isInteger(value) && value >= 0 && value <= U16_MAX, 'keys.u16', { value });
  key[at] = value >>> 8;
  key[at + 1] = value & 255;
}

function writeU32(key: Uint8Array, at: number, value: number): void {
  invariant(Number.isInteger(value) && value >= 0 && value < 2 ** 32, 'keys.u32', { value });
  writeU16(key, at, value >>> 16);
  writeU16(key, at + 2, value & U16_MAX);
}

function writeU48(key: Uint8Array, at: number, value: number): void {
  invariant(Number.isSafeInteger(value) && value >= 0 && value <= U48_MAX, 'keys.u48', { value });
  writeU16(key, at, Math.floor(value / 2 ** 32));
  writeU32(key, at + 2, value % 2 ** 32);
}

function readU16(key: Uint8Array, at: number): number {
  return ((key[at] ?? 0) << 8) | (key[at + 1] ?? 0);
}

function readU48(key: Uint8Array, at: number): number {
  return readU16(key, at) * 2 ** 32 + readU16(key, at + 2) * 2 ** 16 + readU16(key, at + 4);
}
