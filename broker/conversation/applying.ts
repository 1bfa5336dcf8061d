/** What applying one command works with, and the forms of its answers. */
import type { Reason } from '../../core/errors.ts';
import { NO_ID } from '../../core/command.ts';
import { encodeFacts, type Facts } from '../../core/facts.ts';
import { invariant } from '../../core/invariant.ts';
import { payloadHash } from '../../core/payload-hash.ts';
import { encodeRow, ROW_FLAG } from '../../core/row.ts';
import { SEQUENCE_MAX } from '../../core/ids.ts';
import type { Answer, Applied } from './contract.ts';
import type { LiveConversation } from './live-conversation.ts';
import type { RowSpace } from './row-space.ts';
import type { ShardSettings } from './shard-settings.ts';
import type { Targets } from './targets.ts';

export interface Applying {
  readonly live: LiveConversation;
  readonly targets: Targets;
  readonly rowSpace: RowSpace;
  readonly settings: ShardSettings;
  /** Of the entry. */
  readonly index: number;
  /** Log time: the stamp, but never before the conversation's last. */
  readonly nowMs: number;
  /** A copy. */
  readonly conversation: Uint8Array;
}

export type Refusal = Extract<Answer, { readonly is: 'refused' }>;

export function refusal(
  reason: Reason,
  message: string,
  details: Readonly<Record<string, string | number>> = {},
): Refusal {
  return { is: 'refused', reason, message, details };
}

export function refused(applying: Applying, answer: Refusal): Applied {
  return { conversation: applying.conversation, answer };
}

/** The answer to who must not learn whether the conversation exists (CONTRACT §7). */
export function unknownConversation(): Refusal {
  return refusal('CONVERSATION_UNKNOWN', 'there is no such conversation for you');
}

/** Success without a row: it already is as asked. */
export function unchanged(applying: Applying): Applied {
  const { header } = applying.live;
  return {
    conversation: applying.conversation,
    answer: { is: 'commit', sequence: header.head, timeMs: header.lastTimeMs, replayed: true },
  };
}

/** Success of a command that changes registers and appends no row. */
export function registered(applying: Applying): Answer {
  const { live, nowMs } = applying;
  return { is: 'commit', sequence: live.header.head, timeMs: nowMs, replayed: false };
}

/**
 * Numbers the next row. Here and nowhere else: rows are dense, stamps never fall, and a countable
 * row raises the ordinal, so that counts are differences.
 */
export function advance(applying: Applying, countable: boolean, mentionAll: boolean): number {
  const { live, nowMs, index } = applying;
  const header = live.header;
  const sequence = header.head + 1;
  invariant(sequence <= SEQUENCE_MAX, 'conversation.sequence-within', () => ({ sequence }));
  invariant(nowMs >= header.lastTimeMs, 'conversation.time-never-falls', () => ({ sequence }));
  live.noteBucket(sequence, nowMs);
  header.head = sequence;
  header.lastTimeMs = nowMs;
  header.lastIndex = index;
  if (countable) {
    header.ordinal += 1;
    header.lastMessageSequence = sequence;
    if (mentionAll) header.mentionAllOrdinal += 1;
  }
  live.headerChanged();
  return sequence;
}

/** Appends a row that the broker makes itself. */
export function appendFacts(
  applying: Applying,
  by: Uint8Array,
  facts: Facts,
): { readonly row: Uint8Array; readonly sequence: number } {
  const sequence = advance(applying, false, false);
  const { bodyKind, body } = encodeFacts(facts);
  const { header } = applying.live;
  const row = encodeRow({
    bodyKind,
    flags: ROW_FLAG.server,
    sequence,
    timeMs: applying.nowMs,
    ordinal: header.ordinal,
    mentionAllOrdinal: header.mentionAllOrdinal,
    clientSeq: 0,
    target: 0,
    sender: by,
    device: NO_ID,
    outbox: NO_ID,
    clientMessageId: NO_ID,
    payloadHash: payloadHash(applying.settings.hashKey, NO_ID, body),
    mentions: new Uint8Array(0),
    body,
  });
  applying.targets.retain(applying.live.resident, sequence, row);
  return { row, sequence };
}

export function committed(applying: Applying, sequence: number): Answer {
  return { is: 'commit', sequence, timeMs: applying.nowMs, replayed: false };
}
