/**
 * From what the store holds to the resources of the contract, in protobuf. Bodies are spliced as
 * they were logged; only an edited message is opened, to wrap its new text as a message again.
 */
import { encodeId, encodeUuid, messageIdRaw, type IdPrefix } from '../../core/ids.ts';
import { ROLES } from '../../core/facts.ts';
import { isZero } from '../../core/bytes.ts';
import { BODY_KIND, ROW_FLAG, RowView, type BodyKind } from '../../core/row.ts';
import { codecOf, type Fields } from '../../proto/codec.ts';
import { ContentSchema } from '../../proto/gen/parley/v1/content_pb.ts';
import {
  ConversationSchema,
  MessageSchema,
  type Conversation,
  type Me,
  type Member,
  type Message,
  type Row,
} from '../../proto/gen/parley/v1/types_pb.ts';
import type { ConversationView, MemberView, MyView } from '../conversation/contract.ts';
import { decodeOverlay } from '../conversation/overlay.ts';
import type { StandingRow } from '../runtime/contract.ts';

const contents = codecOf(ContentSchema);
const conversations = codecOf(ConversationSchema);
const messages = codecOf(MessageSchema);
const NOTIFY = ['all', 'mentions', 'none'] as const;

/** Rows that stand in a timeline; all others change earlier ones. */
const STANDING: ReadonlySet<BodyKind> = new Set([
  BODY_KIND.message,
  BODY_KIND.sealed,
  BODY_KIND.created,
  BODY_KIND.member,
  BODY_KIND.update,
]);

export function standsInTimeline(row: RowView): boolean {
  return STANDING.has(row.bodyKind);
}

/** Whether nothing of the row's body may be served any more. */
export function isErased(standing: StandingRow): boolean {
  if (standing.overlay.length > 0 && decodeOverlay(standing.overlay).deleted) return true;
  return new RowView(standing.row).has(ROW_FLAG.redacted);
}

/** A row as it was appended; without a body if that was erased since. */
export function renderRow(standing: StandingRow): Fields<Row> {
  const row = new RowView(standing.row);
  const body = isErased(standing) || row.body.length === 0 ? undefined : bodyAsLogged(row);
  return { ...origin(row), body };
}

/** A control row may have aimed by a number of its sender's outbox: it is shown as a sequence. */
function bodyAsLogged(row: RowView): Uint8Array {
  if (row.target === 0 || standsInTimeline(row)) return row.body;
  const content = contents.decode(row.body);
  const aimed = content.edit ?? content.delete ?? content.reaction ?? content.pin;
  if (aimed?.target === undefined || aimed.target.clientSeq === 0) return row.body;
  aimed.target = { sequence: row.target, clientSeq: 0 };
  return contents.encode(content);
}

/** A message as it stands after edits and deletes. */
export function renderMessage(conversation: Uint8Array, standing: StandingRow): Fields<Message> {
  const row = new RowView(standing.row);
  const messageId = encodeId('msg', messageIdRaw(row.timeMs, row.sequence, conversation));
  const base = { ...origin(row), messageId };
  if (standing.overlay.length === 0) {
    const deleted = row.has(ROW_FLAG.redacted);
    return {
      ...base,
      deleted,
      content: deleted ? undefined : row.body,
      changeSequence: row.sequence,
    };
  }
  const overlay = decodeOverlay(standing.overlay);
  const shared = {
    ...base,
    changeSequence: overlay.changeSequence,
    editCount: overlay.editCount,
    editTimeMs: overlay.editTimeMs,
  };
  if (overlay.deleted) return { ...base, changeSequence: overlay.changeSequence, deleted: true };
  return { ...shared, content: overlay.body.length === 0 ? row.body : editedContent(overlay.body) };
}

/** A message as its own protobuf bytes. */
export function encodeMessage(conversation: Uint8Array, standing: StandingRow): Uint8Array {
  return messages.encode(renderMessage(conversation, standing));
}

/** The conversation as one user sees it. `last` is its newest message, if it is at hand. */
export function renderConversation(
  view: ConversationView,
  user: Uint8Array,
  last?: StandingRow,
): Uint8Array {
  return conversations.encode(conversationShape(view, user, last));
}

export function conversationShape(
  view: ConversationView,
  user: Uint8Array,
  last?: StandingRow,
): Fields<Conversation> {
  const me = view.me(user);
  const peer = view.kind === 'direct' ? view.peer(user) : undefined;
  const peerMarks = peer === undefined ? undefined : view.member(peer);
  return {
    conversationId: encodeId('cnv', view.conversation),
    kind: view.kind,
    name: view.name,
    pictureMediaId: view.pictureMediaId,
    creatorUserId: idOrEmpty('usr', view.creator),
    encryption: 'none',
    memberCount: view.memberCount,
    membersMax: view.kind === 'group' ? view.membersMax : 2,
    settings: {
      history: view.settings.historyAll ? 'all' : 'from_join',
      send: view.settings.sendAdminsOnly ? 'admins' : 'all',
      add: view.settings.addMembersToo ? 'all' : 'admins',
      slowModeMs: view.settings.slowModeMs,
    },
    closed: view.closed,
    epoch: view.epoch,
    head: view.head,
    messageCount: view.messageCount,
    lastMessage: last === undefined ? undefined : renderMessage(view.conversation, last),
    me: me === undefined ? undefined : renderMe(me),
    peerUserId: peer === undefined ? '' : encodeId('usr', peer),
    peerDeliveredThrough: peerMarks?.deliveredThrough ?? 0,
    peerReadThrough: peerMarks?.readThrough ?? 0,
    createTimeMs: view.createTimeMs,
    updateTimeMs: view.lastTimeMs,
    etag: String(view.version),
  };
}

export function renderMember(member: MemberView): Fields<Member> {
  return {
    userId: encodeId('usr', member.user),
    role: ROLES[member.role] ?? 'member',
    joinTimeMs: member.joinTimeMs,
    joinSequence: member.joinSequence,
    invitedBy: idOrEmpty('usr', member.invitedBy),
  };
}

function renderMe(me: MyView): Fields<Me> {
  return {
    role: ROLES[me.role] ?? 'member',
    historyFrom: me.historyFrom,
    readThrough: me.readThrough,
    deliveredThrough: me.deliveredThrough,
    unreadCount: me.unreadCount,
    mentionCount: me.mentionCount,
    notify: NOTIFY[me.notify] ?? 'all',
    muteUntilMs: me.muteUntilMs,
    archived: me.archived,
    pinned: me.pinned,
    markedUnread: me.markedUnread,
    clearedThrough: me.clearedThrough,
  };
}

function origin(row: RowView): Fields<Row> {
  const fromOutbox = row.has(ROW_FLAG.outbox);
  return {
    sequence: row.sequence,
    timeMs: row.timeMs,
    senderUserId: idOrEmpty('usr', row.sender),
    senderDeviceId: idOrEmpty('dev', row.device),
    outboxId: fromOutbox ? encodeUuid(row.outbox) : '',
    clientSeq: fromOutbox ? row.clientSeq : 0,
    clientMessageId: isZero(row.clientMessageId) ? '' : encodeUuid(row.clientMessageId),
  };
}

function idOrEmpty(prefix: IdPrefix, raw: Uint8Array): string {
  return raw.length === 0 || isZero(raw) ? '' : encodeId(prefix, raw);
}

/** An edit's body says `edit{target message}`; what stands is `message`. */
function editedContent(body: Uint8Array): Uint8Array {
  const { edit, message } = contents.decode(body);
  return contents.encode({ message: edit?.message ?? message });
}
