/**
 * Rows in memory, per conversation and dense up to its head: those that no flush has made durable
 * yet, which nothing else can serve, and behind them recent ones up to a bound in bytes. One for all
 * shards of a store.
 */
import { IdMap } from '../../core/id-map.ts';
import { invariant } from '../../core/invariant.ts';
import { KeptRows } from './kept-rows.ts';
import { PackedIds } from './packed-ids.ts';
import { PlaceRuns, RUN_LENGTH } from './place-runs.ts';

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
  count: number;
  /** Sequence at the beginning of the first run. */
  base: number;
  /** Where the kept rows are, in runs: the first, and those behind it if there are more. */
  run: number;
  more: number[] | undefined;
  durable: number;
  cut: number;
  isTouched: boolean;
}

export class HotTail {
  readonly #tails = new IdMap<OwnTail>();
  readonly #ids = new PackedIds();
  readonly #kept = new KeptRows();
  readonly #runs = new PlaceRuns();
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
        count: 0,
        base: sequence,
        run: this.#runs.take(),
        more: undefined,
        durable,
        cut: durable,
        isTouched: false,
      };
      this.#tails.set(conversation, tail);
    }
    this.#put(tail, sequence, place);
    if (tail.isTouched) return;
    tail.isTouched = true;
    this.#touched[shard]?.push(tail);
  }

  tail(conversation: Uint8Array): Tail | undefined {
    return this.#tails.get(conversation);
  }

  row(conversation: Uint8Array, sequence: number): Uint8Array | undefined {
    const tail = this.#tails.get(conversation);
    return tail === undefined || !holds(tail, sequence)
      ? undefined
      : this.#kept.row(this.#placeOf(tail, sequence));
  }

  /** The rows in [from, through] that are here; all of them, if the first is. */
  rows(conversation: Uint8Array, from: number, through: number): Uint8Array[] {
    const tail = this.#tails.get(conversation);
    return tail === undefined ? [] : this.#rowsOf(tail, from, through + 1);
  }

  /** Replaces a row by what is left of it. False = it is not here. */
  replace(conversation: Uint8Array, sequence: number, row: Uint8Array): boolean {
    const tail = this.#tails.get(conversation);
    if (tail === undefined || !holds(tail, sequence)) return false;
    const old = this.#placeOf(tail, sequence);
    const more = row.length - this.#kept.lengthOf(old);
    this.#kept.drop(old);
    this.#runs.set(runOf(tail, sequence), atOf(tail, sequence), this.#kept.keep(row));
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
      const rows = this.#rowsOf(tail, from, tail.first + tail.count);
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
    for (let at = Math.max(from, tail.first); at < Math.min(end, tail.first + tail.count); at++)
      rows.push(this.#kept.row(this.#placeOf(tail, at)));
    return rows;
  }

  #placeOf(tail: OwnTail, sequence: number): number {
    return this.#runs.get(runOf(tail, sequence), atOf(tail, sequence));
  }

  #put(tail: OwnTail, sequence: number, place: number): void {
    const dense = tail.first + tail.count;
    invariant(sequence === dense, 'tail.rows-dense', () => ({ sequence, dense }));
    if (sequence > tail.base && atOf(tail, sequence) === 0)
      (tail.more ??= []).push(this.#runs.take());
    this.#runs.set(runOf(tail, sequence), atOf(tail, sequence), place);
    tail.count++;
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
    for (let sequence = tail.first; sequence <= through; sequence++) {
      const place = this.#placeOf(tail, sequence);
      this.#bytes -= this.#kept.lengthOf(place);
      this.#kept.drop(place);
    }
    tail.first = through + 1;
    tail.count -= count;
    this.#giveRuns(tail);
    if (tail.count > 0 || tail.isTouched) return;
    this.#runs.give(tail.run);
    this.#tails.delete(this.#ids.at(tail.id));
    this.#ids.remove(tail.id);
  }

  /** Of the runs whose rows are all gone the last one is kept: what comes next goes there. */
  #giveRuns(tail: OwnTail): void {
    const { more } = tail;
    while (more !== undefined && tail.first - tail.base >= RUN_LENGTH) {
      const next = more.shift();
      if (next === undefined) break;
      this.#runs.give(tail.run);
      tail.run = next;
      tail.base += RUN_LENGTH;
    }
    if (more?.length === 0) tail.more = undefined;
  }
}

function holds(tail: OwnTail, sequence: number): boolean {
  return sequence >= tail.first && sequence < tail.first + tail.count;
}

/** The run that holds the row. */
function runOf(tail: OwnTail, sequence: number): number {
  const index = Math.floor((sequence - tail.base) / RUN_LENGTH);
  const run = index === 0 ? tail.run : tail.more?.[index - 1];
  invariant(run !== undefined, 'tail.run-there', () => ({ index }));
  return run;
}

function atOf(tail: OwnTail, sequence: number): number {
  return (sequence - tail.base) % RUN_LENGTH;
}
