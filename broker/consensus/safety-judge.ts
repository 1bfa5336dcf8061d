/**
 * What no history of a shard may show, judged from outside the core: it looks at what replicas say,
 * write and apply, never at why. Numbers are those of `research` invariants: one leader a term, log
 * matching, leader completeness, state-machine safety, commits only from a quorum's disks, nothing
 * promised before it is durable, monotonic terms and votes, reads that see what was acknowledged.
 */
import { invariant } from '../../core/invariant.ts';
import type { Index, ReplicaId, Term } from '../../core/ids.ts';
import { decodeConfiguration } from './configuration.ts';
import type { Effects } from './contract.ts';
import type { Configuration, Entry, HardState, Message } from './message.ts';
import { isQuorum } from './quorum.ts';
import type { Raft } from './raft.ts';
import type { SimulatedReplica } from './simulated-replica.ts';

/** What is known of one replica across its crashes. */
interface Seen {
  hard: HardState;
  /** Judged as committed through here; falls back with a crash. */
  commit: number;
}

export class SafetyJudge {
  readonly #replicas: readonly SimulatedReplica[];
  readonly #leaders = new Map<Term, ReplicaId>();
  /** Every (index, term) ever written: its payload and the term of the entry before. */
  readonly #written = new Map<number, { payload: Uint8Array; before: Term | undefined }>();
  /** What is committed, by index: no other term may ever stand there. */
  readonly #committed: { term: Term; payload: Uint8Array }[] = [];
  readonly #readFloor = new Map<number, number>();
  readonly #seen: Map<ReplicaId, Seen>;
  #snapshots = 0;
  #reads = 0;
  #configurations = 0;

  constructor(replicas: readonly SimulatedReplica[]) {
    this.#replicas = replicas;
    this.#seen = new Map(replicas.map(({ id, disk }) => [id, { hard: disk.hard, commit: 0 }]));
  }

  /** After any input. */
  acted(replica: SimulatedReplica): void {
    const { raft } = replica;
    if (raft === undefined) return;
    const seen = this.#seenOf(replica);
    const commit = raft.commitIndex;
    if (commit !== seen.commit) this.#judgeCommit(replica, raft, seen.commit);
    seen.commit = commit;
  }

  /** After a turn, before anything it sent is delivered. */
  turned(replica: SimulatedReplica, effects: Effects): void {
    if (effects.soft?.role === 'leader') this.#elected(replica, effects.soft.term);
    for (const message of effects.sendNow) judgePromise(message);
    for (const entry of effects.append) this.#judgeWritten(replica, entry);
    if (effects.hard !== undefined) this.#judgeHard(replica, effects.hard);
    if (effects.installSnapshot !== undefined) {
      this.#snapshots++;
      const { index, term } = effects.installSnapshot;
      const known = this.#committed[index - 1];
      invariant(known?.term === term, 'judge.snapshot-of-committed', { index });
    }
    this.#judgeApplied(replica, effects);
    for (const read of effects.reads) this.#judgeRead(read);
  }

  /** After writes became durable; `messages` are those that waited for them. */
  synced(replica: SimulatedReplica, messages: readonly Message[]): void {
    for (const message of messages) {
      if (message.kind === 'append-reply')
        invariant(message.index <= replica.durableLast, 'judge.acknowledged-is-durable');
      if (message.kind !== 'vote-reply' || !message.isGranted) continue;
      const { term, vote } = replica.disk.hard;
      const isKept = term > message.term || (term === message.term && vote === message.to);
      invariant(isKept, 'judge.vote-is-durable', { term: message.term });
    }
  }

  crashed(replica: SimulatedReplica): void {
    const seen = this.#seenOf(replica);
    seen.hard = replica.disk.hard;
    seen.commit = 0;
  }

  /** The read must see all that is committed now. */
  readAsked(context: number): void {
    this.#readFloor.set(context, this.#committed.length);
  }

  reconfigured(): void {
    this.#configurations++;
  }

  counts(): {
    committed: number;
    elections: number;
    snapshots: number;
    reads: number;
    configurations: number;
  } {
    return {
      committed: this.#committed.length,
      elections: this.#leaders.size,
      snapshots: this.#snapshots,
      reads: this.#reads,
      configurations: this.#configurations,
    };
  }

  #elected(replica: SimulatedReplica, term: Term): void {
    const known = this.#leaders.get(term) ?? replica.id;
    invariant(known === replica.id, 'judge.one-leader-per-term', { term });
    this.#leaders.set(term, replica.id);
    const status = replica.raft?.status();
    if (status === undefined || status.term !== term) return;
    invariant(status.last >= this.#committed.length, 'judge.leader-complete', { term });
    for (let at = status.first; at <= this.#committed.length; at = (at + 1) as Index)
      invariant(
        replica.raft?.entry(at).term === this.#committed[at - 1]?.term,
        'judge.leader-complete',
        { term, at },
      );
  }

  /** Log matching by induction: equal (index, term) means equal payload and equal predecessor. */
  #judgeWritten(replica: SimulatedReplica, entry: Entry): void {
    const key = entry.term * 1e6 + entry.index;
    const before = this.#termBefore(replica, entry);
    const known = this.#written.get(key);
    if (known === undefined) {
      this.#written.set(key, { payload: entry.payload, before });
      return;
    }
    const { index, term } = entry;
    invariant(known.payload === entry.payload, 'judge.logs-match', { index, term });
    const isKnown = before !== undefined && known.before !== undefined;
    invariant(!isKnown || known.before === before, 'judge.logs-match-before', { index, term });
  }

  #termBefore({ raft }: SimulatedReplica, entry: Entry): Term | undefined {
    const at = (entry.index - 1) as Index;
    if (raft === undefined || at < raft.status().first) return undefined;
    return raft.entry(at).term;
  }

  #judgeHard(replica: SimulatedReplica, hard: HardState): void {
    const seen = this.#seenOf(replica);
    const { term, vote } = seen.hard;
    invariant(hard.term >= term, 'judge.term-never-falls', { id: replica.id });
    const isFirstVote = hard.term > term || vote === 0 || vote === hard.vote;
    invariant(isFirstVote, 'judge.one-vote-per-term', { id: replica.id, term });
    seen.hard = hard;
  }

  #judgeCommit(replica: SimulatedReplica, raft: Raft, from: number): void {
    const { commit, first } = raft.status();
    for (let at = Math.max(from + 1, first); at <= commit; at++) {
      const entry = raft.entry(at as Index);
      const known = this.#committed[at - 1];
      if (known === undefined) this.#judgeFirstCommit(raft, entry);
      else
        invariant(
          known.term === entry.term && known.payload === entry.payload,
          'judge.committed-stays',
          { at, id: replica.id },
        );
    }
    invariant(commit <= this.#committed.length, 'judge.commit-known', { commit });
  }

  #judgeFirstCommit(raft: Raft, entry: Entry): void {
    invariant(entry.index === this.#committed.length + 1, 'judge.commits-in-order');
    invariant(raft.role === 'leader' || raft.leader === 0, 'judge.leaders-commit');
    const holds = (id: ReplicaId): boolean => this.#replicas[id - 1]?.holds(entry) === true;
    // The same input may have committed by one configuration and begun the next.
    invariant(
      newestConfigurations(raft).some((configuration) => isQuorum(configuration, holds)),
      'judge.committed-on-a-quorum-of-disks',
      { at: entry.index },
    );
    this.#committed.push({ term: entry.term, payload: entry.payload });
  }

  #judgeApplied(replica: SimulatedReplica, { committed }: Effects): void {
    if (committed === undefined || replica.raft === undefined) return;
    for (let at = committed.from; at <= committed.to; at = (at + 1) as Index) {
      const entry = replica.raft.entry(at);
      invariant(entry.payload === this.#committed[at - 1]?.payload, 'judge.applied-is-committed');
      invariant(replica.holds(entry), 'judge.applied-is-durable', { at, id: replica.id });
    }
  }

  #judgeRead(read: { readonly context: number; readonly index: Index }): void {
    this.#reads++;
    const floor = this.#readFloor.get(read.context) ?? 0;
    invariant(read.index >= floor, 'judge.read-sees-what-was-committed', {
      index: read.index,
      floor,
    });
  }

  #seenOf({ id }: SimulatedReplica): Seen {
    const seen = this.#seen.get(id);
    invariant(seen !== undefined, 'judge.replica-known', { id });
    return seen;
  }
}

/** The one in force and, if its entry is not committed, the one before. */
function newestConfigurations(raft: Raft): Configuration[] {
  const { first, last, commit, configuration } = raft.status();
  const before: Configuration[] = [];
  for (let at = last; at >= first && before.length < 2; at = (at - 1) as Index) {
    const entry = raft.entry(at);
    if (entry.kind !== 'config') continue;
    before.push(decodeConfiguration(entry.payload));
    if (at <= commit) break;
  }
  return [configuration, ...before];
}

/** What leaves at once may promise nothing. */
function judgePromise(message: Message): void {
  const isPromise =
    message.kind === 'append-reply' ||
    message.kind === 'vote' ||
    (message.kind === 'vote-reply' && message.isGranted);
  invariant(!isPromise, 'judge.promises-wait-for-the-disk', { from: message.from });
}
