/**
 * The consensus core as the runtime sees it: synchronous, without IO, clock or randomness of its
 * own. The runtime feeds inputs, calls `take()` once per turn and does what it says.
 *
 * How to perform an Effects, in order:
 *  1. `sendNow` may leave at once, in parallel with the writes below.
 *  2. If `token` is set, write `hard`, `truncateFrom`, `append`, `installSnapshot` (in that order)
 *     behind every earlier token's writes. When all of it is durable, and not before, send
 *     `sendAfterPersist` and call `persisted(token)`. A token without writes becomes durable with
 *     the one before it. Tokens may be in flight together; only the newest of a sync need come back.
 *  3. Apply `committed` in order, then call `applied(through)`.
 *  4. Answer each of `reads` once its index is applied; each of `refusedReads` with NOT_LEADER.
 */
import type { Index, ReplicaId, Term } from '../../core/ids.ts';
import type { Configuration, Entry, HardState, Message, SnapshotDescriptor } from './message.ts';

export type Role = 'follower' | 'pre-candidate' | 'candidate' | 'leader';

/** Bounds of everything that could grow. Defaults: RAFT_LIMITS. */
export interface RaftLimits {
  /** One entry's payload; a larger one in `propose` breaks an invariant: refuse it before. */
  readonly entryBytesMax: number;
  /** Payload bytes of one append message, unless a single entry is larger. */
  readonly appendBytesMax: number;
  /** Payload bytes proposed and not yet committed; above it `propose` answers 'overloaded'. */
  readonly uncommittedBytesMax: number;
  readonly inflightMessagesMax: number;
  readonly inflightBytesMax: number;
  /** Reads waiting for a round of confirmation; above it `readIndex` answers 'overloaded'. */
  readonly pendingReadsMax: number;
  /** A new voter must first be a learner that lags by no more than this. */
  readonly catchUpEntriesMax: number;
}

export const RAFT_LIMITS: RaftLimits = Object.freeze({
  entryBytesMax: 256 * 1024,
  appendBytesMax: 1024 * 1024,
  uncommittedBytesMax: 16 * 1024 * 1024,
  inflightMessagesMax: 256,
  inflightBytesMax: 4 * 1024 * 1024,
  pendingReadsMax: 16_384,
  catchUpEntriesMax: 1_000,
});

/** A replica as its disk gives it back. Of a new shard: `newShard(voters)`. */
export interface RestoredReplica {
  readonly hard: HardState;
  /** The log begins above it; index 0 = from the start. Its configuration is that of the index. */
  readonly snapshot: SnapshotDescriptor;
  /** Dense from snapshot.index + 1, all durable. */
  readonly entries: readonly Entry[];
  /** What the state machine durably contains; snapshot.index <= applied <= last entry. */
  readonly applied: Index;
  /** The log or the state may lack what was acknowledged: this replica never votes, campaigns or
   *  acknowledges again under its id. */
  readonly isSuspect: boolean;
}

export interface RaftOptions {
  readonly id: ReplicaId;
  /** Uniform in [0, 1): spreads elections, nothing else. */
  readonly random: () => number;
  readonly electionTicks: number;
  readonly heartbeatTicks: number;
  readonly limits: RaftLimits;
  /** Goes into the claim entry of every term that this replica leads; opaque here. */
  readonly claimPayload: Uint8Array;
  readonly restored: RestoredReplica;
}

/** Opaque receipt of one take's writes. Never compare or keep one across a restart. */
export interface PersistToken {
  readonly number: number;
  readonly term: Term;
  readonly lastIndex: Index;
  /** Rises when a suffix of the log is replaced; a token of an older one proves nothing about the
   *  entries that now stand at its indexes (the append ABA). */
  readonly generation: number;
}

export interface Soft {
  readonly role: Role;
  readonly term: Term;
  /** 0 = unknown. */
  readonly leader: ReplicaId;
}

export interface Effects {
  readonly hard: HardState | undefined;
  /** Drop every stored entry at or above it, before appending. */
  readonly truncateFrom: Index | undefined;
  readonly append: readonly Entry[];
  /** Activate the staged state in one atomic batch with its (index, term, configuration); the
   *  whole stored log goes, `append` starts behind it. */
  readonly installSnapshot: SnapshotDescriptor | undefined;
  readonly token: PersistToken | undefined;
  readonly sendNow: readonly Message[];
  readonly sendAfterPersist: readonly Message[];
  /** Both ends included; read them with `entry(index)`. Always durable here, so the state never
   *  runs ahead of the log. */
  readonly committed: { readonly from: Index; readonly to: Index } | undefined;
  readonly reads: readonly { readonly context: number; readonly index: Index }[];
  readonly refusedReads: readonly number[];
  readonly soft: Soft | undefined;
}

export type ProposeResult =
  | { readonly ok: true; readonly term: Term; readonly first: Index; readonly last: Index }
  | {
      readonly ok: false;
      readonly why: 'not_leader' | 'overloaded' | 'transferring';
      readonly leader: ReplicaId;
    };

export interface ConfigurationTarget {
  readonly voters: readonly ReplicaId[];
  readonly learners: readonly ReplicaId[];
}

export type ProposeConfResult =
  | { readonly ok: true; readonly term: Term; readonly index: Index }
  | {
      readonly ok: false;
      readonly why:
        | 'not_leader'
        | 'transferring'
        /** The claim or an earlier change is not committed yet, or the configuration is joint. */
        | 'in_progress'
        | 'unchanged'
        /** No voters, a repeated id, 0, or a voter that is also a learner. */
        | 'invalid'
        /** A new voter is not a learner that lags by at most catchUpEntriesMax. */
        | 'not_caught_up';
      readonly leader: ReplicaId;
    };

export type ReadIndexResult =
  | { readonly ok: true }
  | {
      readonly ok: false;
      /** not_ready: leader, but its own-term entry is not applied. */
      readonly why: 'not_leader' | 'not_ready' | 'overloaded';
      readonly leader: ReplicaId;
    };

export type FollowerState = 'probe' | 'replicate' | 'snapshot';

export interface FollowerStatus {
  readonly id: ReplicaId;
  readonly match: Index;
  readonly next: Index;
  readonly state: FollowerState;
  readonly isActive: boolean;
  readonly inflightMessages: number;
}

export interface Status {
  readonly id: ReplicaId;
  readonly role: Role;
  readonly term: Term;
  readonly vote: ReplicaId;
  readonly leader: ReplicaId;
  /** Leads, and its own-term entry is applied: may answer, refuse and read. */
  readonly isReady: boolean;
  readonly first: Index;
  readonly last: Index;
  readonly persisted: Index;
  readonly commit: Index;
  readonly applied: Index;
  readonly uncommittedBytes: number;
  readonly configuration: Configuration;
  readonly transferee: ReplicaId;
  /** Of a leader: everyone else in the configuration, by id. Otherwise empty. */
  readonly followers: readonly FollowerStatus[];
}

export interface RaftCore {
  readonly id: ReplicaId;
  readonly role: Role;
  readonly term: Term;
  readonly leader: ReplicaId;
  readonly isReady: boolean;
  readonly lastIndex: Index;
  readonly commitIndex: Index;

  tick(): void;
  step(message: Message): void;
  /** All or none, as consecutive command entries. `payloads` is not empty; the caller may not
   *  change the bytes afterwards. */
  propose(payloads: readonly Uint8Array[]): ProposeResult;
  /** Goes through a joint configuration if the voters change; leaves it by itself. */
  proposeConf(target: ConfigurationTarget): ProposeConfResult;
  /** A read that must see everything acknowledged before this call; `context` comes back in
   *  `reads` or `refusedReads`. Reads of one turn share one round. */
  readIndex(context: number): ReadIndexResult;
  /** Proposals answer 'transferring' until `to` leads or an election timeout passes. */
  transferLeader(to: ReplicaId): void;
  /** Hint that the leader is gone (its socket closed): grants pre-votes at once and stands for
   *  election soon, staggered by rank. Safe if wrong. */
  forgetLeader(): void;
  /** Stands for election now if this replica may lead (pre-vote first). */
  campaign(): void;
  persisted(token: PersistToken): void;
  /** Everything up to `index` is applied. Lower than before is ignored. */
  applied(index: Index): void;
  /** Forgets entries at or below `index`, which must be applied and durable here: from now on
   *  who needs them is sent a snapshot. */
  compact(index: Index): void;
  snapshotStatus(follower: ReplicaId, ok: boolean): void;
  reportUnreachable(follower: ReplicaId): void;
  /** What has to be done since the last take. */
  take(): Effects;
  /** True if `take()` would hold anything. Cheap. */
  hasEffects(): boolean;
  /** An entry of the log: first <= index <= last. */
  entry(index: Index): Entry;
  status(): Status;
}
