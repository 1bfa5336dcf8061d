/**
 * A device that writes down everything it does and sees, for the chat checker. It speaks
 * `parley.v1.json` over WebSocket, keeps its sends until they are answered, repeats them in order
 * after a break and resumes with its sync token: what the SDK does, in the fewest lines.
 */
import { createHash, randomUUID } from 'node:crypto';
import WebSocket from 'ws';
import type { HistoryEvent } from '../checker/history.ts';

const RECONNECT_MS = 60;
const CURSORS_MAX = 50;

interface PendingSend {
  readonly op: string;
  readonly to: string;
  readonly clientSeq: number;
  after: number;
  readonly clientMessageId: string;
  readonly text: string;
  frameId: number;
}

export interface RecordingClientOptions {
  readonly url: () => string;
  readonly user: string;
  readonly device: string;
  readonly token: string;
  readonly events: HistoryEvent[];
  /** Conversation id of a `direct:` address: what the log will call it. */
  readonly idOf: (to: string) => string;
}

type Json = Readonly<Record<string, unknown>>;

export class RecordingClient {
  readonly #options: RecordingClientOptions;
  readonly #outbox = randomUUID();
  readonly #pending: PendingSend[] = [];
  readonly #numbers = new Map<string, { last: number; accepted: number }>();
  readonly #cursors = new Map<string, { epoch: number; sequence: number }>();
  #socket: WebSocket | undefined;
  #syncToken = '';
  #nextFrame = 2;
  #nextOp = 1;
  #isStopped = false;
  #isReady = false;
  connects = 0;

  constructor(options: RecordingClientOptions) {
    this.#options = options;
  }

  get unanswered(): number {
    return this.#pending.length;
  }

  get isReady(): boolean {
    return this.#isReady;
  }

  start(): void {
    this.#connect();
  }

  stop(): void {
    this.#isStopped = true;
    this.#socket?.terminate();
  }

  send(to: string): void {
    const { user, device, events, idOf } = this.#options;
    const numbers = this.#numbers.get(to) ?? { last: 0, accepted: 0 };
    this.#numbers.set(to, numbers);
    const waiting = this.#pending.findLast((send) => send.to === to);
    const clientSeq = ++numbers.last;
    const op = `${device}/${this.#nextOp++}`;
    const text = `${op} ${randomUUID()}`;
    const send = {
      op,
      to,
      clientSeq,
      after: waiting?.clientSeq ?? numbers.accepted,
      clientMessageId: randomUUID(),
      text,
      frameId: 0,
    };
    this.#pending.push(send);
    events.push({
      is: 'invoked',
      at: now(),
      op,
      user,
      outbox: this.#outbox,
      clientSeq,
      clientMessageId: send.clientMessageId,
      conversation: idOf(to),
      content: digest(text),
    });
    if (this.#isReady) this.#transmit(send);
  }

  #transmit(send: PendingSend): void {
    send.frameId = this.#nextFrame++;
    this.#say({
      id: send.frameId,
      send: {
        to: send.to,
        outboxId: this.#outbox,
        clientSeq: send.clientSeq,
        after: send.after,
        clientMessageId: send.clientMessageId,
        body: { message: { text: { body: send.text } } },
      },
    });
  }

  #say(frame: Json): void {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(frame));
  }

  #connect(): void {
    if (this.#isStopped) return;
    const socket = new WebSocket(
      `${this.#options.url().replace('http', 'ws')}/v1/ws`,
      'parley.v1.json',
    );
    this.#socket = socket;
    socket.on('open', () => {
      const cursors = [...this.#cursors]
        .slice(-CURSORS_MAX)
        .map(([conversationId, cursor]) => ({ conversationId, ...cursor }));
      const resume =
        this.#syncToken === '' ? {} : { resume: { syncToken: this.#syncToken, cursors } };
      this.#say({ id: 1, hello: { token: this.#options.token, ...resume } });
    });
    socket.on('message', (bytes: Buffer) => {
      const parsed: unknown = JSON.parse(bytes.toString());
      for (const frame of Array.isArray(parsed) ? parsed : [parsed]) this.#frame(frame as Json);
    });
    socket.on('error', () => undefined);
    socket.on('close', () => {
      this.#isReady = false;
      if (!this.#isStopped) setTimeout(() => this.#connect(), RECONNECT_MS * (0.5 + Math.random()));
    });
  }

  #frame(frame: Json): void {
    if ('ready' in frame) this.#ready(frame['ready'] as Json);
    else if ('commit' in frame) this.#committed(Number(frame['id']), frame['commit'] as Json);
    else if ('error' in frame) this.#refused(Number(frame['id']), frame['error'] as Json);
    else if ('rows' in frame) this.#rows(frame['rows'] as Json);
    else if ('gap' in frame) this.#gap(frame['gap'] as Json);
    else if ('caughtUp' in frame || 'token' in frame) {
      const holder = (frame['caughtUp'] ?? frame['token']) as Json;
      if (typeof holder['syncToken'] === 'string') this.#syncToken = holder['syncToken'];
    } else if ('ping' in frame) this.#say({ pong: {} });
  }

  #ready(ready: Json): void {
    this.connects++;
    this.#isReady = true;
    // Not resumed: what was missed is not sent as rows, so order starts anew.
    if (ready['resumed'] !== true) this.#jumpEverywhere();
    for (const send of this.#pending) this.#transmit(send);
  }

  #jumpEverywhere(): void {
    const { events, device } = this.#options;
    for (const conversation of this.#cursors.keys())
      events.push({ is: 'jumped', at: now(), reader: device, conversation, to: 0 });
    this.#cursors.clear();
  }

  #committed(frameId: number, commit: Json): void {
    const i = this.#pending.findIndex((send) => send.frameId === frameId);
    const [send] = i < 0 ? [] : this.#pending.splice(i, 1);
    if (send === undefined) return;
    const numbers = this.#numbers.get(send.to);
    if (numbers !== undefined) numbers.accepted = Math.max(numbers.accepted, send.clientSeq);
    this.#options.events.push({
      is: 'committed',
      at: now(),
      op: send.op,
      sequence: Number(commit['sequence']),
      timeMs: Number(commit['timeMs']),
    });
  }

  #refused(frameId: number, error: Json): void {
    const send = this.#pending.find((one) => one.frameId === frameId);
    if (send === undefined) return;
    const reason = String(error['reason']);
    if (FINAL.has(reason)) {
      this.#pending.splice(this.#pending.indexOf(send), 1);
      this.#options.events.push({ is: 'refused', at: now(), op: send.op, reason });
      return;
    }
    // The same again: behind whatever was accepted last, if it was out of order.
    setTimeout(() => {
      if (!this.#isReady || !this.#pending.includes(send)) return;
      if (reason === 'OUT_OF_ORDER') {
        const before = this.#pending.findLast(
          (one) => one.to === send.to && one.clientSeq < send.clientSeq,
        );
        send.after = before?.clientSeq ?? this.#numbers.get(send.to)?.accepted ?? 0;
      }
      this.#transmit(send);
    }, 25);
  }

  #rows(rows: Json): void {
    const { events, device, user } = this.#options;
    for (const item of rows['items'] as Json[]) {
      const conversation = String(item['conversationId']);
      const epoch = Number(item['epoch']);
      for (const row of item['rows'] as Json[]) {
        const sequence = Number(row['sequence']);
        events.push({
          is: 'seen',
          at: now(),
          reader: device,
          user,
          from: 'push',
          conversation,
          epoch,
          sequence,
          clientMessageId: text(row['clientMessageId']),
          outbox: text(row['outboxId']),
          clientSeq: Number(row['clientSeq'] ?? 0),
          content: contentDigest(row['body']),
          timeMs: Number(row['timeMs']),
        });
        this.#cursors.set(conversation, { epoch, sequence });
      }
    }
  }

  #gap(gap: Json): void {
    const { events, device } = this.#options;
    if (gap['scope'] === 'all') return this.#jumpEverywhere();
    const conversation = text(gap['conversationId']);
    const head = Number(gap['head'] ?? 0);
    // A resync names no head: it says only that rows are missing, not which.
    const to = head === 0 ? 0 : head + 1;
    events.push({ is: 'jumped', at: now(), reader: device, conversation, to });
    if (head === 0) this.#cursors.delete(conversation);
    else this.#cursors.set(conversation, { epoch: Number(gap['epoch'] ?? 0), sequence: head });
  }
}

/** Refusals that end a send; everything else is tried again. */
const FINAL: ReadonlySet<string> = new Set([
  'NOT_A_MEMBER',
  'ROLE_REQUIRED',
  'BLOCKED',
  'CONVERSATION_UNKNOWN',
  'IDEMPOTENCY_CONFLICT',
  'TOO_OLD',
  'BAD_TEXT',
  'USER_UNKNOWN',
]);

export function now(): number {
  return performance.now();
}

export function digest(content: string): string {
  return createHash('sha256').update(content).digest('base64url').slice(0, 16);
}

/** Of a body as JSON; '' when there is none, or when the server made the row. */
export function contentDigest(body: unknown): string {
  const message = (body as Json | undefined)?.['message'] as Json | undefined;
  const inner = message?.['text'] as Json | undefined;
  return typeof inner?.['body'] === 'string' ? digest(inner['body']) : '';
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}
