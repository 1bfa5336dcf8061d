/**
 * Majorities. A joint configuration decides only what both of its halves decide; a half without
 * members decides nothing on its own and stands in nobody's way.
 */
import { invariant } from '../../core/invariant.ts';
import type { ReplicaId } from '../../core/ids.ts';
import type { Configuration } from './message.ts';

export type VoteOutcome = 'won' | 'lost' | 'pending';

/** The highest value that a quorum has reached, given what each voter has reached. */
export function quorumValue(
  configuration: Configuration,
  valueOf: (id: ReplicaId) => number,
): number {
  const { voters, outgoing } = configuration;
  invariant(voters.length > 0, 'quorum.has-voters');
  const incoming = majorityValue(voters, valueOf);
  return outgoing.length === 0 ? incoming : Math.min(incoming, majorityValue(outgoing, valueOf));
}

export function isQuorum(configuration: Configuration, has: (id: ReplicaId) => boolean): boolean {
  return quorumValue(configuration, (id) => (has(id) ? 1 : 0)) === 1;
}

/** Lost as soon as what has not answered cannot turn it. */
export function voteOutcome(
  configuration: Configuration,
  votes: ReadonlyMap<ReplicaId, boolean>,
): VoteOutcome {
  if (isQuorum(configuration, (id) => votes.get(id) === true)) return 'won';
  return isQuorum(configuration, (id) => votes.get(id) !== false) ? 'pending' : 'lost';
}

function majorityValue(voters: readonly ReplicaId[], valueOf: (id: ReplicaId) => number): number {
  const [first] = voters;
  invariant(first !== undefined, 'quorum.half-has-voters');
  if (voters.length === 1) return valueOf(first);
  const values = voters.map(valueOf).sort((a, b) => b - a);
  // Descending: the value at place n/2 is reached by floor(n/2) + 1 voters.
  const reached = values[voters.length >> 1];
  invariant(reached !== undefined, 'quorum.majority-exists');
  return reached;
}
