/**
 * Operating errors: everything that can go wrong without a fault in the code. Each carries one of
 * the 16 Connect/gRPC codes and a stable reason from the one table (proto/parley/v1/errors.proto).
 * The message is for people and never parsed; it never holds contents, tokens or passwords.
 */
import { REASONS, type Code, type Reason, type ReasonRule } from './reasons.ts';

export type { Code, Reason, ReasonRule };

/** What a reason needs beside its name: `field`, `lastAccepted`, `epoch`, `first`, `leader`... */
export type ErrorDetails = Readonly<Record<string, string | number>>;

export interface ErrorOptions {
  readonly cause?: unknown;
  readonly retryAfterMs?: number;
}

export class ParleyError extends Error {
  readonly code: Code;
  readonly reason: Reason;
  readonly details: ErrorDetails;
  readonly retryAfterMs: number | undefined;

  constructor(
    reason: Reason,
    message: string,
    details: ErrorDetails = {},
    options: ErrorOptions = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'ParleyError';
    this.code = REASONS[reason].code;
    this.reason = reason;
    this.details = details;
    this.retryAfterMs = options.retryAfterMs;
  }
}

export function ruleOf(reason: Reason): ReasonRule {
  return REASONS[reason];
}

export function isReason(text: string): text is Reason {
  return Object.hasOwn(REASONS, text);
}

/**
 * Converts whatever was thrown at an edge. A ParleyError passes; anything else becomes INVARIANT
 * with the original as its cause, so that nothing about it leaks to a caller.
 */
export function toParleyError(thrown: unknown): ParleyError {
  if (thrown instanceof ParleyError) return thrown;
  return new ParleyError('INVARIANT', 'the server found a fault in itself', {}, { cause: thrown });
}
