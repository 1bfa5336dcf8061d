/**
 * A replica with a disk that can lose what it was not asked to sync: what transcripts, the random
 * simulation and the exhaustive search drive. It performs Effects exactly as `contract.ts` says.
 */
import { invariant } from '../../core/invariant.ts';
import type { Index, ReplicaId } from '../../core/ids.ts';
import { decodeConfiguration } from './configuration.ts';
import { type Effects, RAFT_LIMITS, type RaftLimits, type RestoredReplica } from './contract.ts';
import type { Configuration, Entry, HardState, Message, SnapshotDescriptor } from './message.ts';
import { newShard, Raft } from './raft.ts';

/** What survives a crash. */
export interface Disk {
  hard: HardState;
  /** The flushed state; the log begins above it. */
  snapshot: SnapshotDescriptor;
  entries: Entry[];
}

export interface SimulatedReplicaOptions {
  readonly id: ReplicaId;
  /** Of a first voter; none for one that joins later. */
  readonly voters: readonly ReplicaId[];
  readonly random: () => number;
  readonly electionTicks: number;
  readonly heartbeatTicks: number;
  readonly limits?: Partial<RaftLimits>;
}

export class SimulatedReplica {
  readonly id: ReplicaId;
  readonly #options: SimulatedReplicaOptions;
  disk: Disk;
  /** Undefined while the process is down. */
  raft: Raft | undefined;
  /** Handed to the disk and not yet durable, oldest first. */
  writing: Effects[] = [];

  constructor(options: SimulatedReplicaOptions) {
    this.id = options.id;
    this.#options = options;
    this.disk = blankDisk(newShard(options.voters));
    this.raft = this.#open(false);
  }

  restart(isSuspect = false): void {
    invariant(this.raft === undefined, 'simulated.restarts-once');
    this.raft = this.#open(isSuspect);
  }

  /** The process dies; of what was being written the first `kept` takes have reached the disk. */
  crash(kept = 0): void {
    for (const effects of this.writing.slice(0, kept)) this.#write(effects);
    this.writing = [];
    this.raft = undefined;
  }

  /** The disk is replaced by an empty one under the same id, which nobody may do. */
  wipe(): void {
    this.disk = blankDisk(newShard([]));
    this.disk.snapshot = { ...this.disk.snapshot, configuration: this.#firstConfiguration() };
  }

  /** One turn of the runtime: takes, queues the writes, applies. The caller sends. */
  turn(): Effects {
    const raft = this.#running();
    const effects = raft.take();
    if (effects.token !== undefined) this.writing.push(effects);
    if (effects.committed !== undefined) raft.applied(effects.committed.to);
    return effects;
  }

  /** The oldest write is durable; what waited for it may leave. */
  sync(): readonly Message[] {
    const effects = this.writing.shift();
    if (effects?.token === undefined) return [];
    this.#write(effects);
    this.#running().persisted(effects.token);
    return effects.sendAfterPersist;
  }

  /** The state of everything applied is made durable, and the log below it dropped. */
  flush(index: Index): void {
    const raft = this.#running();
    const { snapshot, entries } = this.disk;
    if (index <= snapshot.index) return;
    const entry = entries[index - snapshot.index - 1];
    invariant(entry !== undefined, 'simulated.flushes-durable', { index });
    const configuration = configurationAt(this.disk, index);
    this.disk.snapshot = { index, term: entry.term, configuration };
    this.disk.entries = entries.slice(index - snapshot.index);
    raft.compact(index);
  }

  /** Last index on the disk. */
  get durableLast(): number {
    return this.disk.snapshot.index + this.disk.entries.length;
  }

  /** True if the disk holds the entry, or state that contains it. */
  holds(entry: { readonly index: Index; readonly term: number }): boolean {
    const { snapshot, entries } = this.disk;
    if (entry.index <= snapshot.index) return true;
    return entries[entry.index - snapshot.index - 1]?.term === entry.term;
  }

  #running(): Raft {
    invariant(this.raft !== undefined, 'simulated.process-runs', { id: this.id });
    return this.raft;
  }

  #open(isSuspect: boolean): Raft {
    const { hard, snapshot, entries } = this.disk;
    const { id, random, electionTicks, heartbeatTicks, limits } = this.#options;
    return new Raft({
      id,
      random,
      electionTicks,
      heartbeatTicks,
      limits: { ...RAFT_LIMITS, ...limits },
      claimPayload: new Uint8Array(0),
      restored: { hard, snapshot, entries, applied: snapshot.index, isSuspect },
    });
  }

  #write(effects: Effects): void {
    const { disk } = this;
    if (effects.installSnapshot !== undefined) {
      disk.snapshot = effects.installSnapshot;
      disk.entries = [];
    }
    if (effects.truncateFrom !== undefined) {
      const kept = effects.truncateFrom - disk.snapshot.index - 1;
      invariant(kept >= 0 && kept <= disk.entries.length, 'simulated.truncates-what-it-holds');
      disk.entries.length = kept;
    }
    for (const entry of effects.append) {
      invariant(entry.index === this.durableLast + 1, 'simulated.writes-dense', {
        index: entry.index,
      });
      disk.entries.push(entry);
    }
    if (effects.hard !== undefined) disk.hard = effects.hard;
  }

  #firstConfiguration(): Configuration {
    return newShard(this.#options.voters).snapshot.configuration;
  }
}

function blankDisk(restored: RestoredReplica): Disk {
  return { hard: restored.hard, snapshot: restored.snapshot, entries: [] };
}

function configurationAt(disk: Disk, index: Index): Configuration {
  const { snapshot, entries } = disk;
  const change = entries.findLast((entry) => entry.kind === 'config' && entry.index <= index);
  return change === undefined ? snapshot.configuration : decodeConfiguration(change.payload);
}
