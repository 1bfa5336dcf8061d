/**
 * The journal: what a shard did, one value per flush. Heads refill from it after a start, couriers
 * resume in it, and later topics, push, search and delta snapshots read it. A disk format:
 *
 *   u8 version · u53 first index · u53 last index · u53 stamp of the last entry
 *   u32 conversations, each: id 16 · u53 index of the last change that is everybody's (0 = none) ·
 *     u53 stamp · u53 head · u53 ordinal · u53 first new sequence · u32 new rows ·
 *     u32 kinds (bit = body kind) · u16 registers, each: user 16 · u53 index
 *   u32 memberships, each: conversation 16 · user 16 · u8 joined · u53 sequence · u53 index
 */
import { ByteReader, ByteWriter } from '../../core/bytes.ts';
import { IdMap } from '../../core/id-map.ts';
import { invariant } from '../../core/invariant.ts';
import type { RowView } from '../../core/row.ts';
import type { MembershipChange } from '../conversation/contract.ts';

export const JOURNAL_VERSION = 1;

export interface JournalRegister {
  readonly user: Uint8Array;
  index: number;
}

export interface JournalChange {
  readonly conversation: Uint8Array;
  index: number;
  timeMs: number;
  head: number;
  ordinal: number;
  firstSequence: number;
  rows: number;
  kinds: number;
  readonly registers: JournalRegister[];
}

export interface JournalMembership {
  readonly conversation: Uint8Array;
  readonly user: Uint8Array;
  readonly joined: boolean;
  readonly sequence: number;
  readonly index: number;
}

export interface JournalValue {
  readonly firstIndex: number;
  readonly lastIndex: number;
  readonly timeMs: number;
  readonly changes: readonly JournalChange[];
  readonly memberships: readonly JournalMembership[];
}

/** What one shard did since the last cut. */
export class JournalBuilder {
  #changes = new IdMap<JournalChange>();
  #order: JournalChange[] = [];
  #memberships: JournalMembership[] = [];
  #firstIndex = 0;
  #lastIndex = 0;
  #timeMs = 0;

  /** Membership changes since the last cut. */
  get memberships(): readonly JournalMembership[] {
    return this.#memberships;
  }

  row(index: number, conversation: Uint8Array, row: RowView): void {
    const change = this.#at(index, conversation);
    const { sequence, timeMs } = row;
    change.index = index;
    change.timeMs = timeMs;
    change.head = sequence;
    change.ordinal = row.ordinal;
    if (change.rows === 0) change.firstSequence = sequence;
    change.rows++;
    change.kinds |= 1 << row.bodyKind;
    this.#timeMs = timeMs;
  }

  /** A change that is everybody's without a row: a direct peer's marks, a block. */
  changed(
    index: number,
    conversation: Uint8Array,
    at: { readonly head: number; readonly ordinal: number; readonly timeMs: number },
  ): void {
    const change = this.#at(index, conversation);
    change.index = index;
    change.head = at.head;
    change.ordinal = at.ordinal;
    change.timeMs = at.timeMs;
  }

  register(index: number, conversation: Uint8Array, user: Uint8Array): void {
    const { registers } = this.#at(index, conversation);
    const known = registers.find((register) => isSame(register.user, user));
    if (known === undefined) registers.push({ user: user.slice(), index });
    else known.index = index;
  }

  membership(index: number, conversation: Uint8Array, change: MembershipChange): void {
    const { user, joined, sequence } = change;
    this.#memberships.push({ conversation: conversation.slice(), user, joined, sequence, index });
  }

  /** An entry was applied, whether or not it did anything. */
  entry(index: number): void {
    if (this.#firstIndex === 0) this.#firstIndex = index;
    this.#lastIndex = index;
  }

  /** What was built, to be encoded later; undefined = nothing since the last cut. */
  cut(): JournalValue | undefined {
    if (this.#firstIndex === 0) return undefined;
    const value: JournalValue = {
      firstIndex: this.#firstIndex,
      lastIndex: this.#lastIndex,
      timeMs: this.#timeMs,
      changes: this.#order,
      memberships: this.#memberships,
    };
    this.#changes = new IdMap();
    this.#order = [];
    this.#memberships = [];
    this.#firstIndex = 0;
    return value;
  }

  #at(index: number, conversation: Uint8Array): JournalChange {
    this.entry(index);
    const known = this.#changes.get(conversation);
    if (known !== undefined) return known;
    const change: JournalChange = {
      conversation: conversation.slice(),
      index: 0,
      timeMs: 0,
      head: 0,
      ordinal: 0,
      firstSequence: 0,
      rows: 0,
      kinds: 0,
      registers: [],
    };
    this.#changes.set(change.conversation, change);
    this.#order.push(change);
    return change;
  }
}

export function encodeJournal(value: JournalValue): Uint8Array {
  const out = new ByteWriter(64 + value.changes.length * 80 + value.memberships.length * 50);
  out.u8(JOURNAL_VERSION).u53(value.firstIndex).u53(value.lastIndex).u53(value.timeMs);
  out.u32(value.changes.length);
  for (const change of value.changes) {
    out.raw(change.conversation).u53(change.index).u53(change.timeMs);
    out.u53(change.head).u53(change.ordinal).u53(change.firstSequence);
    out.u32(change.rows).u32(change.kinds).u16(change.registers.length);
    for (const { user, index } of change.registers) out.raw(user).u53(index);
  }
  out.u32(value.memberships.length);
  for (const { conversation, user, joined, sequence, index } of value.memberships) {
    out.raw(conversation).raw(user);
    out
      .u8(joined ? 1 : 0)
      .u53(sequence)
      .u53(index);
  }
  return out.finish();
}

export function decodeJournal(bytes: Uint8Array): JournalValue {
  const input = new ByteReader(bytes);
  const version = input.u8();
  invariant(version === JOURNAL_VERSION, 'journal.version-known', { version });
  const firstIndex = input.u53();
  const lastIndex = input.u53();
  const timeMs = input.u53();
  const changes = Array.from({ length: input.u32() }, () => readChange(input));
  const memberships = Array.from({ length: input.u32() }, () => ({
    conversation: input.raw(16),
    user: input.raw(16),
    joined: input.u8() === 1,
    sequence: input.u53(),
    index: input.u53(),
  }));
  return { firstIndex, lastIndex, timeMs, changes, memberships };
}

function readChange(input: ByteReader): JournalChange {
  const change = {
    conversation: input.raw(16),
    index: input.u53(),
    timeMs: input.u53(),
    head: input.u53(),
    ordinal: input.u53(),
    firstSequence: input.u53(),
    rows: input.u32(),
    kinds: input.u32(),
  };
  const registers = Array.from({ length: input.u16() }, () => ({
    user: input.raw(16),
    index: input.u53(),
  }));
  return { ...change, registers };
}

function isSame(a: Uint8Array, b: Uint8Array): boolean {
  for (let i = 15; i >= 0; i--) if (a[i] !== b[i]) return false;
  return true;
}
