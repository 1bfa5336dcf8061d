/**
 * Link between two threads of one process: slabs are transferred, not copied. A number on the port
 * is a credit, an array of buffers are slabs given back; a Uint8Array or null is the close reason.
 */
import type { MessagePort } from 'node:worker_threads';
import type { ParleyError } from '../../core/errors.ts';
import { invariant } from '../../core/invariant.ts';
import type { Link, LinkEvents } from '../../core/link.ts';
import { decodeError, encodeError } from '../../core/link-payload.ts';
import { SLAB_BYTES, Slab } from '../../core/record.ts';
import { CreditWindow } from './credit-window.ts';

type Carried = ArrayBuffer | ArrayBuffer[] | number | Uint8Array | null;

/** A message costs more than what it carries. */
const GIVEN_BACK_AT_ONCE = 8;

export class MessagePortLink implements Link {
  readonly #port: MessagePort;
  readonly #window = new CreditWindow();
  #spent: ArrayBuffer[] = [];
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

  giveBack(slab: Slab): void {
    if (this.#isClosed || slab.isEmpty || slab.buffer.byteLength !== SLAB_BYTES) return;
    slab.empty();
    this.#spent.push(slab.buffer);
    if (this.#spent.length < GIVEN_BACK_AT_ONCE) return;
    const spent = this.#spent;
    this.#spent = [];
    this.#port.postMessage(spent, spent);
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
    if (Array.isArray(carried)) {
      for (const buffer of carried) events.slab(new Slab(buffer));
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
