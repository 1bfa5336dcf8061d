/**
 * The header of a conversation, packed. Disk format, version 2; golden bytes guard it. What is stored
 * under its key may go on behind it (stored-header.ts).
 *
 *   0 u8 version   1 u8 kind   2 u8 flags   3 u8 settings   4 u32 slow mode ms
 *   8 u53 head   16 u53 ordinal   24 u53 mention-all ordinal   32 u53 last stamp   40 u53 created at
 *  48 u53 last index   56 u53 last countable row   64 u32 etag   68 u32 rows with an overlay
 *  72 creator (16)   88 u32 present members   92 u32 member slots   96 u32 owners
 * 100 u16 bytes of the name   102 u16 of the picture   104 u32 mentions   108 u16 buckets   110 u16 0
 * 112 member slots (member.ts) unless they are in pages, then buckets (16 each: u16 number, u48 first
 *     sequence, u48 first stamp, u16 0), name, picture, mentions (8 each: u16 slot, u48 sequence)
 *
 * A 1:1 takes 360 bytes. A direct that was blocked before anybody wrote has head 0: to everybody it
 * does not exist.
 */
import { readU53, writeU53 } from '../../core/bytes.ts';
import { invariant } from '../../core/invariant.ts';
import { MEMBER_BYTES } from './member.ts';
import { EMPTY_CHUNK, type Chunk } from './packed.ts';

export const HEADER_VERSION = 2;
export const HEADER_FIXED_BYTES = 112;
export const BUCKET_BYTES = 16;
export const MENTION_BYTES = 8;
/** Rows are stored under 30-day buckets; the header lists those that have rows. */
export const BUCKET_MS: number = 30 * 24 * 3_600_000;
/** Member slots inside the header; more move to pages for good. */
export const INLINE_SLOTS_MAX = 16;
export const PAGE_SLOTS = 64;

export const HEADER_KIND = { direct: 1, group: 2, shardSettings: 3 } as const;

export const HEADER_FLAG = {
  closed: 1,
  /** Of a direct: the user in slot 0, respectively 1, blocks the other. */
  blockedBySlot0: 2,
  blockedBySlot1: 4,
  /** Members are in pages; then sender records are apart. */
  paged: 8,
  /** Sender records are stored under keys of their own, not behind the header. */
  sendersApart: 16,
} as const;

export const SETTINGS_BIT = { historyAll: 1, sendAdminsOnly: 2, addMembersToo: 4 } as const;

/** Reads and writes a header in place; aimed anew after anything that may move the unit. */
export class HeaderCursor {
  view: DataView = EMPTY_CHUNK.view;
  bytes: Uint8Array = EMPTY_CHUNK.bytes;
  at = 0;

  aim(chunk: Chunk, at: number): void {
    this.view = chunk.view;
    this.bytes = chunk.bytes;
    this.at = at;
    invariant(this.bytes[at] === HEADER_VERSION, 'header.version-known', () => ({
      version: this.bytes[at] ?? 0,
    }));
  }

  get kind(): number {
    return this.bytes[this.at + 1] ?? 0;
  }
  get isDirect(): boolean {
    return this.kind === HEADER_KIND.direct;
  }
  get flags(): number {
    return this.bytes[this.at + 2] ?? 0;
  }
  set flags(value: number) {
    this.bytes[this.at + 2] = value;
  }
  get isPaged(): boolean {
    return (this.flags & HEADER_FLAG.paged) !== 0;
  }
  get areSendersApart(): boolean {
    return (this.flags & HEADER_FLAG.sendersApart) !== 0;
  }
  get isClosed(): boolean {
    return (this.flags & HEADER_FLAG.closed) !== 0;
  }
  get isBlocked(): boolean {
    return (this.flags & (HEADER_FLAG.blockedBySlot0 | HEADER_FLAG.blockedBySlot1)) !== 0;
  }
  get settings(): number {
    return this.bytes[this.at + 3] ?? 0;
  }
  set settings(value: number) {
    this.bytes[this.at + 3] = value;
  }
  get slowModeMs(): number {
    return this.view.getUint32(this.at + 4, true);
  }
  set slowModeMs(value: number) {
    this.view.setUint32(this.at + 4, value, true);
  }
  get head(): number {
    return readU53(this.view, this.at + 8);
  }
  set head(value: number) {
    writeU53(this.view, this.at + 8, value);
  }
  get ordinal(): number {
    return readU53(this.view, this.at + 16);
  }
  set ordinal(value: number) {
    writeU53(this.view, this.at + 16, value);
  }
  get mentionAllOrdinal(): number {
    return readU53(this.view, this.at + 24);
  }
  set mentionAllOrdinal(value: number) {
    writeU53(this.view, this.at + 24, value);
  }
  get lastTimeMs(): number {
    return readU53(this.view, this.at + 32);
  }
  set lastTimeMs(value: number) {
    writeU53(this.view, this.at + 32, value);
  }
  get createTimeMs(): number {
    return readU53(this.view, this.at + 40);
  }
  set createTimeMs(value: number) {
    writeU53(this.view, this.at + 40, value);
  }
  get lastIndex(): number {
    return readU53(this.view, this.at + 48);
  }
  set lastIndex(value: number) {
    writeU53(this.view, this.at + 48, value);
  }
  get lastMessageSequence(): number {
    return readU53(this.view, this.at + 56);
  }
  set lastMessageSequence(value: number) {
    writeU53(this.view, this.at + 56, value);
  }
  /** Rises with each change of what PATCH can change. */
  get etag(): number {
    return this.view.getUint32(this.at + 64, true);
  }
  set etag(value: number) {
    this.view.setUint32(this.at + 64, value, true);
  }
  get overlayCount(): number {
    return this.view.getUint32(this.at + 68, true);
  }
  set overlayCount(value: number) {
    this.view.setUint32(this.at + 68, value, true);
  }
  /** A view. */
  get creator(): Uint8Array {
    return this.bytes.subarray(this.at + 72, this.at + 88);
  }
  set creator(user: Uint8Array) {
    this.bytes.set(user, this.at + 72);
  }
  get memberCount(): number {
    return this.view.getUint32(this.at + 88, true);
  }
  set memberCount(value: number) {
    this.view.setUint32(this.at + 88, value, true);
  }
  /** Present and former members; a slot stays its user's for ever. */
  get slotCount(): number {
    return this.view.getUint32(this.at + 92, true);
  }
  set slotCount(value: number) {
    this.view.setUint32(this.at + 92, value, true);
  }
  get ownerCount(): number {
    return this.view.getUint32(this.at + 96, true);
  }
  set ownerCount(value: number) {
    this.view.setUint32(this.at + 96, value, true);
  }
  get nameBytes(): number {
    return this.view.getUint16(this.at + 100, true);
  }
  set nameBytes(value: number) {
    this.view.setUint16(this.at + 100, value, true);
  }
  get pictureBytes(): number {
    return this.view.getUint16(this.at + 102, true);
  }
  set pictureBytes(value: number) {
    this.view.setUint16(this.at + 102, value, true);
  }
  get mentionCount(): number {
    return this.view.getUint32(this.at + 104, true);
  }
  set mentionCount(value: number) {
    this.view.setUint32(this.at + 104, value, true);
  }
  get bucketCount(): number {
    return this.view.getUint16(this.at + 108, true);
  }
  set bucketCount(value: number) {
    this.view.setUint16(this.at + 108, value, true);
  }

  // Offsets from the beginning of the unit.
  get bucketsOffset(): number {
    return HEADER_FIXED_BYTES + (this.isPaged ? 0 : this.slotCount * MEMBER_BYTES);
  }
  get nameOffset(): number {
    return this.bucketsOffset + this.bucketCount * BUCKET_BYTES;
  }
  get pictureOffset(): number {
    return this.nameOffset + this.nameBytes;
  }
  get mentionsOffset(): number {
    return this.pictureOffset + this.pictureBytes;
  }
  /** All the bytes that the unit must have. */
  get lengthBytes(): number {
    return this.mentionsOffset + this.mentionCount * MENTION_BYTES;
  }

  /** Number of the newest bucket, or -1. */
  get lastBucket(): number {
    return this.bucketCount === 0 ? -1 : this.view.getUint16(this.at + this.nameOffset - 16, true);
  }
}

/** The settings byte of a group. */
export function settingsByte(settings: {
  readonly historyAll: boolean;
  readonly sendAdminsOnly: boolean;
  readonly addMembersToo: boolean;
}): number {
  return (
    (settings.historyAll ? SETTINGS_BIT.historyAll : 0) |
    (settings.sendAdminsOnly ? SETTINGS_BIT.sendAdminsOnly : 0) |
    (settings.addMembersToo ? SETTINGS_BIT.addMembersToo : 0)
  );
}
