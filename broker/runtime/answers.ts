/**
 * Who waits for what: answers that a shard owes, in the order of the log. A commit is answered only
 * when its entry is applied; when the reign that it was proposed in ends first, its outcome is
 * unknown, because the entry may still commit under another leader.
 */
import type { Refusal } from '../../core/link-payload.ts';
import { invariant } from '../../core/invariant.ts';

/** What a commit says. One object is reused: read it before the call returns. */
export interface CommitAnswer {
  shard: number;
  /** Conversation, or the user of an account command. */
  key: Uint8Array;
  sequence: number;
  timeMs: number;
  replayed: boolean;
  /** Recipients without a connected device. */
  queued: number;
  index: number;
  head: number;
}

/** Where an answer goes: a gateway's Link, the courier, the store itself. */
export interface Answerer {
  committed(request: number, answer: CommitAnswer): void;
  refused(request: number, refusal: Refusal): void;
}

/**
 * Answers due for entries of the log, oldest first. Arrays of numbers that are filled anew once they
 * are empty: no object per send, and no growing and shrinking per batch.
 */
export class DueAnswers {
  readonly #indexes: number[] = [];
  readonly #terms: number[] = [];
  readonly #requests: number[] = [];
  readonly #bytes: number[] = [];
  readonly #answerers: (Answerer | undefined)[] = [];
  #head = 0;
  #end = 0;

  // What `take` found; whoever answers clears `answerer`.
  answerer: Answerer | undefined;
  request = 0;
  bytes = 0;

  get size(): number {
    return this.#end - this.#head;
  }

  add(
    place: { readonly index: number; readonly term: number },
    answerer: Answerer,
    request: number,
    bytes: number,
  ): void {
    if (this.#head >= COMPACT_AT && this.#head * 2 > this.#end) this.#compact();
    const at = this.#end++;
    this.#indexes[at] = place.index;
    this.#terms[at] = place.term;
    this.#requests[at] = request;
    this.#bytes[at] = bytes;
    this.#answerers[at] = answerer;
  }

  isNext(index: number, term: number): boolean {
    const at = this.#head;
    return at < this.#end && this.#indexes[at] === index && this.#terms[at] === term;
  }

  /** Whether an answer is due for this entry; if so it is taken off and stands in the fields. */
  take(index: number, term: number): boolean {
    const at = this.#head;
    if (at >= this.#end) return false;
    const due = this.#indexes[at] ?? 0;
    invariant(due >= index, 'answers.none-passed-over', () => ({ due, index }));
    if (due !== index || this.#terms[at] !== term) return false;
    this.#remove();
    return true;
  }

  /** Takes off the oldest, whatever it is for. */
  takeAny(): boolean {
    if (this.size === 0) return false;
    this.#remove();
    return true;
  }

  #remove(): void {
    const at = this.#head++;
    this.answerer = this.#answerers[at];
    this.request = this.#requests[at] ?? 0;
    this.bytes = this.#bytes[at] ?? 0;
    this.#answerers[at] = undefined;
    if (this.#head < this.#end) return;
    this.#head = 0;
    this.#end = 0;
  }

  #compact(): void {
    const from = this.#head;
    for (const numbers of [this.#indexes, this.#terms, this.#requests, this.#bytes])
      numbers.copyWithin(0, from, this.#end);
    this.#answerers.copyWithin(0, from, this.#end);
    this.#end -= from;
    this.#answerers.fill(undefined, this.#end);
    this.#head = 0;
  }
}

const COMPACT_AT = 4096;
