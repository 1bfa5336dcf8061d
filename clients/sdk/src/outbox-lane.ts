/**
 * The sends of one conversation: which may go now, and with which numbers (S5, CONTRACT §3 G3, G5).
 * Pure. A lane pipelines at most LANE_IN_FLIGHT_MAX sends of one outbox; what is numbered goes first
 * and with the same number, because it may have been accepted already.
 */
import type { ConversationId, Sequence } from './contract.ts';
import { invariant } from './invariant.ts';
import type { Moment } from './outbox-events.ts';
import {
  bodyOf,
  type Lane,
  type OutboxEntry,
  type OutboxStep,
  type SendNumber,
  waitsFor,
} from './outbox-entry.ts';
import type { OwnTable, StorePut } from './stores/store-port.ts';

export const QUEUED_MS_MAX: number = 24 * 3600 * 1000;
/** Without an answer for this long the outcome counts as unknown, and the same goes again. */
export const ANSWER_MS_MAX = 20_000;
export const LANE_IN_FLIGHT_MAX = 16;
/** Over all conversations; the server allows 256 unanswered requests of any kind. */
export const IN_FLIGHT_MAX = 192;
/** Conversations compared at once: the connection bounds calls, and others want some. */
export const RECOVERIES_MAX = 8;
const BACKOFF_BASE_MS = 500;
const BACKOFF_MAX_MS = 30_000;

/** An entry and what only this run knows of it. */
export interface Held {
  entry: OutboxEntry;
  step: OutboxStep;
  /** When it was last transmitted, monotonic. */
  sentAtMs: number;
  /** Under its number it may have left the device: only an answer tells whether it counts. */
  hasLeft: boolean;
  /** Answers that asked to try again, in a row. */
  tries: number;
  /**
   * It may stand on the server, under whatever number, and is compared by key before it goes: an
   * earlier run wrote it (and the database may be a restored one), or its number is another's.
   * `unread`: it cannot be compared, so its own number asks.
   */
  doubt: 'none' | 'loaded' | 'refused' | 'unread';
}

/** What failed is its writer's to give up, even where it may stand: then it appears by its row. */
export function isCancellable({ entry, hasLeft }: Held): boolean {
  return entry.failed !== undefined || entry.number === undefined || !hasLeft;
}

export class OutboxLane {
  readonly conversationId: ConversationId;
  /** In the order of writing. */
  readonly held: Held[] = [];
  lane: Lane;
  /** An answer said that the pipeline is out of order, or to wait: nothing goes until all in flight
   * is answered, so that the rest is renumbered in order. */
  isSettling = false;
  isRecovering = false;
  /** How often it could not be compared on this connection. */
  recoveryTries = 0;
  /** An offline-made group that the server does not have yet. */
  isHeld = false;
  /** Monotonic; the server or backoff asked to wait. */
  notBeforeMs = 0;
  /** Highest accepted number by outbox: entries of a former outbox keep theirs. */
  readonly #accepted = new Map<string, number>();

  /**
   * The server is known to have accepted no number of this outbox that was not taken here. A restored
   * database does not know which numbers are used: until then one number goes at a time, because
   * what goes behind one that is refused could be accepted, and would stand before it.
   */
  isProven: boolean;

  constructor(lane: Lane, isProven: boolean) {
    this.conversationId = lane.conversationId;
    this.lane = lane;
    this.isProven = isProven;
    this.#accepted.set(lane.outboxId, lane.lastAccepted);
  }

  /** What is stored of it. */
  put(): StorePut<OwnTable> {
    return { table: 'lanes', key: [this.conversationId], value: this.lane };
  }

  get inFlightCount(): number {
    return this.held.filter((each) => each.step === 'numbering' || each.step === 'in-flight')
      .length;
  }

  /** A number that an entry of the outbox carries: no other may get it. */
  taken(number: { readonly outboxId: string; readonly clientSeq: number }): void {
    if (number.outboxId !== this.lane.outboxId || number.clientSeq < this.lane.next) return;
    this.lane = { ...this.lane, next: number.clientSeq + 1 };
  }

  /** A send of this outbox was accepted under this number, however that became known. */
  accepted(number: { readonly outboxId: string; readonly clientSeq: number }): void {
    const known = this.#accepted.get(number.outboxId) ?? 0;
    this.#accepted.set(number.outboxId, Math.max(known, number.clientSeq));
    this.#keepLane();
  }

  /** The server's own word on what it accepted last. */
  correct(outboxId: string, lastAccepted: Sequence): void {
    this.#accepted.set(outboxId, lastAccepted);
    this.#keepLane();
  }

  /** Numbers start anew under another outbox. */
  renew(outboxId: string): void {
    if (this.lane.outboxId === outboxId) return;
    this.lane = { conversationId: this.conversationId, outboxId, next: 1, lastAccepted: 0 };
    this.#accepted.set(outboxId, 0);
    this.isProven = true;
  }

  /** What is to be compared with what the server holds before anything goes. */
  get doubtful(): readonly Held[] {
    return this.held.filter(
      ({ doubt, entry }) =>
        (doubt === 'loaded' || doubt === 'refused') && entry.failed === undefined,
    );
  }

  recoveryIsOver(): void {
    this.isRecovering = false;
    this.recoveryTries = 0;
  }

  /** Of two that ask to wait the longer one counts. */
  waitUntil(monotonicMs: number): void {
    this.notBeforeMs = Math.max(this.notBeforeMs, monotonicMs);
  }

  /** Monotonic time at which a tick may find something to do here; infinite = nothing waits for time. */
  nextTickMs(moment: Moment, isLive: boolean): number {
    let next = Number.POSITIVE_INFINITY;
    if (this.held.length === 0) return next;
    // Also one that has passed: only a tick looks at all lanes, whatever happened in others since.
    if (isLive && this.notBeforeMs > 0) next = this.notBeforeMs;
    for (const each of this.held) {
      if (each.step === 'in-flight') next = Math.min(next, each.sentAtMs + ANSWER_MS_MAX);
      else if (each.entry.failed === undefined) {
        const leftMs = each.entry.queuedTimeMs + QUEUED_MS_MAX - moment.nowMs;
        next = Math.min(next, moment.monotonicMs + leftMs);
      }
    }
    return next;
  }

  /** Where nothing is held or doubtful, entries to transmit now, numbered: new numbers are taken here. `room` bounds how many. */
  pick(room: number, nowMs: number): Held[] {
    if (this.isSettling && this.inFlightCount > 0) return [];
    this.isSettling = false;
    if (nowMs < this.notBeforeMs) return [];
    const picked: Held[] = [];
    let free = Math.min(room, LANE_IN_FLIGHT_MAX - this.inFlightCount);
    for (const each of this.#inOrder()) {
      if (free === 0) break;
      const outboxId = each.entry.number?.outboxId ?? this.lane.outboxId;
      const ahead = this.#newestInFlight();
      const isProven = this.isProven && outboxId === this.lane.outboxId;
      if (!isProven && ahead !== undefined) break;
      // The server orders within one outbox only, so another's sends must be answered first.
      if (ahead !== undefined && ahead.outboxId !== outboxId) break;
      this.#number(each, outboxId, ahead);
      each.step = 'numbering';
      picked.push(each);
      free -= 1;
    }
    return picked;
  }

  /** What may go, oldest promise first: numbered ones by number, then the ready ones as written. */
  #inOrder(): Held[] {
    const waiting = this.held.filter(
      (each) => each.step === 'queued' && each.entry.failed === undefined,
    );
    const numbered = waiting.filter((each) => each.entry.number !== undefined);
    numbered.sort((a, b) => {
      const isOldA = a.entry.number?.outboxId !== this.lane.outboxId;
      const isOldB = b.entry.number?.outboxId !== this.lane.outboxId;
      if (isOldA !== isOldB) return isOldA ? -1 : 1;
      return (a.entry.number?.clientSeq ?? 0) - (b.entry.number?.clientSeq ?? 0);
    });
    const fresh = waiting.filter(
      (each) => each.entry.number === undefined && waitsFor(each.entry).length === 0,
    );
    return [...numbered, ...fresh];
  }

  #number(each: Held, outboxId: string, ahead: SendNumber | undefined): void {
    const after = Math.max(ahead?.clientSeq ?? 0, this.#accepted.get(outboxId) ?? 0);
    let number = each.entry.number;
    if (number === undefined) {
      number = { outboxId, clientSeq: this.lane.next, after };
      this.lane = { ...this.lane, next: this.lane.next + 1 };
      each.hasLeft = false;
    } else if (after < number.clientSeq) number = { ...number, after };
    // Else a later one was accepted: what became of this one is decided, the answer repeats it.
    invariant(number.after < number.clientSeq, 'outbox.after-below-number');
    each.entry = {
      ...each.entry,
      number,
      body: each.entry.body ?? bodyOf(each.entry.action),
    };
  }

  #newestInFlight(): SendNumber | undefined {
    let newest: SendNumber | undefined;
    for (const each of this.held) {
      if (each.step !== 'numbering' && each.step !== 'in-flight') continue;
      const number = each.entry.number;
      if (number !== undefined && (newest === undefined || number.clientSeq > newest.clientSeq))
        newest = number;
    }
    return newest;
  }

  #keepLane(): void {
    const lastAccepted = this.#accepted.get(this.lane.outboxId) ?? 0;
    const next = Math.max(this.lane.next, lastAccepted + 1);
    if (next !== this.lane.next || lastAccepted !== this.lane.lastAccepted)
      this.lane = { ...this.lane, lastAccepted, next };
  }
}

/** What may begin, over all conversations. */
export interface Room {
  sends: number;
  recoveries: number;
}

export function roomOf(lanes: Iterable<OutboxLane>): Room {
  const room = { sends: IN_FLIGHT_MAX, recoveries: RECOVERIES_MAX };
  for (const lane of lanes) {
    room.sends -= lane.inFlightCount;
    if (lane.isRecovering) room.recoveries -= 1;
  }
  return room;
}

/** Longer each time, up to a bound, and spread. */
export function backoffMs(tries: number, { chance }: Moment): number {
  return (0.5 + chance / 2) * Math.min(BACKOFF_MAX_MS, BACKOFF_BASE_MS * 2 ** tries);
}
