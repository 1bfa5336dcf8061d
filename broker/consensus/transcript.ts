/**
 * Runs a script against replicas and tells what they did, so that a class of fault is one short
 * text with its answer: `command`, `----`, what follows from it, an empty line.
 *
 *   replicas 1 2 3 [joiner=4] [uncommitted=100] …   first voters, and one that is in no configuration
 *   tick 1 [10] · campaign 1 · propose 1 a b · configure 1 voters=1,2,3 [learners=4]
 *   read 1 7 · transfer 1 2 · forget 2 · unreachable 1 2 · snapshot 1 2 ok|failed
 *   turn 1         one take: writes are queued, what may leave leaves, committed entries are applied
 *   sync 1 [2]     the oldest writes become durable, what waited for them leaves
 *   deliver 1->2 [append] [2] [copy]   one message (the oldest, or second; `copy` leaves it there)
 *   hand 1->2 term=1 after=1/1 commit=1 [2/1:a …]   an append that nobody here sent
 *   drop 1->2 [append]             all such messages
 *   settle [1 2]   turns, syncs and deliveries until all is quiet; other messages wait
 *   cut 1->2 … · heal              messages on a cut link are lost
 *   crash 1 [kept] · restart 1 [suspect] · wipe 1 · flush 1 5
 *   status [1 2] · log 1 · network
 *
 * A broken invariant is printed as `! rule`, and so is an entry applied differently by two replicas.
 */
import { invariant, InvariantViolation } from '../../core/invariant.ts';
import type { Index, ReplicaId, Term } from '../../core/ids.ts';
import type { Effects, RaftLimits } from './contract.ts';
import type { Entry, Message } from './message.ts';
import { SimulatedReplica } from './simulated-replica.ts';
import { textOfEffects, textOfEntry, textOfMessage, textOfStatus } from './transcript-text.ts';
import type { Raft } from './raft.ts';

/** Rounds after which a script that never gets quiet is cut off. */
const SETTLE_ROUNDS_MAX = 200;
const ELECTION_TICKS = 10;
const HEARTBEAT_TICKS = 2;

/** The same script with what it answers now. */
export function runTranscript(script: string): string {
  const world = new ScriptedWorld();
  const blocks = script.replaceAll('\r', '').split(/\n\n+/);
  return `${blocks.map((block) => runBlock(world, block)).join('\n\n')}\n`;
}

function runBlock(world: ScriptedWorld, block: string): string {
  const lines = block.trimEnd().split('\n');
  const rule = lines.indexOf('----');
  if (rule < 0) return lines.join('\n');
  const commands = lines.slice(0, rule);
  const answers = commands.flatMap((line) => (line.startsWith('#') ? [] : world.run(line)));
  return [...commands, '----', ...(answers.length === 0 ? ['ok'] : answers)].join('\n');
}

type Arguments = readonly string[];

class ScriptedWorld {
  readonly #replicas = new Map<number, SimulatedReplica>();
  #network: Message[] = [];
  readonly #cut = new Set<string>();
  /** What each index was applied as, by whoever came first. */
  readonly #applied = new Map<number, string>();
  #lines: string[] = [];
  readonly #commands: Readonly<Record<string, (args: Arguments) => void>> = {
    replicas: (args) => this.#create(args),
    tick: ([id, count = '1']) => {
      for (let i = 0; i < Number(count); i++) this.#raft(id).tick();
    },
    campaign: ([id]) => this.#raft(id).campaign(),
    propose: ([id, ...texts]) => this.#answer(this.#raft(id).propose(texts.map(bytesOf))),
    configure: ([id, ...rest]) => this.#configure(id, rest),
    read: ([id, context]) => this.#answer(this.#raft(id).readIndex(Number(context))),
    transfer: ([id, to]) => this.#raft(id).transferLeader(replicaId(to)),
    forget: ([id]) => this.#raft(id).forgetLeader(),
    unreachable: ([id, to]) => this.#raft(id).reportUnreachable(replicaId(to)),
    snapshot: ([id, to, how]) => this.#raft(id).snapshotStatus(replicaId(to), how === 'ok'),
    turn: ([id]) => this.#turn(this.#replica(id), true),
    sync: ([id, count = '1']) => {
      for (let i = 0; i < Number(count); i++) this.#sync(this.#replica(id));
    },
    deliver: (args) => this.#deliverOne(args),
    drop: (args) => {
      const lost = this.#network.filter((message) => matches(message, args));
      this.#network = this.#network.filter((message) => !lost.includes(message));
      this.#lines.push(`dropped ${lost.length}`);
    },
    hand: (args) => this.#hand(appendOf(args)),
    settle: (args) => this.#settle(args),
    cut: (args) => args.forEach((link) => void this.#cut.add(link)),
    heal: () => this.#cut.clear(),
    crash: ([id, kept = '0']) => this.#replica(id).crash(Number(kept)),
    restart: ([id, how]) => this.#replica(id).restart(how === 'suspect'),
    wipe: ([id]) => this.#replica(id).wipe(),
    flush: ([id, index]) => this.#replica(id).flush(Number(index) as Index),
    status: (args) => this.#status(args),
    log: ([id]) => this.#log(this.#replica(id)),
    network: () =>
      this.#network.forEach((message) => void this.#lines.push(textOfMessage(message))),
  };

  run(line: string): string[] {
    this.#lines = [];
    const [name = '', ...args] = line.split(' ').filter((word) => word !== '');
    const command = this.#commands[name];
    if (command === undefined) return [`? ${name}`];
    try {
      command(args);
    } catch (thrown) {
      if (!(thrown instanceof InvariantViolation)) throw thrown;
      this.#lines.push(`! ${thrown.rule}`);
    }
    return this.#lines;
  }

  #create(args: Arguments): void {
    const voters = args.filter((arg) => !arg.includes('=')).map(replicaId);
    const joiners = setting(args, 'joiner')?.split(',').map(replicaId) ?? [];
    const bytes = setting(args, 'uncommitted');
    const append = setting(args, 'append');
    const inflight = setting(args, 'inflight');
    const limits: Partial<RaftLimits> = {
      ...(bytes === undefined ? {} : { uncommittedBytesMax: Number(bytes) }),
      ...(append === undefined ? {} : { appendBytesMax: Number(append) }),
      ...(inflight === undefined ? {} : { inflightMessagesMax: Number(inflight) }),
      catchUpEntriesMax: Number(setting(args, 'catchup') ?? 1000),
    };
    for (const id of [...voters, ...joiners]) {
      const replica = new SimulatedReplica({
        id,
        voters: joiners.includes(id) ? [] : voters,
        random: () => 0,
        electionTicks: ELECTION_TICKS,
        heartbeatTicks: HEARTBEAT_TICKS,
        limits,
      });
      this.#replicas.set(id, replica);
    }
  }

  #configure(id: string | undefined, args: Arguments): void {
    const list = (name: string): ReplicaId[] =>
      setting(args, name)?.split(',').map(replicaId) ?? [];
    const target = { voters: list('voters'), learners: list('learners') };
    this.#answer(this.#raft(id).proposeConf(target));
  }

  #turn(replica: SimulatedReplica, isTold: boolean): void {
    const effects = replica.turn();
    this.#network.push(...effects.sendNow);
    if (isTold) this.#lines.push(...textOfEffects(replica.id, effects));
    else this.#tellReads(replica, effects);
    this.#checkApplied(replica, effects);
  }

  #tellReads(replica: SimulatedReplica, { reads, refusedReads }: Effects): void {
    for (const { context, index } of reads)
      this.#lines.push(`${replica.id} read ${context} at ${index}`);
    for (const context of refusedReads) this.#lines.push(`${replica.id} read ${context} refused`);
  }

  #sync(replica: SimulatedReplica): void {
    this.#network.push(...replica.sync());
  }

  #deliverOne(args: Arguments): void {
    const place = Number(args.find((arg) => /^\d+$/.test(arg)) ?? 1);
    const message = this.#network.filter((candidate) => matches(candidate, args))[place - 1];
    if (message === undefined) {
      this.#lines.push('nothing');
      return;
    }
    if (!args.includes('copy')) this.#network.splice(this.#network.indexOf(message), 1);
    this.#lines.push(textOfMessage(message));
    this.#hand(message);
  }

  #hand(message: Message): void {
    if (this.#cut.has(`${message.from}->${message.to}`)) return;
    this.#replicas.get(message.to)?.raft?.step(message);
  }

  #settle(args: Arguments): void {
    const chosen = this.#chosen(args).filter(({ raft }) => raft !== undefined);
    const ids = new Set<number>(chosen.map(({ id }) => id));
    const isInside = (message: Message): boolean => ids.has(message.from) && ids.has(message.to);
    for (let round = 0; round < SETTLE_ROUNDS_MAX; round++) {
      let isQuiet = true;
      for (const replica of chosen) {
        if (replica.raft?.hasEffects() !== true && replica.writing.length === 0) continue;
        isQuiet = false;
        this.#turn(replica, false);
        while (replica.writing.length > 0) this.#sync(replica);
      }
      const due = this.#network.filter(isInside);
      this.#network = this.#network.filter((message) => !isInside(message));
      due.forEach((message) => this.#hand(message));
      if (isQuiet && due.length === 0) return;
    }
    this.#lines.push('never quiet');
  }

  #status(args: Arguments): void {
    for (const replica of this.#chosen(args)) this.#lines.push(textOfStatus(replica));
  }

  #log(replica: SimulatedReplica): void {
    const { snapshot, entries } = replica.disk;
    this.#lines.push(
      `disk above ${snapshot.index}/${snapshot.term}: ${entries.map(textOfEntry).join(' ')}`,
    );
    if (replica.raft === undefined) return;
    const { first, last } = replica.raft.status();
    const held: string[] = [];
    for (let at = first; at <= last; at = (at + 1) as Index)
      held.push(textOfEntry(replica.raft.entry(at)));
    this.#lines.push(`memory above ${first - 1}: ${held.join(' ')}`);
  }

  #checkApplied(replica: SimulatedReplica, { committed }: Effects): void {
    if (committed === undefined || replica.raft === undefined) return;
    for (let at = committed.from; at <= committed.to; at = (at + 1) as Index) {
      const text = textOfEntry(replica.raft.entry(at));
      const known = this.#applied.get(at) ?? text;
      this.#applied.set(at, known);
      if (known !== text) this.#lines.push(`! ${replica.id} applies ${text}, another ${known}`);
    }
  }

  #answer(result: { readonly ok: boolean; readonly why?: string }): void {
    if (!result.ok) this.#lines.push(`refused: ${result.why}`);
  }

  #chosen(args: Arguments): SimulatedReplica[] {
    return args.length === 0 ? [...this.#replicas.values()] : args.map((id) => this.#replica(id));
  }

  #replica(id: string | undefined): SimulatedReplica {
    const replica = this.#replicas.get(Number(id));
    if (replica === undefined) throw new InvariantViolation('transcript.replica-known', id ?? '');
    return replica;
  }

  #raft(id: string | undefined): Raft {
    const { raft } = this.#replica(id);
    if (raft === undefined) throw new InvariantViolation('transcript.replica-runs', id ?? '');
    return raft;
  }
}

/** `args`: a link and, if given, a kind. */
function matches(message: Message, args: Arguments): boolean {
  const kind = args.find((arg) => /^[a-z-]+$/.test(arg) && arg !== 'copy');
  return (
    args.includes(`${message.from}->${message.to}`) && (kind === undefined || kind === message.kind)
  );
}

function appendOf(args: Arguments): Message {
  const [from, to] = args[0]?.split('->').map(replicaId) ?? [];
  const [index, term] = numbersOf(setting(args, 'after') ?? '0/0');
  invariant(from !== undefined && to !== undefined, 'transcript.link-named');
  return {
    kind: 'append',
    from,
    to,
    term: Number(setting(args, 'term')) as Term,
    previousIndex: index as Index,
    previousTerm: term as Term,
    commit: Number(setting(args, 'commit')) as Index,
    entries: args.filter((arg) => /^\d+\/\d+:/.test(arg)).map(entryOf),
  };
}

/** `3/2:text`; the text `claim` makes a claim. */
function entryOf(text: string): Entry {
  const [place = '', contents = ''] = text.split(':');
  const [index, term] = numbersOf(place);
  const isClaim = contents === 'claim';
  return {
    index: index as Index,
    term: term as Term,
    kind: isClaim ? 'claim' : 'command',
    payload: bytesOf(isClaim ? '' : contents),
  };
}

function numbersOf(text: string): [number, number] {
  const [first = 0, second = 0] = text.split('/').map(Number);
  return [first, second];
}

function setting(args: Arguments, name: string): string | undefined {
  return args.find((arg) => arg.startsWith(`${name}=`))?.slice(name.length + 1);
}

function replicaId(text: string | undefined): ReplicaId {
  return Number(text) as ReplicaId;
}

function bytesOf(text: string): Uint8Array {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}
