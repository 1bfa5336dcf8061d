/**
 * Messages as replies quote them: from the device, else from the server. One that could not be read,
 * offline mostly, is bare and asked for anew with the next connection, by the rows that still show it.
 */
import type { Quote } from './client-interface.ts';
import type { ConversationId, Message, Sequence } from './contract.ts';
import type { Core } from './core.ts';
import { isRefusedForGood } from './errors.ts';
import { changeOf } from './message-merge.ts';
import { quoteOf } from './timeline-rows.ts';

const KEPT_MAX = 400;

interface Held {
  readonly quote: Quote;
  /** The change that it is as of; 0 = bare. */
  readonly change: Sequence;
}

export class Quotes {
  readonly #core: Core;
  readonly #id: ConversationId;
  /** One was read. */
  readonly #changed: () => void;
  readonly #quotes = new Map<Sequence, Held>();
  /** Bare, and to be had from the server. */
  readonly #owed = new Set<Sequence>();

  constructor(core: Core, id: ConversationId, changed: () => void) {
    this.#core = core;
    this.#id = id;
    this.#changed = changed;
  }

  get(sequence: Sequence): Quote {
    const held = this.#quotes.get(sequence);
    if (held !== undefined) return held.quote;
    const bare: Quote = { sequence };
    this.#quotes.set(sequence, { quote: bare, change: 0 });
    if (this.#quotes.size > KEPT_MAX) this.#forget(this.#quotes.keys().next().value ?? 0);
    this.#read(sequence).catch((error: unknown) => {
      if (!isRefusedForGood(error) && this.#quotes.has(sequence)) this.#owed.add(sequence);
    });
    return bare;
  }

  /** A message is not what it was. */
  take(message: Message): void {
    this.#put(message);
  }

  /** The server can be asked again. Whoever looks for one that is owed asks. */
  online(): void {
    for (const sequence of [...this.#owed]) this.#forget(sequence);
  }

  async #read(sequence: Sequence): Promise<void> {
    const range = { from: sequence, through: sequence, limit: 1, isNewest: true };
    let [message] = await this.#core.history.readMessages(this.#id, range);
    if (message === undefined) {
      const answer = await this.#core.history.readPage(this.#id, { sequence });
      message = answer.messages?.[0];
    }
    if (message === undefined) return;
    this.#put(message);
    this.#changed();
  }

  /** What was read may be older than a change that was pushed while it was read (S7). */
  #put(message: Message): void {
    const { sequence } = message;
    const held = this.#quotes.get(sequence);
    const change = changeOf(message);
    if (held === undefined || change <= held.change) return;
    this.#quotes.set(sequence, { quote: quoteOf(message, sequence), change });
    this.#owed.delete(sequence);
  }

  #forget(sequence: Sequence): void {
    this.#quotes.delete(sequence);
    this.#owed.delete(sequence);
  }
}
