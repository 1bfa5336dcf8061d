/** What must be. A violation is a fault of this code, never of the network or the server. */
import { ClientError } from './errors.ts';

export function invariant(condition: boolean, name: string): asserts condition {
  if (!condition) throw new ClientError('INVARIANT', `broken invariant: ${name}`);
}
