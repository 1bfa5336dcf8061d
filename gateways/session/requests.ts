/**
 * Requests of a live connection that the broker answers: sends, calls, receipts. Counts what is
 * unanswered, keeps the sends of a conversation in order, and knows which rows this connection sent.
 */
import { EMPTY, hex, sameBytes } from '../../core/bytes.ts';
import { ParleyError } from '../../core/errors.ts';
import { isIdentityMethod, methodOf, PUBLIC_METHODS, type MethodName } from './method-names.ts';
import { dispatch, dispatchPublic, isPage, parseReport, type CallOutcome } from './dispatcher.ts';
import { errorFrame } from './frames-out.ts';
import * as bounds from './limits.ts';
import { markCommand, MarkMerger } from './marks.ts';
import { badField } from './refusals.ts';
import { prepareSend, type PreparedSend, type SendRequest } from './send.ts';
import type { Caller } from './caller.ts';
import type { ClientFrame, Effect, RowEvent, Surroundings } from './session-contract.ts';
import type { Position } from './sync-token.ts';

type CallFrame = NonNullable<ClientFrame['call']>;
type ReceiptFrame = NonNullable<ClientFrame['receipt']>;

export interface RequestsOptions {
  readonly surroundings: Surroundings;
  readonly caller: () => Caller;
  readonly emit: (effect: Effect) => void;
  /** False once the connection has ended: answers go nowhere then. */
  readonly isOpen: () => boolean;
  readonly listed: (position: Position) => void;
}

/** What is under way to one conversation. */
interface Lane {
  inFlight: number;
  /** Sends waiting for a look whether the other user exists; in order. */
  waiting: ((isUnknown: boolean) => void)[] | undefined;
}

const OUTBOXES_MAX = 4;
const OWN_SENDS_MAX = 512;

export class Requests {
  readonly #world: Surroundings;
  readonly #caller: () => Caller;
  readonly #emit: (effect: Effect) => void;
  readonly #isOpen: () => boolean;
  readonly #listed: (position: Position) => void;
  #unanswered = 0;
  #pagesUnderWay = 0;
  /** Pages that were asked for and wait for earlier ones to be answered; unanswered, so as few as these. */
  #laterPages: (() => void)[] | undefined;
  readonly #lanes = new Map<string, Lane>();
  #marks: MarkMerger | undefined;
  #markRate: bounds.TokenBucket | undefined;
  /** When the marks that left since the last time are said once more. */
  #repeatDueMs = Infinity;
  #repeatedMs = -Infinity;
  /** Outboxes this connection sends from: their rows come back without bodies. */
  readonly #outboxes: Uint8Array[] = [];
  /** Names of sends without an outbox whose rows have not passed yet. */
  #ownNames: Set<string> | undefined;

  constructor(options: RequestsOptions) {
    this.#world = options.surroundings;
    this.#caller = options.caller;
    this.#emit = options.emit;
    this.#isOpen = options.isOpen;
    this.#listed = options.listed;
  }

  get nextMs(): number {
    return Math.min(this.#repeatDueMs, this.#marks?.nextDueMs ?? Infinity);
  }

  send(id: number, request: SendRequest): void {
    if (id <= 0) throw badField('id', 'is needed: each send is answered');
    this.#checkUnanswered();
    const send = prepareSend(request, this.#caller(), this.#world);
    const lane = this.#lane(send.conversationId);
    if (lane.inFlight >= this.#world.limits.inflightSendsMax)
      throw tooMany('sends to this conversation');
    this.#remember(send);
    lane.inFlight++;
    this.#unanswered++;
    const { peer } = send;
    const go = (isUnknown: boolean): void =>
      this.#propose(id, send, isUnknown && peer !== undefined);
    if (lane.waiting !== undefined) lane.waiting.push(go);
    else if (peer === undefined) go(false);
    else this.#askAbout(peer, lane, go);
  }

  call(id: number, call: CallFrame): void {
    if (id <= 0) throw badField('id', 'is needed: each call is answered');
    this.#checkUnanswered();
    const method = methodOf(call.method);
    const request = this.#world.readRequest(method, call.request);
    const caller = this.#caller();
    const routine =
      isIdentityMethod(method) && PUBLIC_METHODS.has(method)
        ? dispatchPublic(method, request as object)
        : dispatch(method, request, caller, this.#world);
    this.#unanswered++;
    const isOfPages = isPage(method);
    const begin = (): void =>
      this.#emit({
        is: 'run',
        routine,
        done: (outcome) => {
          this.#unanswered--;
          if (!this.#isOpen()) return;
          if (outcome instanceof ParleyError) this.#refuse(id, outcome);
          else this.#answer(id, method, outcome as CallOutcome);
          if (isOfPages) this.#endPage();
        },
      });
    if (isOfPages) this.#beginPage(begin);
    else begin();
  }

  report(id: number, report: ReceiptFrame, nowMs: number): void {
    const caller = this.#caller();
    const marks = parseReport(report, caller, this.#world.epoch());
    this.#marks ??= new MarkMerger();
    this.#chargeMarks(marks.length, nowMs);
    if (this.#repeatDueMs === Infinity) this.#repeatDueMs = nowMs + repeatAfterMs(caller.user);
    for (const mark of marks)
      if (this.#marks.offer(mark, this.#intervalOf(mark.conversation), nowMs))
        this.#emit({
          is: 'mark',
          command: markCommand(
            caller.user,
            mark.conversation,
            mark.deliveredThrough,
            mark.readThrough,
          ),
        });
    if (id > 0) this.#emit({ is: 'result', id, method: undefined, response: EMPTY });
  }

  #chargeMarks(count: number, nowMs: number): void {
    this.#markRate ??= new bounds.TokenBucket(
      bounds.MARKS_PER_SECOND_MAX,
      bounds.MARKS_BURST_MAX,
      nowMs,
    );
    const retryAfterMs = this.#markRate.take(nowMs, count);
    if (retryAfterMs > 0)
      throw new ParleyError('RATE_LIMITED', 'too many marks a second', {}, { retryAfterMs });
  }

  /** Hands over the merged marks whose time has come by `untilMs`. */
  flushMarks(untilMs: number): void {
    if (this.#marks === undefined || this.#marks.nextDueMs > untilMs) return;
    const { user } = this.#caller();
    for (const command of this.#marks.due(untilMs, user, (id) => this.#intervalOf(id)))
      this.#emit({ is: 'mark', command });
  }

  /** Says the recent marks once more when it is time: a busy store may have refused some. */
  repeatMarksWhenDue(nowMs: number): void {
    if (nowMs < this.#repeatDueMs) return;
    this.#repeatDueMs = Infinity;
    this.repeatMarks();
    this.#repeatedMs = nowMs;
  }

  /** Says the recent marks once more: what was under way on a Link that broke is lost. */
  repeatMarks(): void {
    if (this.#marks === undefined) return;
    const { user } = this.#caller();
    for (const command of this.#marks.toldSince(this.#repeatedMs, user))
      this.#emit({ is: 'mark', command });
  }

  /** Whether this connection sent the row, so that it has the body. */
  isOwn(row: RowEvent): boolean {
    if (this.#outboxes.length === 0 && this.#ownNames === undefined) return false;
    if (!sameBytes(row.device, this.#caller().device)) return false;
    for (const outbox of this.#outboxes) if (sameBytes(outbox, row.outbox)) return true;
    return this.#ownNames?.delete(hex(row.clientMessageId)) ?? false;
  }

  /** The first send to a direct asks whether its other user exists; those behind it wait, in order. */
  #askAbout(peer: Uint8Array, lane: Lane, go: (isUnknown: boolean) => void): void {
    lane.waiting = [];
    this.#emit({
      is: 'unknown-users',
      users: [peer],
      done: (outcome) => {
        const waiting = lane.waiting ?? [];
        lane.waiting = undefined;
        // Who cannot be looked up is not refused: the log then holds a direct that nobody reads.
        const isUnknown = !(outcome instanceof ParleyError) && outcome.length > 0;
        for (const next of [go, ...waiting]) next(isUnknown);
      },
    });
  }

  #propose(id: number, send: PreparedSend, isUnknown: boolean): void {
    const { conversation, conversationId } = send;
    this.#emit({
      is: 'send',
      command: isUnknown ? send.command('USER_UNKNOWN') : send.command(),
      done: (outcome) => {
        this.#unanswered--;
        this.#leave(conversationId);
        if (!this.#isOpen()) return;
        if (outcome instanceof ParleyError) this.#refuse(id, outcome);
        else this.#emit({ is: 'commit', id, conversation, conversationId, commit: outcome });
      },
    });
  }

  #answer(id: number, method: MethodName, { response, position }: CallOutcome): void {
    this.#emit({ is: 'result', id, method, response });
    if (position !== undefined) this.#listed(position);
  }

  #beginPage(begin: () => void): void {
    if (this.#pagesUnderWay >= bounds.PAGES_UNDER_WAY_MAX) {
      (this.#laterPages ??= []).push(begin);
      return;
    }
    this.#pagesUnderWay++;
    begin();
  }

  #endPage(): void {
    this.#pagesUnderWay--;
    const next = this.#laterPages?.shift();
    if (next !== undefined) this.#beginPage(next);
  }

  #refuse(id: number, error: ParleyError): void {
    this.#emit({ is: 'frame', frame: errorFrame(id, error) });
  }

  #checkUnanswered(): void {
    if (this.#unanswered >= this.#world.limits.inflightRequestsMax) throw tooMany('requests');
  }

  #lane(conversationId: string): Lane {
    let lane = this.#lanes.get(conversationId);
    if (lane === undefined) {
      lane = { inFlight: 0, waiting: undefined };
      this.#lanes.set(conversationId, lane);
    }
    return lane;
  }

  #leave(conversationId: string): void {
    const lane = this.#lanes.get(conversationId);
    if (lane === undefined) return;
    lane.inFlight--;
    if (lane.inFlight === 0) this.#lanes.delete(conversationId);
  }

  #remember(send: PreparedSend): void {
    const { outbox } = send;
    if (outbox === undefined) {
      this.#ownNames ??= new Set();
      if (this.#ownNames.size >= OWN_SENDS_MAX) this.#ownNames.clear();
      this.#ownNames.add(hex(send.clientMessageId));
      return;
    }
    if (this.#outboxes.some((known) => sameBytes(known, outbox))) return;
    if (this.#outboxes.length >= OUTBOXES_MAX) this.#outboxes.shift();
    this.#outboxes.push(outbox);
  }

  #intervalOf(conversation: Uint8Array): number {
    return this.#world.isLargeGroup(conversation)
      ? bounds.MARK_INTERVAL_LARGE_MS
      : bounds.MARK_INTERVAL_MS;
  }
}

function tooMany(what: string): ParleyError {
  return new ParleyError(
    'IN_FLIGHT_EXCEEDED',
    `too many unanswered ${what}`,
    {},
    { retryAfterMs: 100 },
  );
}

/**
 * Who came back together (a gateway or a store that started) says marks once more apart from each
 * other: all in one moment, a busy store would refuse them a second time, and then for good.
 */
function repeatAfterMs(user: Uint8Array): number {
  const share = (((user[14] ?? 0) << 8) | (user[15] ?? 0)) % bounds.MARK_REPEAT_SPREAD_MS;
  return bounds.CHECK_INTERVAL_MS + share;
}
