/**
 * One shard: log → machines → tails, answers and frames. Commands come in by `receive`, wait in a
 * lane while state loads, are proposed together once a turn, and are applied in the order of the
 * log. Of the log it sees only ShardLog.
 *
 * A throw in `apply` stops this shard alone, for good, naming the index: its state may be half done,
 * so nothing of it is flushed or answered any more.
 */
import { readU53, viewOf } from '../../core/bytes.ts';
import { COMMAND_KIND, commandKey, commandKind, stampCommand } from '../../core/command.ts';
import { ParleyError } from '../../core/errors.ts';
import { invariant } from '../../core/invariant.ts';
import { PassingMap } from '../../core/passing-map.ts';
import type { Logger } from '../../core/observe.ts';
import type { AccountMachine } from '../account/contract.ts';
import type { ConversationMachine } from '../conversation/contract.ts';
import type { Owner } from '../placement/owner.ts';
import { DueAnswers, type Answerer } from './answers.ts';
import type { CommandArena } from './command-arena.ts';
import type { CommandNeeds } from './command-needs.ts';
import { Lanes, type Lane } from './lanes.ts';
import { REFUSED, type RefusalKind } from './refusals.ts';
import type { ShardEffects } from './shard-effects.ts';
import type { LoggedEntry, ShardLog, ShardLogEvents } from './shard-log.ts';
import type { StampClock } from './stamp-clock.ts';
import type { StoreBudget } from './store-budget.ts';

/** Beyond this an entry is refused: Raft's bound, less what completing a mark may add. */
export const COMMAND_BYTES_MAX: number = 256 * 1024 - 64;
/** Entries applied in one turn: after a start there may be a second's worth, or many. */
const APPLIED_PER_TURN_MAX = 2048;
/** Committed entries looked through at once for state that must be loaded first. */
const LOOK_AHEAD_MAX = 512;

export interface ShardParts {
  readonly shard: number;
  readonly machine: ConversationMachine;
  readonly accounts: AccountMachine;
  readonly owner: Owner;
  readonly needs: CommandNeeds;
  readonly effects: ShardEffects;
  readonly arena: CommandArena;
  readonly budget: StoreBudget;
  readonly stamps: StampClock;
  readonly log: Logger;
  /** There is something to propose or to apply: have `turn` called soon. */
  readonly arm: () => void;
  readonly stopped: (shard: number, index: number, cause: unknown) => void;
  /** Leads and everything before its claim is applied; respectively no longer. */
  readonly leading: (shard: number, isLeading: boolean) => void;
}

interface Read {
  readonly resolve: (index: number) => void;
  readonly reject: (error: ParleyError) => void;
}

export class Shard implements ShardLogEvents {
  readonly shard: number;
  readonly #parts: ShardParts;
  #log: ShardLog | undefined;
  readonly #lanes = new Lanes();
  readonly #due = new DueAnswers();
  // Commands to be proposed with the next turn, in order of arrival.
  #commands: Uint8Array[] = [];
  #answerers: Answerer[] = [];
  #requests: number[] = [];
  /** What the budget was charged for each. */
  #bytes: number[] = [];
  #applied = 0;
  #appliedTerm = 0;
  #stoppedAt = 0;
  #isLoading = false;
  #isLeading = false;
  #reign = 0;
  /** The read round that joins whoever asks in this turn; then those that wait for an index. */
  #round: { readonly context: number; readonly reads: Read[] } | undefined;
  readonly #rounds = new PassingMap<number, Read[]>();
  #waiting: { readonly index: number; readonly reads: Read[] }[] = [];
  #contexts = 0;

  constructor(parts: ShardParts) {
    this.shard = parts.shard;
    this.#parts = parts;
  }

  /** The log, and the entry that the state is of. Once, before anything else. */
  start(log: ShardLog, applied: { readonly index: number; readonly term: number }): void {
    invariant(this.#log === undefined, 'shard.started-once', { shard: this.shard });
    this.#log = log;
    this.#applied = applied.index;
    this.#appliedTerm = applied.term;
  }

  get log(): ShardLog {
    invariant(this.#log !== undefined, 'shard.started', () => ({ shard: this.shard }));
    return this.#log;
  }
  get applied(): number {
    return this.#applied;
  }
  get appliedTerm(): number {
    return this.#appliedTerm;
  }
  get isStopped(): boolean {
    return this.#stoppedAt !== 0;
  }
  /** Leads, and its claim and settings are applied: takes commands and serves reads. */
  get isServing(): boolean {
    return this.#isLeading && !this.isStopped && this.#parts.machine.settings.epoch !== 0;
  }
  get isLeading(): boolean {
    return this.#isLeading;
  }
  get hasCommands(): boolean {
    return this.#commands.length > 0;
  }
  get awaited(): number {
    return this.#due.size + this.#commands.length + this.#lanes.size;
  }

  /** Takes a command; exactly one answer follows, maybe before this returns. */
  receive(bytes: Uint8Array, answerer: Answerer, request: number): void {
    const refusal = this.#mayNotTake(bytes);
    if (refusal !== undefined) {
      this.#parts.budget.countRefusal(refusal);
      answerer.refused(request, REFUSED[refusal]);
      return;
    }
    const command = this.#parts.arena.keep(bytes);
    const lane = this.#lanes.get(commandKey(command));
    const ready = lane === undefined ? this.#parts.needs.ready(command) : undefined;
    if (ready !== undefined) {
      this.#parts.needs.pin(ready);
      this.#enqueue(ready, answerer, request);
      this.#bytes.push(bytes.length);
      return;
    }
    const held = { command, bytes: bytes.length, answerer, request, isCompleted: false };
    if (lane !== undefined) {
      if (!lane.push(held)) this.#refuse('laneFull', held);
      return;
    }
    const opened = this.#lanes.open(commandKey(command));
    opened.push(held);
    this.#load(opened);
  }

  /** The shard's own: settings. Not counted, not refused by load. */
  propose(command: Uint8Array, answerer: Answerer): void {
    this.#parts.budget.charge(this.shard, command.length);
    this.#enqueue(command, answerer, 0);
    this.#bytes.push(command.length);
  }

  /** Appends what has gathered. All of it gets one stamp. */
  proposeAll(): void {
    const commands = this.#commands;
    if (commands.length === 0) return;
    const answerers = this.#answerers;
    const requests = this.#requests;
    const taken = this.#bytes;
    this.#bytes = [];
    this.#commands = [];
    this.#answerers = [];
    this.#requests = [];
    const stamp = this.#parts.stamps.now();
    for (const command of commands) stampCommand(command, stamp);
    const appended = this.log.append(commands);
    for (let i = 0; i < commands.length; i++) {
      const command = commands[i] as Uint8Array;
      const answerer = answerers[i] as Answerer;
      const request = requests[i] ?? 0;
      const bytes = taken[i] ?? 0;
      if (appended.ok) {
        const place = { index: appended.first + i, term: appended.term };
        this.#due.add(place, answerer, request, bytes);
      } else {
        this.#parts.needs.unpin(command);
        const kind = appended.why === 'overloaded' ? 'overloaded' : 'notLeader';
        this.#refuse(kind, { answerer, request, bytes });
      }
    }
  }

  /** Applies what is committed, in order, as far as its state is resident. True = something was. */
  applyAll(): boolean {
    const { log } = this;
    if (this.#applied >= log.committed || this.isStopped || this.#isLoading) return false;
    const from = this.#applied;
    const last = Math.min(log.committed, from + APPLIED_PER_TURN_MAX);
    while (this.#applied < last) {
      const entry = log.entry(this.#applied + 1);
      const isOurs = this.#due.size > 0 && this.#due.isNext(entry.index, entry.term);
      if (!isOurs && entry.kind === 'command' && !this.#mayApply(entry)) break;
      if (!this.#apply(entry)) return false;
      this.#applied = entry.index;
      this.#appliedTerm = entry.term;
    }
    log.applied(this.#applied);
    if (this.#applied === last && last < log.committed) this.#parts.arm();
    this.#judgeLeading();
    if (this.#waiting.length > 0) this.#serveReads();
    return this.#applied > from;
  }

  /** An index at or above everything acknowledged so far, once it is applied here. */
  readIndex(): Promise<number> {
    if (this.isStopped || !this.#isLeading) return Promise.reject(this.#unavailable());
    return new Promise((resolve, reject) => {
      if (this.#round === undefined) {
        const context = ++this.#contexts;
        if (!this.log.readIndex(context)) {
          reject(this.#unavailable());
          return;
        }
        this.#round = { context, reads: [] };
        this.#rounds.set(context, this.#round.reads);
        this.#parts.arm();
      }
      this.#round.reads.push({ resolve, reject });
    });
  }

  /** The turn's effects are collected: reads asked from now on need a round of their own. */
  closeRound(): void {
    this.#round = undefined;
  }

  // ---- ShardLogEvents

  read(context: number, index: number | undefined): void {
    const reads = this.#rounds.get(context);
    this.#rounds.delete(context);
    if (reads === undefined) return;
    // A stopped shard never gets to the index.
    if (index === undefined || this.isStopped)
      for (const { reject } of reads) reject(this.#unavailable());
    else {
      this.#waiting.push({ index, reads });
      this.#serveReads();
    }
  }

  reignChanged(reign: number): void {
    this.#reign = reign;
    if (reign !== 0) return;
    // Entries of the lost reign may still commit under another leader: nobody knows yet.
    this.#forgetDue();
    for (const lane of this.#lanes.all()) this.#dropLane(lane, 'notLeader');
    for (const reads of this.#rounds.values())
      for (const { reject } of reads) reject(this.#unavailable());
    this.#rounds.clear();
    this.#round = undefined;
    this.#setLeading(false);
  }

  // ---- inside

  #mayNotTake(bytes: Uint8Array): RefusalKind | undefined {
    if (this.isStopped) return 'stopped';
    if (!this.isServing) return this.#reign === 0 && this.#isLeading ? 'notLeader' : 'starting';
    if (bytes.length > COMMAND_BYTES_MAX) return 'tooLarge';
    if (!this.#parts.owner.owns(commandKey(bytes))) return 'moved';
    return this.#parts.budget.take(this.shard, bytes);
  }

  #enqueue(command: Uint8Array, answerer: Answerer, request: number): void {
    this.#commands.push(command);
    this.#answerers.push(answerer);
    this.#requests.push(request);
    if (this.#commands.length === 1) this.#parts.arm();
  }

  #load(lane: Lane): void {
    const held = lane.first;
    if (held === undefined) return;
    this.#parts.needs.load(held, (error) => {
      if (error !== undefined || this.isStopped) this.#dropLane(lane, 'stopped');
      else this.#drain(lane);
    });
  }

  /** Whatever is ready at the front goes on; the lane ends when it is empty. */
  #drain(lane: Lane): void {
    for (let held = lane.first; held !== undefined; held = lane.first) {
      const ready = held.isCompleted ? held.command : this.#parts.needs.ready(held.command);
      if (ready === undefined) {
        this.#load(lane);
        return;
      }
      lane.shift();
      if (!this.isServing) {
        this.#refuse('notLeader', held);
        continue;
      }
      this.#parts.needs.pin(ready);
      this.#enqueue(ready, held.answerer, held.request);
      this.#bytes.push(held.bytes);
    }
    this.#lanes.close(lane);
  }

  /** Whoever waits for an entry will not hear of it here: its outcome is unknown. */
  #forgetDue(): void {
    const due = this.#due;
    while (due.takeAny()) {
      const { answerer, request, bytes } = due;
      due.answerer = undefined;
      if (answerer !== undefined) this.#refuse('unknown', { answerer, request, bytes });
    }
  }

  /** What nobody proposed yet. */
  #dropCommands(): void {
    const [commands, answerers] = [this.#commands, this.#answerers];
    this.#commands = [];
    this.#answerers = [];
    const [requests, taken] = [this.#requests.splice(0), this.#bytes.splice(0)];
    for (const [i, command] of commands.entries()) {
      this.#parts.needs.unpin(command);
      const answerer = answerers[i] as Answerer;
      this.#refuse('stopped', { answerer, request: requests[i] ?? 0, bytes: taken[i] ?? 0 });
    }
  }

  #dropLane(lane: Lane, kind: RefusalKind): void {
    for (let held = lane.first; held !== undefined; held = lane.first) {
      lane.shift();
      this.#refuse(kind, held);
    }
    this.#lanes.close(lane);
  }

  #refuse(
    kind: RefusalKind,
    due: { readonly answerer: Answerer; readonly request: number; readonly bytes: number },
  ): void {
    this.#parts.budget.giveBack(this.shard, due.bytes);
    this.#parts.budget.countRefusal(kind);
    due.answerer.refused(due.request, REFUSED[kind]);
  }

  /**
   * Whether an entry that was not prepared here (a follower's, or out of the WAL) has its state. If
   * not, loads for it and for those behind it, and applying goes on when its own is there.
   */
  #mayApply(entry: LoggedEntry): boolean {
    const { needs } = this.#parts;
    if (needs.mayApply(entry.payload)) {
      needs.pin(entry.payload);
      return true;
    }
    this.#isLoading = true;
    const { log } = this;
    const last = Math.min(log.committed, entry.index + LOOK_AHEAD_MAX);
    for (let index = entry.index + 1; index <= last; index++) {
      const ahead = log.entry(index);
      if (ahead.kind === 'command') needs.prefetch(ahead.payload);
    }
    needs.loadToApply(entry.payload, (error) => {
      this.#isLoading = false;
      if (error !== undefined) this.#stop(entry.index, error);
      else this.#parts.arm();
    });
    return false;
  }

  #apply(entry: LoggedEntry): boolean {
    try {
      if (entry.kind === 'command') this.#applyCommand(entry);
      else if (entry.kind === 'claim') this.#parts.owner.claim(entry.term);
      return true;
    } catch (thrown) {
      this.#stop(entry.index, thrown);
      return false;
    }
  }

  #applyCommand({ index, term, payload }: LoggedEntry): void {
    const { machine, accounts, effects, needs, stamps } = this.#parts;
    const kind = commandKind(payload);
    stamps.raise(readU53(viewOf(payload), 8));
    // The answer is taken off only when the machine is through: if it throws, `#stop` answers.
    if (kind >= COMMAND_KIND.accountMembership && kind < COMMAND_KIND.shardSettings) {
      const user = commandKey(payload);
      const applied = accounts.apply(index, payload);
      needs.appliedAccount(user);
      effects.account(index, user, applied);
      const due = this.#takeDue(index, term);
      if (due !== undefined) effects.answerAccount(index, user, applied, due);
      return;
    }
    const applied = machine.apply(index, payload);
    effects.conversation(index, applied, this.#takeDue(index, term));
    if (kind === COMMAND_KIND.shardSettings) effects.settled();
  }

  #takeDue(index: number, term: number): DueAnswers | undefined {
    if (!this.#due.take(index, term)) return undefined;
    this.#parts.budget.giveBack(this.shard, this.#due.bytes);
    return this.#due;
  }

  #stop(index: number, cause: unknown): void {
    if (this.isStopped) return;
    this.#stoppedAt = index;
    this.#parts.log.error('a shard has stopped on a fault in apply', {
      shard: this.shard,
      index,
      cause: String(cause),
    });
    // Taken off for this very entry, and what follows its apply threw before the answer.
    this.#due.answerer?.refused(this.#due.request, REFUSED.unknown);
    this.#forgetDue();
    this.#dropCommands();
    for (const lane of this.#lanes.all()) this.#dropLane(lane, 'stopped');
    for (const { reads } of this.#waiting)
      for (const { reject } of reads) reject(this.#unavailable());
    this.#waiting = [];
    this.#parts.stopped(this.shard, index, cause);
  }

  #judgeLeading(): void {
    if (!this.#isLeading && this.#reign !== 0 && this.log.isReady) this.#setLeading(true);
  }

  #setLeading(isLeading: boolean): void {
    if (this.#isLeading === isLeading) return;
    this.#isLeading = isLeading;
    this.#parts.effects.isPlanning = isLeading;
    this.#parts.leading(this.shard, isLeading);
  }

  #serveReads(): void {
    const waiting = this.#waiting.filter(({ index, reads }) => {
      if (index > this.#applied) return true;
      for (const { resolve } of reads) resolve(this.#applied);
      return false;
    });
    this.#waiting = waiting;
  }

  #unavailable(): ParleyError {
    const { reason, message } = REFUSED[this.isStopped ? 'stopped' : 'notLeader'];
    return new ParleyError(reason, message, { shard: this.shard });
  }
}
