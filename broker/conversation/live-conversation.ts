/**
 * The one conversation that is being worked on: cursors on its header, on one member slot and on one
 * sender record, and the changes that move bytes. Everything that applying a command does to packed
 * state goes through here, so that units are marked changed and cursors aimed anew in one place.
 */
import { invariant } from '../../core/invariant.ts';
import { ROLE } from '../../core/facts.ts';
import {
  BUCKET_BYTES,
  BUCKET_MS,
  HEADER_FIXED_BYTES,
  HEADER_FLAG,
  HEADER_KIND,
  HEADER_VERSION,
  HeaderCursor,
  INLINE_SLOTS_MAX,
  PAGE_SLOTS,
} from './header.ts';
import { MEMBER_BYTES, MEMBER_FLAG, MemberCursor } from './member.ts';
import { PAGE_FIXED_BYTES, PAGE_VERSION } from './member-page.ts';
import { MentionList } from './mentions.ts';
import { writeU48 } from './packed.ts';
import type { Residents } from './residents.ts';
import { SENDER_FIXED_BYTES, SENDER_VERSION, SenderCursor } from './sender-record.ts';
import { UNIT_KIND, UNIT_PREFIX_BYTES } from './units.ts';

const NOBODY: Uint8Array = new Uint8Array(16);

/** How a membership begins. */
export interface Joining {
  /** The row from which on one is a member; 0 in a direct. */
  readonly sequence: number;
  readonly timeMs: number;
  readonly role: number;
  /** Slot of who added; -1 = nobody. */
  readonly inviterSlot: number;
  readonly historyFrom: number;
}

export class LiveConversation {
  readonly residents: Residents;
  readonly header: HeaderCursor = new HeaderCursor();
  /** The slot last aimed at. */
  readonly member: MemberCursor = new MemberCursor();
  /** The record last opened; `ref` 0 = that member never wrote. */
  readonly sender: SenderCursor = new SenderCursor();
  readonly mentions: MentionList;
  /** Whether a header exists at all. A direct may have one without rows: only blocked. */
  isKnown = false;
  resident = 0;

  constructor(residents: Residents) {
    this.residents = residents;
    this.mentions = new MentionList(this);
  }

  open(resident: number): this {
    invariant(resident !== 0, 'conversation.resident');
    this.resident = resident;
    this.member.slot = -1;
    this.sender.ref = 0;
    this.isKnown = this.residents.headerRef(resident) !== 0;
    if (this.isKnown) this.residents.aimHeader(resident, this.header);
    return this;
  }

  /** Whether it exists to people: it has a first row. */
  get isCreated(): boolean {
    return this.isKnown && this.header.head > 0;
  }

  create(kind: number, timeMs: number): void {
    invariant(!this.isKnown, 'conversation.created-once', { resident: this.resident });
    const unit = { kind: UNIT_KIND.header, place: 0, user: NOBODY };
    const ref = this.residents.createUnit(this.resident, unit, HEADER_FIXED_BYTES);
    const { bytes } = this.residents.arena.chunkOf(ref);
    const at = this.residents.arena.offsetOf(ref) + UNIT_PREFIX_BYTES;
    bytes[at] = HEADER_VERSION;
    bytes[at + 1] = kind;
    this.isKnown = true;
    this.residents.aimHeader(this.resident, this.header);
    this.header.createTimeMs = timeMs;
    this.header.etag = 1;
  }

  headerChanged(): void {
    this.residents.markChanged(this.resident, this.residents.headerRef(this.resident));
  }

  /** Replaces bytes of the header; the new ones are zero and stand where the offset says. */
  spliceHeader(offset: number, remove: number, insert: number): void {
    const ref = this.residents.headerRef(this.resident);
    this.residents.splice(this.resident, ref, { offset, remove, insert });
    this.residents.aimHeader(this.resident, this.header);
    if (this.member.slot >= 0 && !this.header.isPaged) this.aimMember(this.member.slot);
  }

  setName(name: Uint8Array): void {
    this.spliceHeader(this.header.nameOffset, this.header.nameBytes, name.length);
    this.header.nameBytes = name.length;
    this.header.bytes.set(name, this.header.at + this.header.nameOffset);
  }

  setPicture(picture: Uint8Array): void {
    this.spliceHeader(this.header.pictureOffset, this.header.pictureBytes, picture.length);
    this.header.pictureBytes = picture.length;
    this.header.bytes.set(picture, this.header.at + this.header.pictureOffset);
  }

  /** Lists the 30-day bucket of a row that is the first in it. */
  noteBucket(sequence: number, timeMs: number): void {
    const bucket = Math.floor(timeMs / BUCKET_MS);
    if (bucket === this.header.lastBucket) return;
    const offset = this.header.nameOffset;
    this.spliceHeader(offset, 0, BUCKET_BYTES);
    this.header.bucketCount += 1;
    const at = this.header.at + offset;
    this.header.view.setUint16(at, bucket, true);
    writeU48(this.header.view, at + 2, sequence);
    writeU48(this.header.view, at + 8, timeMs);
  }

  // ---- Members

  /** Slot of the user whose id stands at the offset; -1 = none. */
  slotOf(user: Uint8Array, at: number): number {
    return this.residents.slotOf(this.resident, this.header, user, at);
  }

  aimMember(slot: number, cursor: MemberCursor = this.member): void {
    invariant(slot >= 0 && slot < this.header.slotCount, 'conversation.slot-within', { slot });
    if (!this.header.isPaged) {
      const at = this.header.at + HEADER_FIXED_BYTES + slot * MEMBER_BYTES;
      cursor.aim(this.header, at, slot);
      return;
    }
    const ref = this.residents.pageRef(this.resident, Math.floor(slot / PAGE_SLOTS));
    const at = this.residents.arena.offsetOf(ref) + UNIT_PREFIX_BYTES + PAGE_FIXED_BYTES;
    cursor.aim(this.residents.arena.chunkOf(ref), at + (slot % PAGE_SLOTS) * MEMBER_BYTES, slot);
  }

  /** Aims at the user's slot; false = the user never was a member. */
  aimAt(user: Uint8Array, at = 0): boolean {
    const slot = this.slotOf(user, at);
    if (slot < 0) return false;
    this.aimMember(slot);
    return this.member.wasMember;
  }

  memberChanged(slot: number): void {
    if (!this.header.isPaged) {
      this.headerChanged();
      return;
    }
    const page = Math.floor(slot / PAGE_SLOTS);
    this.residents.markChanged(this.resident, this.residents.pageRef(this.resident, page));
  }

  /** A slot for a user who has none; no membership begins by it. */
  addSlot(user: Uint8Array): number {
    const slot = this.header.slotCount;
    if (slot === INLINE_SLOTS_MAX && !this.header.isPaged) this.#moveToPages();
    if (this.header.isPaged) this.#addToPage(slot, user);
    else {
      this.spliceHeader(HEADER_FIXED_BYTES + slot * MEMBER_BYTES, 0, MEMBER_BYTES);
      this.header.slotCount = slot + 1;
      this.aimMember(slot);
      this.member.bytes.set(user, this.member.at);
    }
    return slot;
  }

  /**
   * Opens the membership of a slot and aims at it. Marks start at the join row, so nothing before it
   * counts as unread; settings of an earlier membership stay.
   */
  join(slot: number, joining: Joining): void {
    this.openSender(slot);
    this.aimMember(slot);
    const member = this.member;
    invariant(!member.isPresent, 'conversation.joins-once', { slot });
    member.setFlag(MEMBER_FLAG.open | MEMBER_FLAG.everJoined, true);
    member.setFlag(MEMBER_FLAG.markedUnread, false);
    member.role = joining.role;
    member.inviterSlot = joining.inviterSlot;
    member.joinSequence = joining.sequence;
    member.joinTimeMs = joining.timeMs;
    member.leftSequence = 0;
    member.historyFrom = joining.historyFrom;
    member.deliveredThrough = joining.sequence;
    member.readThrough = joining.sequence;
    member.deliveredTimeMs = joining.timeMs;
    member.readTimeMs = joining.timeMs;
    member.ordinalAtRead = this.header.ordinal;
    member.mentionAllAtRead = this.header.mentionAllOrdinal;
    member.ownAtRead = this.sender.ref === 0 ? 0 : this.sender.own;
    member.ownMentionAllAtRead = this.sender.ref === 0 ? 0 : this.sender.ownMentionAll;
    this.header.memberCount += 1;
    if (joining.role === ROLE.owner) this.header.ownerCount += 1;
    this.headerChanged();
    this.memberChanged(slot);
  }

  /** Closes the membership of the slot aimed at. */
  leave(sequence: number): void {
    const member = this.member;
    invariant(member.isPresent, 'conversation.leaves-once', { slot: member.slot });
    member.setFlag(MEMBER_FLAG.open, false);
    member.leftSequence = sequence;
    this.header.memberCount -= 1;
    if (member.role === ROLE.owner) this.header.ownerCount -= 1;
    this.headerChanged();
    this.memberChanged(member.slot);
    this.mentions.drop(member.slot, Number.MAX_SAFE_INTEGER);
  }

  setRole(role: number): void {
    const member = this.member;
    if (member.role === ROLE.owner) this.header.ownerCount -= 1;
    if (role === ROLE.owner) this.header.ownerCount += 1;
    member.role = role;
    this.headerChanged();
    this.memberChanged(member.slot);
  }

  // ---- Sender records

  /** Aims at the sender record of a slot; false = that member never wrote. */
  openSender(slot: number): boolean {
    const ref = this.residents.senderRef(this.resident, slot);
    this.sender.ref = ref;
    if (ref === 0) return false;
    this.#aimSender(ref);
    return true;
  }

  makeSender(slot: number, user: Uint8Array): void {
    const unit = { kind: UNIT_KIND.sender, place: slot, user };
    const ref = this.residents.createUnit(this.resident, unit, SENDER_FIXED_BYTES);
    const at = this.residents.arena.offsetOf(ref) + UNIT_PREFIX_BYTES;
    this.residents.arena.chunkOf(ref).bytes[at] = SENDER_VERSION;
    this.#aimSender(ref);
  }

  senderChanged(): void {
    this.residents.markChanged(this.resident, this.sender.ref);
  }

  spliceSender(offset: number, remove: number, insert: number): void {
    this.#aimSender(
      this.residents.splice(this.resident, this.sender.ref, { offset, remove, insert }),
    );
  }

  #aimSender(ref: number): void {
    const at = this.residents.arena.offsetOf(ref) + UNIT_PREFIX_BYTES;
    this.sender.aim(this.residents.arena.chunkOf(ref), at, ref);
  }

  #moveToPages(): void {
    const header = this.header;
    invariant(header.kind === HEADER_KIND.group, 'conversation.only-groups-grow');
    const from = header.at + HEADER_FIXED_BYTES;
    const slots = header.bytes.slice(from, from + INLINE_SLOTS_MAX * MEMBER_BYTES);
    // Mentions name slots of their unit, and slots 0–15 are the same ones in page 0: move them whole.
    const mentions = this.mentions.takeOfHeader();
    this.spliceHeader(HEADER_FIXED_BYTES, slots.length, 0);
    this.header.flags |= HEADER_FLAG.paged;
    this.residents.becomeLarge(this.resident);
    const ref = this.#addPage(0, slots.length + mentions.length);
    const { bytes, view } = this.residents.arena.chunkOf(ref);
    const at = this.residents.arena.offsetOf(ref) + UNIT_PREFIX_BYTES;
    bytes[at + 1] = INLINE_SLOTS_MAX;
    view.setUint32(at + 4, mentions.length / 8, true);
    bytes.set(slots, at + PAGE_FIXED_BYTES);
    bytes.set(mentions, at + PAGE_FIXED_BYTES + slots.length);
    for (let slot = 0; slot < INLINE_SLOTS_MAX; slot++) {
      const member = slots.subarray(slot * MEMBER_BYTES, slot * MEMBER_BYTES + 16);
      this.residents.nameSlot(this.resident, member, slot);
    }
    if (this.member.slot >= 0) this.aimMember(this.member.slot);
  }

  #addPage(number: number, contentBytes: number): number {
    const unit = { kind: UNIT_KIND.page, place: number, user: NOBODY };
    const ref = this.residents.createUnit(this.resident, unit, PAGE_FIXED_BYTES + contentBytes);
    const at = this.residents.arena.offsetOf(ref) + UNIT_PREFIX_BYTES;
    this.residents.arena.chunkOf(ref).bytes[at] = PAGE_VERSION;
    return ref;
  }

  #addToPage(slot: number, user: Uint8Array): void {
    const number = Math.floor(slot / PAGE_SLOTS);
    const count = slot % PAGE_SLOTS;
    if (number === this.residents.pageCount(this.resident)) this.#addPage(number, 0);
    const offset = PAGE_FIXED_BYTES + count * MEMBER_BYTES;
    const ref = this.residents.splice(
      this.resident,
      this.residents.pageRef(this.resident, number),
      { offset, remove: 0, insert: MEMBER_BYTES },
    );
    const at = this.residents.arena.offsetOf(ref) + UNIT_PREFIX_BYTES;
    this.residents.arena.chunkOf(ref).bytes[at + 1] = count + 1;
    this.header.slotCount = slot + 1;
    this.headerChanged();
    this.residents.nameSlot(this.resident, user, slot);
    this.aimMember(slot);
    this.member.bytes.set(user, this.member.at);
  }
}
