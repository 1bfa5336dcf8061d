/**
 * Rows in memory, per conversation and dense up to its head: those that no flush has made durable
 * yet, which nothing else can serve, and behind them recent ones up to a bound in bytes. One for all
 * shards of a store.
 */
import { IdMap } from '../../core/id-map.ts';
import { invariant } from '../../core/invariant.ts';
import { KeptRows } from './kept-rows.ts';
import { PackedIds } from './packed-ids.ts';

export interface Tail {
  /** Sequence of the first row in memory; all rows below are in blocks. */
  readonly first: number;
  /** Rows through here are in durable blocks. */
  readonly durable: number;
  /** Rows through here belong to a flush that has begun. */
  readonly cut: number;
}

/** The rows of one conversation that a flush makes durable: [from, through]. */
export interface TailCut {
  readonly tail: Tail;
  readonly conversation: Uint8Array;
  readonly from: number;
  readonly rows: readonly Uint8Array[];
}

interface OwnTail extends Tail {
  /** Its conversation's place among the ids. */
  readonly id: number;
  first: number;
  /** Of the rows from `first` on, as the kept rows know them. */
  readonly places: number[];
  durable: number;
  cut: number;
  isTouched: boolean;
}

export class HotTail {
  readonly #tails = new IdMap<OwnTail>();
  readonly #ids = new PackedIds();
  readonly #kept = new KeptRows();
  readonly #touched: OwnTail[][];
  readonly #bytesMax: number;
  // Durable stretches, the longest durable first: what is dropped first.
  #aged: OwnTail[] = [];
  #agedThrough: number[] = [];
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
    const place = this.#kept.keep(row);
    this.#bytes += row.length;
    this.#unflushedBytes += row.length;
    let tail = this.#tails.get(conversation);
    if (tail === undefined) {
      const durable = sequence - 1;
      tail = {
        id: this.#ids.add(conversation),
        first: sequence,
        // Not empty: an array that begins so makes room for sixteen, and most get one.
        places: [place],
        durable,
        cut: durable,
        isTouched: false,
      };
      this.#tails.set(conversation, tail);
    } else {
      const dense = tail.first + tail.places.length;
      invariant(sequence === dense, 'tail.rows-dense', () => ({ sequence, dense }));
      tail.places.push(place);
    }
    if (tail.isTouched) return;
    tail.isTouched = true;
    this.#touched[shard]?.push(tail);
  }

  tail(conversation: Uint8Array): Tail | undefined {
    return this.#tails.get(conversation);
  }

  row(conversation: Uint8Array, sequence: number): Uint8Array | undefined {
    const tail = this.#tails.get(conversation);
    const place = tail?.places[sequence - tail.first];
    return place === undefined ? undefined : this.#kept.row(place);
  }

  /** The rows in [from, through] that are here; all of them, if the first is. */
  rows(conversation: Uint8Array, from: number, through: number): Uint8Array[] {
    const tail = this.#tails.get(conversation);
    return tail === undefined ? [] : this.#rowsOf(tail, from, through + 1);
  }

  /** Replaces a row by what is left of it. False = it is not here. */
  replace(conversation: Uint8Array, sequence: number, row: Uint8Array): boolean {
    const tail = this.#tails.get(conversation);
    const old = tail?.places[sequence - tail.first];
    if (tail === undefined || old === undefined) return false;
    const more = row.length - this.#kept.lengthOf(old);
    this.#kept.drop(old);
    tail.places[sequence - tail.first] = this.#kept.keep(row);
    this.#bytes += more;
    if (sequence > tail.cut) this.#unflushedBytes += more;
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
      const rows = this.#rowsOf(tail, from, tail.first + tail.places.length);
      for (const row of rows) this.#unflushedBytes -= row.length;
      tail.cut = from + rows.length - 1;
      tail.isTouched = false;
      return { tail, conversation: this.#ids.at(tail.id), from, rows };
    });
  }

  /** The rows of these cuts are durable. */
  flushed(cuts: readonly TailCut[]): void {
    for (const { tail, from, rows } of cuts) {
      const own = tail as OwnTail;
      own.durable = from + rows.length - 1;
      this.#aged.push(own);
      this.#agedThrough.push(own.durable);
    }
    this.#shrink();
  }

  #rowsOf(tail: OwnTail, from: number, end: number): Uint8Array[] {
    const rows: Uint8Array[] = [];
    for (let at = from - tail.first; at < end - tail.first; at++) {
      const place = tail.places[at];
      if (place !== undefined) rows.push(this.#kept.row(place));
    }
    return rows;
  }

  #shrink(): void {
    while (this.#bytes > this.#bytesMax) {
      const aged = this.#aged[this.#agedAt];
      if (aged === undefined) break;
      this.#drop(aged, this.#agedThrough[this.#agedAt++] ?? 0);
    }
    if (this.#agedAt > 4096 && this.#agedAt * 2 > this.#aged.length) {
      this.#aged = this.#aged.slice(this.#agedAt);
      this.#agedThrough = this.#agedThrough.slice(this.#agedAt);
      this.#agedAt = 0;
    }
  }

  #drop(tail: OwnTail, through: number): void {
    const count = through - tail.first + 1;
    if (count <= 0) return;
    invariant(through <= tail.durable, 'tail.drops-only-durable', () => ({ through }));
    for (const place of tail.places.splice(0, count)) {
      this.#bytes -= this.#kept.lengthOf(place);
      this.#kept.drop(place);
    }
    tail.first = through + 1;
    if (tail.places.length > 0 || tail.isTouched) return;
    this.#tails.delete(this.#ids.at(tail.id));
    this.#ids.remove(tail.id);
  }
}
