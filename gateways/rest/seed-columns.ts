/** Resources in the columns that the seed documents name (R152-R160): snake_case, RFC 3339 times. */
import { decodeId, encodeId, messageIdRaw } from '../../core/ids.ts';

/** A resource of the contract as JSON: absent = default. */
export type Json = Readonly<Record<string, unknown>>;

/** How far a message got: read and delivered by all, stored (somebody has no connection), sent. */
export type Status = 'sent' | 'stored' | 'delivered' | 'read';

const PREVIEW_CODE_POINTS = 160;

export function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

export function numberOf(value: unknown): number {
  return typeof value === 'number' ? value : 0;
}

export function objectOf(value: unknown): Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Json)
    : {};
}

export function listOf(value: unknown): readonly Json[] {
  return Array.isArray(value) ? value.map(objectOf) : [];
}

/** '' for times that are not known. */
export function rfc3339(timeMs: unknown): string {
  const ms = numberOf(timeMs);
  return ms === 0 ? '' : new Date(ms).toISOString();
}

/** Every column of R152, R153 and R154, and the sequence. */
export function messageColumns(
  message: Json,
  conversation: Json,
  seen: { readonly status: Status; readonly read: boolean; readonly callerId: string },
): Json {
  const conversationId = textOf(conversation['conversationId']);
  const senderId = textOf(message['senderUserId']);
  const content = messageText(message);
  const [attachment] = attachmentsOf(message);
  const isDirect = conversation['kind'] === 'direct';
  const peer = textOf(conversation['peerUserId']);
  const time = rfc3339(message['timeMs']);
  return {
    message_id: messageIdOf(message, conversationId),
    chat_id: conversationId,
    conversation_id: conversationId,
    sequence: numberOf(message['sequence']),
    sender_id: senderId,
    receiver_id: isDirect ? (senderId === seen.callerId ? peer : seen.callerId) : null,
    content,
    message_body: content,
    message_type: attachment === undefined ? 'text' : 'media',
    media_url: null,
    created_at: time,
    timestamp: time,
    status: seen.status,
    read: seen.read,
  };
}

/** R159 and R160. */
export function conversationColumns(conversation: Json, callerId: string): Json {
  const last = objectOf(conversation['lastMessage']);
  const conversationId = textOf(conversation['conversationId']);
  const hasLast = last['sequence'] !== undefined;
  return {
    user_id: callerId,
    conversation_id: conversationId,
    chat_id: conversationId,
    type: conversation['kind'] === 'direct' ? '1:1' : 'group',
    name: textOf(conversation['name']),
    peer_id: textOf(conversation['peerUserId']) || null,
    unread_count: numberOf(objectOf(conversation['me'])['unreadCount']),
    last_message_id: hasLast ? messageIdOf(last, conversationId) : null,
    last_message_preview: hasLast
      ? Array.from(messageText(last)).slice(0, PREVIEW_CODE_POINTS).join('')
      : null,
    last_message_at: hasLast ? rfc3339(last['timeMs']) : null,
    created_at: rfc3339(conversation['createTimeMs']),
  };
}

/** R156. */
export function groupColumns(conversation: Json): Json {
  return {
    group_id: textOf(conversation['conversationId']),
    group_name: textOf(conversation['name']),
    creator_id: textOf(conversation['creatorUserId']),
    created_at: rfc3339(conversation['createTimeMs']),
    updated_at: rfc3339(conversation['updateTimeMs']),
  };
}

/** R157. */
export function memberColumns(groupId: string, member: Json): Json {
  return {
    group_id: groupId,
    user_id: textOf(member['userId']),
    joined_at: rfc3339(member['joinTimeMs']),
    role: textOf(member['role']) || 'member',
  };
}

export function messageIdOf(message: Json, conversationId: string): string {
  const given = textOf(message['messageId']);
  if (given !== '') return given;
  const raw = decodeId('cnv', conversationId);
  if (raw === undefined) return '';
  return encodeId(
    'msg',
    messageIdRaw(numberOf(message['timeMs']), numberOf(message['sequence']), raw),
  );
}

function messageText(message: Json): string {
  const body = objectOf(objectOf(message['content'])['message']);
  return textOf(objectOf(body['text'])['body']) || textOf(body['fallback']);
}

function attachmentsOf(message: Json): readonly Json[] {
  return listOf(objectOf(objectOf(message['content'])['message'])['attachments']);
}
