/** Close codes of connections, derived from the one table of reasons (CONTRACT §8). */
import { ruleOf, type Reason } from '../../core/errors.ts';

/** A connection that ended in good order (`bye`). */
export const CLOSE_NORMAL = 1000;

/** The code that ends a connection for this reason. Reasons that never end one close as INVARIANT. */
export function closeCode(reason: Reason): number {
  const { close } = ruleOf(reason);
  return close === 0 ? ruleOf('INVARIANT').close : close;
}

/** 4500-4999 must not reconnect; every other code may. */
export function mayReconnect(code: number): boolean {
  return code < 4500 || code > 4999;
}
