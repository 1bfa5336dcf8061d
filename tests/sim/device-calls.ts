/** A device's questions: each is asked until there is an answer that stands. */
import { REASONS, type Reason } from '../../core/reasons.ts';
import type { DeviceLine } from './device-world.ts';
import type { Scope } from './virtual-time.ts';
import type { Json } from './wire.ts';

export type Answered = (answer: Json | undefined, reason: string) => void;

interface Call {
  readonly method: string;
  readonly request: Json;
  readonly done: Answered;
  frameId: number;
}

const CALL_RETRY_MS = 120;

export class DeviceCalls {
  readonly #scope: Scope;
  readonly #line: DeviceLine;
  readonly #calls: Call[] = [];

  constructor(scope: Scope, line: DeviceLine) {
    this.#scope = scope;
    this.#line = line;
  }

  get unanswered(): number {
    return this.#calls.length;
  }

  /** `done` gets the answer, or the reason of the refusal. */
  call(method: string, request: Json, done: Answered): void {
    const call = { method, request, done, frameId: 0 };
    this.#calls.push(call);
    if (this.#line.isReady) this.#transmit(call);
  }

  /** Nobody wants the answer any more. */
  withdraw(method: string): void {
    const i = this.#calls.findIndex((one) => one.method === method);
    if (i >= 0) this.#calls.splice(i, 1);
  }

  ready(): void {
    for (const call of [...this.#calls]) this.#transmit(call);
  }

  lost(): void {
    for (const call of this.#calls) call.frameId = 0;
  }

  answered(frameId: number, answer: Json): void {
    const i = this.#calls.findIndex((one) => one.frameId === frameId);
    if (i >= 0) this.#calls.splice(i, 1)[0]?.done(answer, '');
  }

  /** False = no question has this number. */
  refused(frameId: number, reason: string): boolean {
    const call = this.#calls.find((one) => one.frameId === frameId);
    if (call === undefined) return false;
    if (isFinal(reason)) {
      this.#calls.splice(this.#calls.indexOf(call), 1);
      call.done(undefined, reason);
      return true;
    }
    call.frameId = 0;
    this.#scope.after(CALL_RETRY_MS, () => {
      if (this.#line.isReady && call.frameId === 0 && this.#calls.includes(call))
        this.#transmit(call);
    });
    return true;
  }

  #transmit(call: Call): void {
    const { method, request } = call;
    call.frameId = this.#line.ask({ call: { method, request } });
  }
}

/** Repeating it would change nothing. */
export function isFinal(reason: string): boolean {
  const rule = REASONS[reason as Reason];
  return (
    rule === undefined || rule.retry === 'never' || rule.retry === 'fix' || rule.retry === 'reread'
  );
}
