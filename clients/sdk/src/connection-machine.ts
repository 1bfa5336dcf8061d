/**
 * When to connect, with what credential, when to give up (S15-S17, CONTRACT §3, §8). Pure: events
 * and the moment in, effects out. One connection at a time; the driver ignores what a former one says.
 */
import type { Phase } from './client-interface.ts';
import { knownReason } from './errors.ts';
import type { Moment } from './outbox-events.ts';
import { REASONS, type Reason } from './reasons.ts';

export const READY_MS_MAX = 4_000;
export const SILENCE_MS_MAX = 30_000;
export const PONG_MS_MAX = 5_000;
/** After sleep or focus: a person is looking. */
export const PONG_WAKE_MS_MAX = 3_000;
export const SLOW_MS = 5_000;
/** Alive this long, the next failure is a first one again. */
const STABLE_MS = 5_000;
const NUDGE_MS_MAX = 1_000;
/** A silence timer this late means that the machine slept. */
const SLEPT_MS = 5_000;
const BASE_MS = 500;
const MAX_MS = 30_000;

export type TimerName = 'retry' | 'ready' | 'silence' | 'pong' | 'slow' | 'stable' | 'drain';

export type ConnectionEvent =
  | { readonly is: 'start' }
  | { readonly is: 'stop'; readonly reason?: Reason }
  | { readonly is: 'credential'; readonly token: string; readonly expiresInMs: number }
  | { readonly is: 'credential-failed'; readonly reason: Reason; readonly retryAfterMs: number }
  | { readonly is: 'opened' }
  /** Any frame: the other side lives. */
  | { readonly is: 'heard' }
  | { readonly is: 'ready'; readonly baseMs: number; readonly maxMs: number }
  | { readonly is: 'caught-up' }
  | { readonly is: 'refused'; readonly reason: Reason; readonly retryAfterMs: number }
  | { readonly is: 'expiring' }
  | { readonly is: 'drain'; readonly reconnectAfterMs: number }
  | { readonly is: 'closed'; readonly code: number; readonly reason: string }
  | { readonly is: 'signal'; readonly signal: 'online' | 'offline' | 'wake' }
  | { readonly is: 'timer'; readonly name: TimerName };

export type ConnectionEffect =
  | { readonly is: 'open' }
  | { readonly is: 'hello'; readonly token: string }
  | { readonly is: 'auth'; readonly token: string }
  | { readonly is: 'ping' }
  /** Gone, with a `bye` if it was live. */
  | { readonly is: 'close' }
  | { readonly is: 'credential'; readonly why: 'start' | 'expiring' | 'refused' }
  | { readonly is: 'timer'; readonly name: TimerName; readonly ms: number }
  | { readonly is: 'clear'; readonly name: TimerName }
  | { readonly is: 'signed-out'; readonly reason: Reason }
  | { readonly is: 'replaced' };

type Mode = 'stopped' | 'waiting' | 'asking' | 'opening' | 'greeting' | 'catching-up' | 'live';

const SIGNED_OUT: ReadonlySet<Reason> = new Set<Reason>([
  'SESSION_REVOKED',
  'DEVICE_UNKNOWN',
  'ACCOUNT_SUSPENDED',
  'REFRESH_REUSED',
  'LOGIN_FAILED',
  // The credential is another account's than the data here.
  'SENDER_MISMATCH',
]);

export class ConnectionMachine {
  #mode: Mode = 'stopped';
  #effects: ConnectionEffect[] = [];
  #attempts = 0;
  #baseMs = BASE_MS;
  #maxMs = MAX_MS;
  #token = '';
  #tokenEndsMs = 0;
  #isAsking = false;
  #wasAsked = false;
  /** Credentials refused in a row without a `ready` between. */
  #refusals = 0;
  /** Earliest time the server allows a new attempt. */
  #notBeforeMs = 0;
  #silenceDueMs = 0;
  #nextTryAtMs: number | undefined;
  #reason: Reason | undefined;
  #isSlow = false;

  get phase(): Phase {
    if (this.#mode === 'waiting') return 'offline';
    if (this.#mode === 'asking' || this.#mode === 'opening' || this.#mode === 'greeting')
      return 'connecting';
    return this.#mode;
  }

  get reason(): Reason | undefined {
    return this.#reason;
  }

  get isSlow(): boolean {
    return this.#isSlow;
  }

  /** Wall clock. */
  get nextTryAtMs(): number | undefined {
    return this.#nextTryAtMs;
  }

  /** Frames other than hello may be sent. */
  get isReady(): boolean {
    return this.#mode === 'catching-up' || this.#mode === 'live';
  }

  step(event: ConnectionEvent, moment: Moment): readonly ConnectionEffect[] {
    this.#effects = [];
    this.#take(event, moment);
    return this.#effects;
  }

  #take(event: ConnectionEvent, moment: Moment): void {
    switch (event.is) {
      case 'start':
        if (this.#mode === 'stopped') this.#start(moment);
        return;
      case 'stop':
        return this.#stop(event.reason);
      case 'credential':
        return this.#credential(event, moment);
      case 'credential-failed':
        return this.#credentialFailed(event, moment);
      case 'opened':
        if (this.#mode !== 'opening') return;
        this.#mode = 'greeting';
        this.#effects.push({ is: 'hello', token: this.#token });
        return;
      case 'heard':
        return this.#heard(moment);
      case 'ready':
        return this.#ready(event);
      case 'caught-up':
        if (this.#mode !== 'catching-up') return;
        this.#mode = 'live';
        this.#notSlow();
        return;
      case 'refused':
        return this.#ended(event.reason, event.retryAfterMs, moment);
      case 'expiring':
        return this.#ask('expiring');
      case 'drain':
        // Spread, so that a node's connections do not arrive at the next all at once.
        return this.#timer('drain', moment.chance * event.reconnectAfterMs);
      case 'closed':
        return this.#closed(event.code, event.reason, moment);
      case 'signal':
        return this.#signal(event.signal, moment);
      case 'timer':
        return this.#timeout(event.name, moment);
    }
  }

  #start(moment: Moment): void {
    this.#reason = undefined;
    this.#attempts = 0;
    this.#refusals = 0;
    this.#notBeforeMs = 0;
    this.#timer('slow', SLOW_MS);
    this.#connect(moment);
  }

  #stop(reason: Reason | undefined): void {
    const wasOpen = this.#hasSocket();
    this.#mode = 'stopped';
    this.#reason = reason;
    this.#nextTryAtMs = undefined;
    this.#isSlow = false;
    for (const name of ['retry', 'ready', 'silence', 'pong', 'slow', 'stable', 'drain'] as const)
      this.#effects.push({ is: 'clear', name });
    if (wasOpen) this.#effects.push({ is: 'close' });
  }

  #connect(moment: Moment): void {
    this.#nextTryAtMs = undefined;
    if (this.#token !== '' && moment.monotonicMs < this.#tokenEndsMs) return this.#open();
    this.#mode = 'asking';
    const why = this.#refusals > 0 ? 'refused' : this.#wasAsked ? 'expiring' : 'start';
    this.#ask(why);
  }

  #open(): void {
    this.#mode = 'opening';
    this.#effects.push({ is: 'open' });
    this.#timer('ready', READY_MS_MAX);
  }

  #ask(why: 'start' | 'expiring' | 'refused'): void {
    if (this.#isAsking) return;
    this.#isAsking = true;
    this.#wasAsked = true;
    this.#effects.push({ is: 'credential', why });
  }

  #credential(
    event: { readonly token: string; readonly expiresInMs: number },
    moment: Moment,
  ): void {
    this.#isAsking = false;
    if (event.expiresInMs <= 0) {
      // Refused here: the server would only say the same.
      if (this.#mode === 'asking') this.#wait('TOKEN_EXPIRED', 0, moment);
      return;
    }
    this.#token = event.token;
    this.#tokenEndsMs = moment.monotonicMs + event.expiresInMs;
    if (this.#mode === 'asking') this.#open();
    else if (this.isReady) this.#effects.push({ is: 'auth', token: event.token });
  }

  #credentialFailed(
    event: { readonly reason: Reason; readonly retryAfterMs: number },
    moment: Moment,
  ): void {
    this.#isAsking = false;
    if (this.#mode === 'stopped') return;
    const isOver = SIGNED_OUT.has(event.reason) || event.reason === 'TOKEN_INVALID';
    if (isOver) this.#signedOut(event.reason);
    // While a connection lives, its end asks again; the token in use has some life left.
    else if (this.#mode === 'asking') this.#wait(event.reason, event.retryAfterMs, moment);
  }

  #ready(event: { readonly baseMs: number; readonly maxMs: number }): void {
    if (this.#mode !== 'greeting') return;
    this.#mode = 'catching-up';
    this.#reason = undefined;
    this.#refusals = 0;
    if (event.baseMs > 0) this.#baseMs = event.baseMs;
    if (event.maxMs > 0) this.#maxMs = event.maxMs;
    this.#effects.push({ is: 'clear', name: 'ready' });
    this.#timer('stable', STABLE_MS);
  }

  #heard(moment: Moment): void {
    this.#effects.push({ is: 'clear', name: 'pong' });
    this.#silenceDueMs = moment.monotonicMs + SILENCE_MS_MAX;
    this.#timer('silence', SILENCE_MS_MAX);
  }

  #closed(code: number, text: string, moment: Moment): void {
    if (!this.#hasSocket()) return;
    const named = (Object.keys(REASONS) as Reason[]).find(
      (reason) => code >= 4000 && REASONS[reason].close === code,
    );
    const reason = named ?? (text in REASONS ? knownReason(text) : 'BACKEND_UNAVAILABLE');
    this.#mode = 'waiting';
    if (named === undefined && code >= 4500 && code <= 4999)
      return this.#stop('PROTOCOL_UNSUPPORTED');
    this.#ended(reason, 0, moment);
  }

  /** The connection is over, or its hello was refused. */
  #ended(reason: Reason, retryAfterMs: number, moment: Moment): void {
    if (this.#mode === 'stopped') return;
    if (SIGNED_OUT.has(reason)) return this.#signedOut(reason);
    if (reason === 'REPLACED') {
      this.#stop('REPLACED');
      this.#effects.push({ is: 'replaced' });
      return;
    }
    if (reason === 'TOKEN_INVALID' || reason === 'TOKEN_EXPIRED') {
      this.#token = '';
      this.#refusals += 1;
      if (reason === 'TOKEN_INVALID' && this.#refusals > 1) return this.#signedOut(reason);
      // The first refusal asks at once; a second one means that waiting is due.
      if (this.#refusals === 1) {
        this.#drop();
        return this.#connect(moment);
      }
    } else if (REASONS[reason].close >= 4500) return this.#stop(reason);
    this.#wait(reason, retryAfterMs, moment);
  }

  #signedOut(reason: Reason): void {
    this.#token = '';
    this.#stop(reason);
    this.#effects.push({ is: 'signed-out', reason });
  }

  #wait(reason: Reason, retryAfterMs: number, moment: Moment): void {
    this.#drop();
    this.#mode = 'waiting';
    this.#reason = reason;
    const spread = Math.min(this.#maxMs, this.#baseMs * 2 ** Math.min(this.#attempts, 16));
    const delayMs = Math.max(retryAfterMs, moment.chance * spread);
    this.#attempts += 1;
    this.#notBeforeMs = moment.monotonicMs + retryAfterMs;
    this.#retryIn(delayMs, moment);
    if (!this.#isSlow) this.#timer('slow', SLOW_MS);
  }

  #retryIn(ms: number, moment: Moment): void {
    this.#nextTryAtMs = moment.nowMs + ms;
    this.#timer('retry', ms);
  }

  /** Gives up the present socket, if any. */
  #drop(): void {
    if (this.#hasSocket()) this.#effects.push({ is: 'close' });
    for (const name of ['ready', 'silence', 'pong', 'stable', 'drain'] as const)
      this.#effects.push({ is: 'clear', name });
    this.#mode = 'waiting';
  }

  #signal(signal: 'online' | 'offline' | 'wake', moment: Moment): void {
    if (this.#mode === 'waiting' && signal !== 'offline') {
      const allowedInMs = Math.max(0, this.#notBeforeMs - moment.monotonicMs);
      this.#retryIn(allowedInMs + moment.chance * NUDGE_MS_MAX, moment);
    } else if (this.isReady) this.#ping(PONG_WAKE_MS_MAX);
  }

  #ping(withinMs: number): void {
    this.#effects.push({ is: 'ping' });
    this.#timer('pong', withinMs);
  }

  #timeout(name: TimerName, moment: Moment): void {
    switch (name) {
      case 'retry':
        if (this.#mode === 'waiting') this.#connect(moment);
        return;
      case 'ready':
        if (this.#mode === 'opening' || this.#mode === 'greeting')
          this.#wait('HELLO_TIMEOUT', 0, moment);
        return;
      case 'silence': {
        const hasSlept = moment.monotonicMs - this.#silenceDueMs > SLEPT_MS;
        if (this.isReady) this.#ping(hasSlept ? PONG_WAKE_MS_MAX : PONG_MS_MAX);
        return;
      }
      case 'pong':
        if (this.isReady) this.#wait('PING_TIMEOUT', 0, moment);
        return;
      case 'slow':
        this.#isSlow = this.#mode !== 'live' && this.#mode !== 'stopped';
        return;
      case 'stable':
        this.#attempts = 0;
        return;
      case 'drain':
        if (!this.isReady) return;
        this.#drop();
        return this.#connect(moment);
    }
  }

  #notSlow(): void {
    this.#isSlow = false;
    this.#effects.push({ is: 'clear', name: 'slow' });
  }

  #hasSocket(): boolean {
    return this.#mode === 'opening' || this.#mode === 'greeting' || this.isReady;
  }

  #timer(name: TimerName, ms: number): void {
    this.#effects.push({ is: 'timer', name, ms });
  }
}
