/**
 * What a shard's log is made of and what its replicas say to each other. Plain values: the core
 * makes and reads them, the runtime stores and carries them and never changes one. Payloads are
 * opaque bytes, shared by reference and never copied here.
 */
import type { Index, ReplicaId, Term } from '../../core/ids.ts';

/** claim: a leader's first own-term entry; command: the state machine's; config: the core's own. */
export type EntryKind = 'claim' | 'command' | 'config';

/** One record of a shard's log. (index, term) names its content for ever: two replicas that hold
 *  the same pair hold the same payload and the same log below it. */
export interface Entry {
  readonly term: Term;
  readonly index: Index;
  readonly kind: EntryKind;
  readonly payload: Uint8Array;
}

/**
 * Who decides and who listens. While `outgoing` is not empty the configuration is joint: elections
 * and commits need a majority of `voters` *and* one of `outgoing` (Ongaro 2014 §4.3). A learner
 * that is still in `outgoing` votes until the joint configuration is left.
 */
export interface Configuration {
  readonly voters: readonly ReplicaId[];
  readonly outgoing: readonly ReplicaId[];
  readonly learners: readonly ReplicaId[];
}

/** State as of an applied index: everything at or below it is in the state, not in the log. */
export interface SnapshotDescriptor {
  readonly index: Index;
  readonly term: Term;
  readonly configuration: Configuration;
}

/** What a replica must remember beside its log. `vote` 0 = none in this term. `commit` may lag. */
export interface HardState {
  readonly term: Term;
  readonly vote: ReplicaId;
  readonly commit: Index;
}

interface Envelope {
  readonly from: ReplicaId;
  readonly to: ReplicaId;
  /** Of the sender; in a pre-vote and its grant the term that the candidate would start. */
  readonly term: Term;
}

export interface PreVoteRequest extends Envelope {
  readonly kind: 'pre-vote';
  readonly lastIndex: Index;
  readonly lastTerm: Term;
}
export interface PreVoteReply extends Envelope {
  readonly kind: 'pre-vote-reply';
  readonly isGranted: boolean;
}
export interface VoteRequest extends Envelope {
  readonly kind: 'vote';
  readonly lastIndex: Index;
  readonly lastTerm: Term;
  /** The leader asked for this election, so its lease does not refuse it. */
  readonly isTransfer: boolean;
}
export interface VoteReply extends Envelope {
  readonly kind: 'vote-reply';
  readonly isGranted: boolean;
}
export interface AppendRequest extends Envelope {
  readonly kind: 'append';
  readonly previousIndex: Index;
  readonly previousTerm: Term;
  readonly entries: readonly Entry[];
  readonly commit: Index;
}
/** The sender holds everything up to `index` on disk, as the leader of `term` does. */
export interface AppendReply extends Envelope {
  readonly kind: 'append-reply';
  readonly index: Index;
}
/** The sender does not hold the entry before; its log may match up to (hintIndex, hintTerm). */
export interface AppendRejection extends Envelope {
  readonly kind: 'append-rejection';
  readonly rejectedIndex: Index;
  readonly hintIndex: Index;
  readonly hintTerm: Term;
}
export interface Heartbeat extends Envelope {
  readonly kind: 'heartbeat';
  readonly commit: Index;
  /** Round of leadership confirmation, for reads; rises within a term. */
  readonly round: number;
}
export interface HeartbeatReply extends Envelope {
  readonly kind: 'heartbeat-reply';
  readonly round: number;
}
/**
 * Sent: the runtime streams its state exactly as of `snapshot.index`. Stepped at the receiver only
 * when all of that state is staged there, ready to be activated by one atomic batch.
 */
export interface SnapshotRequest extends Envelope {
  readonly kind: 'snapshot';
  readonly snapshot: SnapshotDescriptor;
}
/** Stand for election now: the leader hands over. */
export interface TimeoutNow extends Envelope {
  readonly kind: 'timeout-now';
}
/** Answer to a leader or candidate of an older term, so that it learns of the newer one. */
export interface StaleTerm extends Envelope {
  readonly kind: 'stale-term';
}

export type Message =
  | PreVoteRequest
  | PreVoteReply
  | VoteRequest
  | VoteReply
  | AppendRequest
  | AppendReply
  | AppendRejection
  | Heartbeat
  | HeartbeatReply
  | SnapshotRequest
  | TimeoutNow
  | StaleTerm;
