/** Errors of this room: one reason, one problem, and words that say what to do. */
import { ParleyError, type ErrorDetails } from '../core/errors.ts';
import type { StorageProblem } from './contract.ts';

/** CORRUPT_ENTRY for `corrupt`, BACKEND_UNAVAILABLE for everything else. */
export function storageError(
  problem: StorageProblem,
  message: string,
  details: ErrorDetails = {},
  cause?: unknown,
): ParleyError {
  return new ParleyError(
    problem === 'corrupt' ? 'CORRUPT_ENTRY' : 'BACKEND_UNAVAILABLE',
    message,
    { problem, ...details },
    cause === undefined ? {} : { cause },
  );
}

/** An error of the operating system on `path`, converted where it enters. */
export function diskError(operation: string, path: string, cause: unknown): ParleyError {
  if (cause instanceof ParleyError) return cause;
  const code = errnoOf(cause);
  if (code === 'ENOSPC' || code === 'EDQUOT')
    return storageError(
      'disk_full',
      `no space left while writing ${path}; free some space and start again`,
      { path, operation, code },
      cause,
    );
  return storageError(
    'io',
    `${operation} of ${path} failed (${code}); check the disk and its permissions`,
    { path, operation, code },
    cause,
  );
}

export function isDiskFull(thrown: unknown): boolean {
  return thrown instanceof ParleyError && thrown.details['problem'] === 'disk_full';
}

export function errnoOf(cause: unknown): string {
  return cause instanceof Error && 'code' in cause && typeof cause.code === 'string'
    ? cause.code
    : 'unknown';
}
