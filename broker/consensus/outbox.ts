/** Messages of the current turn, by when they may leave. */
import type { Message } from './message.ts';

const NONE: readonly Message[] = [];

export class Outbox {
  #now: Message[] = [];
  #afterPersist: Message[] = [];

  get isEmpty(): boolean {
    return this.#now.length === 0 && this.#afterPersist.length === 0;
  }

  /** Promises nothing that a crash could take back. */
  now(message: Message): void {
    this.#now.push(message);
  }

  /** Promises something (a vote, a candidacy, an acknowledgement): leaves when everything written
   *  so far is durable. */
  afterPersist(message: Message): void {
    this.#afterPersist.push(message);
  }

  /** The term is over: what was to be promised in it is kept by nobody and was never written. */
  forgetPromises(): void {
    this.#afterPersist = [];
  }

  take(): { sendNow: readonly Message[]; sendAfterPersist: readonly Message[] } {
    const taken = {
      sendNow: this.#now.length === 0 ? NONE : this.#now,
      sendAfterPersist: this.#afterPersist.length === 0 ? NONE : this.#afterPersist,
    };
    if (this.#now.length > 0) this.#now = [];
    if (this.#afterPersist.length > 0) this.#afterPersist = [];
    return taken;
  }
}
