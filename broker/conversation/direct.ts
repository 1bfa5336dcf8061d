/**
 * Directs: conversations of two users (or one, with oneself), derived from their ids. The first
 * message makes one, so racing first messages meet; a block may come before any message, and then
 * the conversation still does not exist to anybody.
 */
import { compareBytes, sameBytes } from '../../core/bytes.ts';
import type { SetBlockCommand } from '../../core/command.ts';
import { ROLE } from '../../core/facts.ts';
import { directConversationRaw } from '../../core/ids.ts';
import { invariant } from '../../core/invariant.ts';
import { refusal, refused, registered, type Applying } from './applying.ts';
import type { Applied, MembershipChange } from './contract.ts';
import { HEADER_FLAG, HEADER_KIND } from './header.ts';

/** Opens both memberships, before the first row: in a direct all marks start at 0. */
export function makeDirect(
  applying: Applying,
  caller: Uint8Array,
  peer: Uint8Array,
): MembershipChange[] {
  const { live, nowMs } = applying;
  if (!live.isKnown) layOut(applying, caller, peer);
  live.header.createTimeMs = nowMs;
  live.header.creator = caller;
  const members: MembershipChange[] = [];
  for (let slot = 0; slot < live.header.slotCount; slot++) {
    live.join(slot, {
      sequence: 0,
      timeMs: nowMs,
      role: ROLE.member,
      inviterSlot: -1,
      historyFrom: 1,
    });
    members.push({ user: live.member.user.slice(), joined: true, sequence: 1 });
  }
  return members;
}

/** A block is a register without a row: nobody sees it, but sends are refused both ways. */
export function applyBlock(applying: Applying, command: SetBlockCommand): Applied {
  const { live } = applying;
  const { caller, peer, blocked } = command;
  if (sameBytes(caller, peer))
    return refused(applying, refusal('BAD_FIELD', 'nobody blocks himself', { field: 'peer' }));
  if (!sameBytes(directConversationRaw(caller, peer), applying.conversation))
    return refused(applying, refusal('BAD_ID', 'that is not the conversation of these two'));
  const { conversation } = applying;
  if (!live.isKnown) {
    const answer = { is: 'commit', sequence: 0, timeMs: applying.nowMs, replayed: false } as const;
    if (!blocked) return { conversation, answer };
    layOut(applying, caller, peer);
  }
  const bit =
    live.slotOf(caller, 0) === 0 ? HEADER_FLAG.blockedBySlot0 : HEADER_FLAG.blockedBySlot1;
  const flags = live.header.flags;
  live.header.flags = blocked ? flags | bit : flags & ~bit;
  live.headerChanged();
  return { conversation, answer: registered(applying) };
}

function layOut(applying: Applying, one: Uint8Array, other: Uint8Array): void {
  const { live, nowMs } = applying;
  live.create(HEADER_KIND.direct, nowMs);
  const [lower, higher] = compareBytes(one, other) <= 0 ? [one, other] : [other, one];
  live.addSlot(lower);
  if (!sameBytes(lower, higher)) live.addSlot(higher);
  invariant(live.header.slotCount <= 2, 'direct.two-at-most');
}
