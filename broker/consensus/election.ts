/**
 * When to stand for election and who votes for whom. Timeouts are spread at random over
 * [electionTicks, 2 x electionTicks) so that two replicas seldom stand together.
 */
import { invariant } from '../../core/invariant.ts';
import type { Index, ReplicaId, Term } from '../../core/ids.ts';
import type { Configuration, PreVoteRequest, VoteRequest } from './message.ts';
import { type VoteOutcome, voteOutcome } from './quorum.ts';

/** Ticks between the ranks that stand after a hint: enough for a pre-vote to go round a LAN, so
 *  the first one wins (un-staggered hints split votes). */
const STAGGER_TICKS = 2;

export class Election {
  readonly #ticks: number;
  readonly #random: () => number;
  #elapsed = 0;
  #timeout = 0;
  readonly #votes = new Map<ReplicaId, boolean>();

  constructor(electionTicks: number, random: () => number) {
    invariant(electionTicks >= 2, 'election.ticks-positive', { electionTicks });
    this.#ticks = electionTicks;
    this.#random = random;
    this.restart();
  }

  /** A new role or term: full patience, no votes. */
  restart(): void {
    const drawn = this.#random();
    invariant(drawn >= 0 && drawn < 1, 'election.random-in-range', { drawn });
    this.#elapsed = 0;
    this.#timeout = this.#ticks + Math.floor(drawn * this.#ticks);
    this.#votes.clear();
  }

  /** The leader, or a candidate that was granted a vote, is alive. */
  heard(): void {
    this.#elapsed = 0;
  }

  /** True while the leader was heard within the shortest timeout: others are not voted for, so a
   *  replica that merely lost its own link cannot depose it. */
  get isLeaseHeld(): boolean {
    return this.#elapsed < this.#ticks;
  }

  /** True once per timeout. */
  tick(): boolean {
    this.#elapsed++;
    if (this.#elapsed < this.#timeout) return false;
    this.#elapsed = 0;
    return true;
  }

  /** Stand soon: rank 0 at the next tick, each later one STAGGER_TICKS after. */
  hasten(rank: number): void {
    invariant(rank >= 0, 'election.rank-positive', { rank });
    this.#timeout = Math.min(this.#timeout, 1 + rank * STAGGER_TICKS);
    this.#elapsed = 0;
  }

  record(from: ReplicaId, isGranted: boolean): void {
    // The first answer counts: a repeated one is the same, or of a candidacy that is over.
    if (!this.#votes.has(from)) this.#votes.set(from, isGranted);
  }

  hasVoteOf(id: ReplicaId): boolean {
    return this.#votes.has(id);
  }

  outcome(configuration: Configuration): VoteOutcome {
    return voteOutcome(configuration, this.#votes);
  }
}

/** What a vote is judged by. */
export interface Voter {
  readonly term: Term;
  readonly vote: ReplicaId;
  readonly leader: ReplicaId;
  readonly log: { isUpToDate(lastIndex: Index, lastTerm: Term): boolean };
}

/** One vote per term, to a log at least as complete as one's own; a pre-vote promises nothing, so
 *  for a later term it only asks about the log. */
export function mayGrant(voter: Voter, request: VoteRequest | PreVoteRequest): boolean {
  invariant(request.term >= voter.term, 'election.request-not-stale');
  const isFree =
    voter.vote === request.from ||
    (voter.vote === 0 && voter.leader === 0) ||
    (request.kind === 'pre-vote' && request.term > voter.term);
  return isFree && voter.log.isUpToDate(request.lastIndex, request.lastTerm);
}
