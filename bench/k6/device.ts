/**
 * One device on a WebSocket in `parley.v1.json`: hello, pipelined sends with their outbox numbers,
 * commits, rows, delivered marks. A message's text begins with the time at which it was sent.
 */
import { clearInterval, setInterval } from 'k6/timers';
import { WebSocket, type MessageEvent } from 'k6/websockets';
import { ackMs, deliveries, disorder, duplicates, endToEndMs, refused, sends } from './figures.ts';
import { FILLING } from './surroundings.ts';

const MARKS_PERIOD_MS = 100;
const PROTOCOL = 'parley.v1.json';
// k6 has no WebSocket.OPEN, whatever its types say.
const OPEN = 1;

interface Row {
  readonly sequence?: number;
  readonly body?: { readonly message?: { readonly text?: { readonly body?: string } } };
}

interface ServerFrame {
  readonly id?: number;
  readonly ready?: { readonly epoch?: number };
  readonly commit?: object;
  readonly error?: { readonly reason?: string };
  readonly rows?: {
    readonly items: readonly { readonly conversationId: string; readonly rows: readonly Row[] }[];
  };
  readonly ping?: object;
}

export interface DeviceEvents {
  readonly ready: () => void;
  /** A send was committed. */
  readonly answered: () => void;
}

export class Device {
  readonly #socket: WebSocket;
  readonly #events: DeviceEvents;
  readonly #outboxId = crypto.randomUUID();
  readonly #sentAt = new Map<number, number>();
  readonly #numbers = new Map<string, number>();
  readonly #heads = new Map<string, number>();
  readonly #marks = new Map<string, number>();
  readonly #marksTimer: number;
  #nextId = 2;
  #epoch = 0;

  constructor(url: string, token: string, events: DeviceEvents) {
    this.#events = events;
    // k6 takes a list of subprotocols; its types do not say so.
    this.#socket = new WebSocket(url, [PROTOCOL] as unknown as null);
    this.#socket.onopen = () => this.#tell({ id: 1, hello: { token, push: 'full' } });
    this.#socket.onmessage = (event) => this.#message(event);
    this.#marksTimer = setInterval(() => this.#report(), MARKS_PERIOD_MS);
  }

  send(to: string): void {
    const id = this.#nextId++;
    const after = this.#numbers.get(to) ?? 0;
    const clientSeq = after + 1;
    this.#numbers.set(to, clientSeq);
    const now = Date.now();
    this.#sentAt.set(id, now);
    const send = {
      to,
      outboxId: this.#outboxId,
      clientSeq,
      ...(after === 0 ? {} : { after }),
      clientMessageId: crypto.randomUUID(),
      body: { message: { text: { body: `${now} ${FILLING}` } } },
    };
    this.#tell({ id, send });
  }

  /** Groups of 100 and more send bodies only to those who look at them. */
  focus(conversation: string): void {
    this.#tell({ focus: { conversations: [conversation] } });
  }

  close(): void {
    clearInterval(this.#marksTimer);
    this.#tell({ bye: {} });
    this.#socket.close();
  }

  #message(event: MessageEvent | undefined): void {
    if (typeof event?.data !== 'string') return;
    const frames = JSON.parse(event.data) as ServerFrame | readonly ServerFrame[];
    for (const frame of Array.isArray(frames) ? (frames as readonly ServerFrame[]) : [frames])
      this.#frame(frame as ServerFrame);
  }

  #frame(frame: ServerFrame): void {
    if (frame.ready !== undefined) {
      this.#epoch = frame.ready.epoch ?? 0;
      this.#events.ready();
    } else if (frame.commit !== undefined || frame.error !== undefined) this.#answered(frame);
    else if (frame.ping !== undefined) this.#tell({ pong: {} });
    for (const item of frame.rows?.items ?? [])
      for (const row of item.rows) this.#row(item.conversationId, row);
  }

  #answered(frame: ServerFrame): void {
    const sentAt = this.#sentAt.get(frame.id ?? 0);
    if (sentAt === undefined) return;
    this.#sentAt.delete(frame.id ?? 0);
    if (frame.commit !== undefined) {
      ackMs.add(Date.now() - sentAt);
      sends.add(1);
      this.#events.answered();
    } else refused(frame.error?.reason ?? '');
  }

  #row(conversation: string, row: Row): void {
    const sequence = row.sequence ?? 0;
    const head = this.#heads.get(conversation) ?? 0;
    if (sequence <= head) duplicates.add(1);
    // Rows are dense per conversation: a jump without a gap frame would be a loss.
    else if (head > 0 && sequence !== head + 1) disorder.add(1);
    this.#heads.set(conversation, Math.max(head, sequence));
    this.#marks.set(conversation, sequence);
    const sentAt = Number.parseInt(row.body?.message?.text?.body ?? '', 10);
    if (Number.isNaN(sentAt)) return;
    deliveries.add(1);
    endToEndMs.add(Date.now() - sentAt);
  }

  #report(): void {
    if (this.#marks.size === 0) return;
    const delivered = [...this.#marks].map(([conversationId, sequence]) => ({
      conversationId,
      epoch: this.#epoch,
      sequence,
    }));
    this.#marks.clear();
    this.#tell({ receipt: { delivered } });
  }

  #tell(frame: object): void {
    if (this.#socket.readyState === OPEN) this.#socket.send(JSON.stringify(frame));
  }
}
