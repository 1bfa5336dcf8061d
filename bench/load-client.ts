/**
 * One device under load: hello, sends with outbox numbers, commits, rows, delivered marks. Counts
 * what the promises are about: every row once, in order, nothing acknowledged lost.
 */
import { randomUUID } from 'node:crypto';
import { callFrame, helloFrame, In, PONG, receiptFrame, sendFrame, SERVER } from './frames.ts';
import { openSocket, type RawSocket } from './wire.ts';

const MARKS_PERIOD_MS = 100;

export interface LoadEvents {
  /** A row with a body arrived. The text lies in bytes [start, end). */
  readonly row: (
    conversation: string,
    sequence: number,
    text: { bytes: Buffer; start: number; end: number },
  ) => void;
  readonly closed: (code: number) => void;
}

type Answer = (outcome: 'commit' | 'error' | 'closed', reason: string) => void;

/** Where a result lies in its message. */
export type ReadResult<T> = (bytes: Buffer, start: number, end: number) => T;

interface Waiting {
  readonly done: ReadResult<void>;
  readonly failed: (why: string) => void;
}

/** The sends of one conversation: numbers taken, the last accepted, how many are unanswered. */
interface Lane {
  last: number;
  accepted: number;
  pending: number;
  /** One was refused: those behind it will be too, and new ones wait until all are answered. */
  isBroken: boolean;
}

export class LoadClient {
  readonly outboxId: string = randomUUID();
  readonly #events: LoadEvents;
  readonly #answers = new Map<number, Answer>();
  readonly #results = new Map<number, Waiting>();
  readonly #lanes = new Map<string, Lane>();
  readonly #marks = new Map<string, number>();
  readonly #heads = new Map<string, number>();
  #socket: RawSocket | undefined;
  #nextId = 2;
  #epoch = 0;
  #marksTimer: NodeJS.Timeout | undefined;
  #ready: (() => void) | undefined;
  duplicates = 0;
  disorder = 0;
  skips = 0;

  constructor(events: LoadEvents) {
    this.#events = events;
  }

  async connect(url: string, token: string, options: { readonly marks: boolean }): Promise<void> {
    const ready = new Promise<void>((done) => (this.#ready = done));
    this.#socket = await openSocket(new URL(url), 'parley.v1.proto', {
      message: (bytes, start, end) => this.#message(bytes, start, end),
      closed: (code) => this.#closed(code),
    });
    this.#socket.send(helloFrame(token));
    await ready;
    if (options.marks) this.#reportAt(performance.now() + Math.random() * MARKS_PERIOD_MS);
  }

  /** Pipelined: each send names the one before it. */
  send(to: string, text: Buffer, answer: Answer): void {
    const lane = this.#lanes.get(to) ?? { last: 0, accepted: 0, pending: 0, isBroken: false };
    this.#lanes.set(to, lane);
    if (lane.pending === 0) lane.isBroken = false;
    if (lane.isBroken) return answer('error', 'BEHIND_A_REFUSED_ONE');
    const id = this.#nextId++;
    const after = lane.pending === 0 ? lane.accepted : lane.last;
    const clientSeq = ++lane.last;
    lane.pending++;
    this.#answers.set(id, (outcome, reason) => {
      lane.pending--;
      if (outcome === 'commit') lane.accepted = Math.max(lane.accepted, clientSeq);
      else lane.isBroken = true;
      answer(outcome, reason);
    });
    const clientMessageId = randomUUID();
    this.#socket?.send(
      sendFrame({ id, to, outboxId: this.outboxId, clientSeq, after, clientMessageId, text }),
    );
  }

  /** Reads the result while it stands. Rejects when it is refused, or the connection ends. */
  call<T>(method: string, request: Buffer, read: ReadResult<T>): Promise<T> {
    const id = this.#nextId++;
    return new Promise((done, fail) => {
      this.#results.set(id, {
        done: (bytes, start, end) => done(read(bytes, start, end)),
        failed: (why) => fail(new TypeError(`${method}: ${why}`)),
      });
      this.#socket?.send(callFrame(id, method, request));
    });
  }

  raw(frame: Buffer): void {
    this.#socket?.send(frame);
  }

  close(): void {
    clearTimeout(this.#marksTimer);
    this.#socket?.close();
  }

  #closed(code: number): void {
    clearTimeout(this.#marksTimer);
    for (const answer of this.#answers.values()) answer('closed', String(code));
    this.#answers.clear();
    for (const { failed } of this.#results.values()) failed(`closed with ${code}`);
    this.#results.clear();
    this.#events.closed(code);
  }

  /** By the clock: intervals of one process drift into one moment, and devices of people do not. */
  #reportAt(dueMs: number): void {
    this.#marksTimer = setTimeout(() => {
      this.#report();
      this.#reportAt(dueMs + MARKS_PERIOD_MS);
    }, dueMs - performance.now());
  }

  #report(): void {
    if (this.#marks.size === 0) return;
    this.#socket?.send(receiptFrame(this.#epoch, this.#marks));
    this.#marks.clear();
  }

  #message(bytes: Buffer, start: number, end: number): void {
    const frames = new In(bytes, start, end);
    while (frames.nextDelimited()) this.#frame(bytes, frames.inside());
  }

  #frame(bytes: Buffer, frame: In): void {
    let id = 0;
    while (frame.next()) {
      switch (frame.field) {
        case SERVER.id:
          id = frame.value;
          break;
        case SERVER.commit:
          this.#answered(id, 'commit', '');
          break;
        case SERVER.error:
          this.#answered(id, 'error', reasonOf(frame.inside()));
          break;
        case SERVER.result: {
          const waiting = this.#results.get(id);
          this.#results.delete(id);
          waiting?.done(bytes, frame.value, frame.until);
          break;
        }
        case SERVER.ready:
          this.#greeted(frame.inside());
          break;
        case SERVER.rows:
          this.#rows(bytes, frame.inside());
          break;
        case SERVER.ping:
          this.#socket?.send(PONG);
          break;
        default:
      }
    }
  }

  #answered(id: number, outcome: 'commit' | 'error', reason: string): void {
    const answer = this.#answers.get(id);
    this.#answers.delete(id);
    answer?.(outcome, reason);
    this.#results.get(id)?.failed(reason);
    this.#results.delete(id);
  }

  #greeted(ready: In): void {
    while (ready.next()) if (ready.field === 11) this.#epoch = ready.value;
    this.#ready?.();
  }

  #rows(bytes: Buffer, rows: In): void {
    while (rows.next()) {
      const item = rows.inside();
      let conversation = '';
      while (item.next()) {
        if (item.field === 1) conversation = item.text();
        else if (item.field === 4) this.#row(bytes, conversation, item.inside());
      }
    }
  }

  #row(bytes: Buffer, conversation: string, row: In): void {
    let sequence = 0;
    let text: { bytes: Buffer; start: number; end: number } | undefined;
    while (row.next()) {
      if (row.field === 1) sequence = row.value;
      else if (row.field === 8) text = { bytes, start: row.value, end: row.until };
    }
    const head = this.#heads.get(conversation);
    if (head !== undefined) {
      if (sequence === head) this.duplicates++;
      else if (sequence < head) this.disorder++;
      else if (sequence > head + 1) this.skips++;
    }
    this.#heads.set(conversation, Math.max(sequence, head ?? 0));
    if (text === undefined) return;
    this.#marks.set(conversation, sequence);
    this.#events.row(conversation, sequence, text);
  }
}

function reasonOf(error: In): string {
  while (error.next()) if (error.field === 2) return error.text();
  return '';
}
