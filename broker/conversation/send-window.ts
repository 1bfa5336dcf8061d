/**
 * Send windows (DESIGN §3, Dedup and order; CONTRACT §3 G3, G5). Per outbox the last accepted number
 * and the newest 32 of what was accepted, so that a repeat answers what it answered at first and
 * each number is used at most once; for callers without an outbox a ring of the newest 64 ids.
 *
 * Hashes are kept to 8 bytes: they are keyed, so equal ones by chance are one in 2^64, and finding
 * such a pair would fool only who sent it.
 */
import { readU53, writeU53 } from '../../core/bytes.ts';
import { invariant } from '../../core/invariant.ts';
import type { LiveConversation } from './live-conversation.ts';
import { readU48, sameIdAt, writeU48 } from './packed.ts';
import {
  KEY_ENTRY_BYTES,
  SENDER_FIXED_BYTES,
  WINDOW_ENTRY_BYTES,
  WINDOW_FIXED_BYTES,
  type SenderCursor,
} from './sender-record.ts';

export const WINDOW_ENTRIES_MAX = 32;
export const OUTBOXES_MAX = 64;
export const KEYS_MAX = 64;
/** Of log time: a window that was idle for longer is as if it had never been. */
export const WINDOW_IDLE_MS: number = 90 * 24 * 3_600_000;
export const KEY_LIFE_MS: number = 24 * 3_600_000;
const CAPACITY_AT_FIRST = 4;
const HASH_BYTES = 8;

/** A number that was used before, or may not be used now. */
export type Earlier =
  | { readonly is: 'hit'; readonly sequence: number; readonly timeMs: number }
  | { readonly is: 'conflict' }
  | { readonly is: 'too-old' }
  | { readonly is: 'out-of-order'; readonly lastAccepted: number };

/** Where in the encoded command the parts lie that windows compare (see command.ts). */
export interface WindowQuestion {
  readonly command: Uint8Array;
  readonly outboxAt: number;
  readonly hashAt: number;
  readonly clientSeq: number;
  readonly after: number;
  readonly nowMs: number;
}

/** What an outbox's window says to a number; undefined = new and in order. */
export function askWindow(sender: SenderCursor, question: WindowQuestion): Earlier | undefined {
  const { clientSeq, after } = question;
  const window = liveWindow(sender, question);
  if (window < 0) {
    return after === 0 && clientSeq > 0 ? undefined : { is: 'out-of-order', lastAccepted: 0 };
  }
  const lastAccepted = readU53(sender.view, window + 16);
  if (clientSeq <= lastAccepted) return askUsed(sender, window, question);
  return after === lastAccepted ? undefined : { is: 'out-of-order', lastAccepted };
}

/** Remembers an accepted number as the newest of its outbox. */
export function remember(
  live: LiveConversation,
  question: WindowQuestion,
  accepted: { readonly sequence: number; readonly timeMs: number },
): void {
  const sender = live.sender;
  let window = findWindow(sender, question.command, question.outboxAt);
  if (window < 0) window = addWindow(live, question);
  else if (isIdle(sender, window, question.nowMs)) {
    sender.bytes[window + 33] = 0;
    sender.bytes[window + 34] = 0;
  }
  const count = sender.bytes[window + 33] ?? 0;
  if (count === (sender.bytes[window + 32] ?? 0) && count < WINDOW_ENTRIES_MAX)
    window = growWindow(live, window);
  const { view, bytes } = sender;
  const next = bytes[window + 34] ?? 0;
  const capacity = bytes[window + 32] ?? 0;
  invariant(next < capacity, 'window.next-within', { next, capacity });
  const entry = window + WINDOW_FIXED_BYTES + next * WINDOW_ENTRY_BYTES;
  writeU53(view, entry, question.clientSeq);
  copyHash(question.command, question.hashAt, bytes, entry + 8);
  writeU48(view, entry + 16, accepted.sequence);
  writeU48(view, entry + 22, accepted.timeMs);
  writeU53(view, window + 16, question.clientSeq);
  writeU53(view, window + 24, question.nowMs);
  if (count < capacity) bytes[window + 33] = count + 1;
  // A ring only once it has all its 32 places: smaller ones are grown when they are full.
  bytes[window + 34] = next + 1 === WINDOW_ENTRIES_MAX ? 0 : next + 1;
}

/** Sequence that a number of the question's outbox was given, or 0 if the window does not hold it. */
export function sequenceOfNumber(
  sender: SenderCursor,
  question: Pick<WindowQuestion, 'command' | 'outboxAt' | 'nowMs'>,
  clientSeq: number,
): number {
  const window = liveWindow(sender, question);
  if (window < 0) return 0;
  const entry = findEntry(sender, window, clientSeq);
  return entry < 0 ? 0 : readU48(sender.view, entry + 16);
}

/** What the key ring says to a client message id; undefined = new. */
export function askKeys(
  sender: SenderCursor,
  question: { readonly command: Uint8Array; readonly idAt: number; readonly hashAt: number },
  nowMs: number,
): Earlier | undefined {
  const { command, idAt, hashAt } = question;
  let entry = sender.at + sender.keysOffset;
  for (let left = sender.keyCount; left > 0; left--, entry += KEY_ENTRY_BYTES) {
    if (!sameIdAt(sender.bytes, entry, command, idAt)) continue;
    const timeMs = readU48(sender.view, entry + 30);
    if (nowMs - timeMs > KEY_LIFE_MS) continue;
    return sameHash(sender.bytes, entry + 16, command, hashAt)
      ? { is: 'hit', sequence: readU48(sender.view, entry + 24), timeMs }
      : { is: 'conflict' };
  }
  return undefined;
}

export function rememberKey(
  live: LiveConversation,
  question: { readonly command: Uint8Array; readonly idAt: number; readonly hashAt: number },
  accepted: { readonly sequence: number; readonly timeMs: number },
): void {
  const sender = live.sender;
  const count = sender.keyCount;
  if (count === sender.keyCapacity && count < KEYS_MAX) {
    const capacity = count === 0 ? CAPACITY_AT_FIRST : count * 2;
    live.spliceSender(sender.lengthBytes, 0, (capacity - count) * KEY_ENTRY_BYTES);
    sender.keyCapacity = capacity;
  }
  const next = sender.keyNext;
  const entry = sender.at + sender.keysOffset + next * KEY_ENTRY_BYTES;
  const { bytes, view } = sender;
  copyId(question.command, question.idAt, bytes, entry);
  copyHash(question.command, question.hashAt, bytes, entry + 16);
  writeU48(view, entry + 24, accepted.sequence);
  writeU48(view, entry + 30, accepted.timeMs);
  if (count < sender.keyCapacity) sender.keyCount = count + 1;
  sender.keyNext = next + 1 === KEYS_MAX ? 0 : next + 1;
}

function askUsed(sender: SenderCursor, window: number, question: WindowQuestion): Earlier {
  const entry = findEntry(sender, window, question.clientSeq);
  if (entry >= 0)
    return sameHash(sender.bytes, entry + 8, question.command, question.hashAt)
      ? {
          is: 'hit',
          sequence: readU48(sender.view, entry + 16),
          timeMs: readU48(sender.view, entry + 22),
        }
      : { is: 'conflict' };
  const isFull = (sender.bytes[window + 33] ?? 0) === WINDOW_ENTRIES_MAX;
  const oldest =
    window + WINDOW_FIXED_BYTES + (sender.bytes[window + 34] ?? 0) * WINDOW_ENTRY_BYTES;
  return isFull && question.clientSeq < readU53(sender.view, oldest)
    ? { is: 'too-old' }
    : { is: 'out-of-order', lastAccepted: readU53(sender.view, window + 16) };
}

function liveWindow(
  sender: SenderCursor,
  question: Pick<WindowQuestion, 'command' | 'outboxAt' | 'nowMs'>,
): number {
  const window = findWindow(sender, question.command, question.outboxAt);
  return window >= 0 && isIdle(sender, window, question.nowMs) ? -1 : window;
}

/** Place in memory of the outbox's window, or -1. */
function findWindow(sender: SenderCursor, command: Uint8Array, outboxAt: number): number {
  let offset = SENDER_FIXED_BYTES;
  for (let left = sender.windowCount; left > 0; left--) {
    if (sameIdAt(sender.bytes, sender.at + offset, command, outboxAt)) return sender.at + offset;
    offset += sender.windowBytes(offset);
  }
  return -1;
}

function isIdle(sender: SenderCursor, window: number, nowMs: number): boolean {
  return nowMs - readU53(sender.view, window + 24) > WINDOW_IDLE_MS;
}

/** Newest first: what is repeated is nearly always recent. */
function findEntry(sender: SenderCursor, window: number, clientSeq: number): number {
  const count = sender.bytes[window + 33] ?? 0;
  const next = sender.bytes[window + 34] ?? 0;
  for (let i = 1; i <= count; i++) {
    const place = next - i < 0 ? next - i + WINDOW_ENTRIES_MAX : next - i;
    const entry = window + WINDOW_FIXED_BYTES + place * WINDOW_ENTRY_BYTES;
    if (readU53(sender.view, entry) === clientSeq) return entry;
  }
  return -1;
}

/** Windows idle for 90 days go first; if all 64 are in use, the one idle for longest. */
function addWindow(live: LiveConversation, question: WindowQuestion): number {
  const sender = live.sender;
  dropIdle(live, question.nowMs);
  if (sender.windowCount === OUTBOXES_MAX) dropWindow(live, longestIdle(sender));
  const offset = sender.keysOffset;
  live.spliceSender(offset, 0, WINDOW_FIXED_BYTES + CAPACITY_AT_FIRST * WINDOW_ENTRY_BYTES);
  sender.windowCount += 1;
  const window = sender.at + offset;
  copyId(question.command, question.outboxAt, sender.bytes, window);
  sender.bytes[window + 32] = CAPACITY_AT_FIRST;
  return window;
}

function dropIdle(live: LiveConversation, nowMs: number): void {
  const sender = live.sender;
  let offset = SENDER_FIXED_BYTES;
  for (let left = sender.windowCount; left > 0; left--) {
    if (isIdle(sender, sender.at + offset, nowMs)) dropWindow(live, offset);
    else offset += sender.windowBytes(offset);
  }
}

function longestIdle(sender: SenderCursor): number {
  let offset = SENDER_FIXED_BYTES;
  let found = offset;
  let oldestMs = Number.MAX_SAFE_INTEGER;
  for (let left = sender.windowCount; left > 0; left--) {
    const timeMs = readU53(sender.view, sender.at + offset + 24);
    if (timeMs < oldestMs) {
      oldestMs = timeMs;
      found = offset;
    }
    offset += sender.windowBytes(offset);
  }
  return found;
}

function dropWindow(live: LiveConversation, offset: number): void {
  live.spliceSender(offset, live.sender.windowBytes(offset), 0);
  live.sender.windowCount -= 1;
}

function growWindow(live: LiveConversation, window: number): number {
  const sender = live.sender;
  const offset = window - sender.at;
  const capacity = sender.bytes[window + 32] ?? 0;
  live.spliceSender(offset + sender.windowBytes(offset), 0, capacity * WINDOW_ENTRY_BYTES);
  const moved = sender.at + offset;
  sender.bytes[moved + 32] = capacity * 2;
  return moved;
}

function sameHash(a: Uint8Array, aAt: number, b: Uint8Array, bAt: number): boolean {
  for (let i = 0; i < HASH_BYTES; i++) if (a[aAt + i] !== b[bAt + i]) return false;
  return true;
}

function copyHash(from: Uint8Array, fromAt: number, to: Uint8Array, toAt: number): void {
  for (let i = 0; i < HASH_BYTES; i++) to[toAt + i] = from[fromAt + i] ?? 0;
}

function copyId(from: Uint8Array, fromAt: number, to: Uint8Array, toAt: number): void {
  for (let i = 0; i < 16; i++) to[toAt + i] = from[fromAt + i] ?? 0;
}
