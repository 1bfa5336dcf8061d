/**
 * A gateway's side of the Link to one store: requests with their answers, retries of commands whose
 * outcome is not known, reconnection. Retrying is always safe: the send window answers a command
 * that had been applied with its original commit (DESIGN §3 Dedup).
 *
 * Invariants: every request is answered exactly once, at the latest at its deadline · commands of
 * one caller to one conversation are retried in the order in which they were made.
 */
import { readU53, sameBytes, viewOf } from '../core/bytes.ts';
import { COMMAND_KEY_OFFSET, commandKey } from '../core/command.ts';
import type { Clock, Timer, Timers } from '../core/clock.ts';
import { ParleyError, type Reason } from '../core/errors.ts';
import { decodeError } from '../core/link-payload.ts';
import type { Link } from '../core/link.ts';
import type { Logger, Metered, MetricSample } from '../core/observe.ts';
import { PassingMap } from '../core/passing-map.ts';
import { QUERY_HEADER_BYTES } from '../core/query.ts';
import {
  countAt,
  eachRecord,
  flagsAt,
  keptPayloadAt,
  kindAt,
  lettingGo,
  payloadAt,
  positionAt,
  RECORD,
  requestAt,
  SlabWriter,
  type RecordHeader,
  type RecordKind,
  type Slab,
} from '../core/record.ts';
import type { Commit } from './session/caller.ts';

export interface StoreLinkOptions {
  readonly connect: () => Link;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly log: Logger;
  /** A record that answers no request: a push. Its bytes are valid until it returns. */
  readonly pushed: (kind: RecordKind, at: number, slab: Slab) => void;
  /** All records of a slab have been handled. */
  readonly slabDone: () => void;
  /** The Link stands, again or for the first time: routes go out before anything else. */
  readonly connected: (isFirst: boolean) => void;
}

export interface QueryAnswer {
  readonly bytes: Uint8Array;
  /** Shard index that it was read at. */
  readonly index: number;
}

type Answer<T> = (outcome: T | ParleyError) => void;

interface Question {
  readonly kind: RecordKind;
  /** Number of the method, for queries. */
  readonly extra: number;
  readonly key: Uint8Array;
  readonly payload: Uint8Array;
  readonly commit: Answer<Commit> | undefined;
  readonly result: Answer<QueryAnswer> | undefined;
}

interface Pending {
  readonly request: number;
  readonly header: RecordHeader;
  readonly payload: Uint8Array;
  readonly deadlineMs: number;
  readonly commit: Answer<Commit> | undefined;
  readonly result: Answer<QueryAnswer> | undefined;
  attempts: number;
  /** It was refused for now and will be sent again. */
  waits: boolean;
}

export const COMMAND_DEADLINE_MS = 10_000;
export const QUERY_DEADLINE_MS = 10_000;
const PENDING_MAX = 65_536;
/** An answer of this size keeps its slab; smaller ones are copied, and the slab serves again. */
const SLAB_KEEPING_BYTES = 16_384;
const RETRY_DELAY_MS = 50;
const SWEEP_MS = 250;
const RECONNECT_MIN_MS = 50;
const RECONNECT_MAX_MS = 2000;
const REPLAYED = 1;
const WHOLE_SET = 1;

const PASSING: ReadonlySet<Reason> = new Set<Reason>([
  'SHARD_UNAVAILABLE',
  'NOT_LEADER',
  'MOVED',
  'COMMIT_UNKNOWN',
]);

export class StoreLink implements Metered {
  readonly #options: StoreLinkOptions;
  readonly #pending = new PassingMap<number, Pending>();
  #link: Link | undefined;
  #writer: SlabWriter;
  #lastRequest = 0;
  #reconnectMs = RECONNECT_MIN_MS;
  #connections = 0;
  #retryTimer: Timer | undefined;
  #sweepTimer: Timer | undefined;
  #isStopped = false;
  #retries = 0;
  #unknownOutcomes = 0;
  readonly #each = (at: number, slab: Slab): void => this.#record(at, slab);

  constructor(options: StoreLinkOptions) {
    this.#options = options;
    this.#writer = this.#newWriter();
  }

  start(): void {
    this.#sweepTimer ??= this.#options.timers.every(SWEEP_MS, () => this.#sweep());
    this.#connect();
  }

  /** Answers what is unanswered and closes the Link. */
  stop(): void {
    if (this.#isStopped) return;
    this.#isStopped = true;
    this.#writer.flush();
    this.#sweepTimer?.cancel();
    this.#retryTimer?.cancel();
    for (const pending of this.#pending.values())
      this.#fail(pending, new ParleyError('DRAINING', 'the server is stopping'));
    this.#link?.close();
  }

  get isUp(): boolean {
    return this.#link !== undefined;
  }

  get pendingCount(): number {
    return this.#pending.size;
  }

  /** Proposes a command; the answer is its commit. It may take as long as the deadline. */
  command(bytes: Uint8Array, done: Answer<Commit>): void {
    this.#ask({
      kind: RECORD.command,
      extra: 0,
      key: commandKey(bytes),
      payload: bytes,
      commit: done,
      result: undefined,
    });
  }

  query(
    question: { number: number; key: Uint8Array; user: Uint8Array; device: Uint8Array },
    request: Uint8Array,
    done: Answer<QueryAnswer>,
  ): void {
    const payload = new Uint8Array(QUERY_HEADER_BYTES + request.length);
    payload.set(question.user, 0);
    payload.set(question.device, 16);
    payload.set(request, QUERY_HEADER_BYTES);
    this.#ask({
      kind: RECORD.query,
      extra: question.number,
      key: question.key,
      payload,
      commit: undefined,
      result: done,
    });
  }

  /** A command that nobody waits for: a mark. Lost here or with the Link, it comes again from its session. */
  tell(command: Uint8Array): void {
    if (this.#link?.isWritable !== true) return;
    this.#writer.write({ kind: RECORD.command, id: commandKey(command) }, command);
  }

  typing(conversation: Uint8Array, user: Uint8Array, isTyping: boolean): void {
    if (this.#link?.isWritable !== true) return;
    const payload = new Uint8Array(17);
    payload.set(user, 0);
    payload[16] = isTyping ? 1 : 0;
    this.#writer.write({ kind: RECORD.typing, id: conversation }, payload);
  }

  /** Which users this gateway serves: those that came, or all there are. */
  routes(users: readonly { handle: number; user: Uint8Array }[], isWholeSet: boolean): void {
    if (this.#link === undefined) return;
    const payload = new Uint8Array(users.length * 20);
    const view = viewOf(payload);
    for (const [i, { handle, user }] of users.entries()) {
      view.setUint32(i * 20, handle, true);
      payload.set(user, i * 20 + 4);
    }
    const flags = isWholeSet ? WHOLE_SET : 0;
    this.#writer.write({ kind: RECORD.routes, flags }, payload);
  }

  unroutes(handles: readonly number[]): void {
    if (this.#link === undefined || handles.length === 0) return;
    const payload = new Uint8Array(handles.length * 4);
    const view = viewOf(payload);
    for (const [i, handle] of handles.entries()) view.setUint32(i * 4, handle, true);
    this.#writer.write({ kind: RECORD.unroutes }, payload);
  }

  /** Rows of these conversations come to this Link, whoever is connected; or no more. */
  subscribe(conversations: readonly Uint8Array[], isOn: boolean): void {
    if (this.#link === undefined || conversations.length === 0) return;
    const payload = new Uint8Array(conversations.length * 16);
    for (const [i, conversation] of conversations.entries()) payload.set(conversation, i * 16);
    this.#writer.write({ kind: isOn ? RECORD.subscribe : RECORD.unsubscribe }, payload);
  }

  /** Ships what was packed in this turn. */
  flush(): void {
    this.#writer.flush();
  }

  metrics(): readonly MetricSample[] {
    return [
      gauge(
        'parley_gateway_pending_requests',
        'Requests to the store unanswered',
        this.#pending.size,
      ),
      counter('parley_gateway_retries_total', 'Commands sent to the store again', this.#retries),
      counter(
        'parley_gateway_unknown_outcomes_total',
        'Commands whose outcome stayed unknown',
        this.#unknownOutcomes,
      ),
      counter('parley_gateway_link_connects_total', 'Times the Link was made', this.#connections),
    ];
  }

  #ask(question: Question): void {
    const { kind, extra, key, payload, commit, result } = question;
    const refusal = this.#refusal();
    if (refusal !== undefined) {
      (commit ?? result)?.(refusal);
      return;
    }
    this.#lastRequest = (this.#lastRequest % 0xffffffff) + 1;
    const request = this.#lastRequest;
    const lifeMs = commit === undefined ? QUERY_DEADLINE_MS : COMMAND_DEADLINE_MS;
    // Written out: objects that are spread together get no form in common, which cost 3 µs a send.
    const pending: Pending = {
      request,
      header: { kind, request, extra, id: key },
      payload,
      deadlineMs: this.#options.clock.monotonicMs() + lifeMs,
      commit,
      result,
      attempts: 0,
      waits: false,
    };
    this.#pending.set(request, pending);
    if (this.#link !== undefined) this.#write(pending);
  }

  /** Beyond its window a Link holds everything in memory and closes when that is too much. */
  #refusal(): ParleyError | undefined {
    if (this.#isStopped) return new ParleyError('DRAINING', 'the server is stopping');
    if (this.#link?.isWritable === false) return overloaded('the store takes no more for now');
    return this.#pending.size >= PENDING_MAX
      ? overloaded('too many requests are unanswered')
      : undefined;
  }

  #write(pending: Pending): void {
    pending.attempts++;
    pending.waits = false;
    this.#writer.write(pending.header, pending.payload);
  }

  // ---- what comes back

  #received(slab: Slab): void {
    slab.holds++;
    eachRecord(slab, this.#each);
    if (--slab.holds === 0 && (slab.isKept || !this.#writer.recycle(slab)))
      this.#link?.giveBack(slab);
    this.#options.slabDone();
  }

  /** What was made of an answer's bytes has been copied away: its slab may serve again. */
  spent(part: Uint8Array): void {
    const slab = lettingGo(part);
    if (slab !== undefined) this.#link?.giveBack(slab);
  }

  #record(at: number, slab: Slab): void {
    const kind = kindAt(slab, at) as RecordKind;
    if (kind > RECORD.error) return this.#options.pushed(kind, at, slab);
    const pending = this.#pending.get(requestAt(slab, at));
    if (pending === undefined) return;
    if (kind === RECORD.error) return this.#refused(pending, decodeError(payloadAt(slab, at)));
    this.#pending.delete(pending.request);
    if (kind === RECORD.commit) pending.commit?.(commitAt(at, slab));
    else pending.result?.({ bytes: this.#keep(at, slab), index: positionAt(slab, at) });
  }

  /** The payload, for as long as anybody wants it. */
  #keep(at: number, slab: Slab): Uint8Array {
    const payload = payloadAt(slab, at);
    return payload.length < SLAB_KEEPING_BYTES ? payload.slice() : keptPayloadAt(slab, at);
  }

  #refused(pending: Pending, error: ParleyError): void {
    const isPassing =
      PASSING.has(error.reason) ||
      (error.reason === 'OUT_OF_ORDER' && this.#followsRetried(pending));
    if (!isPassing) return this.#fail(pending, error);
    pending.waits = true;
    this.#retryTimer ??= this.#options.timers.after(RETRY_DELAY_MS, () => this.#retry());
  }

  /** Whether an earlier command of the same caller and conversation is being sent again. */
  #followsRetried(pending: Pending): boolean {
    if (pending.commit === undefined) return false;
    const lane = laneOf(pending.payload);
    for (const earlier of this.#pending.values()) {
      if (earlier === pending) return false;
      const isRetried = earlier.waits || earlier.attempts > 1;
      if (isRetried && earlier.commit !== undefined && sameBytes(laneOf(earlier.payload), lane))
        return true;
    }
    return false;
  }

  #retry(): void {
    this.#retryTimer = undefined;
    if (this.#link === undefined) return;
    for (const pending of this.#pending.values()) {
      if (!pending.waits) continue;
      this.#retries++;
      this.#write(pending);
    }
    this.#writer.flush();
  }

  #sweep(): void {
    const nowMs = this.#options.clock.monotonicMs();
    for (const pending of this.#pending.values()) {
      if (pending.deadlineMs > nowMs) continue;
      this.#fail(pending, this.#overdue(pending));
    }
  }

  #overdue(pending: Pending): ParleyError {
    if (pending.commit !== undefined) {
      this.#unknownOutcomes++;
      return new ParleyError('COMMIT_UNKNOWN', 'the outcome is not known; send the same again');
    }
    if (this.#link === undefined)
      return new ParleyError('SHARD_UNAVAILABLE', 'the store cannot be reached');
    return new ParleyError('DEADLINE', 'the store did not answer in time');
  }

  #fail(pending: Pending, error: ParleyError): void {
    this.#pending.delete(pending.request);
    (pending.commit ?? pending.result)?.(error);
  }

  // ---- the Link itself

  #connect(): void {
    if (this.#isStopped) return;
    let link: Link;
    try {
      link = this.#options.connect();
    } catch (error) {
      return this.#connectLater(String(error));
    }
    this.#link = link;
    this.#writer = this.#newWriter();
    link.listen({
      slab: (slab) => this.#received(slab),
      writable: () => undefined,
      closed: (reason) => this.#closed(link, reason),
    });
    const isFirst = this.#connections++ === 0;
    this.#options.connected(isFirst);
    // In the order in which they were made, behind the routes.
    for (const pending of this.#pending.values()) {
      if (pending.attempts > 0) this.#retries++;
      this.#write(pending);
    }
    this.#writer.flush();
  }

  #closed(link: Link, reason: ParleyError | undefined): void {
    if (this.#link !== link) return;
    this.#link = undefined;
    this.#connectLater(reason?.reason ?? 'closed');
  }

  #connectLater(why: string): void {
    if (this.#isStopped) return;
    this.#options.log.warn('the link to the store is down', { why });
    this.#options.timers.after(this.#reconnectMs, () => this.#connect());
    this.#reconnectMs = Math.min(RECONNECT_MAX_MS, this.#reconnectMs * 2);
  }

  #newWriter(): SlabWriter {
    return new SlabWriter(
      (slab) => this.#link?.send(slab),
      (flush) => this.#options.timers.soon(flush),
    );
  }
}

function commitAt(at: number, slab: Slab): Commit {
  return {
    sequence: positionAt(slab, at),
    timeMs: readU53(viewOf(payloadAt(slab, at)), 0),
    queued: countAt(slab, at),
    replayed: (flagsAt(slab, at) & REPLAYED) !== 0,
  };
}

/** Conversation and caller of a command: whose order must be kept. */
function laneOf(command: Uint8Array): Uint8Array {
  return command.subarray(COMMAND_KEY_OFFSET, COMMAND_KEY_OFFSET + 32);
}

function overloaded(why: string): ParleyError {
  return new ParleyError('OVERLOADED', why, {}, { retryAfterMs: 200 });
}

function gauge(name: string, help: string, value: number): MetricSample {
  return { name, kind: 'gauge', help, value };
}

function counter(name: string, help: string, value: number): MetricSample {
  return { name, kind: 'counter', help, value };
}
