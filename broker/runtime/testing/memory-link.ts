import type { Timers } from '../../../core/clock.ts';
import type { ParleyError } from '../../../core/errors.ts';
import type { Link, LinkEvents } from '../../../core/link.ts';
import { Slab } from '../../../core/record.ts';

/** One end of a Link in memory. What is sent arrives in a later turn. */
export class MemoryLink implements Link {
  #events: LinkEvents | undefined;
  #waiting: Slab[] = [];
  #peer: MemoryLink | undefined;
  readonly #time: Timers;
  #isOver = false;
  /** Set by a test: the other side is behind. */
  isStalled = false;
  bytesUnderWay = 0;

  constructor(time: Timers) {
    this.#time = time;
  }

  static pair(time: Timers): readonly [MemoryLink, MemoryLink] {
    const a = new MemoryLink(time);
    const b = new MemoryLink(time);
    a.#peer = b;
    b.#peer = a;
    return [a, b];
  }

  get isWritable(): boolean {
    return !this.isStalled && !this.#isOver;
  }
  listen(events: LinkEvents): void {
    this.#events = events;
    for (const slab of this.#waiting.splice(0)) events.slab(slab);
  }
  send(slab: Slab): void {
    this.#time.soon(() => this.#peer?.arrived(slab));
  }
  giveBack(slab: Slab): void {
    if (slab.isEmpty) return;
    slab.empty();
    this.send(new Slab(structuredClone(slab.buffer, { transfer: [slab.buffer] })));
  }
  writable(): void {
    this.isStalled = false;
    this.#events?.writable();
  }
  close(reason?: ParleyError): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#time.soon(() => this.#peer?.ended(reason));
  }
  arrived(slab: Slab): void {
    if (this.#isOver) return;
    if (this.#events === undefined) this.#waiting.push(slab);
    else this.#events.slab(slab);
  }
  ended(reason: ParleyError | undefined): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#events?.closed(reason);
  }
}
