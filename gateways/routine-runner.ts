/**
 * Performs the asks of routines: queries and commands over the Link, users through the identity
 * port. The asks of one yield go out together; a failed one is thrown into the routine.
 */
import type { Message } from '@bufbuild/protobuf';
import { BoundedQueue } from '../core/bounded-queue.ts';
import { ParleyError, toParleyError } from '../core/errors.ts';
import { PassingMap } from '../core/passing-map.ts';
import type { Clock } from '../core/clock.ts';
import type { Logger } from '../core/observe.ts';
import type { Codec } from '../proto/codec.ts';
import type { KnownUsers } from './known-users.ts';
import { queryNamed } from './methods.ts';
import type { IdentityPort } from './ports.ts';
import type { IdentityMethod } from './session/method-names.ts';
import type { AnswerRead, Ask, Routine } from './session/routine.ts';
import { RequestRate } from './rest/rate.ts';
import type { StoreLink } from './store-link.ts';

export interface RoutineRunnerOptions {
  readonly link: StoreLink;
  readonly users: KnownUsers;
  readonly identity: IdentityPort;
  readonly log: Logger;
  readonly clock: Clock;
  /** Calls of Auth a minute, per user or, before anybody is known, per address: most cost a password hash. */
  readonly authRate: number;
}

type Outcome = (outcome: unknown) => void;

/** What one user has under way, and what waits for it. */
interface CallerLane {
  running: number;
  readonly waiting: BoundedQueue<Started>;
}

interface Started {
  readonly routine: Routine<unknown>;
  readonly done: Outcome;
  readonly context: RunContext;
}

export interface RunContext {
  /** Of the peer, for the identity service's own limits. */
  readonly address: string;
  /** User id; '' = nobody is known yet. */
  readonly caller: string;
  /** The routine waits for answers: what it has pushed until then can go out. */
  readonly stepped?: () => void;
  /**
   * Calls back when most of what it has pushed has left, or with an error when there is nobody any
   * more to push it to; at once where nothing is pushed.
   */
  readonly room?: (go: Outcome) => void;
}

const NO_CONTEXT: RunContext = { address: '', caller: '' };

const RUNNING_MAX = 2048;
/** Of one user: a page is in memory as often as it is being read. */
export const RUNNING_PER_CALLER_MAX = 32;
const WAITING_PER_CALLER_MAX = 512;
const WAITING_MAX = 131_072;

export class RoutineRunner {
  readonly #options: RoutineRunnerOptions;
  readonly #waiting = new BoundedQueue<Started>(WAITING_MAX);
  readonly #authRate: RequestRate;
  readonly #lanes = new PassingMap<string, CallerLane>();
  #running = 0;

  constructor(options: RoutineRunnerOptions) {
    this.#options = options;
    this.#authRate = new RequestRate(options.authRate);
  }

  /** `done` gets the routine's result or a ParleyError, exactly once. */
  run(routine: Routine<unknown>, done: Outcome, context: RunContext = NO_CONTEXT): void {
    const started = { routine, done, context };
    const lane = this.#lanes.get(context.caller);
    if (lane !== undefined && lane.running >= RUNNING_PER_CALLER_MAX) {
      if (!lane.waiting.push(started)) done(tooMuch());
      return;
    }
    this.#enter(context.caller);
    if (this.#running < RUNNING_MAX) this.#begin(started);
    else if (!this.#waiting.push(started)) {
      this.#leave(context.caller)?.done(tooMuch());
      done(tooMuch());
    }
  }

  get runningCount(): number {
    return this.#running;
  }

  #enter(caller: string): void {
    if (caller === '') return;
    const lane = this.#lanes.get(caller);
    if (lane === undefined)
      this.#lanes.set(caller, {
        running: 1,
        waiting: new BoundedQueue(WAITING_PER_CALLER_MAX),
      });
    else lane.running++;
  }

  /** The next that waited for this caller, if it may begin. */
  #leave(caller: string): Started | undefined {
    const lane = this.#lanes.get(caller);
    if (lane === undefined) return undefined;
    lane.running--;
    const next = lane.running < RUNNING_PER_CALLER_MAX ? lane.waiting.shift() : undefined;
    if (next === undefined && lane.running === 0) this.#lanes.delete(caller);
    return next;
  }

  #begin(started: Started): void {
    this.#running++;
    this.#step(started, (routine) => routine.next([]));
  }

  #step(
    started: Started,
    move: (routine: Routine<unknown>) => IteratorResult<readonly Ask[], unknown>,
  ): void {
    let next: IteratorResult<readonly Ask[], unknown>;
    try {
      next = move(started.routine);
    } catch (error) {
      return this.#finish(started, this.#failure(error));
    }
    if (next.done === true) return this.#finish(started, next.value);
    this.#perform(next.value, started);
    started.context.stepped?.();
  }

  #finish(started: Started, outcome: unknown): void {
    this.#running--;
    const following = this.#leave(started.context.caller);
    started.done(outcome);
    this.#refill(following);
  }

  /** A place is free: for who has waited longest for any, then for the caller's own next. */
  #refill(following: Started | undefined): void {
    const next = this.#running < RUNNING_MAX ? this.#waiting.shift() : undefined;
    if (next !== undefined) this.#begin(next);
    if (following !== undefined) this.run(following.routine, following.done, following.context);
  }

  #failure(error: unknown): ParleyError {
    const known = toParleyError(error);
    if (known.reason === 'INVARIANT')
      this.#options.log.error('a request failed', { cause: String(known.cause) });
    return known;
  }

  #perform(asks: readonly Ask[], started: Started): void {
    const answers: unknown[] = Array.from({ length: asks.length });
    let left = asks.length;
    let failed: ParleyError | undefined;
    const settle = (i: number, outcome: unknown): void => {
      answers[i] = outcome;
      if (outcome instanceof ParleyError) failed ??= outcome;
      if (--left > 0) return;
      const error = failed;
      this.#step(started, (routine) =>
        error === undefined ? routine.next(answers) : routine.throw(error),
      );
    };
    if (asks.length === 0) this.#step(started, (routine) => routine.next([]));
    for (const [i, ask] of asks.entries())
      this.#ask(ask, started.context, (outcome) => settle(i, outcome));
  }

  #ask(ask: Ask, context: RunContext, done: Outcome): void {
    const { address } = context;
    const { link, users, identity } = this.#options;
    switch (ask.ask) {
      case 'query':
        return this.#query(ask, done);
      case 'command':
        return link.command(ask.bytes, done);
      case 'room':
        return this.#waitForRoom(context, done);
      case 'unknown-users':
        return users.unknown(ask.users, done);
      case 'identity': {
        const { caller } = ask;
        const limited = this.#limited(ask.method, caller?.userId ?? `@${address}`);
        if (limited !== undefined) return done(limited);
        // Methods were read off the contract's own table.
        const method = ask.method as IdentityMethod;
        identity
          .call(method, ask.request, { caller, address })
          .then(done, (error: unknown) => done(this.#failure(error)));
      }
    }
  }

  /**
   * Who waits for a client's network takes no place from those who wait for the store, and none from
   * the same user's other devices. Afterwards it has its place at once, above the bounds if need be:
   * a page is let go then, and of what goes on, a resume or a check, a connection has one.
   */
  #waitForRoom({ room, caller }: RunContext, done: Outcome): void {
    if (room === undefined) return done(undefined);
    this.#running--;
    this.#refill(this.#leave(caller));
    room((outcome) => {
      this.#running++;
      this.#enter(caller);
      done(outcome);
    });
  }

  /** Frames have no request rate: it is REST's. Passwords are not to be guessed or hashed around it. */
  #limited(method: string, caller: string): ParleyError | undefined {
    if (!method.startsWith('Auth.')) return undefined;
    const granted = this.#authRate.take(caller, this.#options.clock.monotonicMs());
    if (granted.isGranted) return undefined;
    const retryAfterMs = Math.ceil(granted.resetMs);
    return new ParleyError('RATE_LIMITED', 'too many calls a minute', {}, { retryAfterMs });
  }

  #query(ask: Extract<Ask, { ask: 'query' }>, done: Outcome): void {
    const form = queryNamed(ask.method);
    const { user, device } = ask.caller;
    let bytes: Uint8Array;
    try {
      bytes = form.input.encode(ask.request as Uint8Array);
    } catch (error) {
      return done(this.#failure(error));
    }
    this.#options.link.query(
      { number: form.number, key: ask.key, user, device },
      bytes,
      (outcome) => {
        if (outcome instanceof ParleyError) return done(outcome);
        let answer: unknown;
        try {
          answer = readAnswer(form.output, outcome.bytes, ask.read);
        } catch (error) {
          return done(this.#failure(error));
        }
        done(answer);
      },
    );
  }
}

function readAnswer(codec: Codec<Message>, bytes: Uint8Array, read: AnswerRead): unknown {
  switch (read) {
    case 'whole':
      return codec.decode(bytes);
    case 'opened':
      return codec.open(bytes);
    case 'bytes':
      return bytes;
  }
}

function tooMuch(): ParleyError {
  return new ParleyError('OVERLOADED', 'too much is under way', {}, { retryAfterMs: 1000 });
}
