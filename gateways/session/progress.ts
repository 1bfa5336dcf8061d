/**
 * How far a connection has been told: its base (from a resume, a listing or a check), the holes that
 * have to be closed, the sync tokens that say so. Invariant: a token covers only frames that went
 * out before it; while a hole is open, none is written.
 */
import { ParleyError } from '../../core/errors.ts';
import { CHECK_INTERVAL_MS, TOKEN_INTERVAL_MS } from './limits.ts';
import { resume, verify, type ResumeCursor, type ResumeSink } from './resume.ts';
import type { Caller } from './caller.ts';
import type { Effect, ServerFrame, Surroundings } from './session-contract.ts';
import { encodeSyncToken, farther, NOWHERE, type Position } from './sync-token.ts';

export interface ProgressOptions {
  readonly surroundings: Surroundings;
  readonly caller: Caller;
  readonly nowMs: number;
  readonly emit: (effect: Effect) => void;
  /** The socket does not keep up: rows become gaps, which are told later. */
  readonly isCongested: () => boolean;
  /** The connection cannot be brought up to date: it ends, and the client resumes elsewhere. */
  readonly fail: (error: ParleyError) => void;
}

export class Progress implements ResumeSink {
  readonly #world: Surroundings;
  readonly #caller: Caller;
  readonly #emit: (effect: Effect) => void;
  readonly #fail: (error: ParleyError) => void;
  readonly #isCongested: () => boolean;
  /** undefined = this device has listed nothing yet. */
  #base: Position | undefined;
  /** Rows of these wait until the missing ones before them have been pushed. */
  #held: Map<string, number> | undefined;
  #isCaughtUp = false;
  #isRunning = false;
  #hasHole = false;
  /** A hole opened while an earlier one was being closed. */
  #hasNewHole = false;
  #hasWritten = false;
  #lastTokenMs = -Infinity;
  #tokenDueMs = Infinity;
  #checkDueMs: number;

  constructor(options: ProgressOptions) {
    this.#world = options.surroundings;
    this.#caller = options.caller;
    this.#emit = options.emit;
    this.#fail = options.fail;
    this.#isCongested = options.isCongested;
    this.#checkDueMs = options.nowMs + CHECK_INTERVAL_MS;
  }

  get nextMs(): number {
    return Math.min(this.#tokenDueMs, this.#checkDueMs);
  }

  /** Brings a device that has a token up to date. */
  resume(since: Position, cursors: readonly ResumeCursor[]): void {
    this.#base = since;
    if (cursors.length > 0)
      this.#held = new Map(cursors.map((cursor) => [cursor.conversationId, 0]));
    this.#isRunning = true;
    this.#emit({
      is: 'run',
      routine: resume(this, this.#caller, this.#world, { since, cursors }),
      done: (outcome, nowMs) => {
        this.#isRunning = false;
        this.#held = undefined;
        if (outcome instanceof ParleyError) return this.#fail(outcome);
        this.#base = outcome as Position;
        this.caughtUp(nowMs);
        if (this.#hasHole) this.#check(nowMs);
      },
    });
  }

  caughtUp(nowMs: number): void {
    this.#isCaughtUp = true;
    this.#lastTokenMs = nowMs;
    this.#tokenDueMs = Infinity;
    // What was pushed meanwhile may be incomplete: then it stands for what the resume told alone.
    const isWhole = !this.#hasHole && !this.#isCongested();
    this.push({ caughtUp: { syncToken: this.#token(isWhole) } });
    this.#hasWritten = !isWhole;
    if (!isWhole) this.#armToken();
  }

  /** The device has listed everything through this connection: from here on its tokens count. */
  listed(position: Position): void {
    if (this.#base !== undefined || this.#hasHole) return;
    this.#base = position;
    this.#armToken();
  }

  /** True = the row waits: its conversation is being caught up. */
  holds(conversationId: string, sequence: number): boolean {
    const held = this.#held?.get(conversationId);
    if (held === undefined) return false;
    this.#held?.set(conversationId, Math.max(held, sequence));
    return true;
  }

  /** Something that a token must cover goes out. */
  wrote(): void {
    if (this.#hasWritten) return;
    this.#hasWritten = true;
    this.#armToken();
  }

  /** The feed has a hole: what this connection was told may be incomplete. */
  resync(nowMs: number): void {
    if (this.#base === undefined) {
      this.push({ gap: { scope: 'all', reason: 'RESYNC', epoch: this.#world.epoch() } });
      return;
    }
    if (this.#isRunning) this.#hasNewHole = true;
    this.#hasHole = true;
    this.#check(nowMs);
  }

  tick(nowMs: number): void {
    if (nowMs >= this.#tokenDueMs) this.writeToken(nowMs);
    if (nowMs >= this.#checkDueMs) this.#check(nowMs);
  }

  writeToken(nowMs: number): void {
    if (this.#isCongested()) {
      this.#tokenDueMs = nowMs + TOKEN_INTERVAL_MS;
      return;
    }
    this.#tokenDueMs = Infinity;
    const isSafe = this.#isCaughtUp && !this.#hasHole && this.#base !== undefined;
    if (!isSafe || !this.#hasWritten) return;
    this.#hasWritten = false;
    this.#lastTokenMs = nowMs;
    this.push({ token: { syncToken: this.#token(true) } });
  }

  push(frame: ServerFrame): void {
    this.#emit({ is: 'frame', frame });
  }

  heldThrough(conversationId: string): number {
    return this.#held?.get(conversationId) ?? 0;
  }

  release(conversationId: string): void {
    this.#held?.delete(conversationId);
  }

  #check(nowMs: number): void {
    this.#checkDueMs = nowMs + CHECK_INTERVAL_MS;
    const since = this.#base;
    if (since === undefined || this.#isRunning) return;
    this.#isRunning = true;
    this.#hasNewHole = false;
    const isTrusted = !this.#hasHole;
    this.#emit({
      is: 'run',
      routine: verify(this, this.#caller, this.#world, { since, isTrusted }),
      done: (outcome, endMs) => {
        this.#isRunning = false;
        if (outcome instanceof ParleyError) {
          if (!isTrusted || this.#hasNewHole) this.#fail(outcome);
          return;
        }
        this.#base = outcome as Position;
        this.#hasHole = this.#hasNewHole;
        this.#hasWritten = true;
        this.#armToken();
        if (this.#hasHole) this.#check(endMs);
      },
    });
  }

  #armToken(): void {
    this.#tokenDueMs = this.#lastTokenMs + TOKEN_INTERVAL_MS;
  }

  /** Without a base it stands for nothing: a device that lost its place is told everything again. */
  #token(coversFeed: boolean): string {
    const feed = { accountSequence: 0, indexes: this.#world.feedPositions() };
    const told = this.#base ?? NOWHERE;
    const position = coversFeed && this.#base !== undefined ? farther(told, feed) : told;
    const token = { epoch: this.#world.epoch(), timeMs: this.#world.wallMs(), position };
    return encodeSyncToken(token, this.#caller.user);
  }
}
