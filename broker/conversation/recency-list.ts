/**
 * Numbers in the order of their last use: a doubly linked ring in typed arrays, so that touching
 * one makes no object. Number 0 is the ring's joint and never a member.
 */
export class RecencyList {
  #newer: Int32Array = new Int32Array(64);
  #older: Int32Array = new Int32Array(64);

  /** The number must not be in the list; it becomes the newest. */
  add(number: number): void {
    while (number >= this.#newer.length) this.#grow();
    const newest = this.#older[0] ?? 0;
    this.#newer[newest] = number;
    this.#older[number] = newest;
    this.#newer[number] = 0;
    this.#older[0] = number;
  }

  /** The number must be in the list. */
  remove(number: number): void {
    const newer = this.#newer[number] ?? 0;
    const older = this.#older[number] ?? 0;
    this.#newer[older] = newer;
    this.#older[newer] = older;
  }

  touch(number: number): void {
    if (this.#older[0] === number) return;
    this.remove(number);
    this.add(number);
  }

  /** From the oldest on, until `each` returns false. `each` may remove the number it is given. */
  eachOldest(each: (number: number) => boolean): void {
    for (let number = this.#newer[0] ?? 0; number !== 0; ) {
      const next = this.#newer[number] ?? 0;
      if (!each(number)) return;
      number = next;
    }
  }

  #grow(): void {
    const size = this.#newer.length * 2;
    const newer = new Int32Array(size);
    const older = new Int32Array(size);
    newer.set(this.#newer);
    older.set(this.#older);
    this.#newer = newer;
    this.#older = older;
  }
}
