/**
 * Conversations that exist on this device only, so far: a direct until its first append, a group
 * until Create answered. Their ids are derived, so what is written in them now is in the right place.
 */
import type { ConversationId, UserId } from './contract.ts';
import { ConversationLog } from './conversation-log.ts';
import type { HostPort } from './host.ts';
import { groupConversationId, newUuid } from './ids.ts';
import type { LocalGroup } from './info.ts';

export function localDirect(id: ConversationId, peer: UserId): ConversationLog {
  return ConversationLog.local({
    conversationId: id,
    kind: 'direct',
    peerUserId: peer,
    me: { role: 'member' },
  });
}

export function newLocalGroup(
  host: HostPort,
  me: UserId,
  group: { readonly name: string; readonly members: readonly UserId[] },
): LocalGroup {
  const requestId = newUuid((count) => host.randomBytes(count));
  return {
    conversationId: groupConversationId(me, requestId),
    requestId,
    name: group.name,
    members: group.members.filter((user) => user !== me),
    createTimeMs: host.nowMs(),
  };
}

export function logOfLocalGroup(group: LocalGroup, me: UserId): ConversationLog {
  return ConversationLog.local({
    conversationId: group.conversationId,
    kind: 'group',
    name: group.name,
    creatorUserId: me,
    memberCount: group.members.length + 1,
    me: { role: 'owner' },
  });
}
