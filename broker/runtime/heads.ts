/**
 * What changed lately in one shard, in memory: conversation → index of the last change that is
 * everybody's, with head, ordinal and stamp; (conversation, user) → index of one's own last mark or
 * setting. Newest first up to a cap, with a floor: asked from an index at or above the floor, who is
 * not here did not change. Below it the header answers.
 */
import { IdMap } from '../../core/id-map.ts';
import { ID_BYTES } from '../../core/ids.ts';
import { invariant } from '../../core/invariant.ts';

/** Entries of each kind per shard. 64 B each, so 16 shards hold 10^6 conversations in 64 MB. */
export const HEADS_MAX = 65_536;

export interface Head {
  readonly index: number;
  readonly head: number;
  readonly ordinal: number;
  readonly timeMs: number;
}

export class Heads {
  readonly #conversations: RecentTable;
  readonly #own: RecentTable;
  readonly #mixed: Uint8Array = new Uint8Array(ID_BYTES);

  /** `floor`: the applied index at start; it falls as the journal refills. */
  constructor(floor: number, cap: number = HEADS_MAX) {
    this.#conversations = new RecentTable(floor, cap);
    this.#own = new RecentTable(floor, cap);
  }

  get floor(): number {
    return Math.max(this.#conversations.floor, this.#own.floor);
  }
  get size(): number {
    return this.#conversations.size + this.#own.size;
  }

  changed(conversation: Uint8Array, head: Head): void {
    this.#conversations.put(conversation, head);
  }

  ownChanged(conversation: Uint8Array, user: Uint8Array, index: number): void {
    this.#own.put(this.#mix(conversation, user), { index, head: 0, ordinal: 0, timeMs: 0 });
  }

  head(conversation: Uint8Array): Head | undefined {
    return this.#conversations.get(conversation);
  }

  /** Index of the last change that this user sees; 0 = none at or above the floor. */
  lastChange(conversation: Uint8Array, user: Uint8Array): number {
    const shared = this.#conversations.get(conversation)?.index ?? 0;
    return Math.max(shared, this.#own.get(this.#mix(conversation, user))?.index ?? 0);
  }

  /** An older change out of the journal, walked backwards. False = there is no room for more. */
  refill(conversation: Uint8Array, head: Head): boolean {
    return this.#conversations.putOldest(conversation, head);
  }

  refillOwn(conversation: Uint8Array, user: Uint8Array, index: number): boolean {
    const head = { index, head: 0, ordinal: 0, timeMs: 0 };
    return this.#own.putOldest(this.#mix(conversation, user), head);
  }

  /** Everything at or above the index was refilled. */
  lowerFloor(index: number): void {
    this.#conversations.lowerFloor(index);
    this.#own.lowerFloor(index);
  }

  // Both are 16 bytes, of which the conversation's are a hash: two pairs that mix to the same id are
  // as unlikely as two ids that meet, and would only report a change too many.
  #mix(conversation: Uint8Array, user: Uint8Array): Uint8Array {
    for (let i = 0; i < ID_BYTES; i++)
      this.#mixed[i] = (conversation[i] ?? 0) ^ (user[(i + 5) & 15] ?? 0);
    return this.#mixed;
  }
}

const FIELDS = 4;

/** The newest so many keys, by index. Removal is by age: a ring of (slot, index) knows the order. */
class RecentTable {
  readonly #cap: number;
  readonly #slots = new IdMap<number>();
  /** index, head, ordinal, stamp of each slot. */
  #values: Float64Array;
  #keys: Uint8Array;
  readonly #free: number[] = [];
  #next = 0;
  /** Oldest first; entries whose slot has moved on are stale and skipped. */
  #ringSlots: Int32Array;
  #ringIndexes: Float64Array;
  #ringAt = 0;
  #ringSize = 0;
  #floor: number;
  /** The highest index that was dropped for want of room: no refill reaches below it any more. */
  #dropped = 0;

  constructor(floor: number, cap: number) {
    invariant(cap >= 1, 'heads.cap-positive', { cap });
    this.#cap = cap;
    this.#floor = floor;
    const first = Math.min(cap, 256);
    this.#values = new Float64Array(first * FIELDS);
    this.#keys = new Uint8Array(first * ID_BYTES);
    this.#ringSlots = new Int32Array(first * 2);
    this.#ringIndexes = new Float64Array(first * 2);
  }

  get floor(): number {
    return this.#floor;
  }
  get size(): number {
    return this.#slots.size;
  }

  get(key: Uint8Array): Head | undefined {
    const slot = this.#slots.get(key);
    if (slot === undefined) return undefined;
    const at = slot * FIELDS;
    const v = this.#values;
    const [index, head, ordinal, timeMs] = [v[at], v[at + 1], v[at + 2], v[at + 3]];
    return { index: index ?? 0, head: head ?? 0, ordinal: ordinal ?? 0, timeMs: timeMs ?? 0 };
  }

  put(key: Uint8Array, head: Head): void {
    let slot = this.#slots.get(key);
    if (slot === undefined) {
      if (this.#slots.size >= this.#cap) this.#dropOldest();
      slot = this.#take(key);
    }
    this.#write(slot, head);
    while (this.#ringSize >= this.#cap * 2) this.#popOldest();
    this.#growRing();
    const at = (this.#ringAt + this.#ringSize++) % this.#ringSlots.length;
    this.#ringSlots[at] = slot;
    this.#ringIndexes[at] = head.index;
  }

  putOldest(key: Uint8Array, head: Head): boolean {
    if (this.#slots.has(key)) return true;
    if (this.#slots.size >= this.#cap || this.#ringSize >= this.#cap * 2) return false;
    const slot = this.#take(key);
    this.#write(slot, head);
    this.#growRing();
    this.#ringAt = (this.#ringAt + this.#ringSlots.length - 1) % this.#ringSlots.length;
    this.#ringSize++;
    this.#ringSlots[this.#ringAt] = slot;
    this.#ringIndexes[this.#ringAt] = head.index;
    return true;
  }

  lowerFloor(index: number): void {
    this.#floor = Math.max(Math.min(index, this.#floor), this.#dropped);
  }

  #take(key: Uint8Array): number {
    const slot = this.#free.pop() ?? this.#next++;
    if ((slot + 1) * ID_BYTES > this.#keys.length) {
      this.#keys = grown(this.#keys, new Uint8Array(this.#keys.length * 2));
      this.#values = grown(this.#values, new Float64Array(this.#values.length * 2));
    }
    this.#keys.set(key, slot * ID_BYTES);
    this.#slots.set(key, slot);
    return slot;
  }

  #write(slot: number, head: Head): void {
    const at = slot * FIELDS;
    this.#values[at] = head.index;
    this.#values[at + 1] = head.head;
    this.#values[at + 2] = head.ordinal;
    this.#values[at + 3] = head.timeMs;
  }

  #dropOldest(): void {
    const size = this.#slots.size;
    while (this.#slots.size === size && this.#ringSize > 0) this.#popOldest();
  }

  #popOldest(): void {
    const slot = this.#ringSlots[this.#ringAt] ?? 0;
    const index = this.#ringIndexes[this.#ringAt] ?? 0;
    this.#ringAt = (this.#ringAt + 1) % this.#ringSlots.length;
    this.#ringSize--;
    // Stale: the key changed again since, or the slot has another key by now.
    if (this.#values[slot * FIELDS] !== index) return;
    this.#slots.delete(this.#keys.subarray(slot * ID_BYTES, (slot + 1) * ID_BYTES));
    this.#values[slot * FIELDS] = -1;
    this.#free.push(slot);
    if (index > this.#dropped) this.#dropped = index;
    if (index > this.#floor) this.#floor = index;
  }

  #growRing(): void {
    const was = this.#ringSlots.length;
    if (this.#ringSize < was) return;
    const slots = new Int32Array(was * 2);
    const indexes = new Float64Array(was * 2);
    for (let i = 0; i < this.#ringSize; i++) {
      const from = (this.#ringAt + i) % was;
      slots[i] = this.#ringSlots[from] ?? 0;
      indexes[i] = this.#ringIndexes[from] ?? 0;
    }
    this.#ringSlots = slots;
    this.#ringIndexes = indexes;
    this.#ringAt = 0;
  }
}

function grown<T extends Uint8Array | Float64Array>(from: T, into: T): T {
  into.set(from);
  return into;
}
