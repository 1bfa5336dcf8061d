/**
 * How far a conversation was received and read: by others, for the ticks of own messages, and by this
 * user as the server knows it, for what this device still has to report. Marks never fall, but in a
 * new epoch.
 */
import type { ReceiptsFrame, Sequence } from './contract.ts';

export interface Watermarks {
  /** Direct: the peer's. Group: the newest own message that all recipients have. */
  readonly delivered: Sequence;
  readonly read: Sequence;
}

interface Counts {
  readonly of: number;
  readonly queued: number;
  readonly delivered: number;
  readonly read: number;
}

const COUNTS_MAX = 128;
const NONE: Watermarks = { delivered: 0, read: 0 };

export class ConversationReceipts {
  #others: Watermarks = NONE;
  #reported: Watermarks = NONE;
  /** Of own newest messages in a group. */
  readonly #counts = new Map<Sequence, Counts>();

  get watermarks(): Watermarks {
    return this.#others;
  }

  /** What the server knows this user has, without what only this device knows: above it is owed. */
  get reported(): Watermarks {
    return this.#reported;
  }

  countsOf(sequence: Sequence): Counts | undefined {
    return this.#counts.get(sequence);
  }

  take(frame: ReceiptsFrame): void {
    if (frame.me !== undefined)
      this.heard(frame.me.deliveredThrough ?? 0, frame.me.readThrough ?? 0);
    if (frame.peer !== undefined)
      this.raise(frame.peer.deliveredThrough ?? 0, frame.peer.readThrough ?? 0);
    for (const each of frame.counts ?? []) {
      const { sequence, of = 0, queued = 0, delivered = 0, read = 0 } = each;
      this.#counts.set(sequence, { of, queued, delivered, read });
      if (this.#counts.size > COUNTS_MAX)
        this.#counts.delete(this.#counts.keys().next().value ?? 0);
      if (of > 0) this.raise(delivered >= of ? sequence : 0, read >= of ? sequence : 0);
    }
  }

  /** Others have it so far: read implies delivered. */
  raise(delivered: Sequence, read: Sequence): void {
    const held = this.#others;
    const next = {
      read: Math.max(held.read, read),
      delivered: Math.max(held.delivered, delivered, read),
    };
    if (next.read !== held.read || next.delivered !== held.delivered) this.#others = next;
  }

  /** The server says how far this user is. */
  heard(delivered: Sequence, read: Sequence): void {
    this.#reported = {
      delivered: Math.max(this.#reported.delivered, delivered),
      read: Math.max(this.#reported.read, read),
    };
  }

  newEpoch(): void {
    this.#others = NONE;
    this.#reported = NONE;
  }
}
