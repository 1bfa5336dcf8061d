/** A send that is being applied, the row it becomes, and the memory that its number leaves. */
import { NO_ID, SEND_AT, SEND_FLAG, type SendView } from '../../core/command.ts';
import { writeU53 } from '../../core/bytes.ts';
import { BODY_KIND, ROW_FIXED_BYTES, ROW_FLAG, ROW_VERSION } from '../../core/row.ts';
import { advance, type Applying } from './applying.ts';
import { sameIdAt } from './packed.ts';
import { remember, rememberKey, type WindowQuestion } from './send-window.ts';

/** A send with what was found out about it once. */
export interface Sending {
  readonly send: SendView;
  readonly question: WindowQuestion;
  readonly hasOutbox: boolean;
}

/** Remembers an accepted number; the sender record must be open. */
export function accept(
  applying: Applying,
  sending: Sending,
  accepted: { readonly sequence: number; readonly timeMs: number },
): void {
  const { live } = applying;
  if (live.sender.ref === 0) live.makeSender(live.member.slot, live.member.user.slice());
  if (sending.hasOutbox) remember(live, sending.question, accepted);
  else if (!sameIdAt(sending.send.bytes, SEND_AT.clientMessageId, NO_ID, 0))
    rememberKey(live, keyQuestion(sending), accepted);
  live.senderChanged();
}

/** Appends the row of a send. `target` is a sequence. */
export function appendSent(
  applying: Applying,
  sending: Sending,
  target: number,
): { readonly row: Uint8Array; readonly sequence: number; readonly countable: boolean } {
  const { live, nowMs } = applying;
  const { send, hasOutbox } = sending;
  const flags = send.flags;
  const silent = (flags & SEND_FLAG.silent) !== 0;
  const countable =
    (flags & SEND_FLAG.countable) !== 0 && !silent && send.bodyKind === BODY_KIND.message;
  const mentionAll = countable && (flags & SEND_FLAG.mentionAll) !== 0;
  const sequence = advance(applying, countable, mentionAll);
  const rest = send.bytes.length - SEND_AT.mentions;
  const length = ROW_FIXED_BYTES + rest;
  applying.rowSpace.take(length);
  const { at, chunk } = applying.rowSpace;
  const { bytes, view } = chunk;
  view.setUint32(at, length, true);
  bytes[at + 4] = ROW_VERSION;
  bytes[at + 5] = send.bodyKind;
  view.setUint16(
    at + 6,
    (countable ? ROW_FLAG.countable : 0) |
      (silent ? ROW_FLAG.silent : 0) |
      (mentionAll ? ROW_FLAG.mentionAll : 0) |
      (hasOutbox ? ROW_FLAG.outbox : 0),
    true,
  );
  writeU53(view, at + 8, sequence);
  writeU53(view, at + 16, nowMs);
  writeU53(view, at + 24, live.header.ordinal);
  writeU53(view, at + 32, live.header.mentionAllOrdinal);
  writeU53(view, at + 40, hasOutbox ? sending.question.clientSeq : 0);
  writeU53(view, at + 48, target);
  bytes.set(send.bytes.subarray(SEND_AT.caller, SEND_AT.caller + 16), at + 56);
  // device, outbox, clientMessageId, payloadHash lie in a send as they lie in a row.
  bytes.set(send.bytes.subarray(SEND_AT.device, SEND_AT.peer), at + 72);
  if (!hasOutbox) bytes.fill(0, at + 88, at + 104);
  view.setUint16(at + 136, send.mentionCount, true);
  bytes.set(send.bytes.subarray(SEND_AT.mentions), at + ROW_FIXED_BYTES);
  const row = bytes.subarray(at, at + length);
  applying.targets.retain(live.resident, sequence, row);
  return { row, sequence, countable };
}

export function keyQuestion(sending: Sending): {
  readonly command: Uint8Array;
  readonly idAt: number;
  readonly hashAt: number;
} {
  return {
    command: sending.send.bytes,
    idAt: SEND_AT.clientMessageId,
    hashAt: SEND_AT.payloadHash,
  };
}
