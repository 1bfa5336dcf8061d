/** For tests: two ends of a Link inside one thread. Slabs arrive in a later turn, in order. */
import type { ParleyError } from '../../core/errors.ts';
import type { Link, LinkEvents } from '../../core/link.ts';
import { Slab } from '../../core/record.ts';

class End implements Link {
  other: End | undefined;
  readonly #waiting: Slab[] = [];
  #events: LinkEvents | undefined;
  #isClosed = false;

  get isWritable(): boolean {
    return true;
  }

  get bytesUnderWay(): number {
    return 0;
  }

  listen(events: LinkEvents): void {
    this.#events = events;
    for (const slab of this.#waiting.splice(0)) events.slab(slab);
  }

  send(slab: Slab): void {
    const { other } = this;
    if (!this.#isClosed) setImmediate(() => other?.arrive(slab));
  }

  giveBack(slab: Slab): void {
    if (slab.isEmpty) return;
    slab.empty();
    this.send(new Slab(structuredClone(slab.buffer, { transfer: [slab.buffer] })));
  }

  arrive(slab: Slab): void {
    if (this.#isClosed) return;
    if (this.#events === undefined) this.#waiting.push(slab);
    else this.#events.slab(slab);
  }

  close(reason?: ParleyError): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    const { other } = this;
    setImmediate(() => {
      this.#events?.closed(reason);
      other?.close(reason);
    });
  }
}

export function linkedPair(): readonly [Link, Link] {
  const a = new End();
  const b = new End();
  a.other = b;
  b.other = a;
  return [a, b];
}
