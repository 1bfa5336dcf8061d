/**
 * The resident conversations: which are in memory, where their units lie, who pins them, which were
 * used longest ago, and which units changed since the last flush. Knows units and links between
 * them, not what applying a command means.
 *
 * A resident is a number that stays the same while it is resident; its units (units.ts) are known by refs.
 * A small conversation is stored as one value, its sender records behind its header (stored-header.ts);
 * the units of the others are stored each under a key of its own.
 */
import { EMPTY, type NewChunk } from '../../core/bytes.ts';
import { invariant } from '../../core/invariant.ts';
import type { Arena } from './arena.ts';
import type { DirtyUnit, StateUnit } from './contract.ts';
import {
  HeaderCursor,
  HEADER_FIXED_BYTES,
  HEADER_FLAG,
  INLINE_SLOTS_MAX,
  PAGE_SLOTS,
} from './header.ts';
import { IdTable } from './id-table.ts';
import { MEMBER_BYTES } from './member.ts';
import { PAGE_FIXED_BYTES, PAGE_VERSION } from './member-page.ts';
import { IdWords } from './packed.ts';
import { RecencyList } from './recency-list.ts';
import { RowSpace } from './row-space.ts';
import {
  INSIDE_BYTES_MAX,
  INSIDE_PREFIX_BYTES,
  putInside,
  readStoredHeader,
} from './stored-header.ts';
import { UNIT_KIND, UNIT_PREFIX_BYTES, Units, type UnitPlace } from './units.ts';

/** Bits of a resident: some unit is changed, respectively taken and not yet durable. */
const IN_CHANGED = 1;
const IN_TAKEN = 2;
const NOBODY: Uint8Array = new Uint8Array(16);

/** What a group with more members than a header holds needs beside its units. */
interface LargeGroup {
  /** Refs by page number. */
  readonly pages: number[];
  /** Refs by slot; 0 = that member never wrote. */
  readonly senders: number[];
}

export class Residents {
  readonly #units: Units = new Units();
  readonly arena: Arena = this.#units.arena;
  readonly #table: IdTable = new IdTable();
  /** (user, resident) → slot, of large groups only; small ones are searched. */
  readonly #slots: IdTable = new IdTable();
  readonly #groups: Map<number, LargeGroup> = new Map();
  readonly #recency: RecencyList = new RecencyList();
  readonly #words: IdWords = new IdWords();
  readonly #header: HeaderCursor = new HeaderCursor();
  readonly #free: number[] = [];
  #next = 1;
  #ids: Uint8Array = new Uint8Array(16 * 64);
  #headers: Int32Array = new Int32Array(64);
  /** First sender record of small conversations; the others hang behind it. */
  #senders: Int32Array = new Int32Array(64);
  #pins: Uint32Array = new Uint32Array(64);
  #flags: Uint8Array = new Uint8Array(64);
  #changed: number[] = [];
  #taken: number[] = [];
  readonly #copies: RowSpace;

  constructor(newChunk: NewChunk) {
    this.#copies = new RowSpace(newChunk);
  }

  get count(): number {
    return this.#table.size;
  }

  /** Number of the resident whose id stands at the offset; 0 = not resident. */
  find(bytes: Uint8Array, at: number): number {
    const found = this.#table.find(this.#words.read(bytes, at), 0);
    return found < 0 ? 0 : found;
  }

  /** A resident without units: known not to exist until a header is made. */
  admit(id: Uint8Array): number {
    const resident = this.#free.pop() ?? this.#next++;
    if (resident >= this.#headers.length) this.#grow();
    this.#table.insert(this.#words.read(id, 0), 0, resident);
    this.#ids.set(id, resident * 16);
    this.#headers[resident] = 0;
    this.#senders[resident] = 0;
    this.#pins[resident] = 0;
    this.#flags[resident] = 0;
    this.#recency.add(resident);
    return resident;
  }

  /** Makes a stored conversation resident; no units = it does not exist. */
  load(id: Uint8Array, units: readonly StateUnit[]): number {
    const resident = this.admit(id);
    const header = units.find((unit) => unit.kind === UNIT_KIND.header);
    if (header === undefined) {
      invariant(units.length === 0, 'residents.units-have-a-header', { units: units.length });
      return resident;
    }
    const stored = readStoredHeader(header.value);
    this.#restore(resident, { ...header, value: stored.header }, 0);
    this.aimHeader(resident, this.#header);
    if (this.#header.isPaged) this.#restorePages(resident, units);
    for (const { slot, user, value } of stored.senders)
      this.#restore(resident, { kind: UNIT_KIND.sender, page: 0, user, value }, slot);
    for (const unit of units) {
      if (unit.kind !== UNIT_KIND.sender) continue;
      const slot = this.slotOf(resident, this.#header, unit.user, 0);
      invariant(slot >= 0, 'residents.sender-has-a-slot', { units: units.length });
      this.#restore(resident, unit, slot);
    }
    return resident;
  }

  /** Gives up a resident; false = it is pinned or not yet durable, and stays. */
  evict(resident: number): boolean {
    if (!this.isEvictable(resident)) return false;
    const group = this.#groups.get(resident);
    if (group !== undefined) this.#forgetSlots(resident, group);
    this.#eachUnit(resident, (ref) => this.arena.free(ref));
    this.#groups.delete(resident);
    this.#table.remove(this.#words.read(this.#ids, resident * 16), 0);
    this.#recency.remove(resident);
    this.#headers[resident] = 0;
    this.#free.push(resident);
    return true;
  }

  isEvictable(resident: number): boolean {
    return this.#pins[resident] === 0 && this.#flags[resident] === 0;
  }

  /** Calls `each` with evictable residents, least recently used first, until it returns false. */
  eachEvictable(each: (resident: number) => boolean): void {
    this.#recency.eachOldest((resident) => !this.isEvictable(resident) || each(resident));
  }

  touch(resident: number): void {
    this.#recency.touch(resident);
  }

  /** Its conversation: a copy. */
  idOf(resident: number): Uint8Array {
    return this.#ids.slice(resident * 16, resident * 16 + 16);
  }

  pin(resident: number): void {
    this.#pins[resident] = (this.#pins[resident] ?? 0) + 1;
  }

  /** Replays apply what nobody pinned, so an unpinned resident stays as it is. */
  unpin(resident: number): void {
    const pins = this.#pins[resident] ?? 0;
    if (pins > 0) this.#pins[resident] = pins - 1;
  }

  // ---- Units

  headerRef(resident: number): number {
    return this.#headers[resident] ?? 0;
  }

  aimHeader(resident: number, cursor: HeaderCursor): void {
    const ref = this.#headers[resident] ?? 0;
    cursor.aim(this.arena.chunkOf(ref), this.arena.offsetOf(ref) + UNIT_PREFIX_BYTES);
  }

  pageRef(resident: number, page: number): number {
    const ref = this.#groups.get(resident)?.pages[page] ?? 0;
    invariant(ref !== 0, 'residents.page-resident', { resident, page });
    return ref;
  }

  pageCount(resident: number): number {
    return this.#groups.get(resident)?.pages.length ?? 0;
  }

  /** Ref of the sender record of a member slot; 0 = that member never wrote. */
  senderRef(resident: number, slot: number): number {
    const group = this.#groups.get(resident);
    if (group !== undefined) return group.senders[slot] ?? 0;
    for (let ref = this.#senders[resident] ?? 0; ref !== 0; ref = this.#units.nextOf(ref))
      if (this.#units.placeOf(ref) === slot) return ref;
    return 0;
  }

  /** Slot of a user, present or former or only blocked; -1 = none. */
  slotOf(resident: number, header: HeaderCursor, user: Uint8Array, at: number): number {
    const words = this.#words.read(user, at);
    if (header.isPaged) return this.#slots.find(words, resident);
    let member = header.at + HEADER_FIXED_BYTES;
    const slots = header.slotCount;
    for (let slot = 0; slot < slots; slot++, member += MEMBER_BYTES)
      if (words.equals(header.view, member)) return slot;
    return -1;
  }

  /** A new unit of zeros, changed from the start. `place` is the page number or the sender's slot. */
  createUnit(
    resident: number,
    unit: UnitPlace & { readonly user: Uint8Array },
    length: number,
  ): number {
    const ref = this.#units.allocate(unit, length);
    this.#units.bytesOf(ref).fill(0);
    this.#link(resident, ref, unit);
    this.markChanged(resident, ref);
    if (unit.kind === UNIT_KIND.sender) this.#sendersGrew(resident);
    return ref;
  }

  /**
   * Replaces `remove` bytes at the offset by `insert` zeros and returns the unit's ref, which may be
   * a new one: cursors on the unit must be aimed anew.
   */
  splice(
    resident: number,
    ref: number,
    change: { readonly offset: number; readonly remove: number; readonly insert: number },
  ): number {
    const result = this.#units.splice(ref, change);
    if (result !== ref) {
      this.#relink(resident, ref, result);
      this.arena.free(ref);
    }
    this.markChanged(resident, result);
    if (this.#units.kindOf(result) === UNIT_KIND.sender) this.#sendersGrew(resident);
    return result;
  }

  markChanged(resident: number, ref: number): void {
    this.#units.setChanged(ref, true);
    const flags = this.#flags[resident] ?? 0;
    if ((flags & IN_CHANGED) !== 0) return;
    this.#flags[resident] = flags | IN_CHANGED;
    this.#changed.push(resident);
  }

  /** The header grew too small for its members: from here on they are found by table. */
  becomeLarge(resident: number): void {
    this.#keepSendersApart(resident);
    this.#giveTables(resident);
  }

  #giveTables(resident: number): void {
    const senders: number[] = [];
    for (let ref = this.#senders[resident] ?? 0; ref !== 0; ref = this.#units.nextOf(ref))
      senders[this.#units.placeOf(ref)] = ref;
    for (let slot = 0; slot < INLINE_SLOTS_MAX; slot++) senders[slot] ??= 0;
    this.#groups.set(resident, { pages: [], senders });
    this.#senders[resident] = 0;
  }

  /** Makes a large group's member findable. */
  nameSlot(resident: number, user: Uint8Array, slot: number): void {
    this.#slots.insert(this.#words.read(user, 0), resident, slot);
  }

  // ---- Flushing

  /** Copies of all that is to be stored because it changed since the last call. */
  takeChanged(): DirtyUnit[] {
    const units: DirtyUnit[] = [];
    for (const resident of this.#changed) {
      const conversation = this.idOf(resident);
      this.aimHeader(resident, this.#header);
      if (this.#header.areSendersApart)
        this.#eachUnit(resident, (ref) => this.#takeUnit(conversation, ref, units));
      else units.push(this.#takeWhole(conversation, resident));
      const flags = this.#flags[resident] ?? 0;
      if ((flags & IN_TAKEN) === 0) this.#taken.push(resident);
      this.#flags[resident] = IN_TAKEN;
    }
    this.#changed = [];
    return units;
  }

  /** What was taken is durable; what changed again since stays changed. */
  flushed(): void {
    for (const resident of this.#taken)
      this.#flags[resident] = (this.#flags[resident] ?? 0) & ~IN_TAKEN;
    this.#taken = [];
  }

  #takeUnit(conversation: Uint8Array, ref: number, units: DirtyUnit[]): void {
    if (!this.#units.isChanged(ref)) return;
    this.#units.setChanged(ref, false);
    const kind = this.#units.kindOf(ref);
    // One copy of unit and prefix, cut from a chunk: a buffer each would cost more than the rest.
    const whole = this.#units.wholeOf(ref);
    const copy = this.#copy(whole.length);
    copy.set(whole);
    const value = copy.subarray(UNIT_PREFIX_BYTES);
    const page = kind === UNIT_KIND.page ? this.#units.placeOf(ref) : 0;
    const user = kind === UNIT_KIND.sender ? copy.subarray(16, UNIT_PREFIX_BYTES) : EMPTY;
    units.push({ conversation, kind, page, user, value });
  }

  /** Header and sender records, by their slots: whatever came first, the same bytes. */
  #takeWhole(conversation: Uint8Array, resident: number): DirtyUnit {
    const header = this.headerRef(resident);
    const senders: number[] = [];
    let length = this.#units.lengthOf(header);
    this.#eachSender(resident, (ref) => {
      senders.push(ref);
      length += INSIDE_PREFIX_BYTES + this.#units.lengthOf(ref);
    });
    if (senders.length > 1) senders.sort((a, b) => this.#units.placeOf(a) - this.#units.placeOf(b));
    const value = this.#copy(length);
    let at = this.#takeInto(header, value, 0);
    for (const ref of senders) {
      putInside(value, at, this.#units.placeOf(ref), this.#units.lengthOf(ref));
      at = this.#takeInto(ref, value, at + INSIDE_PREFIX_BYTES);
    }
    return { conversation, kind: UNIT_KIND.header, page: 0, user: EMPTY, value };
  }

  /** Copies a unit's bytes; returns where they end. */
  #takeInto(ref: number, value: Uint8Array, at: number): number {
    const bytes = this.#units.bytesOf(ref);
    value.set(bytes, at);
    return at + bytes.length;
  }

  #copy(length: number): Uint8Array {
    this.#copies.take(length);
    return this.#copies.chunk.bytes.subarray(this.#copies.at, this.#copies.at + length);
  }

  // ---- Inside

  #eachUnit(resident: number, each: (ref: number) => void): void {
    const header = this.#headers[resident] ?? 0;
    if (header === 0) return;
    each(header);
    const group = this.#groups.get(resident);
    if (group !== undefined) {
      for (const ref of group.pages) each(ref);
      for (const ref of group.senders) if (ref !== 0) each(ref);
      return;
    }
    this.#eachSender(resident, each);
  }

  /** Of a small conversation. */
  #eachSender(resident: number, each: (ref: number) => void): void {
    for (let ref = this.#senders[resident] ?? 0; ref !== 0; ) {
      const next = this.#units.nextOf(ref);
      each(ref);
      ref = next;
    }
  }

  /** Records that outgrew their place behind the header get keys of their own, for good. */
  #sendersGrew(resident: number): void {
    let bytes = 0;
    if (!this.#groups.has(resident))
      this.#eachSender(resident, (ref) => void (bytes += this.#units.lengthOf(ref)));
    if (bytes > INSIDE_BYTES_MAX) this.#keepSendersApart(resident);
  }

  #keepSendersApart(resident: number): void {
    this.aimHeader(resident, this.#header);
    if (this.#header.areSendersApart) return;
    this.#header.flags |= HEADER_FLAG.sendersApart;
    this.#eachUnit(resident, (ref) => this.markChanged(resident, ref));
  }

  #restore(resident: number, unit: StateUnit, slot: number): void {
    const place = unit.kind === UNIT_KIND.page ? unit.page : slot;
    const user = unit.kind === UNIT_KIND.sender ? unit.user : NOBODY;
    const ref = this.#units.allocate({ kind: unit.kind, place, user }, unit.value.length);
    this.#units.bytesOf(ref).set(unit.value);
    this.#link(resident, ref, { kind: unit.kind, place });
  }

  #restorePages(resident: number, units: readonly StateUnit[]): void {
    this.#giveTables(resident);
    const pages = units
      .filter((unit) => unit.kind === UNIT_KIND.page)
      .sort((a, b) => a.page - b.page);
    let slot = 0;
    for (const [number, page] of pages.entries()) {
      invariant(page.page === number && page.value[0] === PAGE_VERSION, 'residents.pages-dense', {
        page: page.page,
        number,
      });
      this.#restore(resident, page, 0);
      const count = page.value[1] ?? 0;
      for (let i = 0; i < count; i++, slot++) {
        const at = PAGE_FIXED_BYTES + i * MEMBER_BYTES;
        this.nameSlot(resident, page.value.subarray(at, at + 16), slot);
      }
    }
    invariant(slot === this.#header.slotCount, 'residents.pages-hold-all-slots', {
      slot,
      pages: pages.length,
    });
  }

  #link(resident: number, ref: number, unit: UnitPlace): void {
    if (unit.kind === UNIT_KIND.header) {
      this.#headers[resident] = ref;
      return;
    }
    const group = this.#groups.get(resident);
    if (unit.kind === UNIT_KIND.page) {
      invariant(group?.pages.length === unit.place, 'residents.pages-dense', { page: unit.place });
      group.pages.push(ref);
    } else if (group === undefined) {
      this.#units.setNext(ref, this.#senders[resident] ?? 0);
      this.#senders[resident] = ref;
    } else {
      for (let slot = group.senders.length; slot < unit.place; slot++) group.senders.push(0);
      group.senders[unit.place] = ref;
    }
  }

  /** A unit moved: whoever points at it points at its new place. */
  #relink(resident: number, from: number, to: number): void {
    const kind = this.#units.kindOf(to);
    const place = this.#units.placeOf(to);
    const group = this.#groups.get(resident);
    if (kind === UNIT_KIND.header) this.#headers[resident] = to;
    else if (kind === UNIT_KIND.page && group !== undefined) group.pages[place] = to;
    else if (group !== undefined) group.senders[place] = to;
    else if (this.#senders[resident] === from) this.#senders[resident] = to;
    else {
      let before = this.#senders[resident] ?? 0;
      while (before !== 0 && this.#units.nextOf(before) !== from)
        before = this.#units.nextOf(before);
      invariant(before !== 0, 'residents.sender-linked', { resident });
      this.#units.setNext(before, to);
    }
  }

  #forgetSlots(resident: number, group: LargeGroup): void {
    for (const ref of group.pages) {
      const { bytes } = this.arena.chunkOf(ref);
      const at = this.arena.offsetOf(ref) + UNIT_PREFIX_BYTES;
      const count = bytes[at + 1] ?? 0;
      invariant(count <= PAGE_SLOTS, 'page.slots-within', { count });
      for (let i = 0; i < count; i++)
        this.#slots.remove(
          this.#words.read(bytes, at + PAGE_FIXED_BYTES + i * MEMBER_BYTES),
          resident,
        );
    }
  }

  #grow(): void {
    const size = this.#headers.length * 2;
    this.#ids = grown(this.#ids, new Uint8Array(size * 16));
    this.#headers = grown(this.#headers, new Int32Array(size));
    this.#senders = grown(this.#senders, new Int32Array(size));
    this.#pins = grown(this.#pins, new Uint32Array(size));
    this.#flags = grown(this.#flags, new Uint8Array(size));
  }
}

function grown<T extends Uint8Array | Int32Array | Uint32Array>(from: T, to: T): T {
  to.set(from);
  return to;
}
