/** Refusals and failures with a reason of the contract's one table. */
import type { WireError } from './contract.ts';
import { REASONS, type Reason } from './reasons.ts';

export class ClientError extends Error {
  readonly reason: Reason;
  readonly retryAfterMs: number;
  readonly metadata: Readonly<Record<string, string>>;

  constructor(
    reason: Reason,
    message: string,
    more: {
      retryAfterMs?: number;
      metadata?: Readonly<Record<string, string>>;
      cause?: unknown;
    } = {},
  ) {
    super(message, more.cause === undefined ? undefined : { cause: more.cause });
    this.name = 'ClientError';
    this.reason = reason;
    this.retryAfterMs = more.retryAfterMs ?? 0;
    this.metadata = more.metadata ?? {};
  }
}

/**
 * Refusals that stand whatever anybody does later: what was named is gone or never was, its time has
 * passed, or nothing opens it again. The other N of the contract (a block, a role, a membership, a
 * quota, what an operator switched off) may be lifted by somebody, and the same is accepted then.
 */
const FINAL: ReadonlySet<Reason> = new Set<Reason>([
  'SENDER_MISMATCH',
  'USER_UNKNOWN',
  'MESSAGE_UNKNOWN',
  'MEDIA_UNKNOWN',
  'INVITE_UNKNOWN',
  'TOPIC_UNKNOWN',
  'CONVERSATION_CLOSED',
  'TARGET_DELETED',
  'EDIT_WINDOW_PASSED',
  'INVITE_EXPIRED',
  'ENCRYPTION_MISMATCH',
  'ENCRYPTED_NO_SEARCH',
]);

/** Whether what was refused so may still be accepted as it is. */
export function mayStillSucceed(reason: Reason): boolean {
  return REASONS[reason].retry !== 'fix' && !FINAL.has(reason);
}

/** W, R and unknown outcomes: the same again. A: once there is a credential, with the connection. */
export function isForLater(reason: Reason): boolean {
  const { retry } = REASONS[reason];
  return retry === 'wait' || retry === 'backoff' || retry === 'sign_in';
}

/** A reason this version does not know is met as its code's class allows: later, the same again. */
export function knownReason(reason: string | undefined): Reason {
  return reason !== undefined && Object.hasOwn(REASONS, reason) ? (reason as Reason) : 'INVARIANT';
}

export function errorOf(wire: WireError): ClientError {
  return new ClientError(knownReason(wire.reason), wire.message ?? wire.reason ?? '', {
    retryAfterMs: wire.retryAfterMs ?? 0,
    metadata: wire.metadata ?? {},
  });
}

export function featureDisabled(what: string): ClientError {
  return new ClientError('FEATURE_DISABLED', `${what} is not in this version`);
}

/** Whether asking again, as it is, is of no use. */
export function isRefusedForGood(error: unknown): boolean {
  const { retry } = REASONS[reasonOf(error)];
  return retry === 'never' || retry === 'fix';
}

export function reasonOf(error: unknown): Reason {
  return error instanceof ClientError ? error.reason : 'INVARIANT';
}

/** How long the server asked to wait; 0 = it did not say. */
export function retryAfterMsOf(error: unknown): number {
  return error instanceof ClientError ? error.retryAfterMs : 0;
}
