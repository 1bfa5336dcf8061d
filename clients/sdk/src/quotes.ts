/**
 * Messages as replies quote them: from the device, else from the server, a few at a time, for a screen
 * of replies to old messages asks for as many. One that could not be read is bare and asked for anew,
 * by the rows that still show it: offline with the next connection, else after a while.
 */
import type { Quote } from './client-interface.ts';
import type { ConversationId, Message, Sequence } from './contract.ts';
import type { Core } from './core.ts';
import { isRefusedForGood, retryAfterMsOf } from './errors.ts';
import { changeOf } from './message-merge.ts';
import { quoteOf } from './timeline-rows.ts';

/** More than several full timelines show: what is shown and let go would be read again and again. */
const KEPT_MAX = 1000;
/** Calls are bounded over all of the client, and others need theirs. */
const ASKED_AT_ONCE = 4;
const RETRY_MS = 2_000;
const RETRY_MS_MAX = 30_000;

interface Held {
  readonly quote: Quote;
  /** The change that it is as of; 0 = bare. */
  readonly change: Sequence;
}

export class Quotes {
  readonly #core: Core;
  readonly #id: ConversationId;
  /** One was read, or those that wait may be asked for: whoever shows one looks for it again. */
  readonly #changed: () => void;
  readonly #quotes = new Map<Sequence, Held>();
  /** Bare, and to be had from the server; what failed is behind what was not asked for yet. */
  readonly #waiting = new Set<Sequence>();
  #askedCount = 0;
  /** Pauses in a row in which nothing was answered. */
  #pauses = 0;
  #endPause: (() => void) | undefined;

  constructor(core: Core, id: ConversationId, changed: () => void) {
    this.#core = core;
    this.#id = id;
    this.#changed = changed;
  }

  get(sequence: Sequence): Quote {
    const held = this.#quotes.get(sequence);
    if (held !== undefined) {
      if (this.#waiting.has(sequence)) this.#pump();
      return held.quote;
    }
    const bare: Quote = { sequence };
    this.#quotes.set(sequence, { quote: bare, change: 0 });
    if (this.#quotes.size > KEPT_MAX) this.#forget(this.#quotes.keys().next().value ?? 0);
    this.#look(sequence).catch(() => this.#want(sequence));
    return bare;
  }

  /** A message as it was read or changed. True = it is news: a read may be behind a push (S7). */
  take(message: Message): boolean {
    const { sequence } = message;
    const held = this.#quotes.get(sequence);
    const change = changeOf(message);
    if (held === undefined || change <= held.change) return false;
    this.#quotes.set(sequence, { quote: quoteOf(message, sequence), change });
    this.#waiting.delete(sequence);
    return true;
  }

  /** The server can be asked again, after the pause if there is one: by whoever looks for it. */
  online(): void {
    for (const sequence of [...this.#waiting]) this.#forget(sequence);
  }

  stop(): void {
    this.#endPause?.();
    this.#endPause = undefined;
  }

  async #look(sequence: Sequence): Promise<void> {
    const range = { from: sequence, through: sequence, limit: 1, isNewest: true };
    const [message] = await this.#core.history.readMessages(this.#id, range);
    if (message === undefined) this.#want(sequence);
    else if (this.take(message)) this.#changed();
  }

  #want(sequence: Sequence): void {
    // Nobody may have looked for it lately, or it came by itself.
    if (this.#quotes.get(sequence)?.change !== 0) return;
    this.#waiting.add(sequence);
    this.#pump();
  }

  #pump(): void {
    if (!this.#core.isReady() || this.#endPause !== undefined) return;
    for (const sequence of this.#waiting) {
      if (this.#askedCount >= ASKED_AT_ONCE) return;
      this.#waiting.delete(sequence);
      this.#askedCount += 1;
      this.#core.history
        .readPage(this.#id, { sequence })
        .then(({ messages }) => {
          this.#pauses = 0;
          const [message] = messages ?? [];
          if (message !== undefined && this.take(message)) this.#changed();
        })
        .catch((error: unknown) => this.#failed(sequence, error))
        .finally(() => {
          this.#askedCount -= 1;
          this.#pump();
        });
    }
  }

  #failed(sequence: Sequence, error: unknown): void {
    if (isRefusedForGood(error)) return;
    // Without a connection it waits for the next one.
    if (this.#core.isReady()) this.#pause(retryAfterMsOf(error));
    this.#want(sequence);
  }

  /** What could not be answered now would not be answered at once either. */
  #pause(retryAfterMs: number): void {
    if (this.#endPause !== undefined) return;
    const waitMs = Math.min(RETRY_MS_MAX, RETRY_MS * 2 ** this.#pauses);
    this.#pauses += 1;
    this.#endPause = this.#core.host.after(Math.max(waitMs, retryAfterMs), () => {
      this.#endPause = undefined;
      this.#changed();
    });
  }

  #forget(sequence: Sequence): void {
    this.#quotes.delete(sequence);
    this.#waiting.delete(sequence);
  }
}
