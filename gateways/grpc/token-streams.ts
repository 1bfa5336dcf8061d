/**
 * Streams that live on: each began with a service token and ends when that is revoked. Tokens are
 * looked up together, each once a round.
 */
import type { EventEmitter } from 'node:events';
import { toParleyError, type ParleyError } from '../../core/errors.ts';
import { refuseStream } from './grpc-calls.ts';

/** undefined = the token is live and has the scopes. */
type Judge = (token: string, needed: readonly string[]) => Promise<ParleyError | undefined>;

interface Opened {
  readonly token: string;
  readonly needed: readonly string[];
}

const ENDINGS = ['cancelled', 'close', 'error', 'finish'];

export class TokenStreams {
  readonly #judge: Judge;
  readonly #open = new Map<EventEmitter, Opened>();
  #isChecking = false;

  constructor(judge: Judge) {
    this.#judge = judge;
  }

  get count(): number {
    return this.#open.size;
  }

  add(stream: EventEmitter, token: string, needed: readonly string[]): void {
    this.#open.set(stream, { token, needed });
    for (const ending of ENDINGS) stream.once(ending, () => this.#open.delete(stream));
  }

  /** Ends the streams whose tokens are good no more. What cannot be judged now goes on. */
  async check(): Promise<void> {
    if (this.#isChecking) return;
    this.#isChecking = true;
    const verdicts = new Map<string, Promise<ParleyError | undefined>>();
    for (const [stream, { token, needed }] of [...this.#open]) {
      const key = [token, ...needed].join(' ');
      const verdict = verdicts.get(key) ?? this.#judge(token, needed).catch(toParleyError);
      verdicts.set(key, verdict);
      const error = await verdict;
      const isFinal = error?.code === 'unauthenticated' || error?.code === 'permission_denied';
      if (error !== undefined && isFinal && this.#open.has(stream)) refuseStream(stream, error);
    }
    this.#isChecking = false;
  }
}
