/**
 * Link between two threads of one process: slabs are transferred, not copied. A number on the port
 * is a credit; a Uint8Array or null is the close reason.
 */
import type { MessagePort } from 'node:worker_threads';
import type { ParleyError } from '../../core/errors.ts';
import { invariant } from '../../core/invariant.ts';
import type { Link, LinkEvents } from '../../core/link.ts';
import { decodeError, encodeError } from '../../core/link-payload.ts';
import { Slab } from '../../core/record.ts';
import { CreditWindow } from './credit-window.ts';

type Carried = ArrayBuffer | number | Uint8Array | null;

export class MessagePortLink implements Link {
  readonly #port: MessagePort;
  readonly #window = new CreditWindow();
  #events: LinkEvents | undefined;
  #isClosed = false;

  constructor(port: MessagePort) {
    this.#port = port;
  }

  get isWritable(): boolean {
    return !this.#isClosed && this.#window.isWritable;
  }

  get bytesUnderWay(): number {
    return this.#window.bytesUnderWay;
  }

  listen(events: LinkEvents): void {
    invariant(this.#events === undefined, 'link.listened-once');
    this.#events = events;
    this.#port.on('message', (carried: Carried) => this.#arrived(carried, events));
    // The thread on the other side ended without a word.
    this.#port.on('close', () => this.#ended(undefined));
  }

  send(slab: Slab): void {
    if (this.#isClosed) return;
    const bytes = slab.used;
    this.#port.postMessage(slab.buffer, [slab.buffer]);
    const overrun = this.#window.sent(bytes);
    if (overrun !== undefined) this.close(overrun);
  }

  close(reason?: ParleyError): void {
    if (this.#isClosed) return;
    this.#port.postMessage(reason === undefined ? null : encodeError(reason));
    this.#ended(reason);
    this.#port.close();
  }

  #arrived(carried: Carried, events: LinkEvents): void {
    if (this.#isClosed) return;
    if (typeof carried === 'number') {
      if (this.#window.credited(carried)) events.writable();
      return;
    }
    if (carried === null || carried instanceof Uint8Array) {
      this.#ended(carried === null ? undefined : decodeError(carried));
      this.#port.close();
      return;
    }
    const slab = new Slab(carried);
    const credit = this.#window.consumed(slab.used);
    events.slab(slab);
    if (credit > 0 && !this.#isClosed) this.#port.postMessage(credit);
  }

  #ended(reason: ParleyError | undefined): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#events?.closed(reason);
  }
}
