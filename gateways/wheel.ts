/** Many coarse deadlines with one timer: a wheel of slots, each a set of what is due then. */

const SLOT_MS = 100;
const SLOTS = 256;

export interface Wakeable {
  /** Kept by the wheel: the slot number that it waits in; 0 = none. */
  wheelSlot: number;
}

export class Wheel<T extends Wakeable> {
  readonly #slots: Set<T>[] = Array.from({ length: SLOTS }, () => new Set<T>());
  /** Number of the next slot to fire; slot n covers [n × 100 ms, (n + 1) × 100 ms). */
  #next: number;

  constructor(nowMs: number) {
    this.#next = Math.max(1, Math.floor(nowMs / SLOT_MS));
  }

  static get periodMs(): number {
    return SLOT_MS;
  }

  /** Wakes it at about `atMs`, or earlier when that is beyond the wheel. Replaces an earlier wish. */
  schedule(item: T, atMs: number): void {
    const wanted = atMs === Infinity ? Infinity : Math.ceil(atMs / SLOT_MS);
    const slot = Math.min(Math.max(wanted, this.#next), this.#next + SLOTS - 1);
    if (item.wheelSlot === slot) return;
    this.cancel(item);
    item.wheelSlot = slot;
    this.#slots[slot % SLOTS]?.add(item);
  }

  cancel(item: T): void {
    if (item.wheelSlot > 0) this.#slots[item.wheelSlot % SLOTS]?.delete(item);
    item.wheelSlot = 0;
  }

  /** Fires all slots that have passed. What fires is off the wheel until it is scheduled again. */
  advance(nowMs: number, fire: (item: T) => void): void {
    const through = Math.floor(nowMs / SLOT_MS);
    // After a long stall every slot is passed once, not many times.
    if (through - this.#next > SLOTS) this.#next = through - SLOTS;
    while (this.#next <= through) {
      const due = this.#slots[this.#next % SLOTS];
      this.#next++;
      if (due === undefined || due.size === 0) continue;
      const items = [...due];
      due.clear();
      for (const item of items) item.wheelSlot = 0;
      for (const item of items) fire(item);
    }
  }
}
