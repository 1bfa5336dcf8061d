/** What the outbox machine is told and what it has its driver do. */
import type { Key, SendState } from './client-interface.ts';
import type { Commit, ConversationId, Sequence, WireError } from './contract.ts';
import type { Lane, OutboxEntry, Place } from './outbox-entry.ts';
import type { Reason } from './reasons.ts';
import type { OwnTable, StorePut } from './stores/store-port.ts';

export type OutboxEvent =
  | {
      readonly is: 'loaded';
      readonly outboxId: string;
      /** Made just now, so that none of its numbers is used. */
      readonly isNew: boolean;
      readonly entries: readonly OutboxEntry[];
      readonly lanes: readonly Lane[];
    }
  | { readonly is: 'added'; readonly entry: OutboxEntry }
  /** The entry is durable. */
  | { readonly is: 'saved'; readonly key: Key }
  /** The numbers are durable. */
  | { readonly is: 'numbered'; readonly keys: readonly Key[] }
  | { readonly is: 'live'; readonly isLive: boolean }
  | { readonly is: 'held'; readonly conversationId: ConversationId; readonly isHeld: boolean }
  | { readonly is: 'committed'; readonly key: Key; readonly commit: Commit }
  | { readonly is: 'refused'; readonly key: Key; readonly error: WireError }
  /** Its row was seen: in a push, a page or a sync. */
  | {
      readonly is: 'appeared';
      readonly key: Key;
      readonly sequence: Sequence;
      readonly timeMs: number;
      readonly outboxId?: string;
      readonly clientSeq?: number;
    }
  /** What an accepted send says is in the cache: its entry is needed no more. */
  | { readonly is: 'cached'; readonly entry: OutboxEntry }
  | { readonly is: 'retry'; readonly key: Key }
  | { readonly is: 'cancel'; readonly key: Key }
  /** These were compared by key with all that stands above what was known when they were written. */
  | {
      readonly is: 'recovered';
      readonly conversationId: ConversationId;
      readonly keys: readonly Key[];
      readonly freshOutboxId: string;
    }
  /** Some of that may not be read: NOT_A_MEMBER of those who left, else COMMIT_UNKNOWN. */
  | {
      readonly is: 'hidden';
      readonly conversationId: ConversationId;
      readonly keys: readonly Key[];
      readonly reason: 'NOT_A_MEMBER' | 'COMMIT_UNKNOWN';
      readonly freshOutboxId: string;
    }
  /** It could not be compared now; the server may have asked to wait. */
  | {
      readonly is: 'unrecovered';
      readonly conversationId: ConversationId;
      readonly retryAfterMs: number;
    }
  /** The list of conversations is as the server has it. */
  | { readonly is: 'listed' }
  | { readonly is: 'tick' };

export interface SettledSend extends Place {
  readonly entry: OutboxEntry;
}

export type OutboxEffect =
  /** One transaction; then `numbered` with these keys. */
  | {
      readonly is: 'store';
      readonly puts: readonly StorePut<OwnTable>[];
      readonly numbered: readonly Key[];
    }
  | { readonly is: 'transmit'; readonly entries: readonly OutboxEntry[] }
  | { readonly is: 'state'; readonly entry: OutboxEntry; readonly state: SendState }
  /** Store the message in the cache, then say `cached`: a crash between repeats a replay. */
  | { readonly is: 'settled'; readonly settled: SettledSend }
  | { readonly is: 'failed'; readonly entry: OutboxEntry; readonly reason: Reason }
  | { readonly is: 'cancelled'; readonly entry: OutboxEntry }
  /** Sync the conversation, report which of these are there already, then how that ended. */
  | {
      readonly is: 'recover';
      readonly conversationId: ConversationId;
      readonly keys: readonly Key[];
    };

/** What the machine is told about the moment of an event. */
export interface Moment {
  readonly nowMs: number;
  readonly monotonicMs: number;
  /** 0 <= x < 1, for backoff. */
  readonly chance: number;
}
