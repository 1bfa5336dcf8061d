/**
 * One member slot, packed: who, the interval, the registers. Part of the header's and the member
 * pages' disk format, version 1.
 *
 *  0 user (16)   16 u8 role   17 u8 flags   18 u8 notify   19 u8 0   20 u32 inviter's slot + 1
 * 24 u48 joined at (row)   30 u48 left at (row)   36 u48 history from   42 u48 join stamp
 * 48 u48 delivered-through   54 u48 read-through   60 u48 delivered stamp   66 u48 read stamp
 * 72 at the read mark: u48 ordinal, 78 own, 84 mention-all ordinal, 90 own of those
 * 96 u48 muted until   102 u48 cleared through   108 u48 index of one's last own change   114 u16 0
 *
 * The interval is [joined, left). Only the last one is kept: nothing is readable of earlier ones.
 */
import { EMPTY_CHUNK, readU48, writeU48, type Chunk } from './packed.ts';

export const MEMBER_BYTES = 116;

export const MEMBER_FLAG = {
  /** Member now: the interval is open. */
  open: 1,
  archived: 2,
  pinned: 4,
  markedUnread: 8,
  /** Was a member at some time; not set for who is only blocked in a direct without rows. */
  everJoined: 16,
} as const;

/** Reads and writes a member slot in place; aimed anew after anything that may move its unit. */
export class MemberCursor {
  view: DataView = EMPTY_CHUNK.view;
  bytes: Uint8Array = EMPTY_CHUNK.bytes;
  at = 0;
  slot = -1;

  aim(chunk: Chunk, at: number, slot: number): void {
    this.view = chunk.view;
    this.bytes = chunk.bytes;
    this.at = at;
    this.slot = slot;
  }

  /** A view. */
  get user(): Uint8Array {
    return this.bytes.subarray(this.at, this.at + 16);
  }
  /** The whole slot: a view. */
  get packed(): Uint8Array {
    return this.bytes.subarray(this.at, this.at + MEMBER_BYTES);
  }
  get role(): number {
    return this.bytes[this.at + 16] ?? 0;
  }
  set role(value: number) {
    this.bytes[this.at + 16] = value;
  }
  get flags(): number {
    return this.bytes[this.at + 17] ?? 0;
  }
  set flags(value: number) {
    this.bytes[this.at + 17] = value;
  }
  has(flag: number): boolean {
    return (this.flags & flag) !== 0;
  }
  setFlag(flag: number, isSet: boolean): void {
    this.flags = isSet ? this.flags | flag : this.flags & ~flag;
  }
  get isPresent(): boolean {
    return (this.flags & MEMBER_FLAG.open) !== 0;
  }
  get wasMember(): boolean {
    return (this.flags & MEMBER_FLAG.everJoined) !== 0;
  }
  get notify(): number {
    return this.bytes[this.at + 18] ?? 0;
  }
  set notify(value: number) {
    this.bytes[this.at + 18] = value;
  }
  /** -1 = nobody. */
  get inviterSlot(): number {
    return this.view.getUint32(this.at + 20, true) - 1;
  }
  set inviterSlot(value: number) {
    this.view.setUint32(this.at + 20, value + 1, true);
  }
  get joinSequence(): number {
    return readU48(this.view, this.at + 24);
  }
  set joinSequence(value: number) {
    writeU48(this.view, this.at + 24, value);
  }
  get leftSequence(): number {
    return readU48(this.view, this.at + 30);
  }
  set leftSequence(value: number) {
    writeU48(this.view, this.at + 30, value);
  }
  get historyFrom(): number {
    return readU48(this.view, this.at + 36);
  }
  set historyFrom(value: number) {
    writeU48(this.view, this.at + 36, value);
  }
  get joinTimeMs(): number {
    return readU48(this.view, this.at + 42);
  }
  set joinTimeMs(value: number) {
    writeU48(this.view, this.at + 42, value);
  }
  get deliveredThrough(): number {
    return readU48(this.view, this.at + 48);
  }
  set deliveredThrough(value: number) {
    writeU48(this.view, this.at + 48, value);
  }
  get readThrough(): number {
    return readU48(this.view, this.at + 54);
  }
  set readThrough(value: number) {
    writeU48(this.view, this.at + 54, value);
  }
  get deliveredTimeMs(): number {
    return readU48(this.view, this.at + 60);
  }
  set deliveredTimeMs(value: number) {
    writeU48(this.view, this.at + 60, value);
  }
  get readTimeMs(): number {
    return readU48(this.view, this.at + 66);
  }
  set readTimeMs(value: number) {
    writeU48(this.view, this.at + 66, value);
  }
  get ordinalAtRead(): number {
    return readU48(this.view, this.at + 72);
  }
  set ordinalAtRead(value: number) {
    writeU48(this.view, this.at + 72, value);
  }
  get ownAtRead(): number {
    return readU48(this.view, this.at + 78);
  }
  set ownAtRead(value: number) {
    writeU48(this.view, this.at + 78, value);
  }
  get mentionAllAtRead(): number {
    return readU48(this.view, this.at + 84);
  }
  set mentionAllAtRead(value: number) {
    writeU48(this.view, this.at + 84, value);
  }
  get ownMentionAllAtRead(): number {
    return readU48(this.view, this.at + 90);
  }
  set ownMentionAllAtRead(value: number) {
    writeU48(this.view, this.at + 90, value);
  }
  get muteUntilMs(): number {
    return readU48(this.view, this.at + 96);
  }
  set muteUntilMs(value: number) {
    writeU48(this.view, this.at + 96, value);
  }
  get clearedThrough(): number {
    return readU48(this.view, this.at + 102);
  }
  set clearedThrough(value: number) {
    writeU48(this.view, this.at + 102, value);
  }
  get ownChangeIndex(): number {
    return readU48(this.view, this.at + 108);
  }
  set ownChangeIndex(value: number) {
    writeU48(this.view, this.at + 108, value);
  }
}
