/** One's own registers in a conversation: read whole, the last write wins, nobody else hears of them. */
import type { SetMyStateCommand } from '../../core/command.ts';
import { refused, registered, type Applying } from './applying.ts';
import type { Applied } from './contract.ts';
import { forbidsAsStranger } from './group.ts';
import { MEMBER_FLAG, type MemberCursor } from './member.ts';
import { U48_MAX } from './packed.ts';

export function applyMyState(applying: Applying, command: SetMyStateCommand): Applied {
  const { live, conversation, index } = applying;
  const stranger = forbidsAsStranger(applying, command.caller);
  if (stranger !== undefined) return refused(applying, stranger);
  const { member, header } = live;
  setFlags(member, command);
  if (command.notify !== undefined) member.notify = command.notify & 255;
  if (command.muteUntilMs !== undefined)
    member.muteUntilMs = Math.min(command.muteUntilMs, U48_MAX);
  if (command.clearedThrough !== undefined)
    member.clearedThrough = Math.max(
      member.clearedThrough,
      Math.min(command.clearedThrough, header.head),
    );
  member.ownChangeIndex = index;
  live.memberChanged(member.slot);
  return {
    conversation,
    answer: registered(applying),
    registers: [{ user: member.user.slice(), what: 'settings' }],
  };
}

function setFlags(member: MemberCursor, command: SetMyStateCommand): void {
  const { archived, pinned, markedUnread } = command;
  if (archived !== undefined) member.setFlag(MEMBER_FLAG.archived, archived);
  if (pinned !== undefined) member.setFlag(MEMBER_FLAG.pinned, pinned);
  if (markedUnread !== undefined) member.setFlag(MEMBER_FLAG.markedUnread, markedUnread);
}
