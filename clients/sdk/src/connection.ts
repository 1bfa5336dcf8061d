/**
 * The one live connection: drives ConnectionMachine over a Transport, matches replies to requests,
 * and tells the rest what it hears. Requests die with the connection (reason DEADLINE or
 * BACKEND_UNAVAILABLE): whoever asked knows whether to ask again.
 */
import type { ConnectionState, Credential, CredentialWhy } from './client-interface.ts';
import {
  type ConnectionEffect,
  type ConnectionEvent,
  ConnectionMachine,
  type TimerName,
} from './connection-machine.ts';
import type { ClientFrame, Ready, ServerFrame, WireError } from './contract.ts';
import { ClientError, errorOf, knownReason, reasonOf } from './errors.ts';
import type { HostPort } from './host.ts';
import type { Reason } from './reasons.ts';
import { Cell, isShallowEqual } from './store.ts';
import type { Transport, TransportConnection } from './transport.ts';

/** Unanswered calls; sends are bounded by the outbox. The server allows 256 of both. */
const CALLS_MAX = 48;
const CALL_MS_MAX = 15_000;

export interface ConnectionListener {
  /** For hello; read when the socket opened. */
  resume(): NonNullable<ClientFrame['hello']>['resume'];
  ready(ready: Ready): void;
  /** Pushes only, in order. */
  pushed(frames: readonly ServerFrame[]): void;
  /** A ready connection ended. */
  lost(): void;
  signedOut(reason: Reason): void;
  replaced(): void;
}

export interface ConnectionOptions {
  readonly url: string;
  readonly transports: readonly Transport[];
  readonly host: HostPort;
  credential(why: CredentialWhy): Promise<Credential>;
}

type Reply = (answer: { readonly frame: ServerFrame } | { readonly error: ClientError }) => void;

export class Connection {
  readonly state: Cell<ConnectionState>;
  readonly #options: ConnectionOptions;
  readonly #listener: ConnectionListener;
  readonly #machine = new ConnectionMachine();
  readonly #timers = new Map<TimerName, () => void>();
  readonly #replies = new Map<number, Reply>();
  #socket: TransportConnection | undefined;
  #transport: Transport | undefined;
  #helloId = 0;
  #nextId = 1;
  #calls = 0;
  #wasReady = false;
  #unhear: (() => void) | undefined;

  constructor(options: ConnectionOptions, listener: ConnectionListener) {
    this.#options = options;
    this.#listener = listener;
    this.state = new Cell<ConnectionState>(
      { phase: 'stopped', slow: false, readOnly: false, saved: true, follower: false },
      isShallowEqual,
    );
  }

  get isReady(): boolean {
    return this.#machine.isReady;
  }

  start(): void {
    this.#unhear ??= this.#options.host.onSignal((signal) => this.#step({ is: 'signal', signal }));
    this.#step({ is: 'start' });
  }

  stop(reason?: Reason): void {
    this.#unhear?.();
    this.#unhear = undefined;
    this.#step(reason === undefined ? { is: 'stop' } : { is: 'stop', reason });
  }

  /** Starts over, as if the network had broken. */
  reconnect(): void {
    if (!this.isReady) return;
    this.#close();
    this.#step({ is: 'closed', code: 1006, reason: '' });
  }

  caughtUp(): void {
    this.#step({ is: 'caught-up' });
  }

  /** What only the rest knows of the state shown: ownership, storage. */
  note(change: Partial<Pick<ConnectionState, 'readOnly' | 'saved' | 'follower'>>): void {
    this.state.set({ ...this.state.get(), ...change });
  }

  /** For what a person asked for: rejects when there is none in time, or it was stopped. */
  untilReady(ms: number): Promise<void> {
    if (this.isReady) return Promise.resolve();
    if (this.state.get().phase === 'stopped') return Promise.reject(offline());
    return new Promise((resolve, reject) => {
      const end = (isReady: boolean): void => {
        stopTimer();
        unsubscribe();
        if (isReady) resolve();
        else reject(offline());
      };
      const stopTimer = this.#options.host.after(ms, () => end(false));
      const unsubscribe = this.state.subscribe(() => {
        if (this.isReady) end(true);
        else if (this.state.get().phase === 'stopped') end(false);
      });
    });
  }

  /** Fire and forget: receipts, typing, focus. False = there is no connection. */
  tell(frame: ClientFrame): boolean {
    if (!this.isReady) return false;
    this.#socket?.send([frame]);
    return true;
  }

  /** Requests in one write, in order; each is answered once, or with the connection's end. */
  request(
    frames: readonly ClientFrame[],
    answered: (i: number, answer: Parameters<Reply>[0]) => void,
  ): void {
    if (!this.isReady) {
      frames.forEach((_, i) => answered(i, { error: offline() }));
      return;
    }
    const numbered = frames.map((frame, i) => {
      const id = this.#nextId++;
      this.#replies.set(id, (answer) => answered(i, answer));
      return { id, ...frame };
    });
    this.#socket?.send(numbered);
  }

  /** A unary method riding along; rejects with ClientError. */
  call<T>(method: string, request: unknown): Promise<T> {
    return new Promise((resolve, reject) => {
      if (!this.isReady) return reject(offline());
      if (this.#calls >= CALLS_MAX)
        return reject(new ClientError('OVERLOADED', 'too many calls at once'));
      this.#calls += 1;
      const id = this.#nextId++;
      const stopTimer = this.#options.host.after(CALL_MS_MAX, () =>
        settle({ error: new ClientError('DEADLINE', `${method} was not answered in time`) }),
      );
      const settle: Reply = (answer) => {
        if (!this.#replies.delete(id)) return;
        stopTimer();
        this.#calls -= 1;
        if ('error' in answer) reject(answer.error);
        else if (answer.frame.error !== undefined) reject(errorOf(answer.frame.error));
        else resolve((answer.frame.result ?? {}) as T);
      };
      this.#replies.set(id, settle);
      this.#socket?.send([{ id, call: { method, request } }]);
    });
  }

  #step(event: ConnectionEvent): void {
    const { host } = this.#options;
    const moment = { nowMs: host.nowMs(), monotonicMs: host.monotonicMs(), chance: host.random() };
    for (const effect of this.#machine.step(event, moment)) this.#perform(effect);
    this.#show();
    if (this.#wasReady && !this.#machine.isReady) this.#lose();
    this.#wasReady = this.#machine.isReady;
  }

  #perform(effect: ConnectionEffect): void {
    switch (effect.is) {
      case 'open':
        return this.#open();
      case 'hello':
        return this.#hello(effect.token);
      case 'auth':
        return this.#socket?.send([{ auth: { token: effect.token } }]);
      case 'ping':
        return this.#socket?.send([{ ping: {} }]);
      case 'close':
        return this.#close();
      case 'credential':
        return this.#ask(effect.why);
      case 'timer':
        return this.#setTimer(effect.name, effect.ms);
      case 'clear':
        this.#timers.get(effect.name)?.();
        this.#timers.delete(effect.name);
        return;
      case 'signed-out':
        return this.#listener.signedOut(effect.reason);
      case 'replaced':
        return this.#listener.replaced();
    }
  }

  #open(): void {
    // LIMIT: the first transport only; trying the next beside it (S15) comes with the second carrier.
    this.#transport = this.#options.transports[0];
    const attempt: { connection?: TransportConnection } = {};
    const isCurrent = (): boolean => this.#socket === attempt.connection;
    const connection = this.#transport?.open(this.#options.url, {
      opened: () => {
        if (isCurrent()) this.#step({ is: 'opened' });
      },
      frames: (frames) => {
        if (isCurrent()) this.#hear(frames);
      },
      closed: (code, reason) => {
        if (!isCurrent()) return;
        this.#socket = undefined;
        this.#step({ is: 'closed', code, reason });
      },
    });
    if (connection === undefined) return;
    attempt.connection = connection;
    this.#socket = connection;
  }

  #hello(token: string): void {
    const resume = this.#listener.resume();
    this.#helloId = this.#nextId++;
    const hello = { token, push: 'full' as const, features: [] };
    this.#socket?.send([
      { id: this.#helloId, hello: resume === undefined ? hello : { ...hello, resume } },
    ]);
  }

  #hear(frames: readonly ServerFrame[]): void {
    this.#step({ is: 'heard' });
    let pushes: ServerFrame[] = [];
    const flush = (): void => {
      if (pushes.length > 0) this.#listener.pushed(pushes);
      pushes = [];
    };
    for (const frame of frames) {
      if (frame.id !== undefined && frame.id > 0) {
        // A reply may depend on the pushes before it.
        flush();
        this.#replied(frame.id, frame);
      } else if (!this.#control(frame)) pushes.push(frame);
    }
    flush();
  }

  #replied(id: number, frame: ServerFrame): void {
    if (id === this.#helloId && frame.ready !== undefined) {
      const { baseMs = 0, maxMs = 0 } = frame.ready.reconnect ?? {};
      this.#step({ is: 'ready', baseMs, maxMs });
      this.#listener.ready(frame.ready);
    } else if (id === this.#helloId && frame.error !== undefined) this.#refuse(frame.error);
    else this.#replies.get(id)?.({ frame });
  }

  #refuse(error: WireError): void {
    const { retryAfterMs = 0 } = error;
    this.#step({ is: 'refused', reason: knownReason(error.reason), retryAfterMs });
  }

  /** Frames about the connection itself. */
  #control(frame: ServerFrame): boolean {
    if (frame.ping !== undefined) this.#socket?.send([{ pong: {} }]);
    else if (frame.auth !== undefined) this.#step({ is: 'expiring' });
    else if (frame.drain !== undefined)
      this.#step({ is: 'drain', reconnectAfterMs: frame.drain.reconnectAfterMs ?? 0 });
    else if (frame.close !== undefined) {
      this.#socket?.close(1000, '');
      this.#socket = undefined;
      const { code = 1006, reason = '' } = frame.close;
      this.#step({ is: 'closed', code, reason });
    } else if (frame.error !== undefined && !this.isReady) this.#refuse(frame.error);
    else return frame.pong !== undefined;
    return true;
  }

  #close(): void {
    const socket = this.#socket;
    this.#socket = undefined;
    socket?.send([{ bye: {} }]);
    socket?.close(1000, '');
  }

  #lose(): void {
    const replies = [...this.#replies.values()];
    for (const reply of replies) reply({ error: offline() });
    this.#replies.clear();
    this.#listener.lost();
  }

  #ask(why: CredentialWhy): void {
    this.#options.credential(why).then(
      ({ token, expiresInMs }) =>
        this.#step({
          is: 'credential',
          token,
          expiresInMs: expiresInMs ?? Number.POSITIVE_INFINITY,
        }),
      (error: unknown) =>
        this.#step({
          is: 'credential-failed',
          reason: error instanceof ClientError ? reasonOf(error) : 'BACKEND_UNAVAILABLE',
          retryAfterMs: error instanceof ClientError ? error.retryAfterMs : 0,
        }),
    );
  }

  #setTimer(name: TimerName, ms: number): void {
    this.#timers.get(name)?.();
    this.#timers.set(
      name,
      this.#options.host.after(ms, () => {
        this.#timers.delete(name);
        this.#step({ is: 'timer', name });
      }),
    );
  }

  #show(): void {
    const machine = this.#machine;
    const { readOnly, saved, follower } = this.state.get();
    this.state.set({
      phase: machine.phase,
      slow: machine.isSlow,
      readOnly,
      saved,
      follower,
      ...(machine.isReady && this.#transport ? { transport: this.#transport.name } : {}),
      ...(machine.nextTryAtMs === undefined ? {} : { nextTryAt: machine.nextTryAtMs }),
      ...(machine.reason === undefined ? {} : { reason: machine.reason }),
    });
  }
}

function offline(): ClientError {
  return new ClientError('BACKEND_UNAVAILABLE', 'there is no connection');
}
