/**
 * A ShardLog over Raft. The store loop drives it: `collect` once a turn packs its writes into the
 * store's frame, `persisted` when that frame is durable. It owns nothing of the disk itself, so
 * that the writes of all shards share one sync.
 */
import type { Index, ReplicaId, Term } from '../../core/ids.ts';
import type { FrameWriter } from '../../storage-engine/wal/frame.ts';
import type {
  Effects,
  PersistToken,
  RaftCore,
  RestoredReplica,
  Status,
} from '../consensus/contract.ts';
import { RAFT_LIMITS } from '../consensus/contract.ts';
import type { Message, SnapshotDescriptor } from '../consensus/message.ts';
import { Raft } from '../consensus/raft.ts';
import type {
  AppendResult,
  LoggedEntry,
  LoggedKind,
  ShardLog,
  ShardLogEvents,
} from './shard-log.ts';
import { claimPayload, packEffects } from './wal-records.ts';

export interface RaftShardLogOptions {
  readonly shard: number;
  readonly id: ReplicaId;
  readonly random: () => number;
  readonly electionTicks: number;
  readonly heartbeatTicks: number;
  readonly uncommittedBytesMax: number;
  readonly restored: RestoredReplica;
  readonly events: ShardLogEvents;
  /** Carries messages to the other replicas of this shard. */
  readonly send: (shard: number, messages: readonly Message[]) => void;
}

/** Entries that are let go together: each time those that are left are copied. */
const FORGOTTEN_AT_ONCE = 64;

const KIND: Readonly<Record<'claim' | 'command' | 'config', LoggedKind>> = {
  claim: 'claim',
  command: 'command',
  config: 'other',
};

export class RaftShardLog implements ShardLog {
  readonly shard: number;
  readonly #raft: RaftCore;
  readonly #events: ShardLogEvents;
  readonly #send: (shard: number, messages: readonly Message[]) => void;
  #committed: number;
  #reign = 0;
  #forgotten: number;
  /** What must not leave before the writes of its token are durable, oldest first. */
  #held: { readonly token: PersistToken; readonly messages: readonly Message[] }[] = [];
  /** The newest token whose writes lie in the frame being packed, respectively in flight. */
  #packed: PersistToken | undefined;
  #inFlight: PersistToken | undefined;
  #landed: PersistToken | undefined;

  constructor(options: RaftShardLogOptions) {
    this.shard = options.shard;
    this.#events = options.events;
    this.#send = options.send;
    this.#committed = options.restored.applied;
    this.#forgotten = options.restored.applied;
    this.#raft = new Raft({
      id: options.id,
      random: options.random,
      electionTicks: options.electionTicks,
      heartbeatTicks: options.heartbeatTicks,
      limits: { ...RAFT_LIMITS, uncommittedBytesMax: options.uncommittedBytesMax },
      claimPayload: claimPayload(options.id),
      restored: options.restored,
    });
  }

  get isReady(): boolean {
    return this.#raft.isReady;
  }
  get reign(): number {
    return this.#reign;
  }
  get tail(): number {
    return this.#raft.lastIndex;
  }
  get committed(): number {
    return this.#committed;
  }
  get status(): Status {
    return this.#raft.status();
  }

  /** The place that a flush of everything through `index` is of. */
  snapshotAt(index: number, term: number): SnapshotDescriptor {
    // LIMIT: the configuration is the newest one; one that is not applied yet can only be of a
    // change of membership, which comes with replication.
    const { configuration } = this.#raft.status();
    return { index: index as Index, term: term as Term, configuration };
  }

  append(payloads: readonly Uint8Array[]): AppendResult {
    const proposed = this.#raft.propose(payloads);
    if (proposed.ok) return proposed;
    return { ok: false, why: proposed.why === 'overloaded' ? 'overloaded' : 'not_owner' };
  }

  entry(index: number): LoggedEntry {
    const { term, kind, payload } = this.#raft.entry(index as Index);
    return { index, term, kind: KIND[kind], payload };
  }

  /**
   * Who is alone needs no entry that it has applied: a restart reads the log on the disk. Kept until
   * they were flushed, they took as much memory as the rows made of them, and were half of what the
   * collector had to mark.
   * LIMIT: the base may lie above what is flushed, so the first replica that joins has to be sent a
   * state that was flushed at or above it (replication).
   */
  applied(index: number): void {
    this.#raft.applied(index as Index);
    if (index - this.#forgotten < FORGOTTEN_AT_ONCE) return;
    this.#forgotten = index;
    const { voters, outgoing, learners } = this.#raft.status().configuration;
    const isAlone = voters.length === 1 && outgoing.length === 0 && learners.length === 0;
    if (isAlone) this.#raft.compact(index as Index);
  }

  trim(index: number): void {
    this.#raft.compact(index as Index);
  }

  readIndex(context: number): boolean {
    return this.#raft.readIndex(context).ok;
  }

  // ---- for the store loop

  tick(): void {
    this.#raft.tick();
  }

  campaign(): void {
    this.#raft.campaign();
  }

  step(message: Message): void {
    this.#raft.step(message);
  }

  hasEffects(): boolean {
    return this.#raft.hasEffects();
  }

  /** Performs what the core asks for; its writes go into the frame. True = it wrote something. */
  collect(frame: FrameWriter): boolean {
    const effects = this.#raft.take();
    const before = frame.records;
    if (effects.sendNow.length > 0) this.#send(this.shard, effects.sendNow);
    packEffects(this.shard, effects, frame);
    this.#keep(effects);
    if (effects.committed !== undefined) this.#committed = effects.committed.to;
    for (const { context, index } of effects.reads) this.#events.read(context, index);
    for (const context of effects.refusedReads) this.#events.read(context, undefined);
    const { soft } = effects;
    const reign = soft === undefined ? this.#reign : soft.role === 'leader' ? soft.term : 0;
    if (reign !== this.#reign) {
      this.#reign = reign;
      this.#events.reignChanged(reign);
    }
    return frame.records > before;
  }

  /** The frame that `collect` packed leaves for the disk. */
  submitted(): void {
    this.#inFlight = this.#packed ?? this.#inFlight;
    this.#packed = undefined;
  }

  /** The frame in flight is durable; the next may leave before the core hears of it. */
  landed(): void {
    this.#landed = this.#inFlight ?? this.#landed;
    this.#inFlight = undefined;
  }

  /** Tells the core of what has landed, and sends what waited for that. */
  persisted(): void {
    const token = this.#landed;
    if (token === undefined) return;
    this.#landed = undefined;
    this.#raft.persisted(token);
    while ((this.#held[0]?.token.number ?? Infinity) <= token.number) {
      const { messages } = this.#held.shift() ?? { messages: [] };
      this.#send(this.shard, messages);
    }
  }

  /** Something waits for a sync, though nothing of it may be a record. */
  get wantsSync(): boolean {
    return this.#packed !== undefined;
  }

  #keep(effects: Effects): void {
    const { token, sendAfterPersist } = effects;
    if (token === undefined) return;
    this.#packed = token;
    if (sendAfterPersist.length > 0) this.#held.push({ token, messages: sendAfterPersist });
  }
}
