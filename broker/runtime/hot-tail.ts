/**
 * Rows in memory, per conversation and dense up to its head: those that no flush has made durable
 * yet, which nothing else can serve, and behind them recent ones up to a bound in bytes. One for all
 * shards of a store.
 */
import { IdMap } from '../../core/id-map.ts';
import { invariant } from '../../core/invariant.ts';

export interface Tail {
  readonly conversation: Uint8Array;
  /** Sequence of rows[0]; all rows below are in blocks. */
  first: number;
  readonly rows: Uint8Array[];
  /** Rows through here are in durable blocks. */
  durable: number;
  /** Rows through here belong to a flush that has begun. */
  cut: number;
  isTouched: boolean;
}

/** The rows of one conversation that a flush makes durable: [from, through]. */
export interface TailCut {
  readonly tail: Tail;
  readonly from: number;
  readonly rows: readonly Uint8Array[];
}

interface Aged {
  readonly tail: Tail;
  readonly through: number;
}

export class HotTail {
  readonly #tails = new IdMap<Tail>();
  readonly #touched: Tail[][];
  readonly #bytesMax: number;
  /** Durable stretches, the longest durable first: what is dropped first. */
  #aged: Aged[] = [];
  #agedAt = 0;
  #bytes = 0;
  #unflushedBytes = 0;

  constructor(options: { readonly shards: number; readonly bytesMax: number }) {
    this.#touched = Array.from({ length: options.shards }, () => []);
    this.#bytesMax = options.bytesMax;
  }

  get bytes(): number {
    return this.#bytes;
  }
  /** Bytes of rows that no flush has begun to write. */
  get unflushedBytes(): number {
    return this.#unflushedBytes;
  }

  append(shard: number, conversation: Uint8Array, sequence: number, row: Uint8Array): void {
    let tail = this.#tails.get(conversation);
    if (tail === undefined) {
      const durable = sequence - 1;
      tail = {
        conversation: conversation.slice(),
        first: sequence,
        // Not empty: an array that begins so makes room for sixteen, and most get one.
        rows: [row],
        durable,
        cut: durable,
        isTouched: false,
      };
      this.#tails.set(tail.conversation, tail);
    } else {
      const dense = tail.first + tail.rows.length;
      invariant(sequence === dense, 'tail.rows-dense', () => ({ sequence, dense }));
      tail.rows.push(row);
    }
    this.#bytes += row.length;
    this.#unflushedBytes += row.length;
    if (tail.isTouched) return;
    tail.isTouched = true;
    this.#touched[shard]?.push(tail);
  }

  tail(conversation: Uint8Array): Tail | undefined {
    return this.#tails.get(conversation);
  }

  row(conversation: Uint8Array, sequence: number): Uint8Array | undefined {
    const tail = this.#tails.get(conversation);
    return tail?.rows[sequence - tail.first];
  }

  /** Replaces a row by what is left of it. False = it is not here. */
  replace(conversation: Uint8Array, sequence: number, row: Uint8Array): boolean {
    const tail = this.#tails.get(conversation);
    const old = tail?.rows[sequence - tail.first];
    if (tail === undefined || old === undefined) return false;
    tail.rows[sequence - tail.first] = row;
    this.#bytes += row.length - old.length;
    if (sequence > tail.cut) this.#unflushedBytes += row.length - old.length;
    return true;
  }

  touchedCount(shard: number): number {
    return this.#touched[shard]?.length ?? 0;
  }

  /** Ends the unflushed stretch of a shard: what comes now belongs to the next flush. */
  cut(shard: number): TailCut[] {
    const touched = this.#touched[shard] ?? [];
    this.#touched[shard] = [];
    return touched.map((tail) => {
      const from = tail.cut + 1;
      const rows = tail.rows.slice(from - tail.first);
      for (const row of rows) this.#unflushedBytes -= row.length;
      tail.cut = from + rows.length - 1;
      tail.isTouched = false;
      return { tail, from, rows };
    });
  }

  /** The rows of these cuts are durable. */
  flushed(cuts: readonly TailCut[]): void {
    for (const { tail, from, rows } of cuts) {
      tail.durable = from + rows.length - 1;
      this.#aged.push({ tail, through: tail.durable });
    }
    this.#shrink();
  }

  #shrink(): void {
    while (this.#bytes > this.#bytesMax) {
      const aged = this.#aged[this.#agedAt];
      if (aged === undefined) break;
      this.#agedAt++;
      this.#drop(aged);
    }
    if (this.#agedAt > 4096 && this.#agedAt * 2 > this.#aged.length) {
      this.#aged = this.#aged.slice(this.#agedAt);
      this.#agedAt = 0;
    }
  }

  #drop({ tail, through }: Aged): void {
    const count = through - tail.first + 1;
    if (count <= 0) return;
    invariant(through <= tail.durable, 'tail.drops-only-durable', () => ({ through }));
    for (const row of tail.rows.splice(0, count)) this.#bytes -= row.length;
    tail.first = through + 1;
    if (tail.rows.length === 0 && !tail.isTouched) this.#tails.delete(tail.conversation);
  }
}
