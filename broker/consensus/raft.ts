/**
 * A replica of one shard: the Raft core, complete and without IO. `contract.ts` says how to drive
 * it. Modelled on asynchronous storage writes: what may leave before the disk is done and what may
 * not is decided here, message by message, and nowhere else.
 */
import { invariant } from '../../core/invariant.ts';
import type { Index, ReplicaId, Term } from '../../core/ids.ts';
import * as shape from './configuration.ts';
import type {
  ConfigurationTarget,
  Effects,
  PersistToken,
  ProposeConfResult,
  ProposeResult,
  RaftCore,
  RaftLimits,
  RaftOptions,
  ReadIndexResult,
  RestoredReplica,
  Role,
  Soft,
  Status,
} from './contract.ts';
import type { Entry, HardState, Message } from './message.ts';
import type { RaftLog } from './raft-log.ts';
import { Replica } from './replica.ts';
import { newVoters, type Replication } from './replication.ts';

const NOBODY = 0 as ReplicaId;

/** A shard's replica that never ran. Every first voter must be given the same `voters`; one that
 *  joins later is given none and learns them from the log. */
export function newShard(voters: readonly ReplicaId[]): RestoredReplica {
  invariant(voters.length === 0 || shape.isWellFormed({ voters, learners: [] }), 'raft.new-voters');
  const configuration = { voters: [...voters].sort((a, b) => a - b), outgoing: [], learners: [] };
  const zero = 0 as Index & Term;
  return {
    hard: { term: zero, vote: NOBODY, commit: zero },
    snapshot: { index: zero, term: zero, configuration },
    entries: [],
    applied: zero,
    isSuspect: false,
  };
}

export class Raft implements RaftCore {
  readonly #limits: RaftLimits;
  readonly #replica: Replica;
  readonly #log: RaftLog;
  /** What the runtime was told last, to tell it only of changes. */
  #toldHard: HardState;
  #toldSoft: Soft;
  #tokensIssued = 0;
  #tokensReturned = 0;

  constructor(options: RaftOptions) {
    this.#limits = options.limits;
    this.#replica = new Replica(options);
    this.#log = this.#replica.log;
    this.#toldHard = options.restored.hard;
    this.#toldSoft = this.#soft();
  }

  get id(): ReplicaId {
    return this.#replica.id;
  }
  get role(): Role {
    return this.#replica.role;
  }
  get term(): Term {
    return this.#replica.term;
  }
  get leader(): ReplicaId {
    return this.#replica.leader;
  }
  get isReady(): boolean {
    const { reign } = this.#replica;
    return reign !== undefined && this.#log.appliedIndex >= reign.claimIndex;
  }
  get lastIndex(): Index {
    return this.#log.last;
  }
  get commitIndex(): Index {
    return this.#log.commit;
  }

  tick(): void {
    this.#replica.tick(this.#tokensReturned < this.#tokensIssued);
  }

  step(message: Message): void {
    this.#replica.step(message);
  }

  propose(payloads: readonly Uint8Array[]): ProposeResult {
    invariant(payloads.length > 0, 'raft.proposes-something');
    if (this.#replica.reign === undefined) return this.#refuse('not_leader');
    if (this.#replica.reign.transferee !== NOBODY) return this.#refuse('transferring');
    let bytes = 0;
    for (const payload of payloads) {
      invariant(payload.length <= this.#limits.entryBytesMax, 'raft.entry-bounded');
      bytes += payload.length;
    }
    const pending = this.#log.uncommittedBytes;
    // One batch always fits an idle shard, however large.
    if (pending > 0 && pending + bytes > this.#limits.uncommittedBytesMax)
      return this.#refuse('overloaded');
    const first = (this.#log.last + 1) as Index;
    for (const payload of payloads) this.#replica.append('command', payload);
    this.#replica.reign.broadcast();
    return { ok: true, term: this.#replica.term, first, last: this.#log.last };
  }

  proposeConf(target: ConfigurationTarget): ProposeConfResult {
    const reign = this.#replica.reign;
    if (reign === undefined) return this.#refuse('not_leader');
    if (reign.transferee !== NOBODY) return this.#refuse('transferring');
    if (!shape.isWellFormed(target)) return this.#refuse('invalid');
    const current = this.#log.configuration;
    if (!this.#mayReconfigure(reign)) return this.#refuse('in_progress');
    if (shape.isSameTarget(current, target)) return this.#refuse('unchanged');
    const oldest = this.#log.last - this.#limits.catchUpEntriesMax;
    for (const id of newVoters(current, target)) {
      const match = id === this.#replica.id ? this.#log.persisted : reign.follower(id)?.match;
      if (match === undefined || match === 0 || match < oldest)
        return this.#refuse('not_caught_up');
    }
    const index = this.#replica.reconfigure(reign, shape.firstStep(current, target));
    return { ok: true, term: this.#replica.term, index };
  }

  readIndex(context: number): ReadIndexResult {
    if (this.#replica.reign === undefined) return this.#refuse('not_leader');
    if (!this.isReady) return this.#refuse('not_ready');
    const { reads } = this.#replica.reign;
    if (reads.count >= this.#limits.pendingReadsMax) return this.#refuse('overloaded');
    invariant(
      this.#log.termAt(this.#log.commit) === this.#replica.term,
      'raft.reads-own-term-commit',
    );
    reads.add(context, this.#log.commit);
    return { ok: true };
  }

  transferLeader(to: ReplicaId): void {
    this.#replica.transferLeader(to);
  }

  forgetLeader(): void {
    this.#replica.forgetLeader();
  }

  campaign(): void {
    this.#replica.campaign();
  }

  persisted(token: PersistToken): void {
    invariant(token.number <= this.#tokensIssued, 'raft.token-was-issued');
    invariant(token.number > this.#tokensReturned, 'raft.token-returns-once');
    this.#tokensReturned = token.number;
    this.#replica.persisted(token);
  }

  applied(index: Index): void {
    this.#log.appliedTo(index);
  }

  compact(index: Index): void {
    this.#log.compact(index);
  }

  snapshotStatus(id: ReplicaId, ok: boolean): void {
    const follower = this.#replica.reign?.follower(id);
    if (follower !== undefined) this.#replica.reign?.snapshotEnded(follower, ok);
  }

  reportUnreachable(id: ReplicaId): void {
    const follower = this.#replica.reign?.follower(id);
    if (follower !== undefined) this.#replica.reign?.unreachable(follower);
  }

  hasEffects(): boolean {
    return (
      !this.#replica.outbox.isEmpty ||
      this.#log.hasWork() ||
      this.#replica.hasReads ||
      this.#toldHard.term !== this.#replica.term ||
      this.#toldHard.vote !== this.#replica.vote ||
      this.#isSoftNews()
    );
  }

  take(): Effects {
    const reads = this.#replica.takeReads();
    const refusedReads = this.#replica.takeRefusedReads();
    const writes = this.#log.takeWrites();
    const hard = this.#takeHard(writes.append.length > 0 || writes.installSnapshot !== undefined);
    const { sendNow, sendAfterPersist } = this.#replica.outbox.take();
    const isWriting =
      hard !== undefined ||
      writes.truncateFrom !== undefined ||
      writes.append.length > 0 ||
      writes.installSnapshot !== undefined;
    const token = isWriting || sendAfterPersist.length > 0 ? this.#issueToken() : undefined;
    return {
      hard,
      truncateFrom: writes.truncateFrom,
      append: writes.append,
      installSnapshot: writes.installSnapshot,
      token,
      sendNow,
      sendAfterPersist,
      committed: this.#log.takeCommitted(),
      reads,
      refusedReads,
      soft: this.#takeSoft(),
    };
  }

  entry(index: Index): Entry {
    return this.#log.entry(index);
  }

  status(): Status {
    return {
      id: this.#replica.id,
      role: this.#replica.role,
      term: this.#replica.term,
      vote: this.#replica.vote,
      leader: this.#replica.leader,
      isReady: this.isReady,
      first: this.#log.first,
      last: this.#log.last,
      persisted: this.#log.persisted,
      commit: this.#log.commit,
      applied: this.#log.appliedIndex,
      uncommittedBytes: this.#log.uncommittedBytes,
      configuration: this.#log.configuration,
      transferee: this.#replica.reign?.transferee ?? NOBODY,
      followers: this.#replica.reign?.statuses() ?? [],
    };
  }

  #mayReconfigure(reign: Replication): boolean {
    const { commit, configuration, configurationIndex } = this.#log;
    return (
      commit >= reign.claimIndex && configurationIndex <= commit && !shape.isJoint(configuration)
    );
  }

  #refuse<W extends string>(why: W): { ok: false; why: W; leader: ReplicaId } {
    return { ok: false, why, leader: this.#replica.leader };
  }

  /** The commit index alone is not worth a sync: elections find it again. */
  #takeHard(isWriting: boolean): HardState | undefined {
    const told = this.#toldHard;
    const isNews = told.term !== this.#replica.term || told.vote !== this.#replica.vote;
    if (!isNews && (!isWriting || told.commit === this.#log.commit)) return undefined;
    this.#toldHard = {
      term: this.#replica.term,
      vote: this.#replica.vote,
      commit: this.#log.commit,
    };
    invariant(told.term <= this.#replica.term, 'raft.hard-term-rises');
    invariant(told.commit <= this.#log.commit, 'raft.hard-commit-rises');
    return this.#toldHard;
  }

  #issueToken(): PersistToken {
    this.#tokensIssued++;
    return {
      number: this.#tokensIssued,
      term: this.#replica.term,
      lastIndex: this.#log.written,
      generation: this.#log.generation,
    };
  }

  #soft(): Soft {
    return { role: this.#replica.role, term: this.#replica.term, leader: this.#replica.leader };
  }

  #isSoftNews(): boolean {
    const { role, term, leader } = this.#toldSoft;
    return (
      role !== this.#replica.role || term !== this.#replica.term || leader !== this.#replica.leader
    );
  }

  #takeSoft(): Soft | undefined {
    if (!this.#isSoftNews()) return undefined;
    this.#toldSoft = this.#soft();
    return this.#toldSoft;
  }
}
