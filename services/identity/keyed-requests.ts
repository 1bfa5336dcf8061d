/** Keyed POSTs that are no sends: one effect per (caller, method, key) for 24 h (CONTRACT §4). */
import type { Clock } from '../../core/clock.ts';
import { ParleyError } from '../../core/errors.ts';
import { unreachable } from '../../core/invariant.ts';
import type { KeyedOutcome, KeyedRequest } from './contract.ts';
import type { KeyedRequestStore } from './ports.ts';

const KEPT_MS = 24 * 60 * 60_000;
/** Longer than any request may take: then its process died and the next may do the work. */
const CLAIM_MS = 60_000;

export class KeyedRequests {
  readonly #store: KeyedRequestStore;
  readonly #clock: Clock;

  constructor(store: KeyedRequestStore, clock: Clock) {
    this.#store = store;
    this.#clock = clock;
  }

  async claim(request: KeyedRequest): Promise<KeyedOutcome> {
    const nowMs = this.#clock.nowMs();
    const outcome = await this.#store.claim(request, {
      nowMs,
      claimLapsedBeforeMs: nowMs - CLAIM_MS,
    });
    switch (outcome.kind) {
      case 'claimed':
      case 'replayed':
        return outcome;
      case 'running':
        throw new ParleyError(
          'IDEMPOTENCY_IN_PROGRESS',
          'the first request with this key is still under way',
          {},
          { retryAfterMs: 1_000 },
        );
      case 'other':
        throw new ParleyError(
          'IDEMPOTENCY_CONFLICT',
          'this key was used for another request: take a new one',
        );
      default:
        return unreachable('keyed-requests.outcome', outcome);
    }
  }

  async complete(request: KeyedRequest, result: string): Promise<void> {
    await this.#store.complete(request, result);
  }

  async abandon(request: KeyedRequest): Promise<void> {
    await this.#store.abandon(request);
  }

  async prune(): Promise<void> {
    await this.#store.prune(this.#clock.nowMs() - KEPT_MS);
  }
}
