/**
 * Reads that must see everything acknowledged before they were asked (Ongaro 2014 §6.4): each
 * takes the commit index of its moment and is released once a quorum has confirmed, by answering a
 * heartbeat sent *after* that moment, that this replica still led. Reads share rounds; no clock is
 * trusted.
 */
import { invariant } from '../../core/invariant.ts';
import type { Index, ReplicaId } from '../../core/ids.ts';
import type { Configuration } from './message.ts';
import { quorumValue } from './quorum.ts';

export interface PendingRead {
  readonly context: number;
  readonly index: Index;
}

export class ReadIndexQueue {
  readonly #self: ReplicaId;
  /** Asked since the newest round began; at most pendingReadsMax with those in rounds. */
  #waiting: PendingRead[] = [];
  #rounds: { round: number; reads: PendingRead[] }[] = [];
  #round = 0;
  #count = 0;
  readonly #confirmed = new Map<ReplicaId, number>();

  constructor(self: ReplicaId) {
    this.#self = self;
  }

  /** The newest round, carried by every heartbeat. */
  get round(): number {
    return this.#round;
  }
  get count(): number {
    return this.#count;
  }
  /** True if waiting reads may begin a round now: the one before is confirmed. */
  get wantsRound(): boolean {
    return this.#waiting.length > 0 && this.#rounds.length === 0;
  }

  add(context: number, index: Index): void {
    this.#waiting.push({ context, index });
    this.#count++;
  }

  /** Begins a round for whatever waits. Heartbeats with its number must go out now. */
  startRound(): void {
    if (this.#waiting.length === 0) return;
    this.#round++;
    this.#rounds.push({ round: this.#round, reads: this.#waiting });
    this.#waiting = [];
  }

  confirmed(from: ReplicaId, round: number): void {
    invariant(round <= this.#round, 'reads.round-was-started', () => ({ round }));
    if (round > (this.#confirmed.get(from) ?? 0)) this.#confirmed.set(from, round);
  }

  /** Reads of every round that a quorum has confirmed, oldest first. */
  release(configuration: Configuration): readonly PendingRead[] {
    if (this.#rounds.length === 0) return [];
    const confirmed = quorumValue(configuration, (id) =>
      id === this.#self ? this.#round : (this.#confirmed.get(id) ?? 0),
    );
    const released: PendingRead[] = [];
    while (this.#rounds[0] !== undefined && this.#rounds[0].round <= confirmed) {
      released.push(...this.#rounds[0].reads);
      this.#rounds.shift();
    }
    this.#count -= released.length;
    invariant(this.#count >= 0, 'reads.counted', { count: this.#count });
    return released;
  }

  /** The reign ended: nobody can answer these here. */
  abandon(): number[] {
    const reads = [...this.#rounds.flatMap((round) => round.reads), ...this.#waiting];
    this.#rounds = [];
    this.#waiting = [];
    this.#count = 0;
    return reads.map((read) => read.context);
  }
}
