/**
 * Rows that mention a member by name and lie above his read mark: entries (slot, sequence) at the
 * end of the unit that holds his slot, oldest first. At most 256 a member: the oldest go, and his
 * count stays at 256 (CONTRACT §6: exact to 256).
 */
import { MENTION_BYTES, PAGE_SLOTS, type HeaderCursor } from './header.ts';
import { MEMBER_BYTES, type MemberCursor } from './member.ts';
import { PAGE_FIXED_BYTES } from './member-page.ts';
import { EMPTY_CHUNK, readU48, writeU48 } from './packed.ts';
import type { Residents } from './residents.ts';
import { UNIT_PREFIX_BYTES } from './units.ts';

export const MENTIONS_MAX = 256;

/** The conversation whose units hold the entries. */
export interface MentionHome {
  readonly residents: Residents;
  readonly resident: number;
  readonly header: HeaderCursor;
  readonly member: MemberCursor;
  spliceHeader(offset: number, remove: number, insert: number): void;
  aimMember(slot: number): void;
}

export class MentionList {
  readonly #home: MentionHome;
  #slot = 0;
  /** The slot's number inside its unit. */
  #local = 0;
  #view: DataView = EMPTY_CHUNK.view;
  #bytes: Uint8Array = EMPTY_CHUNK.bytes;
  /** Of the first entry: in the unit, and in memory. */
  #offset = 0;
  #at = 0;
  #count = 0;

  constructor(home: MentionHome) {
    this.#home = home;
  }

  add(slot: number, sequence: number): void {
    this.#find(slot);
    if (this.#countOwn() >= MENTIONS_MAX) this.#removeThrough(this.#oldestOwn());
    this.#splice(this.#offset + this.#count * MENTION_BYTES, 0, MENTION_BYTES);
    const at = this.#at + this.#count * MENTION_BYTES;
    this.#view.setUint16(at, this.#local, true);
    writeU48(this.#view, at + 2, sequence);
    this.#setCount(this.#count + 1);
  }

  /** Forgets those at or below a sequence: called when the read mark moves there. */
  drop(slot: number, through: number): void {
    this.#find(slot);
    if (this.#count > 0) this.#removeThrough(through);
  }

  count(slot: number): number {
    this.#find(slot);
    return this.#countOwn();
  }

  /** Removes the entries from a header and returns their bytes: a copy. */
  takeOfHeader(): Uint8Array {
    const { header } = this.#home;
    const offset = header.mentionsOffset;
    const from = header.at + offset;
    const taken = header.bytes.slice(from, from + header.mentionCount * MENTION_BYTES);
    header.mentionCount = 0;
    this.#home.spliceHeader(offset, taken.length, 0);
    return taken;
  }

  #find(slot: number): void {
    const { header, residents, resident } = this.#home;
    this.#slot = slot;
    if (!header.isPaged) {
      this.#local = slot;
      this.#view = header.view;
      this.#bytes = header.bytes;
      this.#offset = header.mentionsOffset;
      this.#at = header.at + this.#offset;
      this.#count = header.mentionCount;
      return;
    }
    const ref = residents.pageRef(resident, Math.floor(slot / PAGE_SLOTS));
    const { bytes, view } = residents.arena.chunkOf(ref);
    const unit = residents.arena.offsetOf(ref) + UNIT_PREFIX_BYTES;
    this.#local = slot % PAGE_SLOTS;
    this.#view = view;
    this.#bytes = bytes;
    this.#offset = PAGE_FIXED_BYTES + (bytes[unit + 1] ?? 0) * MEMBER_BYTES;
    this.#at = unit + this.#offset;
    this.#count = view.getUint32(unit + 4, true);
  }

  #isOwn(i: number): boolean {
    return this.#view.getUint16(this.#at + i * MENTION_BYTES, true) === this.#local;
  }

  #sequence(i: number): number {
    return readU48(this.#view, this.#at + i * MENTION_BYTES + 2);
  }

  #countOwn(): number {
    let own = 0;
    for (let i = 0; i < this.#count; i++) if (this.#isOwn(i)) own += 1;
    return own;
  }

  #oldestOwn(): number {
    for (let i = 0; i < this.#count; i++) if (this.#isOwn(i)) return this.#sequence(i);
    return 0;
  }

  #removeThrough(through: number): void {
    const count = this.#count;
    let kept = 0;
    for (let i = 0; i < count; i++) {
      if (this.#isOwn(i) && this.#sequence(i) <= through) continue;
      const from = this.#at + i * MENTION_BYTES;
      if (kept < i)
        this.#bytes.copyWithin(this.#at + kept * MENTION_BYTES, from, from + MENTION_BYTES);
      kept += 1;
    }
    if (kept === count) return;
    this.#setCount(kept);
    this.#splice(this.#offset + kept * MENTION_BYTES, (count - kept) * MENTION_BYTES, 0);
  }

  /** Marks the unit as changed and finds it again, for it may have moved. */
  #splice(offset: number, remove: number, insert: number): void {
    const home = this.#home;
    if (home.header.isPaged) {
      const ref = home.residents.pageRef(home.resident, Math.floor(this.#slot / PAGE_SLOTS));
      home.residents.splice(home.resident, ref, { offset, remove, insert });
      if (home.member.slot >= 0) home.aimMember(home.member.slot);
    } else home.spliceHeader(offset, remove, insert);
    this.#find(this.#slot);
  }

  #setCount(count: number): void {
    this.#count = count;
    if (this.#home.header.isPaged) this.#view.setUint32(this.#at - this.#offset + 4, count, true);
    else this.#home.header.mentionCount = count;
  }
}
