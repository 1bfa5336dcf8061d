/** The gateways' TokenVerifier over locally held keys: no call to anybody per connection. */
import type { Clock, Timers } from '../core/clock.ts';
import { parseId } from '../core/ids.ts';
import type { TokenVerifier } from '../gateways/ports.ts';
import type { Caller } from '../gateways/session/caller.ts';
import type { AccessTokenVerifier } from '../services/identity/access-token-verifier.ts';
import type { Revocation } from '../services/identity/contract.ts';

export interface LocalVerifierParts {
  readonly verifier: AccessTokenVerifier;
  readonly clock: Clock;
  readonly timers: Timers;
  /** After this long no token of a revoked session can still be alive. */
  readonly accessTokenTtlMs: number;
}

const PRUNE_PERIOD_MS = 60_000;
/** Clocks of the nodes of a cluster may differ by this. */
const CLOCK_SLACK_MS = 60_000;

export class LocalVerifier implements TokenVerifier {
  readonly #parts: LocalVerifierParts;

  constructor(parts: LocalVerifierParts) {
    this.#parts = parts;
    parts.timers.every(PRUNE_PERIOD_MS, () => parts.verifier.prune(parts.clock.nowMs()));
  }

  async verify(token: string): Promise<Caller> {
    const claims = this.#parts.verifier.verify(token, this.#parts.clock.nowMs());
    const { userId, deviceId, sessionId, scope, expireTimeMs } = claims;
    return {
      userId,
      user: parseId('usr', userId, 'sub'),
      deviceId,
      device: parseId('dev', deviceId, 'did'),
      sessionId,
      session: parseId('ses', sessionId, 'sid'),
      scopes: scope.split(' '),
      expiresAtMs: expireTimeMs,
    };
  }

  revoke({ sessionId, timeMs }: Revocation): void {
    this.#parts.verifier.revoke(sessionId, timeMs + this.#parts.accessTokenTtlMs + CLOCK_SLACK_MS);
  }
}
