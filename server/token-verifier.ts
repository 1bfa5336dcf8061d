/** The gateways' TokenVerifier over locally held keys: no call to anybody per connection. */
import type { Clock, Timers } from '../core/clock.ts';
import { ParleyError } from '../core/errors.ts';
import { parseId } from '../core/ids.ts';
import type { TokenVerifier } from '../gateways/ports.ts';
import type { Caller } from '../gateways/session/caller.ts';
import type { AccessTokenVerifier } from '../services/identity/access-token-verifier.ts';
import type { Revocation } from '../services/identity/contract.ts';

export interface LocalVerifierParts {
  readonly verifier: AccessTokenVerifier;
  readonly clock: Clock;
  readonly timers: Timers;
  /**
   * No token is taken for longer after its issue, whatever it says: one of a start with a longer life
   * would outlive the memory of its session's end. So after this long none of a revoked session is alive.
   */
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
    const { verifier, clock, accessTokenTtlMs } = this.#parts;
    const nowMs = clock.nowMs();
    const claims = verifier.verify(token, nowMs);
    const { userId, deviceId, sessionId, scope } = claims;
    const expiresAtMs = Math.min(claims.expireTimeMs, claims.issueTimeMs + accessTokenTtlMs);
    if (expiresAtMs <= nowMs)
      throw new ParleyError('TOKEN_EXPIRED', 'the access token has expired: refresh it');
    return {
      userId,
      user: parseId('usr', userId, 'sub'),
      deviceId,
      device: parseId('dev', deviceId, 'did'),
      sessionId,
      session: parseId('ses', sessionId, 'sid'),
      scopes: scope.split(' '),
      expiresAtMs,
    };
  }

  revoke({ sessionId, timeMs }: Revocation): void {
    this.#parts.verifier.revoke(sessionId, timeMs + this.#parts.accessTokenTtlMs + CLOCK_SLACK_MS);
  }
}
