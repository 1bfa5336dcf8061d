/**
 * The conversation machine: takes committed entries to packed state and says what they did. Pure and
 * synchronous; two machines given the same entries are equal in every byte, whatever each of them
 * had resident, evicted or flushed in between.
 */
import { newChunk, readU53, viewOf, type NewChunk } from '../../core/bytes.ts';
import {
  COMMAND_KEY_OFFSET,
  COMMAND_KIND,
  commandKey,
  commandKind,
  SEND_AT,
  SEND_FLAG,
  SendView,
} from '../../core/command.ts';
import { decodeCommand } from '../../core/command-codec.ts';
import { invariant } from '../../core/invariant.ts';
import { BODY_KIND } from '../../core/row.ts';
import type { Applying } from './applying.ts';
import type {
  Applied,
  ConversationMachine,
  ConversationView,
  DirtyUnit,
  Needs,
  StateUnit,
  TargetRow,
} from './contract.ts';
import { applyBlock } from './direct.ts';
import { EffectsChecksum } from './effects-checksum.ts';
import { applyClose, applyCreateGroup, applyUpdate } from './group.ts';
import { LiveConversation } from './live-conversation.ts';
import { applyMark, completeMark, rowsForMark, startTally, type MarkTally } from './marks.ts';
import { applyAddMembers, applyRemoveMember, applySetRole } from './membership.ts';
import { applyMyState } from './my-state.ts';
import { Residents } from './residents.ts';
import { ResidentView } from './resident-view.ts';
import { RowSpace } from './row-space.ts';
import { applySend } from './send.ts';
import { sequenceOfNumber } from './send-window.ts';
import {
  decodeShardSettings,
  encodeShardSettings,
  isShardSettings,
  SETTINGS_AT_FIRST,
  settingsOf,
  type ShardSettings,
} from './shard-settings.ts';
import { sendersBeside } from './stored-header.ts';
import { Targets } from './targets.ts';

export interface ConversationMachineOptions {
  /** Where the running checksum of effects goes on, after a restart. */
  readonly effectsChecksum?: number;
  /** Of what rows and copies of units are cut from. */
  readonly newChunk: NewChunk;
}

/** Over ordinary memory unless told otherwise. */
export function createConversationMachine(
  options: Partial<ConversationMachineOptions> = {},
): PackedConversationMachine {
  return new PackedConversationMachine({ newChunk, ...options });
}

const NOTHING: Needs = { conversation: false, target: 0 };

export class PackedConversationMachine implements ConversationMachine {
  readonly #residents: Residents;
  readonly #live: LiveConversation;
  readonly #targets: Targets = new Targets();
  readonly #rowSpace: RowSpace;
  readonly #checksum: EffectsChecksum;
  #settings: ShardSettings = SETTINGS_AT_FIRST;
  /** Key under which changed settings wait to be flushed. */
  #settingsKey: Uint8Array | undefined;

  constructor(options: ConversationMachineOptions) {
    this.#residents = new Residents(options.newChunk);
    this.#live = new LiveConversation(this.#residents);
    this.#rowSpace = new RowSpace(options.newChunk);
    this.#checksum = new EffectsChecksum(options.effectsChecksum ?? 0);
  }

  get settings(): ShardSettings {
    return this.#settings;
  }

  get effectsChecksum(): number {
    return this.#checksum.value;
  }

  // ---- Residency

  get residentCount(): number {
    return this.#residents.count;
  }

  get residentBytes(): number {
    return this.#residents.arena.usedBytes;
  }

  isResident(conversation: Uint8Array): boolean {
    return this.#residents.find(conversation, 0) !== 0;
  }

  sendersOf(header: Uint8Array): Uint8Array | undefined {
    return isShardSettings(header) ? undefined : sendersBeside(header);
  }

  load(conversation: Uint8Array, units: readonly StateUnit[]): void {
    const first = units[0];
    if (first !== undefined && isShardSettings(first.value)) {
      this.#settings = decodeShardSettings(first.value);
      return;
    }
    // Two loads of the same conversation may race: what is resident is as new or newer.
    if (!this.isResident(conversation)) this.#residents.load(conversation, units);
  }

  evict(conversation: Uint8Array): boolean {
    const resident = this.#residents.find(conversation, 0);
    if (resident === 0) return true;
    if (!this.#targets.isEvictable(resident) || !this.#residents.evict(resident)) return false;
    this.#targets.forget(resident);
    return true;
  }

  eachEvictable(each: (conversation: Uint8Array) => boolean): void {
    this.#residents.eachEvictable(
      (resident) => !this.#targets.isEvictable(resident) || each(this.#residents.idOf(resident)),
    );
  }

  // ---- Before proposing

  needs(command: Uint8Array): Needs {
    const kind = commandKind(command);
    if (kind === COMMAND_KIND.shardSettings) return NOTHING;
    const resident = this.#residents.find(command, COMMAND_KEY_OFFSET);
    if (resident === 0) return { conversation: true, target: 0 };
    if (!isControl(command)) return NOTHING;
    const sequence = this.#targetOf(resident, new SendView(command));
    if (sequence === 0 || this.#targets.has(resident, sequence)) return NOTHING;
    return { conversation: false, target: sequence };
  }

  pin(command: Uint8Array): void {
    if (commandKind(command) === COMMAND_KIND.shardSettings) return;
    const resident = this.#residents.find(command, COMMAND_KEY_OFFSET);
    invariant(resident !== 0, 'conversation.pinned-while-resident');
    this.#residents.pin(resident);
    if (isControl(command)) this.#targets.pin(resident);
  }

  unpin(command: Uint8Array): void {
    const resident = this.#residents.find(command, COMMAND_KEY_OFFSET);
    if (resident === 0) return;
    this.#residents.unpin(resident);
    if (isControl(command)) this.#targets.unpin(resident);
  }

  hasTarget(conversation: Uint8Array, sequence: number): boolean {
    const resident = this.#residents.find(conversation, 0);
    return resident !== 0 && this.#targets.has(resident, sequence);
  }

  loadTarget(conversation: Uint8Array, target: TargetRow): void {
    const resident = this.#residents.find(conversation, 0);
    invariant(resident !== 0, 'conversation.target-of-resident', { sequence: target.sequence });
    this.#targets.load(resident, target);
  }

  markNeedsRows(command: Uint8Array): { readonly from: number; readonly to: number } | undefined {
    return rowsForMark(this.#openOf(command), command);
  }

  startTally(command: Uint8Array): MarkTally | undefined {
    return startTally(this.#openOf(command), command);
  }

  completeMark(command: Uint8Array, tally: MarkTally | undefined): Uint8Array {
    return completeMark(this.#openOf(command), command, tally);
  }

  // ---- Applying

  apply(index: number, command: Uint8Array): Applied {
    if (commandKind(command) === COMMAND_KIND.shardSettings)
      return this.#applySettings(index, command);
    const live = this.#openOf(command);
    const { resident } = live;
    this.#residents.touch(resident);
    const stamp = readU53(viewOf(command), 8);
    const applying: Applying = {
      live,
      targets: this.#targets,
      rowSpace: this.#rowSpace,
      settings: this.#settings,
      index,
      nowMs: live.isKnown ? Math.max(live.header.lastTimeMs, stamp) : stamp,
      conversation: command.slice(COMMAND_KEY_OFFSET, COMMAND_KEY_OFFSET + 16),
    };
    const applied = dispatch(applying, command);
    this.#note(index, applied);
    this.#residents.unpin(resident);
    if (isControl(command)) this.#targets.unpin(resident);
    return applied;
  }

  // ---- Reading

  view(conversation: Uint8Array): ConversationView | undefined {
    const resident = this.#residents.find(conversation, 0);
    if (resident === 0 || !this.#live.open(resident).isCreated) return undefined;
    this.#residents.touch(resident);
    return new ResidentView(this.#residents, resident, this.#settings);
  }

  overlay(conversation: Uint8Array, sequence: number): Uint8Array | undefined {
    const resident = this.#residents.find(conversation, 0);
    return resident === 0 ? undefined : this.#targets.get(resident, sequence)?.overlay;
  }

  // ---- Flushing

  takeDirty(): readonly DirtyUnit[] {
    const units = this.#residents.takeChanged();
    this.#targets.takeChanged();
    const conversation = this.#settingsKey;
    if (conversation === undefined) return units;
    this.#settingsKey = undefined;
    const value = encodeShardSettings(this.#settings);
    units.push({ conversation, kind: 0, page: 0, user: new Uint8Array(0), value });
    return units;
  }

  flushed(): void {
    this.#residents.flushed();
    this.#targets.flushed();
  }

  // ---- Inside

  #openOf(command: Uint8Array): LiveConversation {
    const resident = this.#residents.find(command, COMMAND_KEY_OFFSET);
    invariant(resident !== 0, 'conversation.resident-when-applied');
    return this.#live.open(resident);
  }

  /** The row that a control row aims at, as far as it is known now; 0 = none that could be loaded. */
  #targetOf(resident: number, send: SendView): number {
    const live = this.#live.open(resident);
    if (!live.isCreated || !live.aimAt(send.bytes, SEND_AT.caller)) return 0;
    let sequence = send.target;
    if (send.has(SEND_FLAG.targetIsClientSeq)) {
      if (!live.openSender(live.member.slot)) return 0;
      // Before the stamp is known no window is too old: what is loaded in vain does no harm.
      const question = { command: send.bytes, outboxAt: SEND_AT.outbox, nowMs: 0 };
      sequence = sequenceOfNumber(live.sender, question, send.target);
    }
    return sequence <= live.header.head ? sequence : 0;
  }

  #applySettings(index: number, command: Uint8Array): Applied {
    const decoded = decodeCommand(command);
    invariant(decoded.kind === COMMAND_KIND.shardSettings, 'conversation.settings-command');
    this.#settings = settingsOf(decoded);
    this.#settingsKey = commandKey(command).slice();
    this.#checksum.numbers(index, 0);
    this.#checksum.bytes(encodeShardSettings(this.#settings));
    return {
      conversation: this.#settingsKey,
      answer: { is: 'commit', sequence: 0, timeMs: decoded.timeMs, replayed: false },
    };
  }

  #note(index: number, applied: Applied): void {
    const checksum = this.#checksum;
    const { answer } = applied;
    if (answer.is === 'refused') {
      checksum.numbers(index, 0);
      checksum.text(answer.reason);
      return;
    }
    checksum.numbers(index, answer.sequence);
    checksum.numbers(answer.timeMs, answer.replayed ? 1 : 0);
    // Numbers, stamps and ordinals, and the hash, which stands for the body.
    if (applied.row !== undefined) {
      checksum.bytes(applied.row, 4, 56);
      checksum.bytes(applied.row, 120, 136);
    }
    if (applied.overlay !== undefined) checksum.bytes(applied.overlay.value);
    if (applied.members === undefined && applied.registers === undefined) return;
    for (const { user } of applied.members ?? applied.registers ?? []) {
      this.#live.aimAt(user);
      checksum.bytes(this.#live.member.packed);
    }
  }
}

function dispatch(applying: Applying, bytes: Uint8Array): Applied {
  const kind = commandKind(bytes);
  if (kind === COMMAND_KIND.send) return applySend(applying, new SendView(bytes));
  if (kind === COMMAND_KIND.mark) return applyMark(applying, bytes);
  const command = decodeCommand(bytes);
  switch (command.kind) {
    case COMMAND_KIND.createGroup:
      return applyCreateGroup(applying, command);
    case COMMAND_KIND.addMembers:
      return applyAddMembers(applying, command);
    case COMMAND_KIND.removeMember:
      return applyRemoveMember(applying, command);
    case COMMAND_KIND.setRole:
      return applySetRole(applying, command);
    case COMMAND_KIND.updateConversation:
      return applyUpdate(applying, command);
    case COMMAND_KIND.closeConversation:
      return applyClose(applying, command);
    case COMMAND_KIND.setMyState:
      return applyMyState(applying, command);
    case COMMAND_KIND.setBlock:
      return applyBlock(applying, command);
    default:
      invariant(false, 'conversation.command-is-for-it', { kind: command.kind });
  }
}

/** Whether the command is a send that changes an earlier row. */
function isControl(command: Uint8Array): boolean {
  if (commandKind(command) !== COMMAND_KIND.send) return false;
  const bodyKind = command[56];
  return bodyKind === BODY_KIND.edit || bodyKind === BODY_KIND.delete;
}
