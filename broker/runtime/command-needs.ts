/**
 * What a command needs before it may be proposed or applied, and how it gets it: its conversation or
 * account resident, the row that it aims at, rows that a mark is completed by. Plain sends to a
 * resident conversation are through with one look-up.
 */
import { COMMAND_KIND, commandKey, commandKind } from '../../core/command.ts';
import type { Timers } from '../../core/clock.ts';
import { BODY_KIND } from '../../core/row.ts';
import type { Tasks } from '../../core/tasks.ts';
import type { AccountMachine } from '../account/contract.ts';
import type { ConversationMachine } from '../conversation/contract.ts';
import { extentOf, type BlockReads } from './block-reads.ts';
import type { HotTail } from './hot-tail.ts';
import type { Held } from './lanes.ts';
import type { Overlays } from './overlays.ts';
import type { Residency } from './residency.ts';

const BODY_KIND_AT = 56;
const NO_BYTES: Uint8Array = new Uint8Array(0);
const BUSY_MS = 5;
/** Rows that completing a mark holds at once. */
const MARK_ROWS_AT_ONCE = 1024;

export interface CommandNeedsParts {
  readonly machine: ConversationMachine;
  readonly accounts: AccountMachine;
  readonly residency: Residency;
  readonly reads: BlockReads;
  readonly hotTail: HotTail;
  readonly overlays: Overlays;
  readonly tasks: Tasks;
  readonly timers: Timers;
}

type Done = (error?: unknown) => void;

export class CommandNeeds {
  readonly #parts: CommandNeedsParts;

  constructor(parts: CommandNeedsParts) {
    this.#parts = parts;
  }

  /** The command as it is to be proposed, a mark completed; undefined = something must be loaded. */
  ready(command: Uint8Array): Uint8Array | undefined {
    const { machine, accounts } = this.#parts;
    const kind = commandKind(command);
    if (isOfAccount(kind)) return accounts.isResident(commandKey(command)) ? command : undefined;
    if (kind === COMMAND_KIND.shardSettings) return command;
    if (!machine.isResident(commandKey(command))) return undefined;
    if (kind === COMMAND_KIND.mark) return this.#completedMark(command);
    if (!mayAim(command)) return command;
    const { conversation, target } = machine.needs(command);
    return conversation || target !== 0 ? undefined : command;
  }

  /** Loads what `ready` lacked first. More may be lacking then: ask again. */
  load(held: Held, done: Done): void {
    const { machine, accounts, residency } = this.#parts;
    const { command } = held;
    const key = commandKey(command);
    if (isOfAccount(commandKind(command))) residency.account(accounts, key, done);
    else if (!machine.isResident(key)) residency.conversation(machine, key, done);
    else if (commandKind(command) === COMMAND_KIND.mark) this.#loadMarkRows(held, done);
    else this.#loadTarget(command, done);
  }

  /** As `ready`, for an entry of the log: a mark in it is complete. */
  mayApply(command: Uint8Array): boolean {
    const { machine, accounts } = this.#parts;
    const kind = commandKind(command);
    if (isOfAccount(kind)) return accounts.isResident(commandKey(command));
    if (kind === COMMAND_KIND.shardSettings) return true;
    if (!machine.isResident(commandKey(command))) return false;
    return !mayAim(command) || machine.needs(command).target === 0;
  }

  loadToApply(command: Uint8Array, done: Done): void {
    this.load({ command, bytes: 0, answerer: NOBODY, request: 0, isCompleted: true }, done);
  }

  /** A later entry will need this: its load joins the batch of the first. */
  prefetch(command: Uint8Array): void {
    const { machine, accounts, residency } = this.#parts;
    const kind = commandKind(command);
    const key = commandKey(command);
    if (isOfAccount(kind)) {
      if (!accounts.isResident(key)) residency.account(accounts, key, ignore);
    } else if (kind !== COMMAND_KIND.shardSettings && !machine.isResident(key)) {
      residency.conversation(machine, key, ignore);
    }
  }

  /** Keeps what was found resident until the entry is applied, which lets it go again. */
  pin(command: Uint8Array): void {
    if (isOfAccount(commandKind(command))) this.#parts.accounts.pin(commandKey(command));
    else this.#parts.machine.pin(command);
  }

  /** It will not be applied. */
  unpin(command: Uint8Array): void {
    if (isOfAccount(commandKind(command))) this.#parts.accounts.unpin(commandKey(command));
    else this.#parts.machine.unpin(command);
  }

  appliedAccount(user: Uint8Array): void {
    this.#parts.accounts.unpin(user);
  }

  #completedMark(command: Uint8Array): Uint8Array | undefined {
    const { machine, hotTail } = this.#parts;
    const range = machine.markNeedsRows(command);
    if (range === undefined) return command;
    const { from, to } = range;
    if (from >= to) return machine.completeMark(command, undefined);
    const conversation = commandKey(command);
    const tail = hotTail.tail(conversation);
    if (tail === undefined || from + 1 < tail.first) return undefined;
    const tally = machine.startTally(command);
    tally?.add(hotTail.rows(conversation, from + 1, to));
    return machine.completeMark(command, tally);
  }

  #loadMarkRows(held: Held, done: Done): void {
    const { machine, reads } = this.#parts;
    const range = machine.markNeedsRows(held.command);
    const view = machine.view(commandKey(held.command));
    const tally = machine.startTally(held.command);
    if (range === undefined || view === undefined || tally === undefined) {
      held.isCompleted = true;
      done();
      return;
    }
    this.#run('store.mark-rows', held.command, done, async () => {
      const extent = extentOf(view);
      // However far the mark jumps, few rows are in memory at once.
      // LIMIT: commands of the conversation wait meanwhile, a second or so for 100,000 rows.
      for (let from = range.from + 1; from <= range.to; from += MARK_ROWS_AT_ONCE) {
        const through = Math.min(range.to, from + MARK_ROWS_AT_ONCE - 1);
        tally.add(await reads.rows(extent, from, through));
      }
      held.command = machine.completeMark(held.command, tally);
      held.isCompleted = true;
    });
  }

  #loadTarget(command: Uint8Array, done: Done): void {
    const { machine, reads, overlays } = this.#parts;
    const { target } = machine.needs(command);
    const key = commandKey(command).slice();
    const view = machine.view(key);
    if (target === 0 || view === undefined) {
      done();
      return;
    }
    this.#run('store.target', command, done, async () => {
      const extent = extentOf(view);
      const [row] = await reads.rows(extent, target, target);
      const stored = await reads.overlays(extent, target, target);
      if (row === undefined) return;
      const overlay = (overlays.get(key, target) ?? stored.get(target))?.value ?? NO_BYTES;
      if (!machine.hasTarget(key, target))
        machine.loadTarget(key, { sequence: target, row, overlay });
    });
  }

  /** The conversation stays while rows are read for it, or little memory would load it for ever. */
  #run(name: string, command: Uint8Array, done: Done, work: () => Promise<void>): void {
    const { machine, tasks, timers } = this.#parts;
    machine.pin(command);
    const end: Done = (error) => {
      machine.unpin(command);
      done(error);
    };
    const begin = (): void => {
      try {
        tasks.run(name, () => work().then(() => end(), end));
      } catch {
        // Too much is under way, which is no fault of this command: a moment later again. They are
        // as many as commands taken, which the budget bounds.
        timers.after(BUSY_MS, begin);
      }
    };
    begin();
  }
}

function isOfAccount(kind: number): boolean {
  return kind >= COMMAND_KIND.accountMembership && kind < COMMAND_KIND.shardSettings;
}

/** Whether it may aim at an earlier row: everything but plain messages. */
function mayAim(command: Uint8Array): boolean {
  if (commandKind(command) !== COMMAND_KIND.send) return true;
  const bodyKind = command[BODY_KIND_AT];
  return bodyKind !== BODY_KIND.message && bodyKind !== BODY_KIND.sealed;
}

function ignore(): void {
  // The load itself was the point.
}

const NOBODY = { committed: ignore, refused: ignore };
