/**
 * What the runtime itself refuses with. Made once and without a stack: a store that is flooded must
 * be able to say so cheaply.
 */
import type { Refusal } from '../../core/link-payload.ts';

/** How long who met a full queue should wait; jitter is the caller's. */
export const OVERLOAD_RETRY_MS = 500;

function refusal(reason: Refusal['reason'], message: string, retryAfterMs?: number): Refusal {
  return Object.freeze({ reason, message, details: Object.freeze({}), retryAfterMs });
}

export type RefusalKind =
  | 'overloaded'
  | 'storeOverloaded'
  | 'behind'
  | 'laneFull'
  | 'lowDisk'
  | 'queries'
  | 'draining'
  | 'starting'
  | 'stopped'
  | 'notLeader'
  | 'unknown'
  | 'moved'
  | 'tooLarge';

export const REFUSED: Readonly<Record<RefusalKind, Refusal>> = {
  overloaded: refusal('OVERLOADED', 'the shard has too much under way', OVERLOAD_RETRY_MS),
  storeOverloaded: refusal('OVERLOADED', 'the store has too much under way', OVERLOAD_RETRY_MS),
  behind: refusal('OVERLOADED', 'the state store cannot follow the log', OVERLOAD_RETRY_MS),
  laneFull: refusal(
    'OVERLOADED',
    'too many commands wait for this conversation',
    OVERLOAD_RETRY_MS,
  ),
  lowDisk: refusal(
    'OVERLOADED',
    'the disk is nearly full: only deletions, marks and settings are taken',
    5000,
  ),
  queries: refusal('OVERLOADED', 'the store answers too many questions', OVERLOAD_RETRY_MS),
  draining: refusal('DRAINING', 'the store is stopping'),
  starting: refusal('SHARD_UNAVAILABLE', 'the shard is not ready yet'),
  stopped: refusal('SHARD_UNAVAILABLE', 'the shard has stopped on a fault and needs an operator'),
  notLeader: refusal('NOT_LEADER', 'another replica leads this shard'),
  unknown: refusal('COMMIT_UNKNOWN', 'leadership was lost before the outcome was known'),
  moved: refusal('MOVED', 'this shard does not own the slot'),
  tooLarge: refusal('PAYLOAD_TOO_LARGE', 'the command is larger than an entry may be'),
};
