/**
 * One seed, one history: replicas over a network that drops, repeats and reorders and disks that
 * lose what was not synced, with crashes, partitions, reads, hand-overs, snapshots and changes of
 * configuration; every step is judged by `SafetyJudge`. Then everything is healed, and the shard
 * must elect, serve and converge. Each seed turns each kind of fault on or off (swarm), since
 * faults that always come together hide each other.
 */
import { invariant } from '../../core/invariant.ts';
import type { Index, ReplicaId } from '../../core/ids.ts';
import { membersOf } from './configuration.ts';
import type { Message } from './message.ts';
import type { Raft } from './raft.ts';
import { SafetyJudge } from './safety-judge.ts';
import { SimulatedReplica } from './simulated-replica.ts';

const ELECTION_TICKS = 6;
const HEARTBEAT_TICKS = 2;
/** Messages on their way; beyond it a random one is lost, as in any network. */
const NETWORK_MAX = 60;
/** Rounds (a tick, then everything delivered) in which a healed shard must serve again. */
const HEAL_ROUNDS_MAX = 120;

export interface SimulationResult {
  readonly steps: number;
  readonly committed: number;
  readonly elections: number;
  readonly crashes: number;
  readonly snapshots: number;
  readonly reads: number;
  readonly configurations: number;
}

/** Runs one seed; throws InvariantViolation at the first step that breaks a promise. */
export function simulate(seed: number, steps: number): SimulationResult {
  const simulation = new Simulation(seed);
  for (let i = 0; i < steps; i++) simulation.step();
  simulation.healAndConverge();
  return simulation.result(steps);
}

/** Small and fast; the same numbers everywhere (mulberry32). */
export function seededRandom(seed: number): () => number {
  let state = (seed + 1) * 0x9e3779b9;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

class Simulation {
  readonly #random: () => number;
  readonly #replicas: SimulatedReplica[];
  readonly #judge: SafetyJudge;
  readonly #actions: { readonly weight: number; readonly act: () => void }[];
  readonly #weightSum: number;
  #network: Message[] = [];
  readonly #cut = new Set<number>();
  readonly #isLossy: boolean;
  readonly #promptness: number;
  #proposals = 0;
  #reads = 0;
  #crashes = 0;

  constructor(seed: number) {
    this.#random = seededRandom(seed);
    const voters = this.#pick([1, 2, 3, 3, 3, 4, 5]);
    const spare = this.#pick([0, 1, 2]);
    const ids = Array.from({ length: voters + spare }, (_, i) => (i + 1) as ReplicaId);
    const first = ids.slice(0, voters);
    const limits = {
      appendBytesMax: this.#pick([0, 3, 1000]),
      inflightMessagesMax: this.#pick([1, 2, 256]),
      uncommittedBytesMax: this.#pick([20, 1000]),
      catchUpEntriesMax: 20,
    };
    this.#replicas = ids.map(
      (id) =>
        new SimulatedReplica({
          id,
          voters: first.includes(id) ? first : [],
          random: this.#random,
          electionTicks: ELECTION_TICKS,
          heartbeatTicks: HEARTBEAT_TICKS,
          limits,
        }),
    );
    this.#judge = new SafetyJudge(this.#replicas);
    this.#isLossy = this.#chance(0.5);
    this.#promptness = this.#pick([0.2, 0.7, 0.95]);
    this.#actions = this.#swarm();
    this.#weightSum = this.#actions.reduce((sum, { weight }) => sum + weight, 0);
  }

  step(): void {
    let drawn = this.#random() * this.#weightSum;
    for (const { weight, act } of this.#actions) {
      drawn -= weight;
      if (drawn >= 0) continue;
      act();
      return;
    }
  }

  healAndConverge(): void {
    this.#cut.clear();
    for (const replica of this.#replicas) if (replica.raft === undefined) replica.restart();
    let isAsked = false;
    for (let round = 0; round < HEAL_ROUNDS_MAX; round++) {
      for (const replica of this.#replicas) replica.raft?.tick();
      this.#settle();
      const leader = this.#leader();
      if (leader?.isReady !== true) continue;
      if (isAsked && this.#hasConverged(leader)) return;
      if (!isAsked) isAsked = leader.propose([this.#payload()]).ok;
    }
    const leader = this.#leader();
    invariant(leader?.isReady === true, 'simulation.healed-shard-is-led');
    invariant(isAsked, 'simulation.healed-shard-accepts');
    invariant(this.#hasConverged(leader), 'simulation.healed-shard-converges');
  }

  result(steps: number): SimulationResult {
    return { ...this.#judge.counts(), steps, crashes: this.#crashes };
  }

  /** Everyone whom the leader's configuration names has applied its whole log. */
  #hasConverged(leader: Raft): boolean {
    const { last, configuration } = leader.status();
    return (
      configuration.outgoing.length === 0 &&
      membersOf(configuration).every(
        (id) => this.#replicas[id - 1]?.raft?.status().applied === last,
      )
    );
  }

  /** What may happen at a step and how often, some of it switched off by the seed. */
  #swarm(): { weight: number; act: () => void }[] {
    const rate = this.#pick([1, 3, 8]);
    const maybe = (weight: number): number => (this.#chance(0.6) ? weight * rate : 0);
    return [
      { weight: 50, act: () => this.#running((replica) => this.#tick(replica)) },
      { weight: 40, act: () => this.#running((replica) => this.#turn(replica)) },
      { weight: 40, act: () => this.#running((replica) => this.#syncSome(replica)) },
      { weight: 80, act: () => this.#deliver() },
      { weight: 15, act: () => this.#leading((raft) => this.#propose(raft)) },
      { weight: maybe(2), act: () => this.#leading((raft) => this.#read(raft)) },
      { weight: maybe(1), act: () => this.#crashOrRestart() },
      { weight: maybe(1), act: () => this.#partition() },
      { weight: maybe(2), act: () => this.#running((replica) => this.#flush(replica)) },
      { weight: maybe(1), act: () => this.#leading((raft) => this.#reconfigure(raft)) },
      {
        weight: maybe(1),
        act: () => this.#leading((raft) => raft.transferLeader(this.#id())),
      },
      { weight: maybe(1), act: () => this.#running(({ raft }) => raft?.forgetLeader()) },
      { weight: maybe(0.5), act: () => this.#running(({ raft }) => raft?.campaign()) },
      {
        weight: maybe(1),
        act: () => this.#leading((raft) => raft.reportUnreachable(this.#id())),
      },
    ];
  }

  #tick(replica: SimulatedReplica): void {
    replica.raft?.tick();
    this.#maybeTurn(replica);
  }

  /** A turn takes what one input caused, or what several did. */
  #maybeTurn(replica: SimulatedReplica): void {
    if (this.#chance(this.#promptness)) this.#turn(replica);
  }

  #turn(replica: SimulatedReplica): void {
    if (replica.raft?.hasEffects() !== true) return;
    const effects = replica.turn();
    this.#judge.turned(replica, effects);
    this.#send(effects.sendNow);
  }

  /** One sync covers some of what waits, as a disk does. */
  #syncSome(replica: SimulatedReplica): void {
    const count = Math.ceil(this.#random() * replica.writing.length);
    for (let i = 0; i < count; i++) this.#sync(replica);
  }

  #sync(replica: SimulatedReplica): void {
    if (replica.writing.length === 0) return;
    const messages = replica.sync();
    this.#judge.acted(replica);
    this.#judge.synced(replica, messages);
    this.#send(messages);
    this.#maybeTurn(replica);
  }

  #send(messages: readonly Message[]): void {
    for (const message of messages) {
      if (this.#cut.has(message.from * 8 + message.to)) this.#lose(message);
      else this.#network.push(message);
      if (this.#network.length > NETWORK_MAX) this.#lose(this.#takeRandom());
    }
  }

  #deliver(): void {
    if (this.#network.length === 0) return;
    // Mostly in order: pure disorder would keep logs from ever growing.
    const message = this.#chance(0.7) ? this.#network.shift() : this.#takeRandom();
    if (message === undefined) return;
    if (this.#isLossy && this.#chance(0.05)) {
      this.#lose(message);
      return;
    }
    if (this.#isLossy && this.#chance(0.05)) this.#network.push(message);
    this.#hand(message);
    const receiver = this.#replicas[message.to - 1];
    if (receiver !== undefined) this.#maybeTurn(receiver);
  }

  #hand(message: Message): void {
    const receiver = this.#replicas[message.to - 1];
    const raft = receiver?.raft;
    raft?.step(message);
    if (receiver !== undefined) this.#judge.acted(receiver);
    if (message.kind !== 'snapshot') return;
    const sender = this.#replicas[message.from - 1]?.raft;
    sender?.snapshotStatus(message.to, raft !== undefined && this.#chance(0.8));
  }

  /** The runtime always learns how a stream of state ended. */
  #lose(message: Message | undefined): void {
    if (message?.kind !== 'snapshot') return;
    this.#replicas[message.from - 1]?.raft?.snapshotStatus(message.to, false);
  }

  #propose(raft: Raft): void {
    const count = 1 + Math.floor(this.#random() * 3);
    raft.propose(Array.from({ length: count }, () => this.#payload()));
  }

  #payload(): Uint8Array {
    this.#proposals++;
    return Uint8Array.of(this.#proposals >> 8, this.#proposals & 255);
  }

  #read(raft: Raft): void {
    const context = ++this.#reads;
    if (raft.readIndex(context).ok) this.#judge.readAsked(context);
  }

  #crashOrRestart(): void {
    const down = this.#replicas.filter(({ raft }) => raft === undefined);
    if (down.length > 0 && this.#chance(0.8)) {
      this.#pick(down).restart();
      return;
    }
    const replica = this.#pick(this.#replicas);
    if (replica.raft === undefined) return;
    this.#crashes++;
    replica.crash(Math.floor(this.#random() * (replica.writing.length + 1)));
    this.#judge.crashed(replica);
  }

  /** One-way cuts, so that partial partitions come too. */
  #partition(): void {
    if (this.#chance(0.6)) this.#cut.clear();
    else if (this.#chance(0.5)) this.#isolate(this.#id());
    else for (let i = 0; i < this.#replicas.length; i++) this.#cut.add(this.#id() * 8 + this.#id());
  }

  #isolate(id: ReplicaId): void {
    for (const { id: other } of this.#replicas) {
      this.#cut.add(id * 8 + other);
      this.#cut.add(other * 8 + id);
    }
  }

  #flush(replica: SimulatedReplica): void {
    const { raft } = replica;
    if (raft === undefined) return;
    const through = Math.min(raft.status().applied, replica.durableLast, raft.status().persisted);
    if (through > replica.disk.snapshot.index && through >= raft.status().first)
      replica.flush(through as Index);
  }

  #reconfigure(raft: Raft): void {
    const current = raft.status().configuration;
    const caughtUp = (id: ReplicaId): boolean => current.learners.includes(id) && this.#chance(0.7);
    const chosen = this.#replicas
      .map(({ id }) => id)
      .filter((id) => (current.voters.includes(id) ? this.#chance(0.8) : caughtUp(id)));
    const voters = chosen.length === 0 ? current.voters : chosen;
    const learners = this.#replicas
      .map(({ id }) => id)
      .filter((id) => !voters.includes(id) && this.#chance(0.6));
    if (raft.proposeConf({ voters, learners }).ok) this.#judge.reconfigured();
  }

  /** Turns, syncs and deliveries until nothing moves. */
  #settle(): void {
    for (let round = 0; round < 60; round++) {
      for (const replica of this.#replicas) {
        this.#turn(replica);
        while (replica.writing.length > 0) this.#sync(replica);
      }
      const due = this.#network;
      this.#network = [];
      due.forEach((message) => this.#hand(message));
      if (due.length === 0 && this.#replicas.every(({ raft }) => raft?.hasEffects() === false))
        return;
    }
  }

  #leader(): Raft | undefined {
    const leaders = this.#replicas.flatMap(({ raft }) => (raft?.role === 'leader' ? [raft] : []));
    return leaders.sort((a, b) => b.term - a.term)[0];
  }

  #running(act: (replica: SimulatedReplica) => void): void {
    const replica = this.#pick(this.#replicas);
    if (replica.raft !== undefined) act(replica);
  }

  /** Any that believes it leads. */
  #leading(act: (raft: Raft) => void): void {
    const leaders = this.#replicas.flatMap(({ raft }) => (raft?.role === 'leader' ? [raft] : []));
    if (leaders.length > 0) act(this.#pick(leaders));
  }

  #takeRandom(): Message | undefined {
    return this.#network.splice(Math.floor(this.#random() * this.#network.length), 1)[0];
  }

  #id(): ReplicaId {
    return this.#pick(this.#replicas).id;
  }

  #chance(likelihood: number): boolean {
    return this.#random() < likelihood;
  }

  #pick<T>(choices: readonly T[]): T {
    const chosen = choices[Math.floor(this.#random() * choices.length)];
    invariant(chosen !== undefined, 'simulation.picks-one');
    return chosen;
  }
}
