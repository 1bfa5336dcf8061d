/**
 * Applying a send. The order of the questions is the contract's (DESIGN §3): what was answered
 * before is answered alike, even if it is forbidden since; then order; then what is allowed; then a
 * gateway's veto; only then a row.
 */
import { SEND_AT, SEND_FLAG, type SendView } from '../../core/command.ts';
import { isReason } from '../../core/errors.ts';
import { ROLE } from '../../core/facts.ts';
import { directConversationRaw } from '../../core/ids.ts';
import { sameBytes, text } from '../../core/bytes.ts';
import { invariant } from '../../core/invariant.ts';
import { BODY_KIND } from '../../core/row.ts';
import {
  committed,
  refusal,
  refused,
  unknownConversation,
  type Applying,
  type Refusal,
} from './applying.ts';
import type { Applied, MembershipChange } from './contract.ts';
import { applyDelete, applyEdit } from './control-rows.ts';
import { makeDirect } from './direct.ts';
import { SETTINGS_BIT } from './header.ts';
import { accept, appendSent, keyQuestion, type Sending } from './sent-row.ts';
import { askKeys, askWindow, type Earlier } from './send-window.ts';

export function applySend(applying: Applying, send: SendView): Applied {
  const { live, nowMs } = applying;
  const sending: Sending = {
    send,
    hasOutbox: send.has(SEND_FLAG.outbox),
    question: {
      command: send.bytes,
      outboxAt: SEND_AT.outbox,
      hashAt: SEND_AT.payloadHash,
      clientSeq: send.clientSeq,
      after: send.after,
      nowMs,
    },
  };
  if (!live.isCreated) return applyFirst(applying, sending);
  if (!live.aimAt(send.bytes, SEND_AT.caller)) return refused(applying, unknownConversation());
  live.openSender(live.member.slot);
  const earlier = askEarlier(applying, sending);
  if (earlier !== undefined) return answerEarlier(applying, earlier);
  const forbidden = authorise(applying, send) ?? vetoOf(send);
  if (forbidden !== undefined) return refused(applying, forbidden);
  switch (send.bodyKind) {
    case BODY_KIND.message:
      return applyMessage(applying, sending, undefined);
    case BODY_KIND.edit:
      return applyEdit(applying, sending);
    case BODY_KIND.delete:
      return applyDelete(applying, sending);
    default:
      return refused(applying, notYet());
  }
}

/** The first append to a direct that nobody wrote in yet makes it, if it names the other user. */
function applyFirst(applying: Applying, sending: Sending): Applied {
  const { live } = applying;
  const { send, question } = sending;
  const isDirect =
    send.has(SEND_FLAG.direct) &&
    sameBytes(directConversationRaw(send.caller, send.peer), applying.conversation);
  if (!isDirect) return refused(applying, unknownConversation());
  if (sending.hasOutbox && (question.after !== 0 || question.clientSeq === 0))
    return refused(applying, outOfOrder(0));
  if (live.isKnown && live.header.isBlocked) return refused(applying, blocked());
  const veto = vetoOf(send);
  if (veto !== undefined) return refused(applying, veto);
  if (send.bodyKind === BODY_KIND.edit || send.bodyKind === BODY_KIND.delete)
    return refused(applying, refusal('MESSAGE_UNKNOWN', 'there is no such message'));
  if (send.bodyKind !== BODY_KIND.message) return refused(applying, notYet());
  const members = makeDirect(applying, send.caller, send.peer);
  live.aimAt(send.bytes, SEND_AT.caller);
  return applyMessage(applying, sending, members);
}

function applyMessage(
  applying: Applying,
  sending: Sending,
  members: readonly MembershipChange[] | undefined,
): Applied {
  const { live, nowMs } = applying;
  const { row, sequence, countable } = appendSent(applying, sending, 0);
  accept(applying, sending, { sequence, timeMs: nowMs });
  const sender = live.sender;
  sender.lastMessageTimeMs = nowMs;
  if (countable) {
    sender.own += 1;
    sender.lastOwnSequence = sequence;
    if (sending.send.has(SEND_FLAG.mentionAll)) sender.ownMentionAll += 1;
    else if (sending.send.mentionCount > 0) noteMentions(applying, sending.send, sequence);
  }
  const answer = committed(applying, sequence);
  const { conversation } = applying;
  return members === undefined
    ? { conversation, answer, row }
    : { conversation, answer, row, members };
}

/** Mentions count for present members other than the sender, once a row. */
function noteMentions(applying: Applying, send: SendView, sequence: number): void {
  const { live } = applying;
  const sender = live.member.slot;
  const { mentions } = send;
  const noted = new Set<number>([sender]);
  for (let at = 0; at < mentions.length; at += 16) {
    const slot = live.slotOf(mentions, at);
    if (slot < 0 || noted.has(slot)) continue;
    noted.add(slot);
    live.aimMember(slot);
    if (live.member.isPresent) live.mentions.add(slot, sequence);
  }
  live.aimMember(sender);
}

function askEarlier(applying: Applying, sending: Sending): Earlier | undefined {
  const { sender } = applying.live;
  const { question } = sending;
  if (sender.ref !== 0)
    return sending.hasOutbox
      ? askWindow(sender, question)
      : askKeys(sender, keyQuestion(sending), question.nowMs);
  if (!sending.hasOutbox || (question.after === 0 && question.clientSeq > 0)) return undefined;
  return { is: 'out-of-order', lastAccepted: 0 };
}

function answerEarlier(applying: Applying, earlier: Earlier): Applied {
  switch (earlier.is) {
    case 'hit': {
      const { sequence, timeMs } = earlier;
      invariant(sequence <= applying.live.header.head, 'window.answers-what-exists', { sequence });
      const { conversation } = applying;
      return { conversation, answer: { is: 'commit', sequence, timeMs, replayed: true } };
    }
    case 'conflict':
      return refused(
        applying,
        refusal('IDEMPOTENCY_CONFLICT', 'this number was used for other content'),
      );
    case 'too-old':
      return refused(
        applying,
        refusal('TOO_OLD', 'this number is below what the send window remembers'),
      );
    case 'out-of-order':
      return refused(applying, outOfOrder(earlier.lastAccepted));
  }
}

/** Whether the member aimed at may send this; undefined = yes. */
function authorise(applying: Applying, send: SendView): Refusal | undefined {
  const { header, member } = applying.live;
  if (!member.isPresent) return refusal('NOT_A_MEMBER', 'you are no longer a member');
  // What was sent may be withdrawn whatever happened since.
  if (send.bodyKind === BODY_KIND.delete) return undefined;
  if (header.isClosed) return refusal('CONVERSATION_CLOSED', 'the conversation is closed');
  if (header.isBlocked) return blocked();
  const leads = member.role === ROLE.owner || member.role === ROLE.admin;
  if (leads) return undefined;
  if ((header.settings & SETTINGS_BIT.sendAdminsOnly) !== 0)
    return refusal('ROLE_REQUIRED', 'only owners and admins may send here');
  return send.bodyKind === BODY_KIND.message ? slowModeOf(applying) : undefined;
}

function slowModeOf(applying: Applying): Refusal | undefined {
  const { header, sender } = applying.live;
  if (header.slowModeMs === 0 || sender.ref === 0 || sender.lastMessageTimeMs === 0)
    return undefined;
  const retryAfterMs = sender.lastMessageTimeMs + header.slowModeMs - applying.nowMs;
  if (retryAfterMs <= 0) return undefined;
  return refusal('SLOW_MODE', 'slow mode: wait before the next message', { retryAfterMs });
}

function vetoOf(send: SendView): Refusal | undefined {
  if (!send.has(SEND_FLAG.veto)) return undefined;
  const reason = text(send.body);
  invariant(isReason(reason), 'send.veto-reason-known', { length: reason.length });
  return refusal(reason, 'refused by what lies outside the conversation');
}

function outOfOrder(lastAccepted: number): Refusal {
  return refusal('OUT_OF_ORDER', 'send what comes before it first', { lastAccepted });
}

function blocked(): Refusal {
  return refusal('BLOCKED', 'one of you blocks the other');
}

function notYet(): Refusal {
  return refusal('FEATURE_DISABLED', 'this kind of content is not switched on');
}
