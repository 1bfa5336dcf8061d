/**
 * Sessions: one sign-in of a device each, with its family of refresh tokens. A refresh token is good
 * once. The one before the good one yields the same successor for a few seconds (its answer may have
 * got lost); any older one, or that one later, means that somebody copied it: the session ends.
 */
import type { Clock } from '../../core/clock.ts';
import { ParleyError } from '../../core/errors.ts';
import type { DeviceId, SessionId, UserId } from '../../core/ids.ts';
import type { AccessTokenIssuer } from './access-tokens.ts';
import type { Caller, Revocation, Session, Tokens } from './contract.ts';
import { newSessionId, sessionIdOf } from './new-ids.ts';
import type { RevokeMatch, SessionRow, SessionStore } from './ports.ts';
import type { RefreshTokens } from './refresh-tokens.ts';

export interface SessionLimits {
  readonly accessTokenTtlMs: number;
  readonly refreshTtlMs: number;
  readonly refreshTotalTtlMs: number;
  readonly refreshGraceMs: number;
}

export interface SessionParts {
  readonly store: SessionStore;
  readonly clock: Clock;
  readonly limits: SessionLimits;
  readonly issuer: AccessTokenIssuer;
  readonly refreshTokens: RefreshTokens;
  /** Told after the row is durable. It may fail or be missed: the outbox repeats it. */
  readonly onRevoked: (revocations: readonly Revocation[]) => void;
}

/** What a person's tokens allow. Guests, bots and services get theirs with them. */
const PERSON_SCOPE = 'chat';

export class Sessions {
  readonly #parts: SessionParts;

  constructor(parts: SessionParts) {
    this.#parts = parts;
  }

  async open(userId: UserId, deviceId: DeviceId): Promise<Tokens> {
    const nowMs = this.#parts.clock.nowMs();
    const { refreshTtlMs, refreshTotalTtlMs } = this.#parts.limits;
    const row: SessionRow = {
      sessionId: newSessionId(nowMs),
      userId,
      deviceId,
      refreshCount: 1,
      rotateTimeMs: nowMs,
      refreshExpireTimeMs: nowMs + Math.min(refreshTtlMs, refreshTotalTtlMs),
      expireTimeMs: nowMs + refreshTotalTtlMs,
      createTimeMs: nowMs,
      lastSeenTimeMs: nowMs,
      isRevoked: false,
    };
    await this.#parts.store.insertSession(row);
    return this.#tokens(row);
  }

  async refresh(refreshToken: string): Promise<Tokens> {
    const { store, clock, limits, refreshTokens } = this.#parts;
    const presented = refreshTokens.parse(refreshToken);
    const timeMs = clock.nowMs();
    const { sessionId, count: refreshCount } = presented;
    const rotation = { sessionId, refreshCount, timeMs, refreshTtlMs: limits.refreshTtlMs };
    const rotated = await store.rotate(rotation);
    if (rotated !== undefined) return this.#tokens(rotated);
    return this.#tokens(await this.#judgeOld(sessionId, refreshCount, timeMs));
  }

  /** The successor of the session's good token, whatever the client holds (a changed password). */
  async renew(caller: Caller): Promise<Tokens> {
    const { store, clock, limits } = this.#parts;
    const timeMs = clock.nowMs();
    const found = await store.findSession(caller.sessionId);
    if (found === undefined || found.isRevoked) throw revoked();
    const { sessionId, refreshCount } = found;
    const rotation = { sessionId, refreshCount, timeMs, refreshTtlMs: limits.refreshTtlMs };
    const rotated = await store.rotate(rotation);
    // A refresh of the same session came between: its tokens are as good.
    return this.#tokens(rotated ?? (await this.#live(sessionId)));
  }

  async list(caller: Caller): Promise<readonly Session[]> {
    const rows = await this.#parts.store.listSessions(caller.userId, this.#parts.clock.nowMs());
    return rows.map((row) => ({
      sessionId: row.sessionId,
      deviceId: row.deviceId,
      deviceName: row.deviceName,
      platform: row.platform,
      current: row.sessionId === caller.sessionId,
      createTimeMs: row.createTimeMs,
      lastSeenTimeMs: row.lastSeenTimeMs,
    }));
  }

  /** One of the caller's own. Another's or an unknown id does nothing, and says no more than that. */
  async revokeOne(caller: Caller, sessionId: string): Promise<void> {
    const id = sessionId === 'current' ? caller.sessionId : sessionIdOf(sessionId, 'sessionId');
    await this.revoke({ userId: caller.userId, sessionId: id });
  }

  async revoke(match: RevokeMatch): Promise<void> {
    const { store, clock, onRevoked } = this.#parts;
    const revocations = await store.revoke(match, clock.nowMs());
    if (revocations.length > 0) onRevoked(revocations);
  }

  /** Answers with the row whose good token is the successor, or throws and perhaps revokes. */
  async #judgeOld(sessionId: SessionId, count: number, timeMs: number): Promise<SessionRow> {
    const row = await this.#live(sessionId);
    const isPrevious = count === row.refreshCount - 1;
    if (isPrevious && timeMs - row.rotateTimeMs <= this.#parts.limits.refreshGraceMs) return row;
    // A number from the future: the database was restored. Not a theft, but not good either.
    if (count >= row.refreshCount)
      throw new ParleyError('TOKEN_INVALID', 'this refresh token is not known: sign in anew');
    await this.revoke({ userId: row.userId, sessionId });
    throw new ParleyError(
      'REFRESH_REUSED',
      'an old refresh token was used again: the session was signed out',
    );
  }

  async #live(sessionId: SessionId): Promise<SessionRow> {
    const row = await this.#parts.store.findSession(sessionId);
    if (row === undefined || row.isRevoked) throw revoked();
    const nowMs = this.#parts.clock.nowMs();
    if (row.refreshExpireTimeMs <= nowMs || row.expireTimeMs <= nowMs)
      throw new ParleyError('TOKEN_EXPIRED', 'the session has expired: sign in anew');
    return row;
  }

  #tokens(row: SessionRow): Tokens {
    const { clock, limits, issuer, refreshTokens } = this.#parts;
    const nowMs = clock.nowMs();
    const ttlMs = Math.min(limits.accessTokenTtlMs, Math.max(0, row.expireTimeMs - nowMs));
    const { userId, deviceId, sessionId } = row;
    const scope = PERSON_SCOPE;
    return {
      accessToken: issuer.issue({ userId, deviceId, sessionId, scope, nowMs, ttlMs }),
      refreshToken: refreshTokens.make(sessionId, row.refreshCount),
      expiresInMs: ttlMs,
      userId,
      deviceId,
      sessionId,
    };
  }
}

function revoked(): ParleyError {
  return new ParleyError('SESSION_REVOKED', 'this session was signed out: sign in anew');
}
