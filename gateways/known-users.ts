/**
 * Which users exist, for sends and group changes: what was found once is remembered, what is asked
 * in one turn is asked together. Only existence is remembered, never absence: a new user is found
 * at once. LIMIT: a deleted user counts as existing until this process ends or forgets him.
 */
import { hex } from '../core/bytes.ts';
import type { Timers } from '../core/clock.ts';
import { ParleyError, toParleyError } from '../core/errors.ts';
import type { IdentityPort } from './ports.ts';

type Done = (outcome: readonly Uint8Array[] | ParleyError) => void;

interface Question {
  readonly users: readonly Uint8Array[];
  readonly done: Done;
}

const REMEMBERED_MAX = 200_000;
const ASKED_MAX = 500;
const QUESTIONS_MAX = 10_000;

export class KnownUsers {
  readonly #identity: Pick<IdentityPort, 'unknownUsers'>;
  readonly #timers: Timers;
  readonly #known = new Set<string>();
  #questions: Question[] = [];
  #isAsking = false;

  constructor(identity: Pick<IdentityPort, 'unknownUsers'>, timers: Timers) {
    this.#identity = identity;
    this.#timers = timers;
  }

  add(user: Uint8Array): void {
    if (this.#known.size >= REMEMBERED_MAX) this.#known.clear();
    this.#known.add(hex(user));
  }

  /** Calls back with those that do not exist; at once if all are known. */
  unknown(users: readonly Uint8Array[], done: Done): void {
    const open = users.filter((user) => !this.#known.has(hex(user)));
    if (open.length === 0) return done([]);
    if (this.#questions.length >= QUESTIONS_MAX)
      return done(
        new ParleyError('OVERLOADED', 'too many look-ups wait', {}, { retryAfterMs: 1000 }),
      );
    this.#questions.push({ users: open, done });
    if (this.#isAsking) return;
    this.#isAsking = true;
    this.#timers.soon(() => this.#ask());
  }

  /** One look-up at a time; what comes meanwhile is asked together afterwards. */
  #ask(): void {
    const asked: Question[] = [];
    const users = new Map<string, Uint8Array>();
    while (this.#questions.length > 0 && users.size < ASKED_MAX) {
      const question = this.#questions.shift();
      if (question === undefined) break;
      asked.push(question);
      for (const user of question.users) users.set(hex(user), user);
    }
    this.#lookUp([...users.values()]).then(
      (unknown) => this.#answer(asked, [...users.values()], unknown),
      (error: unknown) => {
        for (const { done } of asked) done(toParleyError(error));
        this.#next();
      },
    );
  }

  async #lookUp(users: readonly Uint8Array[]): Promise<readonly Uint8Array[]> {
    const unknown: Uint8Array[] = [];
    for (let at = 0; at < users.length; at += ASKED_MAX)
      unknown.push(...(await this.#identity.unknownUsers(users.slice(at, at + ASKED_MAX))));
    return unknown;
  }

  #answer(
    asked: readonly Question[],
    users: readonly Uint8Array[],
    unknown: readonly Uint8Array[],
  ): void {
    const missing = new Set(unknown.map(hex));
    for (const user of users) if (!missing.has(hex(user))) this.add(user);
    for (const { users: wanted, done } of asked)
      done(wanted.filter((user) => missing.has(hex(user))));
    this.#next();
  }

  #next(): void {
    if (this.#questions.length === 0) this.#isAsking = false;
    else this.#timers.soon(() => this.#ask());
  }
}
