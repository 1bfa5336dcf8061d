/**
 * What a leader knows of one follower and may send it next.
 *
 *  probe      where the logs agree is not known: one append at a time, then wait.
 *  replicate  appends are sent ahead of their answers, within the inflight bounds.
 *  snapshot   the follower is being sent state; no appends until that ends.
 */
import { invariant } from '../../core/invariant.ts';
import type { Index, ReplicaId } from '../../core/ids.ts';
import type { FollowerState, FollowerStatus, RaftLimits } from './contract.ts';

export class FollowerProgress {
  readonly id: ReplicaId;
  readonly #limits: RaftLimits;
  /** Highest index this follower is known to hold on disk as this leader does. Invariant:
   *  0 <= match < next. Never falls within a term. */
  #match: Index;
  #next: Index;
  #state: FollowerState = 'probe';
  /** Sent what may be sent; an answer or a heartbeat's answer lifts it. */
  #isPaused = false;
  #pendingSnapshot: Index = 0 as Index;
  /** Last index and bytes of each append on its way, oldest first; at most inflightMessagesMax. */
  #inflight: { last: Index; bytes: number }[] = [];
  #inflightBytes = 0;
  /** Heard from since the leader last checked its quorum. */
  isActive: boolean;

  constructor(id: ReplicaId, next: Index, options: { limits: RaftLimits; isActive: boolean }) {
    invariant(next >= 1, 'progress.next-positive', { next });
    this.id = id;
    this.#limits = options.limits;
    this.#match = 0 as Index;
    this.#next = next;
    this.isActive = options.isActive;
  }

  get match(): Index {
    return this.#match;
  }
  get next(): Index {
    return this.#next;
  }
  get state(): FollowerState {
    return this.#state;
  }
  get isPaused(): boolean {
    return this.#state === 'snapshot' || this.#isPaused;
  }
  get isFull(): boolean {
    return (
      this.#inflight.length >= this.#limits.inflightMessagesMax ||
      this.#inflightBytes >= this.#limits.inflightBytesMax
    );
  }

  status(): FollowerStatus {
    return {
      id: this.id,
      match: this.#match,
      next: this.#next,
      state: this.#state,
      isActive: this.isActive,
      inflightMessages: this.#inflight.length,
    };
  }

  /** An append through `last` goes out; `bytes` of payload, none if it carries no entries. */
  sent(last: Index, bytes: number): void {
    invariant(this.#state !== 'snapshot', 'progress.no-append-beside-snapshot');
    invariant(last >= this.#next - 1, 'progress.sends-from-next', () => ({ last }));
    if (this.#state === 'probe') {
      this.#isPaused = true;
      return;
    }
    if (last >= this.#next) {
      this.#next = (last + 1) as Index;
      this.#inflight.push({ last, bytes });
      this.#inflightBytes += bytes;
    }
    invariant(
      this.#inflight.length <= this.#limits.inflightMessagesMax,
      'progress.inflight-bounded',
      () => ({ messages: this.#inflight.length }),
    );
    this.#isPaused = this.isFull;
  }

  /** The follower holds everything through `index`. True if the leader learned something. */
  acknowledged(index: Index, first: Index): boolean {
    const isNews = index > this.#match;
    if (isNews) this.#match = index;
    if (this.#next <= this.#match) this.#next = (this.#match + 1) as Index;
    this.#free(index);
    if (isNews || this.#state !== 'replicate') this.#isPaused = false;
    // A follower whose log reaches what is still here needs no more state, whoever gave it to it.
    const isReachable = this.#state !== 'snapshot' || this.#match + 1 >= first;
    if (this.#state !== 'replicate' && isReachable && index >= this.#match) this.#replicate();
    invariant(this.#match < this.#next, 'progress.match-below-next', () => ({ index }));
    return isNews;
  }

  /** The follower refused the append behind `rejected`; the logs may agree at `hint`. False if the
   *  refusal is of an append that no longer matters. */
  rejected(rejected: Index, hint: Index): boolean {
    if (this.#state === 'snapshot') return false;
    if (this.#state === 'replicate') {
      if (rejected <= this.#match) return false;
      this.probe();
      return true;
    }
    if (rejected !== this.#next - 1) return false;
    const candidate = Math.min(rejected, hint + 1);
    this.#next = Math.max(candidate, this.#match + 1, 1) as Index;
    this.#isPaused = false;
    invariant(this.#match < this.#next, 'progress.match-below-next', () => ({ rejected }));
    return true;
  }

  /** Back to asking where the logs agree. */
  probe(): void {
    this.#next = (Math.max(this.#match, this.#pendingSnapshot) + 1) as Index;
    this.#enter('probe');
  }

  sendsSnapshot(index: Index): void {
    invariant(this.#state !== 'snapshot', 'progress.one-snapshot-at-a-time');
    invariant(index >= this.#match, 'progress.snapshot-not-below-match', () => ({ index }));
    this.#enter('snapshot');
    this.#pendingSnapshot = index;
  }

  snapshotEnded(ok: boolean): void {
    if (this.#state !== 'snapshot') return;
    if (!ok) this.#pendingSnapshot = 0 as Index;
    this.probe();
    // Give the receiver until its next heartbeat answer: its acknowledgement may be on its way, and
    // a failed stream must not be started again in the same turn.
    this.#isPaused = true;
  }

  /** A heartbeat was answered: one more append may go out even if all earlier ones were lost. */
  resume(): void {
    this.#isPaused = false;
  }

  #replicate(): void {
    this.#next = (this.#match + 1) as Index;
    this.#enter('replicate');
  }

  #enter(state: FollowerState): void {
    this.#state = state;
    this.#isPaused = false;
    this.#pendingSnapshot = 0 as Index;
    this.#inflight = [];
    this.#inflightBytes = 0;
  }

  #free(through: Index): void {
    let count = 0;
    for (const append of this.#inflight) {
      if (append.last > through) break;
      this.#inflightBytes -= append.bytes;
      count++;
    }
    if (count > 0) this.#inflight.splice(0, count);
    invariant(this.#inflightBytes >= 0, 'progress.inflight-bytes-counted');
  }
}
