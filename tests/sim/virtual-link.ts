/**
 * A Link between a gateway and a store: slabs arrive in order after a while, credits are real, and
 * buffers are given away as a thread boundary does it (what the sender touches afterwards is gone).
 * A cut loses what is under way in both directions; either end may notice later than the other.
 */
import { ParleyError } from '../../core/errors.ts';
import type { Link, LinkEvents } from '../../core/link.ts';
import { Slab } from '../../core/record.ts';
import type { Chance } from './chance.ts';
import type { Scope } from './virtual-time.ts';

export interface LinkSettings {
  readonly chance: Chance;
  readonly windowBytes: number;
  readonly delayMaxMs: number;
}

export class VirtualLink implements Link {
  readonly #scope: Scope;
  readonly #settings: LinkSettings;
  readonly #waiting: Slab[] = [];
  #other: VirtualLink | undefined;
  #events: LinkEvents | undefined;
  #isClosed = false;
  #underWay = 0;
  #wasFull = false;
  #lastAtMs = 0;
  #stalledUntilMs = 0;

  private constructor(scope: Scope, settings: LinkSettings) {
    this.#scope = scope;
    this.#settings = settings;
  }

  /** The gateway's end and the store's. */
  static pair(gateway: Scope, store: Scope, settings: LinkSettings): [VirtualLink, VirtualLink] {
    const a = new VirtualLink(gateway, settings);
    const b = new VirtualLink(store, settings);
    a.#other = b;
    b.#other = a;
    return [a, b];
  }

  get isOver(): boolean {
    return this.#isClosed;
  }

  get isWritable(): boolean {
    return this.#underWay < this.#settings.windowBytes;
  }

  get bytesUnderWay(): number {
    return this.#underWay;
  }

  listen(events: LinkEvents): void {
    this.#events = events;
    for (const slab of this.#waiting.splice(0)) events.slab(slab);
  }

  send(slab: Slab): void {
    const other = this.#other;
    if (this.#isClosed || other === undefined) return;
    const size = slab.used;
    this.#underWay += size;
    if (!this.isWritable) this.#wasFull = true;
    const buffer = structuredClone(slab.buffer, { transfer: [slab.buffer] });
    const now = this.#scope.worldMs;
    const { chance, delayMaxMs } = this.#settings;
    const atMs = Math.max(
      now + chance.delay(0.01, delayMaxMs),
      this.#stalledUntilMs,
      this.#lastAtMs,
    );
    this.#lastAtMs = atMs;
    // The receiver's loop fires it: a dead receiver gets nothing.
    other.#scope.at(atMs, () => other.#arrive(new Slab(buffer), this, size));
  }

  giveBack(slab: Slab): void {
    if (slab.isEmpty) return;
    slab.empty();
    this.send(slab);
  }

  close(reason?: ParleyError): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    const other = this.#other;
    this.#scope.soon(() => this.#events?.closed(reason));
    const now = this.#scope.worldMs;
    const atMs = Math.max(now + 0.01, this.#lastAtMs, this.#stalledUntilMs);
    if (other !== undefined) other.#scope.at(atMs, () => other.#ended(reason));
  }

  /** The way is slow: nothing that is sent from now on arrives before this time has passed. */
  stall(ms: number): void {
    this.#stalledUntilMs = this.#scope.worldMs + ms;
  }

  /** As `stall`, for what the other end sends: its credit runs out, and it must say what it dropped. */
  stallBack(ms: number): void {
    this.#other?.stall(ms);
  }

  /** The way is gone. Each end hears of it after a while of its own. */
  cut(): void {
    const broken = new ParleyError('SHARD_UNAVAILABLE', 'the link broke');
    const { chance } = this.#settings;
    for (const end of [this, this.#other]) {
      if (end === undefined || end.#isClosed) continue;
      end.#isClosed = true;
      end.#scope.after(chance.delay(0.01, 300), () => end.#events?.closed(broken));
    }
  }

  #arrive(slab: Slab, from: VirtualLink, size: number): void {
    if (this.#isClosed) return;
    if (this.#events === undefined) this.#waiting.push(slab);
    else this.#events.slab(slab);
    if (!from.#isClosed && !from.#scope.isDead)
      from.#scope.after(this.#settings.chance.delay(0.01, 1), () => from.#credit(size));
  }

  #credit(size: number): void {
    this.#underWay -= size;
    if (this.#isClosed || !this.#wasFull || !this.isWritable) return;
    this.#wasFull = false;
    this.#events?.writable();
  }

  #ended(reason: ParleyError | undefined): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#events?.closed(reason);
  }
}
