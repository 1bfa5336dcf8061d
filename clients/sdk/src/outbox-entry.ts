/** What waits in the outbox: plain data, kept in the own database as it is. */
import type { Content, Key, SendState } from './client-interface.ts';
import type { Body, Commit, ConversationId, Cursor, Sequence } from './contract.ts';
import type { Reason } from './reasons.ts';
import type { OwnTable, StorePut } from './stores/store-port.ts';

/** A message by its place, or (own ones still under way) by its key. */
export type RowRef = { readonly sequence: Sequence } | { readonly key: Key };

export type Action =
  | { readonly is: 'message'; readonly content: Content; readonly replyTo?: RowRef }
  | { readonly is: 'edit'; readonly target: RowRef; readonly content: Content }
  | { readonly is: 'delete'; readonly target: RowRef }
  | {
      readonly is: 'reaction';
      readonly target: RowRef;
      readonly emoji: string;
      readonly op: 'add' | 'remove';
    };

/** Taken and stored at first transmission, then the same until the outcome is known (S5). */
export interface SendNumber {
  readonly outboxId: string;
  readonly clientSeq: number;
  /** The send it was pipelined behind; 0 = the first. */
  readonly after: number;
}

export interface OutboxEntry {
  /** Order of writing on this device; also the store's key. */
  readonly ordinal: number;
  readonly key: Key;
  readonly conversationId: ConversationId;
  /** `direct:usr_…` or the conversation's id. */
  readonly to: string;
  readonly action: Action;
  /** Not before this own message was accepted. */
  readonly after?: Key;
  /** The newest row that was known when it was written: its own stands above. None = any may be. */
  readonly above?: Cursor;
  /** Local clock at writing or at the last retry; 24 h later it is FAILED. */
  readonly queuedTimeMs: number;
  readonly number?: SendNumber;
  /** As first transmitted: a number stands for one content for ever. */
  readonly body?: Body;
  readonly failed?: { readonly reason: Reason; readonly retryable: boolean };
}

/** Numbering of one conversation's sends; kept in the own database. */
export interface Lane {
  readonly conversationId: ConversationId;
  readonly outboxId: string;
  /** The next clientSeq to take. */
  readonly next: number;
  /** Highest clientSeq known to be accepted; 0 = none. */
  readonly lastAccepted: number;
}

export type OutboxStep = 'saving' | 'queued' | 'numbering' | 'in-flight';

export function stateOf(entry: OutboxEntry, step: OutboxStep): SendState {
  if (entry.failed !== undefined) return { is: 'FAILED', ...entry.failed };
  return { is: 'SENDING', step: step === 'numbering' ? 'queued' : step };
}

/** Keys of own messages that must be accepted first. */
export function waitsFor(entry: OutboxEntry): readonly Key[] {
  const keys: Key[] = entry.after === undefined ? [] : [entry.after];
  const ref = entry.action.is === 'message' ? entry.action.replyTo : entry.action.target;
  if (ref !== undefined && 'key' in ref) keys.push(ref.key);
  return keys;
}

/** The entry with references to `key` replaced by its sequence. */
export function resolved(entry: OutboxEntry, key: Key, sequence: Sequence): OutboxEntry {
  const { after, ...rest } = entry;
  const kept: OutboxEntry = after === undefined || after === key ? rest : entry;
  const place = (ref: RowRef): RowRef => ('key' in ref && ref.key === key ? { sequence } : ref);
  const action = kept.action;
  if (action.is !== 'message')
    return { ...kept, action: { ...action, target: place(action.target) } };
  if (action.replyTo === undefined) return kept;
  return { ...kept, action: { ...action, replyTo: place(action.replyTo) } };
}

/** Without what its first transmission gave it: it goes as a new one. */
export function unnumbered(entry: OutboxEntry): OutboxEntry {
  const { number: _number, body: _body, ...rest } = entry;
  return rest;
}

/** Where an accepted send stands. */
export interface Place {
  readonly sequence: Sequence;
  readonly timeMs: number;
  readonly queued: number;
}

export function placeOf(commit: Commit, { nowMs }: { readonly nowMs: number }): Place {
  return {
    sequence: commit.sequence,
    timeMs: commit.timeMs ?? nowMs,
    queued: commit.queued ?? 0,
  };
}

export function kept(entry: OutboxEntry): StorePut<OwnTable> {
  return { table: 'outbox', key: [entry.ordinal], value: entry };
}

export function removal(entry: OutboxEntry): StorePut<OwnTable> {
  return { table: 'outbox', key: [entry.ordinal] };
}

/** What goes over the wire. Call only when nothing is waited for. */
export function bodyOf(action: Action): Body {
  if (action.is === 'message') {
    const replyTo = action.replyTo === undefined ? undefined : sequenceOf(action.replyTo);
    return { message: replyTo === undefined ? action.content : { ...action.content, replyTo } };
  }
  const target = { sequence: sequenceOf(action.target) };
  if (action.is === 'edit') return { edit: { target, message: action.content } };
  if (action.is === 'delete') return { delete: { target } };
  return { reaction: { target, emoji: action.emoji, op: action.op } };
}

function sequenceOf(ref: RowRef): Sequence {
  return 'sequence' in ref ? ref.sequence : 0;
}
