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

/** Answers due for entries of the log, oldest first. Arrays of numbers: no object per send. */
export class DueAnswers {
  #indexes: number[] = [];
  #terms: number[] = [];
  #requests: number[] = [];
  #bytes: number[] = [];
  #answerers: (Answerer | undefined)[] = [];
  #head = 0;

  // What `take` found.
  answerer: Answerer | undefined;
  request = 0;
  bytes = 0;

  get size(): number {
    return this.#indexes.length - this.#head;
  }

  add(
    place: { readonly index: number; readonly term: number },
    answerer: Answerer,
    request: number,
    bytes: number,
  ): void {
    this.#indexes.push(place.index);
    this.#terms.push(place.term);
    this.#requests.push(request);
    this.#bytes.push(bytes);
    this.#answerers.push(answerer);
  }

  isNext(index: number, term: number): boolean {
    return this.#indexes[this.#head] === index && this.#terms[this.#head] === term;
  }

  /** Whether an answer is due for this entry; if so it is taken off and stands in the fields. */
  take(index: number, term: number): boolean {
    const at = this.#head;
    if (at >= this.#indexes.length) return false;
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
    if (this.#head === this.#indexes.length) this.#reset();
    else if (this.#head >= 4096 && this.#head * 2 > this.#indexes.length) this.#compact();
  }

  #reset(): void {
    this.#indexes.length = 0;
    this.#terms.length = 0;
    this.#requests.length = 0;
    this.#bytes.length = 0;
    this.#answerers.length = 0;
    this.#head = 0;
  }

  #compact(): void {
    this.#indexes = this.#indexes.slice(this.#head);
    this.#terms = this.#terms.slice(this.#head);
    this.#requests = this.#requests.slice(this.#head);
    this.#bytes = this.#bytes.slice(this.#head);
    this.#answerers = this.#answerers.slice(this.#head);
    this.#head = 0;
  }
}
