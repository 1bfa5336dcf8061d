/**
 * A replica's place in its shard: which term it is in, whom it follows or whether it leads, and
 * what it answers. Everything here is remembered in three places only: the log, the hard state and
 * the reign; `raft.ts` turns what they became into Effects.
 */
import { invariant, unreachable } from '../../core/invariant.ts';
import type { Index, ReplicaId, Term } from '../../core/ids.ts';
import * as shape from './configuration.ts';
import type { PersistToken, RaftLimits, RaftOptions, Role } from './contract.ts';
import { DiskHealth } from './disk-health.ts';
import { Election, mayGrant } from './election.ts';
import type {
  AppendRequest,
  Configuration,
  EntryKind,
  Heartbeat,
  Message,
  PreVoteReply,
  PreVoteRequest,
  SnapshotRequest,
  VoteReply,
  VoteRequest,
} from './message.ts';
import { Outbox } from './outbox.ts';
import { RaftLog } from './raft-log.ts';
import { type PendingRead } from './read-index.ts';
import { Replication } from './replication.ts';

const NOBODY = 0 as ReplicaId;
const NO_READS: readonly PendingRead[] = [];
const NO_CONTEXTS: readonly number[] = [];

export class Replica {
  readonly id: ReplicaId;
  readonly log: RaftLog;
  readonly outbox: Outbox = new Outbox();
  readonly #electionTicks: number;
  readonly #heartbeatTicks: number;
  readonly #limits: RaftLimits;
  readonly #claimPayload: Uint8Array;
  /** See RestoredReplica: silent for good, since what it once promised may be gone. */
  readonly #isSuspect: boolean;
  readonly #election: Election;
  readonly #disk: DiskHealth;

  #term: Term;
  #vote: ReplicaId;
  #role: Role = 'follower';
  #leader: ReplicaId = NOBODY;
  /** There if and only if the role is leader. */
  #reign: Replication | undefined;
  #heartbeatElapsed = 0;
  #electionElapsed = 0;
  #releasedReads: readonly PendingRead[] = NO_READS;
  #refusedReads: readonly number[] = NO_CONTEXTS;

  constructor(options: RaftOptions) {
    const { restored } = options;
    invariant(Number.isSafeInteger(options.id) && options.id > 0, 'replica.id-positive');
    invariant(options.heartbeatTicks >= 1, 'replica.heartbeat-ticks-positive');
    invariant(
      options.heartbeatTicks < options.electionTicks,
      'replica.heartbeats-before-elections',
    );
    this.id = options.id;
    this.#electionTicks = options.electionTicks;
    this.#heartbeatTicks = options.heartbeatTicks;
    this.#limits = options.limits;
    this.#claimPayload = options.claimPayload;
    this.#isSuspect = restored.isSuspect;
    this.log = new RaftLog(restored);
    this.#election = new Election(options.electionTicks, options.random);
    this.#disk = new DiskHealth(options.electionTicks);
    this.#term = restored.hard.term;
    this.#vote = restored.hard.vote;
    // Nobody can answer a sole voter, so it waits for nobody.
    if (this.#isAlone()) this.#election.hasten(0);
  }

  get role(): Role {
    return this.#role;
  }
  get term(): Term {
    return this.#term;
  }
  get vote(): ReplicaId {
    return this.#vote;
  }
  get leader(): ReplicaId {
    return this.#leader;
  }
  get reign(): Replication | undefined {
    return this.#reign;
  }
  get hasReads(): boolean {
    return (
      this.#releasedReads.length > 0 ||
      this.#refusedReads.length > 0 ||
      this.#reign?.reads.wantsRound === true
    );
  }

  tick(isWriting: boolean): void {
    this.#disk.tick(isWriting);
    if (this.#reign !== undefined) this.#tickLeader(this.#reign);
    else if (this.#election.tick()) this.#missLeader();
  }

  step(message: Message): void {
    invariant(message.to === this.id, 'replica.message-for-me', () => ({ to: message.to }));
    invariant(message.from !== this.id, 'replica.message-from-another');
    invariant(Number.isSafeInteger(message.term) && message.term >= 0, 'replica.term-whole');
    if (this.#isSuspect) return;
    if (message.term > this.#term && !this.#meetsNewerTerm(message)) return;
    if (message.term < this.#term) {
      this.#answerOlderTerm(message);
      return;
    }
    this.#dispatch(message);
  }

  campaign(): void {
    if (this.#role === 'leader' || !this.#mayLead()) return;
    this.#become('pre-candidate', this.#term, NOBODY);
    this.#election.record(this.id, true);
    if (this.#election.outcome(this.log.configuration) === 'won') this.#stand(false);
    else this.#askForVotes({ kind: 'pre-vote', term: (this.#term + 1) as Term });
  }

  forgetLeader(): void {
    if (this.#role !== 'follower' || this.#leader === NOBODY) return;
    const left = shape.votersOf(this.log.configuration).filter((id) => id !== this.#leader);
    this.#leader = NOBODY;
    this.#election.hasten(Math.max(0, left.indexOf(this.id)));
  }

  transferLeader(to: ReplicaId): void {
    const follower = this.#reign?.follower(to);
    if (this.#reign === undefined || follower === undefined) return;
    if (!shape.isVoter(this.log.configuration, to) || this.#reign.transferee === to) return;
    this.#electionElapsed = 0;
    this.#reign.startTransfer(follower);
  }

  /** A take's writes are durable. */
  persisted(token: PersistToken): void {
    this.#disk.progressed();
    this.log.persistedTo(token.lastIndex, token.generation);
    // A candidate's own vote counts like any other: when it is durable. Before that a crash could
    // have this replica start the same term twice, with different entries.
    if (this.#role === 'candidate' && token.term === this.#term) {
      this.#election.record(this.id, true);
      this.#judgeElection();
    }
    if (this.#reign?.advanceCommit() === true) this.#reign.broadcast();
    this.#settleConfiguration();
  }

  append(kind: EntryKind, payload: Uint8Array): Index {
    const index = (this.log.last + 1) as Index;
    this.log.append({ term: this.#term, index, kind, payload });
    return index;
  }

  reconfigure(reign: Replication, configuration: Configuration): Index {
    invariant(this.log.configurationIndex <= this.log.commit, 'replica.one-change-at-a-time');
    const index = this.append('config', shape.encodeConfiguration(configuration));
    reign.configure();
    reign.broadcast();
    return index;
  }

  takeReads(): readonly PendingRead[] {
    if (this.#reign?.reads.wantsRound === true) {
      this.#reign.broadcastHeartbeat();
      this.#releaseReads(this.#reign);
    }
    const reads = this.#releasedReads;
    this.#releasedReads = NO_READS;
    return reads;
  }

  takeRefusedReads(): readonly number[] {
    const refused = this.#refusedReads;
    this.#refusedReads = NO_CONTEXTS;
    return refused;
  }

  // ---- roles

  #become(role: Role, term: Term, leader: ReplicaId): void {
    invariant(term >= this.#term, 'replica.term-never-falls', () => ({ term, own: this.#term }));
    if (term !== this.#term) {
      this.#term = term;
      this.#vote = NOBODY;
      this.outbox.forgetPromises();
    }
    if (this.#reign !== undefined) {
      const abandoned = this.#reign.reads.abandon();
      if (abandoned.length > 0) this.#refusedReads = [...this.#refusedReads, ...abandoned];
      this.#reign = undefined;
    }
    this.#role = role;
    this.#leader = leader;
    this.#heartbeatElapsed = 0;
    this.#electionElapsed = 0;
    this.#election.restart();
  }

  /** Who may not stand must still forget a leader that is gone, or it would refuse every vote. */
  #missLeader(): void {
    // Its own disk is slow: nobody was asked yet, and a later term would wait as long.
    if (this.#role === 'candidate' && !this.#election.hasVoteOf(this.id)) return;
    if (this.#mayLead()) this.campaign();
    else if (this.#leader !== NOBODY) this.#become('follower', this.#term, NOBODY);
  }

  #stand(isTransfer: boolean): void {
    invariant(this.#mayLead(), 'replica.only-voters-stand');
    this.#become('candidate', (this.#term + 1) as Term, NOBODY);
    this.#vote = this.id;
    this.#askForVotes({ kind: 'vote', term: this.#term, isTransfer });
  }

  #askForVotes(
    request:
      | Pick<VoteRequest, 'kind' | 'term' | 'isTransfer'>
      | Pick<PreVoteRequest, 'kind' | 'term'>,
  ): void {
    const { last: lastIndex, lastTerm } = this.log;
    for (const to of shape.votersOf(this.log.configuration)) {
      if (to === this.id) continue;
      const message = { ...request, from: this.id, to, lastIndex, lastTerm };
      // A real candidacy leaves after its term and its log are durable: answered after a crash, it
      // would elect a log that is no longer there.
      if (message.kind === 'vote') this.outbox.afterPersist(message);
      else this.outbox.now(message);
    }
  }

  #judgeElection(): void {
    const outcome = this.#election.outcome(this.log.configuration);
    if (outcome === 'lost') this.#become('follower', this.#term, NOBODY);
    else if (outcome === 'won' && this.#role === 'candidate') this.#lead();
    else if (outcome === 'won' && this.#mayLead()) this.#stand(false);
  }

  #lead(): void {
    invariant(this.#role === 'candidate' && this.#vote === this.id, 'replica.leads-by-election');
    invariant(this.log.lastTerm < this.#term, 'replica.claim-is-first-of-its-term');
    this.#become('leader', this.#term, this.id);
    this.#reign = new Replication({
      id: this.id,
      term: this.#term,
      claimIndex: (this.log.last + 1) as Index,
      log: this.log,
      outbox: this.outbox,
      limits: this.#limits,
    });
    this.append('claim', this.#claimPayload);
    this.#reign.broadcast();
  }

  #tickLeader(reign: Replication): void {
    if (this.#disk.isStalled && !this.#isAlone()) {
      this.#become('follower', this.#term, NOBODY);
      return;
    }
    if (++this.#electionElapsed >= this.#electionTicks) {
      this.#electionElapsed = 0;
      reign.transferee = NOBODY;
      if (!reign.checkQuorum()) {
        this.#become('follower', this.#term, NOBODY);
        return;
      }
    }
    if (++this.#heartbeatElapsed >= this.#heartbeatTicks) {
      this.#heartbeatElapsed = 0;
      reign.broadcastHeartbeat();
      // A sole voter hears no answer: the round that this began is confirmed by itself alone.
      this.#releaseReads(reign);
    }
  }

  #mayLead(): boolean {
    if (this.#isSuspect || !this.log.mayBeLedBy(this.id)) return false;
    return !this.#disk.isStalled || this.#isAlone();
  }

  #isAlone(): boolean {
    const { voters, outgoing } = this.log.configuration;
    return voters.length === 1 && voters[0] === this.id && outgoing.length === 0;
  }

  // ---- messages

  /** False if the message is not to be heeded. */
  #meetsNewerTerm(message: Message): boolean {
    const isVote = message.kind === 'vote' || message.kind === 'pre-vote';
    const isTransfer = message.kind === 'vote' && message.isTransfer;
    const isLed = this.#leader !== NOBODY && this.#election.isLeaseHeld;
    if (isVote && isLed && !isTransfer) return false;
    // A pre-vote and its grant name a term that nobody has started.
    if (message.kind === 'pre-vote') return true;
    if (message.kind === 'pre-vote-reply' && message.isGranted) return true;
    this.#become('follower', message.term, isFromLeader(message) ? message.from : NOBODY);
    return true;
  }

  /** Its sender must learn of this term, or it could go on for ever and never be heard. */
  #answerOlderTerm(message: Message): void {
    const reply = { from: this.id, to: message.from, term: this.#term };
    if (message.kind === 'pre-vote')
      this.outbox.now({ ...reply, kind: 'pre-vote-reply', isGranted: false });
    else if (message.kind === 'vote' || isFromLeader(message))
      this.outbox.now({ ...reply, kind: 'stale-term' });
  }

  #dispatch(message: Message): void {
    switch (message.kind) {
      case 'vote':
      case 'pre-vote':
        return this.#onVoteRequest(message);
      case 'vote-reply':
      case 'pre-vote-reply':
        return this.#onVoteReply(message);
      case 'append':
        return this.#onAppend(message);
      case 'heartbeat':
        return this.#onHeartbeat(message);
      case 'snapshot':
        return this.#onSnapshot(message);
      case 'append-reply':
      case 'append-rejection':
      case 'heartbeat-reply':
        return this.#onFollowerReply(message);
      case 'timeout-now':
        if (this.#role === 'follower' && this.#mayLead()) this.#stand(true);
        return;
      case 'stale-term':
        // Its term was all it had to say.
        return;
      default:
        return unreachable('replica.message-known', message);
    }
  }

  #onVoteRequest(request: VoteRequest | PreVoteRequest): void {
    const voter = { term: this.#term, vote: this.#vote, leader: this.#leader, log: this.log };
    const isGranted = mayGrant(voter, request);
    const envelope = { from: this.id, to: request.from };
    if (request.kind === 'pre-vote') {
      const term = isGranted ? request.term : this.#term;
      this.outbox.now({ ...envelope, kind: 'pre-vote-reply', term, isGranted });
      return;
    }
    const reply: VoteReply = { ...envelope, kind: 'vote-reply', term: this.#term, isGranted };
    if (!isGranted) {
      this.outbox.now(reply);
      return;
    }
    invariant(this.#role !== 'leader', 'replica.leader-votes-for-itself');
    this.#vote = request.from;
    this.#election.heard();
    this.outbox.afterPersist(reply);
  }

  #onVoteReply(reply: VoteReply | PreVoteReply): void {
    const asked = reply.kind === 'vote-reply' ? 'candidate' : 'pre-candidate';
    if (this.#role !== asked) return;
    this.#election.record(reply.from, reply.isGranted);
    this.#judgeElection();
  }

  #follow(leader: ReplicaId): void {
    invariant(this.#role !== 'leader', 'replica.one-leader-per-term', () => ({ term: this.#term }));
    invariant(
      this.#leader === NOBODY || this.#leader === leader,
      'replica.one-leader-per-term',
      () => ({ term: this.#term, leader: this.#leader, other: leader }),
    );
    if (this.#role !== 'follower' || this.#leader === NOBODY)
      this.#become('follower', this.#term, leader);
    else this.#election.heard();
  }

  #onAppend(append: AppendRequest): void {
    this.#follow(append.from);
    const { previousIndex, previousTerm, entries } = append;
    if (previousIndex < this.log.commit) {
      this.#acknowledge(append.from, this.log.commit);
      return;
    }
    if (this.log.termAt(previousIndex) !== previousTerm) {
      const hint = this.log.lastAgreement(previousIndex, previousTerm);
      this.outbox.now({
        kind: 'append-rejection',
        from: this.id,
        to: append.from,
        term: this.#term,
        rejectedIndex: previousIndex,
        hintIndex: hint.index,
        hintTerm: hint.term,
      });
      return;
    }
    this.log.merge(entries);
    // What stands behind the message's last entry may be another leader's.
    const through = (previousIndex + entries.length) as Index;
    const commit = Math.min(append.commit, through) as Index;
    if (commit > this.log.commit) this.log.commitTo(commit);
    this.#acknowledge(append.from, through);
  }

  #onHeartbeat(heartbeat: Heartbeat): void {
    this.#follow(heartbeat.from);
    const { commit, round } = heartbeat;
    // The leader knows that this replica held it on disk: missing, the disk has forgotten.
    invariant(commit <= this.log.last, 'replica.acknowledged-is-kept', () => ({ commit }));
    if (commit > this.log.commit) this.log.commitTo(commit);
    const envelope = { from: this.id, to: heartbeat.from, term: this.#term };
    this.outbox.now({ ...envelope, kind: 'heartbeat-reply', round });
  }

  #onSnapshot(message: SnapshotRequest): void {
    this.#follow(message.from);
    const { snapshot } = message;
    if (snapshot.index <= this.log.commit) {
      this.#acknowledge(message.from, this.log.commit);
      return;
    }
    // If the log already holds the snapshot's last entry, what follows it may be acknowledged and
    // must stay; the snapshot then only says that it is committed.
    if (this.log.termAt(snapshot.index) === snapshot.term) this.log.commitTo(snapshot.index);
    else this.log.install(snapshot);
    this.#acknowledge(message.from, snapshot.index);
  }

  #acknowledge(to: ReplicaId, index: Index): void {
    const { id: from } = this;
    this.outbox.afterPersist({ kind: 'append-reply', from, to, term: this.#term, index });
  }

  #onFollowerReply(
    reply: Extract<Message, { kind: 'append-reply' | 'append-rejection' | 'heartbeat-reply' }>,
  ): void {
    const reign = this.#reign;
    const follower = reign?.follower(reply.from);
    if (reign === undefined || follower === undefined) return;
    follower.isActive = true;
    if (reply.kind === 'append-rejection') reign.rejected(follower, reply);
    else if (reply.kind === 'append-reply') {
      reign.acknowledged(follower, reply.index);
      this.#settleConfiguration();
    } else {
      reign.heartbeatAnswered(follower, reply.round);
      this.#releaseReads(reign);
    }
  }

  /** A committed joint configuration is left; a leader that the new one does not name resigns. */
  #settleConfiguration(): void {
    const reign = this.#reign;
    if (reign === undefined) return;
    const { commit, configuration, configurationIndex } = this.log;
    if (configurationIndex > commit || commit < reign.claimIndex) return;
    if (shape.isJoint(configuration)) this.reconfigure(reign, shape.lastStep(configuration));
    else if (!shape.isVoter(configuration, this.id)) this.#become('follower', this.#term, NOBODY);
  }

  #releaseReads(reign: Replication): void {
    const released = reign.reads.release(this.log.configuration);
    if (released.length > 0) this.#releasedReads = [...this.#releasedReads, ...released];
  }
}

type FromLeader = Extract<Message, { kind: 'append' | 'heartbeat' | 'snapshot' }>;

function isFromLeader(message: Message): message is FromLeader {
  return message.kind === 'append' || message.kind === 'heartbeat' || message.kind === 'snapshot';
}
