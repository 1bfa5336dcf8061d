/**
 * The courier of one shard: takes applied membership changes to the account logs of the users, each
 * in the shard of the user's slot. Per destination shard it keeps a cursor: changes at or below it
 * are delivered. Cursors are flushed with the shard's state, the changes themselves lie in the
 * journal, so after a crash it goes on where it was; the directory keeps the highest sequence per
 * conversation, so what is delivered twice is a no-op.
 */
import type { Timer, Timers } from '../../core/clock.ts';
import { sameBytes } from '../../core/bytes.ts';
import { COMMAND_KIND, NO_ID, commandKey } from '../../core/command.ts';
import { encodeCommand } from '../../core/command-codec.ts';
import { invariant } from '../../core/invariant.ts';
import { PassingMap } from '../../core/passing-map.ts';
import type { Answerer } from './answers.ts';
import type { JournalMembership } from './journal.ts';

/** Commands under way to one destination. */
export const COURIER_WINDOW = 256;
const RETRY_MS = 100;

interface Errand {
  readonly index: number;
  readonly command: Uint8Array;
  isSent: boolean;
  isDone: boolean;
  /** Who waits until it is delivered. */
  waiting?: (() => void)[];
}

interface Route {
  readonly destination: number;
  /** By index of the source; the first is not done. */
  errands: Errand[];
  /** All before this place are sent. */
  next: number;
  underWay: number;
  /** Refused just now: this destination is left alone until then, the others are not. */
  retry: Timer | undefined;
}

export interface CourierOptions {
  readonly shards: number;
  readonly shardOf: (user: Uint8Array) => number;
  readonly timers: Timers;
  /** Proposes a command in the destination shard; the answer comes to `answerer`, maybe at once. */
  readonly submit: (
    destination: number,
    command: Uint8Array,
    answerer: Answerer,
    request: number,
  ) => void;
}

export class Courier implements Answerer {
  readonly #options: CourierOptions;
  readonly #routes: Route[];
  readonly #cursors: Float64Array;
  readonly #asked = new PassingMap<number, { readonly route: Route; readonly errand: Errand }>();
  #request = 0;
  #isActive = false;
  /** The journal was walked: nothing that is owed is missing from the queues. */
  #isComplete = false;
  #reign = 0;
  delivered = 0;

  constructor(options: CourierOptions) {
    this.#options = options;
    this.#cursors = new Float64Array(options.shards);
    this.#routes = Array.from({ length: options.shards }, (_, destination) => ({
      destination,
      errands: [],
      next: 0,
      underWay: 0,
      retry: undefined,
    }));
  }

  /** Changes known and not delivered. */
  get owed(): number {
    return this.#routes.reduce((sum, { errands }) => sum + errands.length, 0);
  }

  /** Where the last process was, before anything is applied. */
  restore(cursors: Float64Array): void {
    this.#cursors.set(cursors.subarray(0, this.#cursors.length));
  }

  /** Rises with every `activate` and `stop`: a walk of the journal is of use in its own reign alone. */
  get reign(): number {
    return this.#reign;
  }

  /** The lowest cursor: below it the journal is of no use to this courier. */
  get floor(): number {
    return this.#cursors.reduce((low, cursor) => Math.min(low, cursor), Infinity);
  }

  /**
   * The shard leads. From now on `changed` is heeded; `unflushed` are the changes applied before,
   * which the journal does not hold yet.
   */
  activate(unflushed: readonly JournalMembership[]): void {
    this.#isActive = true;
    this.#reign++;
    for (const change of unflushed) this.#owe(change);
  }

  /** A value of the journal, walked from the floor on after `activate`. */
  found(changes: readonly JournalMembership[]): void {
    for (const change of changes) this.#owe(change);
  }

  /** All of the journal was found. */
  complete(): void {
    this.#isComplete = true;
    for (const route of this.#routes) this.#sendAlong(route);
  }

  /** A membership row was applied. Who does not lead owes nothing. */
  changed(change: JournalMembership): void {
    if (!this.#isActive) return;
    const route = this.#owe(change);
    if (this.#isComplete && route !== undefined) this.#sendAlong(route);
  }

  /**
   * Calls `done` once everything that is owed to this user now is delivered, or leadership is gone: at
   * once if nothing is owed. So a list read after a commit has the conversation that it began.
   * LIMIT: what the journal still has to say right after a start is not waited for.
   */
  told(user: Uint8Array, done: () => void): void {
    const route = this.#routes[this.#options.shardOf(user)];
    const last = route?.errands.findLast(
      ({ command, isDone }) => !isDone && sameBytes(commandKey(command), user),
    );
    if (last === undefined) done();
    // What was sent again may be delivered out of order: look once more.
    else (last.waiting ??= []).push(() => this.told(user, done));
  }

  /** Leadership is gone: whoever leads next finds the rest in its journal. */
  stop(): void {
    this.#isActive = false;
    this.#isComplete = false;
    this.#reign++;
    this.#asked.clear();
    for (const route of this.#routes) {
      const { errands } = route;
      route.errands = [];
      for (const { waiting = [] } of errands) for (const done of waiting) done();
      route.next = 0;
      route.underWay = 0;
      route.retry?.cancel();
      route.retry = undefined;
    }
  }

  /** What to flush with the state through `applied`. */
  cursors(applied: number): Float64Array {
    if (!this.#isComplete) return this.#cursors.slice();
    for (const { destination, errands } of this.#routes) {
      const first = errands[0];
      const reached = first === undefined ? applied : Math.min(applied, first.index - 1);
      if (reached > (this.#cursors[destination] ?? 0)) this.#cursors[destination] = reached;
    }
    return this.#cursors.slice();
  }

  committed(request: number): void {
    const asked = this.#asked.get(request);
    if (asked === undefined) return;
    this.#asked.delete(request);
    const { route, errand } = asked;
    route.underWay--;
    errand.isDone = true;
    this.delivered++;
    let done = 0;
    while (route.errands[done]?.isDone === true) done++;
    if (done > 0) route.errands.splice(0, done);
    route.next -= Math.min(done, route.next);
    for (const done of errand.waiting ?? []) done();
    this.#sendAlong(route);
  }

  /** Overloaded, without leader, unknown: all of it passes, and asking again does no harm. */
  refused(request: number): void {
    const asked = this.#asked.get(request);
    if (asked === undefined) return;
    this.#asked.delete(request);
    const { route, errand } = asked;
    route.underWay--;
    errand.isSent = false;
    route.next = 0;
    route.retry ??= this.#options.timers.after(RETRY_MS, () => {
      route.retry = undefined;
      this.#sendAlong(route);
    });
  }

  #owe(change: JournalMembership): Route | undefined {
    const destination = this.#options.shardOf(change.user);
    const route = this.#routes[destination];
    invariant(route !== undefined, 'courier.destination-known', { destination });
    if (change.index <= (this.#cursors[destination] ?? 0)) return undefined;
    const command = encodeCommand({
      kind: COMMAND_KIND.accountMembership,
      timeMs: 0,
      key: change.user,
      caller: NO_ID,
      conversation: change.conversation,
      joined: change.joined,
      sequence: change.sequence,
    });
    const errand: Errand = { index: change.index, command, isSent: false, isDone: false };
    // What the journal yields is older than what was applied since; the first must be the oldest.
    let at = route.errands.length;
    while (at > 0 && (route.errands[at - 1]?.index ?? 0) > errand.index) at--;
    route.errands.splice(at, 0, errand);
    route.next = Math.min(route.next, at);
    return route;
  }

  #sendAlong(route: Route): void {
    if (!this.#isActive) return;
    while (route.next < route.errands.length && route.underWay < COURIER_WINDOW) {
      if (route.retry !== undefined) return;
      const errand = route.errands[route.next++];
      if (errand === undefined || errand.isSent) continue;
      errand.isSent = true;
      route.underWay++;
      const request = ++this.#request;
      this.#asked.set(request, { route, errand });
      // A copy, because the log stamps and keeps what it is given and this may be sent again.
      this.#options.submit(route.destination, errand.command.slice(), this, request);
    }
  }
}
