/**
 * The deadlines that keep a connection alive or end it: hello, pings, the life of its token, the
 * end of a drain. Times are of the monotonic clock; Infinity = not set.
 */
import type { Reason } from '../../core/errors.ts';
import { AUTH_GRACE_MS, AUTH_WARNING_MS, DRAIN_CLOSE_MS, type SessionLimits } from './limits.ts';

export type LifelineEvent =
  | { readonly is: 'close'; readonly reason: Reason }
  | { readonly is: 'warn'; readonly expiresInMs: number }
  | { readonly is: 'ping' };

export class Lifeline {
  readonly #limits: SessionLimits;
  #helloDueMs: number;
  #pingDueMs = Infinity;
  #pongDueMs = Infinity;
  #warnDueMs = Infinity;
  #expiryMs = Infinity;
  #graceUntilMs = Infinity;
  #drainDueMs = Infinity;

  constructor(limits: SessionLimits, nowMs: number) {
    this.#limits = limits;
    this.#helloDueMs = nowMs + limits.helloTimeoutMs;
  }

  get nextMs(): number {
    return Math.min(
      this.#helloDueMs,
      this.#pingDueMs,
      this.#pongDueMs,
      this.#warnDueMs,
      this.#expiryMs,
      this.#drainDueMs,
    );
  }

  admitted(lifeMs: number, nowMs: number): void {
    this.#helloDueMs = Infinity;
    this.#pingDueMs = nowMs + this.#limits.pingIntervalMs;
    this.renewed(lifeMs, nowMs);
  }

  /** The warning comes 60 s before the end, but never in the first half of the token's life. */
  renewed(lifeMs: number, nowMs: number): void {
    this.#expiryMs = nowMs + Math.max(0, lifeMs);
    this.#warnDueMs = this.#expiryMs - Math.min(AUTH_WARNING_MS, Math.max(0, lifeMs) / 2);
    this.#graceUntilMs = this.#expiryMs + AUTH_GRACE_MS;
  }

  /** Nobody can verify a token at the moment: the connection outlives its own, but not for ever. */
  excused(): void {
    this.#expiryMs = this.#graceUntilMs;
  }

  /** Anything the client sent shows that it lives. */
  heard(): void {
    this.#pongDueMs = Infinity;
  }

  draining(nowMs: number): void {
    this.#drainDueMs = nowMs + DRAIN_CLOSE_MS;
  }

  /** What is due; a close stands alone. */
  due(nowMs: number): readonly LifelineEvent[] {
    const reason = this.#endReason(nowMs);
    if (reason !== undefined) return [{ is: 'close', reason }];
    const events: LifelineEvent[] = [];
    if (nowMs >= this.#warnDueMs) {
      this.#warnDueMs = Infinity;
      events.push({ is: 'warn', expiresInMs: Math.max(1, Math.round(this.#expiryMs - nowMs)) });
    }
    if (nowMs >= this.#pingDueMs) {
      this.#pingDueMs = nowMs + this.#limits.pingIntervalMs;
      // The first that is not answered counts, also where pings are closer than the timeout.
      this.#pongDueMs = Math.min(this.#pongDueMs, nowMs + this.#limits.pingTimeoutMs);
      events.push({ is: 'ping' });
    }
    return events;
  }

  #endReason(nowMs: number): Reason | undefined {
    if (nowMs >= this.#helloDueMs) return 'HELLO_TIMEOUT';
    if (nowMs >= this.#pongDueMs) return 'PING_TIMEOUT';
    if (nowMs >= this.#expiryMs) return 'TOKEN_EXPIRED';
    if (nowMs >= this.#drainDueMs) return 'DRAINING';
    return undefined;
  }
}
