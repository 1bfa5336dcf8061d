/**
 * Every history of a few replicas within a small budget: a breadth-first search over what may happen
 * next (any message in any order, any sync, a crash, a candidacy, a proposal), each state reached by
 * replaying its history on fresh cores, each distinct state visited once. What random runs meet by
 * luck this meets by order, as far as it goes.
 */
import { invariant } from '../../core/invariant.ts';
import type { Index, ReplicaId } from '../../core/ids.ts';
import type { Message } from './message.ts';
import { SafetyJudge } from './safety-judge.ts';
import { SimulatedReplica } from './simulated-replica.ts';
import { textOfEntry, textOfMessage, textOfStatus } from './transcript-text.ts';

export interface Scope {
  readonly replicas: number;
  /** What has happened before the search begins; every history starts with it. */
  readonly prefix: readonly Act[];
  readonly candidacies: number;
  readonly proposals: number;
  readonly crashes: number;
  /** Whether a sync is a choice like any other, or follows each input at once (goes deeper). */
  readonly areDisksSlow: boolean;
  /** States after which the search ends, however far it got. */
  readonly statesMax: number;
}

/** `settle` delivers and syncs until all is quiet; the others are one input each. */
export type Act =
  | { readonly do: 'settle' }
  | { readonly do: 'stand' | 'propose' | 'sync' | 'crash'; readonly id: number }
  | { readonly do: 'deliver'; readonly place: number };

export interface SearchResult {
  readonly states: number;
  readonly depth: number;
  /** False if `statesMax` ended it. */
  readonly isExhausted: boolean;
}

export function searchSmallScope(scope: Scope): SearchResult {
  const seen = new Set<string>();
  let frontier: Act[][] = [[]];
  for (let depth = 0; frontier.length > 0; depth++) {
    const next: Act[][] = [];
    for (const history of frontier) {
      const world = replay(scope, history);
      const fingerprint = world.fingerprint();
      if (seen.has(fingerprint)) continue;
      seen.add(fingerprint);
      if (seen.size >= scope.statesMax) return { states: seen.size, depth, isExhausted: false };
      for (const act of world.choices(scope, history)) next.push([...history, act]);
    }
    frontier = next;
    if (next.length === 0) return { states: seen.size, depth, isExhausted: true };
  }
  return { states: seen.size, depth: 0, isExhausted: true };
}

function replay(scope: Scope, history: readonly Act[]): ScopedWorld {
  const world = new ScopedWorld(scope);
  for (const act of scope.prefix) world.run(act);
  for (const act of history) world.run(act);
  return world;
}

/** Rounds of `settle`; the prefix of a scope is a handful of inputs. */
const SETTLE_ROUNDS_MAX = 100;

/** Turns in a row that one input may cause. */
const TURNS_MAX = 20;

class ScopedWorld {
  readonly #replicas: SimulatedReplica[];
  readonly #judge: SafetyJudge;
  readonly #areDisksSlow: boolean;
  #network: Message[] = [];
  #proposals = 0;

  constructor(scope: Scope) {
    this.#areDisksSlow = scope.areDisksSlow;
    const ids = Array.from({ length: scope.replicas }, (_, i) => (i + 1) as ReplicaId);
    this.#replicas = ids.map(
      (id) =>
        new SimulatedReplica({
          id,
          voters: ids,
          random: () => 0,
          electionTicks: 10,
          heartbeatTicks: 2,
          limits: { appendBytesMax: 0 },
        }),
    );
    this.#judge = new SafetyJudge(this.#replicas);
  }

  run(act: Act): void {
    if (act.do === 'settle') this.#settle();
    else if (act.do === 'deliver') {
      const [message] = this.#network.splice(act.place, 1);
      if (message !== undefined) this.#hand(message);
    } else this.#runOn(this.#replica(act.id), act.do);
  }

  choices(scope: Scope, history: readonly Act[]): Act[] {
    const left = (kind: Act['do'], budget: number): boolean =>
      history.filter((act) => act.do === kind).length < budget;
    const choices: Act[] = this.#network.map((_, place) => ({ do: 'deliver', place }));
    for (const replica of this.#replicas) {
      const { id, raft, writing } = replica;
      if (writing.length > 0) choices.push({ do: 'sync', id });
      if (left('crash', scope.crashes)) choices.push({ do: 'crash', id });
      if (raft?.role === 'leader' && left('propose', scope.proposals))
        choices.push({ do: 'propose', id });
      if (raft?.role === 'follower' && left('stand', scope.candidacies))
        choices.push({ do: 'stand', id });
    }
    return choices;
  }

  /** Everything that can make a difference later, the order of the network left out. */
  fingerprint(): string {
    const network = this.#network.map(textOfMessage).sort().join('|');
    const replicas = this.#replicas.map((replica) => {
      const { disk, writing, raft } = replica;
      const log: string[] = [];
      const status = raft?.status();
      if (raft !== undefined && status !== undefined)
        for (let at = status.first; at <= status.last; at = (at + 1) as Index)
          log.push(textOfEntry(raft.entry(at)));
      const written = `${disk.hard.term},${disk.hard.vote},${disk.entries.map(textOfEntry).join()}`;
      const waiting = writing.map(
        ({ hard, truncateFrom, append, sendAfterPersist }) =>
          `${hard?.term},${hard?.vote},${truncateFrom},${append.length},${sendAfterPersist.map(textOfMessage).join()}`,
      );
      return `${textOfStatus(replica)} ${status?.vote} ${log.join()} ${written} ${waiting.join(';')}`;
    });
    return `${network} ${replicas.join(' ')}`;
  }

  #runOn(replica: SimulatedReplica, what: 'stand' | 'propose' | 'sync' | 'crash'): void {
    switch (what) {
      case 'stand':
        replica.raft?.forgetLeader();
        replica.raft?.campaign();
        break;
      case 'propose':
        replica.raft?.propose([Uint8Array.of(65 + this.#proposals++)]);
        break;
      case 'sync':
        this.#sync(replica);
        break;
      case 'crash':
        replica.crash();
        this.#judge.crashed(replica);
        replica.restart();
        break;
    }
    this.#turn(replica);
  }

  #sync(replica: SimulatedReplica): void {
    const messages = replica.sync();
    this.#judge.acted(replica);
    this.#judge.synced(replica, messages);
    this.#network.push(...messages);
  }

  #turn(replica: SimulatedReplica): void {
    for (let turns = 0; replica.raft?.hasEffects() === true; turns++) {
      invariant(turns < TURNS_MAX, 'scope.effects-end');
      const effects = replica.turn();
      this.#judge.turned(replica, effects);
      this.#network.push(...effects.sendNow);
      while (!this.#areDisksSlow && replica.writing.length > 0) this.#sync(replica);
    }
  }

  #hand(message: Message): void {
    const replica = this.#replica(message.to);
    // Without clocks in the search a follower's patience with its leader has always run out.
    if (message.kind === 'vote' || message.kind === 'pre-vote') replica.raft?.forgetLeader();
    replica.raft?.step(message);
    this.#judge.acted(replica);
    this.#turn(replica);
  }

  #settle(): void {
    for (let round = 0; round < SETTLE_ROUNDS_MAX; round++) {
      for (const replica of this.#replicas) {
        this.#turn(replica);
        while (replica.writing.length > 0) this.#sync(replica);
      }
      const due = this.#network;
      this.#network = [];
      if (due.length === 0) return;
      due.forEach((message) => this.#hand(message));
    }
    invariant(false, 'scope.prefix-settles');
  }

  #replica(id: number): SimulatedReplica {
    const replica = this.#replicas[id - 1];
    invariant(replica !== undefined, 'scope.replica-known', { id });
    return replica;
  }
}
