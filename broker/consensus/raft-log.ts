/**
 * One replica's log in memory: entries above a base, how far they are handed to the disk, durable,
 * committed and applied. It alone decides what may be dropped.
 *
 *     base <= applied <= handed <= min(commit, persisted)      commit <= last     persisted <= written
 *
 * While a snapshot is being installed `persisted` lies below the base and nothing is handed out.
 */
import { invariant } from '../../core/invariant.ts';
import type { Index, ReplicaId, Term } from '../../core/ids.ts';
import { ConfigurationHistory, isVoter } from './configuration.ts';
import type { RestoredReplica } from './contract.ts';
import type { Configuration, Entry, SnapshotDescriptor } from './message.ts';

/** What the disk has to do next, in this order. */
export interface LogWrites {
  readonly installSnapshot: SnapshotDescriptor | undefined;
  readonly truncateFrom: Index | undefined;
  readonly append: readonly Entry[];
}

const NO_ENTRIES: readonly Entry[] = [];

export class RaftLog {
  /** The entry of index i stands at i - base - 1. */
  #entries: Entry[];
  #base: Index;
  #baseTerm: Term;
  #configurations: ConfigurationHistory;
  /** Handed to the disk through here. */
  #written: Index;
  #persisted: Index;
  #commit: Index;
  #handed: Index;
  #applied: Index;
  #generation = 0;
  #truncateFrom: Index | undefined;
  #installSnapshot: SnapshotDescriptor | undefined;
  #uncommittedBytes = 0;

  constructor(restored: RestoredReplica) {
    const { snapshot, entries, hard, applied } = restored;
    this.#entries = [...entries];
    this.#base = snapshot.index;
    this.#baseTerm = snapshot.term;
    this.#configurations = new ConfigurationHistory(snapshot);
    this.#written = this.last;
    this.#persisted = this.last;
    this.#commit = Math.max(hard.commit, applied, snapshot.index) as Index;
    this.#handed = applied;
    this.#applied = applied;
    invariant(applied >= snapshot.index, 'log.restored-applied-above-base', { applied });
    invariant(this.#commit <= this.last, 'log.restored-holds-committed', { commit: this.#commit });
    this.#checkRestored(entries, hard.term);
  }

  get first(): Index {
    return (this.#base + 1) as Index;
  }
  get last(): Index {
    return (this.#base + this.#entries.length) as Index;
  }
  get lastTerm(): Term {
    return this.#entries.at(-1)?.term ?? this.#baseTerm;
  }
  get persisted(): Index {
    return this.#persisted;
  }
  get commit(): Index {
    return this.#commit;
  }
  get appliedIndex(): Index {
    return this.#applied;
  }
  get generation(): number {
    return this.#generation;
  }
  get written(): Index {
    return this.#written;
  }
  get uncommittedBytes(): number {
    return this.#uncommittedBytes;
  }
  get configuration(): Configuration {
    return this.#configurations.current;
  }
  get configurationIndex(): Index {
    return this.#configurations.currentIndex;
  }

  /**
   * A replica may be needed as leader until the configuration without it is committed: it can be
   * the only one that holds that entry among those that the others still need (Ongaro 2014 §4.2.2).
   */
  mayBeLedBy(id: ReplicaId): boolean {
    if (isVoter(this.configuration, id)) return true;
    return this.configurationIndex > this.#commit && isVoter(this.#configurations.previous, id);
  }

  /** Undefined outside [base, last]: compacted away, or not yet there. */
  termAt(index: Index): Term | undefined {
    if (index === this.#base) return this.#baseTerm;
    return this.#entries[index - this.#base - 1]?.term;
  }

  entry(index: Index): Entry {
    const entry = this.#entries[index - this.#base - 1];
    invariant(entry !== undefined, 'log.entry-in-log', () => ({ index, last: this.last }));
    invariant(entry.index === index, 'log.entry-at-its-index', () => ({ index }));
    return entry;
  }

  /** Entries from `from` on: as many as fit, but at least one if there is one. */
  slice(from: Index, bytesMax: number): readonly Entry[] {
    invariant(from > this.#base, 'log.slice-above-base', () => ({ from, base: this.#base }));
    const start = from - this.#base - 1;
    let end = start;
    let bytes = 0;
    for (; end < this.#entries.length; end++) {
      bytes += this.#entries[end]?.payload.length ?? 0;
      if (bytes > bytesMax && end > start) break;
    }
    return start >= end ? NO_ENTRIES : this.#entries.slice(start, end);
  }

  /** The state at `index`, which lies in [base, applied]. */
  snapshotAt(index: Index): SnapshotDescriptor {
    const term = this.termAt(index);
    invariant(term !== undefined, 'log.snapshot-in-log', { index });
    invariant(index <= this.#applied, 'log.snapshot-of-applied', { index });
    return { index, term, configuration: this.#configurations.at(index) };
  }

  /** Raft's order of logs (Ongaro 2014 §3.6.1): the later last term wins, then the longer. */
  isUpToDate(lastIndex: Index, lastTerm: Term): boolean {
    return lastTerm > this.lastTerm || (lastTerm === this.lastTerm && lastIndex >= this.last);
  }

  /** Where a log that ends in (index, term) could still agree with this one: the last place here
   *  that is not above `index` and not of a later term. */
  lastAgreement(index: Index, term: Term): { index: Index; term: Term } {
    let at = Math.min(index, this.last) as Index;
    for (; at > this.#base; at = (at - 1) as Index) {
      const own = this.termAt(at);
      if (own !== undefined && own <= term) return { index: at, term: own };
    }
    return { index: at, term: at === this.#base ? this.#baseTerm : (0 as Term) };
  }

  /** The leader's own entries, at the end of its log. */
  append(entry: Entry): void {
    invariant(entry.index === this.last + 1, 'log.append-dense', () => ({ index: entry.index }));
    invariant(entry.term >= this.lastTerm, 'log.terms-never-fall', () => ({ index: entry.index }));
    this.#entries.push(entry);
    this.#uncommittedBytes += entry.payload.length;
    if (entry.kind === 'config') this.#configurations.append(entry);
  }

  /**
   * A leader's entries behind an entry that both hold. What already stands here stays, even if the
   * message is shorter than the log: an old message must not drop newer entries.
   */
  merge(entries: readonly Entry[]): void {
    for (const entry of entries) {
      if (entry.index <= this.last) {
        if (this.termAt(entry.index) === entry.term) continue;
        this.#truncate(entry.index);
      }
      this.append(entry);
    }
  }

  commitTo(index: Index): void {
    invariant(index >= this.#commit, 'log.committed-never-regresses', () => ({ index }));
    invariant(index <= this.last, 'log.committed-within-log', () => ({ index, last: this.last }));
    for (let at = this.#commit + 1; at <= index; at++)
      this.#uncommittedBytes -= this.entry(at as Index).payload.length;
    invariant(this.#uncommittedBytes >= 0, 'log.uncommitted-bytes-counted');
    this.#commit = index;
  }

  /** The writes of a take through `index` are durable, if they are still of this generation. */
  persistedTo(index: Index, generation: number): void {
    invariant(generation <= this.#generation, 'log.generation-known', () => ({ generation }));
    if (generation !== this.#generation) return;
    invariant(index <= this.#written, 'log.persisted-was-written', () => ({ index }));
    if (index > this.#persisted) this.#persisted = index;
  }

  /** The next range to apply. Only what is durable here: state that ran ahead of its own log could
   *  not be replayed after a crash. */
  takeCommitted(): { from: Index; to: Index } | undefined {
    const to = Math.min(this.#commit, this.#persisted) as Index;
    if (to <= this.#handed) return undefined;
    const from = (this.#handed + 1) as Index;
    invariant(from > this.#base, 'log.handed-above-base', () => ({ from }));
    this.#handed = to;
    return { from, to };
  }

  appliedTo(index: Index): void {
    invariant(index <= this.#handed, 'log.applied-was-handed', () => ({ index }));
    if (index > this.#applied) this.#applied = index;
  }

  takeWrites(): LogWrites {
    const append =
      this.#written === this.last
        ? NO_ENTRIES
        : this.#entries.slice(Math.max(0, this.#written - this.#base));
    const writes = {
      installSnapshot: this.#installSnapshot,
      truncateFrom: this.#truncateFrom,
      append,
    };
    invariant(
      append.length === 0 || append[0]?.index === this.#written + 1,
      'log.writes-dense',
      () => ({ written: this.#written }),
    );
    this.#written = this.last;
    this.#installSnapshot = undefined;
    this.#truncateFrom = undefined;
    return writes;
  }

  hasWork(): boolean {
    return (
      this.#written !== this.last ||
      this.#truncateFrom !== undefined ||
      this.#installSnapshot !== undefined ||
      Math.min(this.#commit, this.#persisted) > this.#handed
    );
  }

  /** Replaces everything by a snapshot that this log does not contain. */
  install(snapshot: SnapshotDescriptor): void {
    invariant(snapshot.index > this.#commit, 'log.snapshot-above-commit', { at: snapshot.index });
    invariant(
      this.termAt(snapshot.index) !== snapshot.term,
      'log.snapshot-keeps-matching-suffix',
      () => ({ at: snapshot.index }),
    );
    // Up to the old commit the old log agrees with the snapshot; above it nothing here counts.
    this.#persisted = Math.min(this.#persisted, this.#commit) as Index;
    this.#entries = [];
    this.#base = snapshot.index;
    this.#baseTerm = snapshot.term;
    this.#configurations = new ConfigurationHistory(snapshot);
    this.#written = snapshot.index;
    this.#commit = snapshot.index;
    this.#handed = snapshot.index;
    this.#applied = snapshot.index;
    this.#uncommittedBytes = 0;
    this.#generation++;
    this.#truncateFrom = undefined;
    this.#installSnapshot = snapshot;
  }

  compact(index: Index): void {
    if (index <= this.#base) return;
    invariant(index <= this.#applied, 'log.compacts-only-applied', { index });
    invariant(index <= this.#persisted, 'log.compacts-only-durable', { index });
    const term = this.termAt(index);
    invariant(term !== undefined, 'log.compacts-within-log', { index });
    this.#entries = this.#entries.slice(index - this.#base);
    this.#configurations.compact(index);
    this.#base = index;
    this.#baseTerm = term;
  }

  #truncate(from: Index): void {
    invariant(from > this.#commit, 'log.committed-never-truncated', () => ({
      from,
      commit: this.#commit,
    }));
    for (let at = from; at <= this.last; at = (at + 1) as Index)
      this.#uncommittedBytes -= this.entry(at).payload.length;
    this.#entries.length = from - this.#base - 1;
    this.#configurations.truncateFrom(from);
    if (from > this.#written) return;
    // The disk was told of entries that no longer stand: its older answers prove nothing now.
    this.#written = (from - 1) as Index;
    if (this.#persisted >= from) this.#persisted = (from - 1) as Index;
    this.#truncateFrom = Math.min(this.#truncateFrom ?? from, from) as Index;
    this.#generation++;
  }

  #checkRestored(entries: readonly Entry[], term: Term): void {
    let previousTerm = this.#baseTerm;
    for (const [i, entry] of entries.entries()) {
      invariant(entry.index === this.#base + 1 + i, 'log.restored-dense', { index: entry.index });
      invariant(entry.term >= previousTerm, 'log.restored-terms-rise', { index: entry.index });
      previousTerm = entry.term;
      if (entry.kind === 'config') this.#configurations.append(entry);
      if (entry.index > this.#commit) this.#uncommittedBytes += entry.payload.length;
    }
    invariant(previousTerm <= term, 'log.restored-within-term', { term, last: previousTerm });
  }
}
