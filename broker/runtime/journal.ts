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
import { ByteReader, type ByteWriter } from '../../core/bytes.ts';
import { invariant } from '../../core/invariant.ts';

export const JOURNAL_VERSION = 1;

export interface JournalRegister {
  readonly user: Uint8Array;
  readonly index: number;
}

export interface JournalChange {
  readonly conversation: Uint8Array;
  readonly index: number;
  readonly timeMs: number;
  readonly head: number;
  readonly ordinal: number;
  readonly firstSequence: number;
  readonly rows: number;
  readonly kinds: number;
  readonly registers: readonly JournalRegister[];
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

/** Sizes on disk, to make room at once. */
export const CHANGE_BYTES = 66;
export const REGISTER_BYTES = 24;
export const MEMBERSHIP_BYTES = 49;

/** What stands before the conversations. */
export function encodeSpan(
  out: ByteWriter,
  span: Pick<JournalValue, 'firstIndex' | 'lastIndex' | 'timeMs'>,
): void {
  out.u8(JOURNAL_VERSION).u53(span.firstIndex).u53(span.lastIndex).u53(span.timeMs);
}

/** What stands behind them. */
export function encodeMemberships(
  out: ByteWriter,
  memberships: readonly JournalMembership[],
): void {
  out.u32(memberships.length);
  for (const { conversation, user, joined, sequence, index } of memberships) {
    out.raw(conversation).raw(user);
    out
      .u8(joined ? 1 : 0)
      .u53(sequence)
      .u53(index);
  }
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
