/**
 * One reign: what a leader knows of its followers, what it sends them and what they have made
 * durable. Made when an election is won, thrown away when the reign ends.
 */
import { invariant } from '../../core/invariant.ts';
import type { Index, ReplicaId, Term } from '../../core/ids.ts';
import { membersOf } from './configuration.ts';
import type { FollowerStatus, RaftLimits } from './contract.ts';
import { FollowerProgress } from './follower-progress.ts';
import type { AppendRejection, Configuration, Entry } from './message.ts';
import type { Outbox } from './outbox.ts';
import { isQuorum, quorumValue } from './quorum.ts';
import type { RaftLog } from './raft-log.ts';
import { ReadIndexQueue } from './read-index.ts';

export interface ReplicationOptions {
  readonly id: ReplicaId;
  readonly term: Term;
  readonly claimIndex: Index;
  readonly log: RaftLog;
  readonly outbox: Outbox;
  readonly limits: RaftLimits;
}

export class Replication {
  readonly #id: ReplicaId;
  readonly #term: Term;
  readonly #log: RaftLog;
  readonly #outbox: Outbox;
  readonly #limits: RaftLimits;
  #followers = new Map<ReplicaId, FollowerProgress>();
  /** The first entry of this reign. Nothing is answered, refused or read before it is applied. */
  readonly claimIndex: Index;
  readonly reads: ReadIndexQueue;
  /** Who is handed the leadership; 0 = nobody. While set nothing is proposed. */
  transferee: ReplicaId = 0 as ReplicaId;

  constructor(options: ReplicationOptions) {
    this.#id = options.id;
    this.#term = options.term;
    this.#log = options.log;
    this.#outbox = options.outbox;
    this.#limits = options.limits;
    this.claimIndex = options.claimIndex;
    this.reads = new ReadIndexQueue(options.id);
    this.configure();
  }

  /** Follows the log's configuration: newcomers are probed, those who left are forgotten. */
  configure(): void {
    const kept = this.#followers;
    this.#followers = new Map();
    for (const id of membersOf(this.#log.configuration)) {
      if (id === this.#id) continue;
      const next = (this.#log.last + 1) as Index;
      // A newcomer counts as heard, so that the leader is not deposed before it could answer.
      const fresh = new FollowerProgress(id, next, { limits: this.#limits, isActive: true });
      this.#followers.set(id, kept.get(id) ?? fresh);
    }
    if (!this.#followers.has(this.transferee)) this.transferee = 0 as ReplicaId;
  }

  follower(id: ReplicaId): FollowerProgress | undefined {
    return this.#followers.get(id);
  }

  statuses(): FollowerStatus[] {
    return [...this.#followers.values()].map((follower) => follower.status());
  }

  /** To everyone: new entries, or the news that some are committed. */
  broadcast(): void {
    for (const follower of this.#followers.values()) this.#send(follower, true);
  }

  broadcastHeartbeat(): void {
    this.reads.startRound();
    for (const follower of this.#followers.values()) {
      this.#outbox.now({
        kind: 'heartbeat',
        from: this.#id,
        to: follower.id,
        term: this.#term,
        // Never above what the follower is known to hold: the rest of its log may not be ours.
        commit: Math.min(follower.match, this.#log.commit) as Index,
        round: this.reads.round,
      });
    }
  }

  /**
   * Commits what a quorum holds on disk, this replica itself counted only up to its own persisted
   * index. Entries of earlier terms commit only under one of this term (Ongaro 2014 §3.6.2,
   * Figure 8): a majority alone does not keep them from being overwritten.
   */
  advanceCommit(): boolean {
    const held = quorumValue(this.#log.configuration, (id) =>
      id === this.#id ? this.#log.persisted : (this.#followers.get(id)?.match ?? 0),
    ) as Index;
    invariant(held <= this.#log.last, 'replication.quorum-within-log', () => ({ held }));
    if (held <= this.#log.commit || this.#log.termAt(held) !== this.#term) return false;
    invariant(held >= this.claimIndex, 'replication.claim-commits-first', () => ({ held }));
    this.#log.commitTo(held);
    return true;
  }

  /** True if a quorum was heard since the last call. */
  checkQuorum(): boolean {
    const isHeard = isQuorum(
      this.#log.configuration,
      (id) => id === this.#id || this.#followers.get(id)?.isActive === true,
    );
    for (const follower of this.#followers.values()) follower.isActive = false;
    return isHeard;
  }

  acknowledged(follower: FollowerProgress, index: Index): void {
    invariant(index <= this.#log.last, 'replication.acknowledged-within-log', () => ({ index }));
    const wasPaused = follower.isPaused;
    const isNews = follower.acknowledged(index, this.#log.first);
    if (isNews && this.advanceCommit()) this.broadcast();
    else if (wasPaused) this.#send(follower, true);
    // Each round sends at least one entry or stops, so the log's length bounds it.
    while (this.#send(follower, false));
    this.handOver(follower);
  }

  rejected(follower: FollowerProgress, message: AppendRejection): void {
    const agreement = this.#log.lastAgreement(message.hintIndex, message.hintTerm);
    if (follower.rejected(message.rejectedIndex, agreement.index)) this.#send(follower, true);
  }

  heartbeatAnswered(follower: FollowerProgress, round: number): void {
    follower.resume();
    this.reads.confirmed(follower.id, round);
    if (follower.match < this.#log.last || follower.state === 'probe') this.#send(follower, true);
  }

  snapshotEnded(follower: FollowerProgress, ok: boolean): void {
    follower.snapshotEnded(ok);
  }

  unreachable(follower: FollowerProgress): void {
    if (follower.state === 'replicate') follower.probe();
  }

  startTransfer(follower: FollowerProgress): void {
    this.transferee = follower.id;
    if (!this.handOver(follower)) this.#send(follower, true);
  }

  /** Lets the transferee stand as soon as it lacks nothing. */
  handOver(follower: FollowerProgress): boolean {
    if (follower.id !== this.transferee || follower.match !== this.#log.last) return false;
    const { id: to } = follower;
    this.#outbox.now({ kind: 'timeout-now', from: this.#id, to, term: this.#term });
    return true;
  }

  /** True if something was sent. An append without entries goes only if `mayBeEmpty`. */
  #send(follower: FollowerProgress, mayBeEmpty: boolean): boolean {
    if (follower.isPaused) return false;
    const previousIndex = (follower.next - 1) as Index;
    const previousTerm = this.#log.termAt(previousIndex);
    if (previousTerm === undefined || previousIndex + 1 < this.#log.first)
      return this.#sendSnapshot(follower);
    const isFull = follower.state === 'replicate' && follower.isFull;
    const entries = isFull ? [] : this.#log.slice(follower.next, this.#limits.appendBytesMax);
    if (entries.length === 0 && !mayBeEmpty) return false;
    this.#outbox.now({
      kind: 'append',
      from: this.#id,
      to: follower.id,
      term: this.#term,
      previousIndex,
      previousTerm,
      entries,
      commit: this.#log.commit,
    });
    follower.sent((previousIndex + entries.length) as Index, bytesOf(entries));
    return true;
  }

  #sendSnapshot(follower: FollowerProgress): boolean {
    // Who was not heard lately would only hold the stream open.
    if (!follower.isActive) return false;
    const snapshot = this.#log.snapshotAt(this.#log.appliedIndex);
    follower.sendsSnapshot(snapshot.index);
    const { id: to } = follower;
    this.#outbox.now({ kind: 'snapshot', from: this.#id, to, term: this.#term, snapshot });
    return true;
  }
}

/** Members of a configuration who would be new voters. */
export function newVoters(
  current: Configuration,
  target: { readonly voters: readonly ReplicaId[] },
): ReplicaId[] {
  return target.voters.filter((id) => !current.voters.includes(id));
}

function bytesOf(entries: readonly Entry[]): number {
  let bytes = 0;
  for (const entry of entries) bytes += entry.payload.length;
  return bytes;
}
