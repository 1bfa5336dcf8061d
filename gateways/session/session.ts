/**
 * One live connection (CONTRACT §3) as a pure state machine: told what happens, it answers with
 * effects in order. Frames before hello end it; a verified hello admits it; from then on it takes
 * requests, decides what it gets of each row, and watches its own deadlines through `tick`.
 *
 * Invariants: exactly one reply per request with an id while the connection lives · after `close`
 * there are no further effects · a sync token is written only behind the frames that it covers.
 */
import { EMPTY } from '../../core/bytes.ts';
import { ParleyError, toParleyError, type Reason } from '../../core/errors.ts';
import { invariant } from '../../core/invariant.ts';
import { parseAddress } from './address.ts';
import { CLOSE_NORMAL, closeCode } from './close-codes.ts';
import { NO_FOCUS, parseFocus } from './focus.ts';
import { errorFrame, readyFrame } from './frames-out.ts';
import { Lifeline } from './lifeline.ts';
import * as bounds from './limits.ts';
import { Outgoing } from './outgoing.ts';
import { Progress } from './progress.ts';
import { badField, oneOf } from './refusals.ts';
import { Requests } from './requests.ts';
import { parseCursors, type ResumeCursor } from './resume.ts';
import type { Caller } from './caller.ts';
import type {
  ClientFrame,
  Effect,
  RowEvent,
  RowVerdict,
  ServerFrame,
  Surroundings,
} from './session-contract.ts';
import { decodeSyncToken, type SyncToken } from './sync-token.ts';
import { Typing } from './typing.ts';

type Phase = 'new' | 'verifying' | 'live' | 'closed';
type Hello = NonNullable<ClientFrame['hello']>;
type FrameKind = Exclude<keyof ClientFrame, 'id'>;

const FRAME_KINDS: readonly FrameKind[] = [
  'send',
  'receipt',
  'call',
  'pong',
  'ping',
  'typing',
  'focus',
  'auth',
  'bye',
  'hello',
];
const PUSHES = ['full', 'heads'] as const;
const TYPING_STATES = ['typing', 'stopped'] as const;
/** Frames refused by the rate limit, above those granted since, before it ends the connection. */
const REFUSED_FRAMES_MAX = 1000;

export interface SessionOptions {
  readonly surroundings: Surroundings;
  readonly connectionId: string;
  readonly nowMs: number;
}

/** The parts of a connection that exist once it was admitted. */
interface Admitted {
  caller: Caller;
  readonly requests: Requests;
  readonly progress: Progress;
}

export class Session {
  readonly #world: Surroundings;
  readonly #connectionId: string;
  readonly #frames: bounds.TokenBucket;
  readonly #lifeline: Lifeline;
  #effects: Effect[] = [];
  #phase: Phase = 'new';
  #admitted: Admitted | undefined;
  #early: ClientFrame[] = [];
  #pushesHeads = false;
  #focus: ReadonlySet<string> = NO_FOCUS;
  #typing: Typing | undefined;
  #outgoing: Outgoing | undefined;
  #isCongested = false;
  #refusedFrames = 0;
  #flowToldMs = -Infinity;

  constructor(options: SessionOptions) {
    const { limits } = options.surroundings;
    this.#world = options.surroundings;
    this.#connectionId = options.connectionId;
    this.#frames = new bounds.TokenBucket(limits.frameRate, limits.frameBurst, options.nowMs);
    this.#lifeline = new Lifeline(limits, options.nowMs);
  }

  /** undefined before a hello was accepted. */
  get caller(): Caller | undefined {
    return this.#admitted?.caller;
  }

  get isLive(): boolean {
    return this.#phase === 'live';
  }

  get isClosed(): boolean {
    return this.#phase === 'closed';
  }

  /** Above the soft bound of the socket's buffer: rows become gaps, ephemera are dropped. */
  get isCongested(): boolean {
    return this.#isCongested;
  }

  /** Whether something waits to be done. */
  get hasEffects(): boolean {
    return this.#effects.length > 0;
  }

  /** What is to be done now, in order; the session forgets it. */
  takeEffects(): readonly Effect[] {
    const effects = this.#effects;
    if (effects.length > 0) this.#effects = [];
    return effects;
  }

  /** When `tick` is wanted next. */
  get wakeAtMs(): number {
    if (this.#phase === 'closed') return Infinity;
    return Math.min(
      this.#lifeline.nextMs,
      this.#admitted?.progress.nextMs ?? Infinity,
      this.#admitted?.requests.nextMs ?? Infinity,
      this.#typing?.nextLapseMs ?? Infinity,
    );
  }

  // ---- upwards: what the client sends

  frame(frame: ClientFrame, nowMs: number): void {
    if (this.#phase === 'closed' || !this.#admits(frame.id, nowMs)) return;
    this.#lifeline.heard();
    const kind = kindOf(frame);
    if (kind === undefined) return this.close('MALFORMED');
    if (this.#phase === 'live') return this.#request(kind, frame, nowMs);
    if (this.#phase === 'new') {
      if (frame.hello === undefined) return this.close('MALFORMED');
      return this.#hello(frame.id, frame.hello);
    }
    if (kind === 'hello' || this.#early.length >= bounds.EARLY_FRAMES_MAX)
      return this.close('MALFORMED');
    this.#early.push(frame);
  }

  /** A frame that could not be read. `id` = 0 if not even that could be. */
  unreadable(error: ParleyError, id: number, nowMs: number): void {
    if (this.#phase === 'closed' || !this.#admits(id, nowMs)) return;
    const isFatal = error.reason === 'MALFORMED' || error.reason === 'FRAME_TOO_LARGE';
    if (isFatal) return this.close(error.reason);
    this.push(errorFrame(id, error));
    if (this.#phase !== 'live') this.close('MALFORMED');
  }

  /** The socket is gone. Marks that still wait are handed over; nothing else follows. */
  disconnected(): void {
    if (this.#phase === 'closed') return;
    this.#admitted?.requests.flushMarks(Infinity);
    this.#phase = 'closed';
  }

  // ---- downwards: what the broker and the gateway say

  /** What this connection gets of a row. Called once for each row, in the order of its shard. */
  deliver(row: RowEvent): RowVerdict {
    if (this.#phase !== 'live') return 'none';
    const { progress, requests } = this.#parts();
    const { conversationId } = row;
    if (progress.holds(conversationId, row.sequence)) return 'none';
    if (this.#isCongested) {
      this.#outgoing ??= new Outgoing();
      this.#outgoing.miss(row);
      return 'none';
    }
    progress.wrote();
    if (this.#pushesHeads || (row.isLargeGroup && !this.#focus.has(conversationId))) return 'head';
    return requests.isOwn(row) ? 'stub' : 'full';
  }

  /** A conversation as this user sees it now, or (without it) that he sees it no more. */
  conversation(conversationId: string, bytes: Uint8Array | undefined): void {
    if (this.#phase !== 'live') return;
    this.#parts().progress.wrote();
    const items = bytes === undefined ? {} : { items: [bytes] };
    const removed = bytes === undefined ? { removed: [conversationId] } : {};
    this.push({ conversations: { ...items, ...removed } });
  }

  /** Whether this connection is to get receipts, which are pushed in a frame shared by many. */
  takesReceipts(): boolean {
    if (this.#phase !== 'live') return false;
    this.#parts().progress.wrote();
    return true;
  }

  typing(who: { conversationId: string; userId: string }, isTyping: boolean, nowMs: number): void {
    if (this.#phase !== 'live' || this.#isCongested || !this.#focus.has(who.conversationId)) return;
    if (who.userId === this.#parts().caller.userId) return;
    this.#typing ??= new Typing();
    if (this.#typing.heard(who, isTyping, nowMs))
      this.push({ typing: { ...who, state: isTyping ? 'typing' : 'stopped' } });
  }

  /**
   * How many bytes wait in the socket. Rows become gaps above the soft bound; above the hard one, of
   * what it had not taken when the newest batch was put behind it, the connection ends: no one frame
   * ends it, however large.
   */
  pressure(bufferedBytes: number, untakenBytes: number = bufferedBytes): void {
    if (this.#phase === 'closed') return;
    const { socketBufferSoftBytes, socketBufferHardBytes } = this.#world.limits;
    if (untakenBytes > socketBufferHardBytes) return this.close('SLOW_CONSUMER');
    if (bufferedBytes > socketBufferSoftBytes) this.#isCongested = true;
    else if (this.#isCongested && bufferedBytes <= socketBufferSoftBytes / 2) {
      this.#isCongested = false;
      this.#tellMissed();
    }
  }

  /** The feed has a hole: what this connection was told may be incomplete. */
  resync(nowMs: number): void {
    if (this.#phase !== 'live') return;
    const { progress, requests } = this.#parts();
    requests.repeatMarks();
    progress.resync(nowMs);
  }

  /** The server is going away: connect anew, then say bye. */
  drain(reconnectAfterMs: number, nowMs: number): void {
    if (this.#phase === 'closed') return;
    if (this.#phase !== 'live') return this.close('DRAINING');
    this.#parts().progress.writeToken(nowMs);
    this.push({ drain: { reconnectAfterMs } });
    this.#lifeline.draining(nowMs);
  }

  /** Ends the connection: the close frame, then the close. */
  close(reason: Reason): void {
    if (this.#phase === 'closed') return;
    const code = closeCode(reason);
    this.push({ close: { code, reason } });
    this.#emit({ is: 'close', code, reason });
    this.#phase = 'closed';
  }

  tick(nowMs: number): void {
    if (this.#phase === 'closed') return;
    for (const event of this.#lifeline.due(nowMs)) {
      if (event.is === 'close') return this.close(event.reason);
      this.push(event.is === 'ping' ? { ping: {} } : { auth: { expiresInMs: event.expiresInMs } });
    }
    this.#admitted?.requests.flushMarks(nowMs);
    this.#admitted?.requests.repeatMarksWhenDue(nowMs);
    for (const who of this.#typing?.lapsed(nowMs) ?? [])
      this.push({ typing: { ...who, state: 'stopped' } });
    this.#admitted?.progress.tick(nowMs);
  }

  push(frame: ServerFrame): void {
    this.#emit({ is: 'frame', frame });
  }

  // ---- hello and token

  #hello(id: number, hello: Hello): void {
    this.#phase = 'verifying';
    this.#emit({
      is: 'verify',
      token: hello.token,
      done: (outcome, nowMs) => this.#verified(id, hello, outcome, nowMs),
    });
  }

  #verified(id: number, hello: Hello, outcome: Caller | ParleyError, nowMs: number): void {
    if (this.#phase !== 'verifying') return;
    if (outcome instanceof ParleyError) return this.#refuseHello(id, outcome);
    let cursors: readonly ResumeCursor[] = [];
    try {
      this.#pushesHeads = oneOf(hello.push, PUSHES, 'hello.push') === 'heads';
      if (hello.resume !== undefined) cursors = parseCursors(hello.resume, outcome);
    } catch (error) {
      return this.#refuseHello(id, toParleyError(error));
    }
    const { progress } = this.#admit(outcome, nowMs);
    const token = this.#usableToken(hello.resume?.syncToken ?? '', outcome);
    this.push(
      readyFrame(id, this.#world, outcome, {
        connectionId: this.#connectionId,
        resumed: token !== undefined,
      }),
    );
    if (token !== undefined) progress.resume(token.position, cursors);
    else {
      if (hello.resume !== undefined)
        this.push({ gap: { scope: 'all', reason: 'EXPIRED', epoch: this.#world.epoch() } });
      progress.caughtUp(nowMs);
    }
    const early = this.#early;
    this.#early = [];
    for (const frame of early) this.#replay(frame, nowMs);
  }

  #refuseHello(id: number, error: ParleyError): void {
    this.push(errorFrame(id, error));
    // Reasons without a close code of their own are faults of the frame, or an outage.
    const isFault = error.code === 'invalid_argument';
    this.close(isFault ? 'MALFORMED' : error.reason);
  }

  #admit(caller: Caller, nowMs: number): Admitted {
    this.#phase = 'live';
    this.#lifeline.admitted(caller.expiresAtMs - this.#world.wallMs(), nowMs);
    const surroundings = this.#world;
    const emit = (effect: Effect): void => this.#emit(effect);
    const progress = new Progress({
      surroundings,
      caller,
      nowMs,
      emit,
      isCongested: () => this.#isCongested,
      // Whoever cannot be told what he missed connects anew, with the token that he has.
      fail: (error) => this.close(error.code === 'internal' ? 'INVARIANT' : 'OVERLOADED'),
    });
    const requests = new Requests({
      surroundings,
      emit,
      caller: () => this.#parts().caller,
      isOpen: () => this.#phase === 'live',
      listed: (position) => progress.listed(position),
    });
    this.#admitted = { caller, requests, progress };
    this.#emit({ is: 'admit', caller });
    return this.#admitted;
  }

  #replay(frame: ClientFrame, nowMs: number): void {
    const kind = kindOf(frame);
    if (this.#phase === 'live' && kind !== undefined) this.#request(kind, frame, nowMs);
  }

  #parts(): Admitted {
    invariant(this.#admitted !== undefined, 'session.admitted-when-live');
    return this.#admitted;
  }

  /** Marks are handed over even by a connection that has just ended; nothing else is. */
  #emit(effect: Effect): void {
    if (this.#phase !== 'closed' || effect.is === 'mark') this.#effects.push(effect);
  }

  #renew(id: number, token: string): void {
    this.#emit({
      is: 'verify',
      token,
      done: (outcome, nowMs) => {
        if (this.#phase === 'live') this.#renewed(id, outcome, nowMs);
      },
    });
  }

  #renewed(id: number, outcome: Caller | ParleyError, nowMs: number): void {
    if (outcome instanceof ParleyError) {
      this.push(errorFrame(id, outcome));
      if (outcome.code === 'unavailable') this.#lifeline.excused();
      else if (outcome.reason !== 'TOKEN_EXPIRED') this.close(outcome.reason);
      return;
    }
    const parts = this.#parts();
    const before = parts.caller;
    if (outcome.userId !== before.userId || outcome.deviceId !== before.deviceId)
      return this.close('TOKEN_INVALID');
    parts.caller = outcome;
    this.#lifeline.renewed(outcome.expiresAtMs - this.#world.wallMs(), nowMs);
    this.#acknowledge(id);
  }

  // ---- requests of a live connection

  #request(kind: FrameKind, frame: ClientFrame, nowMs: number): void {
    const { requests } = this.#parts();
    try {
      if (frame.send !== undefined) requests.send(frame.id, frame.send);
      else if (frame.receipt !== undefined) requests.report(frame.id, frame.receipt, nowMs);
      else if (frame.call !== undefined) requests.call(frame.id, frame.call);
      else this.#control(kind, frame, nowMs);
    } catch (error) {
      this.push(errorFrame(frame.id, toParleyError(error)));
    }
  }

  #control(kind: FrameKind, frame: ClientFrame, nowMs: number): void {
    switch (kind) {
      case 'ping':
        return this.push({ id: frame.id, pong: {} });
      case 'typing':
        return this.#tellTyping(frame, nowMs);
      case 'focus':
        return this.#setFocus(frame);
      case 'auth':
        return this.#renew(frame.id, frame.auth?.token ?? '');
      case 'bye':
        this.#admitted?.requests.flushMarks(Infinity);
        this.#emit({ is: 'close', code: CLOSE_NORMAL, reason: '' });
        this.#phase = 'closed';
        return;
      case 'hello':
        return this.close('MALFORMED');
      default:
    }
  }

  #tellTyping(frame: ClientFrame, nowMs: number): void {
    const { caller } = this.#parts();
    const given = frame.typing;
    const address = parseAddress(given?.conversationId ?? '', caller.user, 'typing.conversationId');
    const isTyping = oneOf(given?.state ?? '', TYPING_STATES, 'typing.state') === 'typing';
    if ((given?.userId ?? '') !== '') throw badField('typing.userId', 'is set by the server');
    this.#typing ??= new Typing();
    if (this.#typing.mayTell(address.conversationId, isTyping, nowMs))
      this.#emit({ is: 'typing', conversation: address.conversation, isTyping });
    this.#acknowledge(frame.id);
  }

  #setFocus(frame: ClientFrame): void {
    const { caller } = this.#parts();
    this.#focus = parseFocus(frame.focus, caller);
    this.#acknowledge(frame.id);
  }

  #acknowledge(id: number): void {
    if (id > 0) this.#emit({ is: 'result', id, method: undefined, response: EMPTY });
  }

  /** Counts a frame against the rate. A refused one is answered or announced, never silently lost. */
  #admits(id: number, nowMs: number): boolean {
    const waitMs = this.#frames.take(nowMs);
    if (waitMs === 0) {
      this.#refusedFrames = Math.max(0, this.#refusedFrames - 1);
      return true;
    }
    this.#refusedFrames++;
    if (this.#phase !== 'live' || this.#refusedFrames > REFUSED_FRAMES_MAX) {
      this.close('RATE_LIMITED');
      return false;
    }
    if (id > 0) {
      const error = new ParleyError(
        'RATE_LIMITED',
        'too many frames a second',
        {},
        { retryAfterMs: waitMs },
      );
      this.push(errorFrame(id, error));
    } else if (nowMs - this.#flowToldMs >= bounds.FLOW_INTERVAL_MS) {
      this.#flowToldMs = nowMs;
      this.push({ flow: { scope: 'connection', retryAfterMs: waitMs } });
    }
    return false;
  }

  #usableToken(text: string, caller: Caller): SyncToken | undefined {
    if (text === '') return undefined;
    const token = decodeSyncToken(text, caller.user);
    const isUsable =
      token !== undefined &&
      token.epoch === this.#world.epoch() &&
      this.#world.wallMs() - token.timeMs <= this.#world.limits.syncTokenTtlMs;
    return isUsable ? token : undefined;
  }

  #tellMissed(): void {
    const missed = this.#outgoing?.hasMissed === true ? this.#outgoing.take() : [];
    if (missed === undefined) {
      this.push({ gap: { scope: 'all', reason: 'BACKLOG', epoch: this.#world.epoch() } });
      return;
    }
    for (const { conversationId, epoch, from, head } of missed)
      this.push({
        gap: { scope: 'conversation', conversationId, epoch, from, head, reason: 'BACKLOG' },
      });
  }
}

/** The one kind that a frame has; undefined = none or several. */
function kindOf(frame: ClientFrame): FrameKind | undefined {
  let found: FrameKind | undefined;
  for (const kind of FRAME_KINDS) {
    if (frame[kind] === undefined) continue;
    if (found !== undefined) return undefined;
    found = kind;
  }
  return found;
}
