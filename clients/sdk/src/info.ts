/** What a conversation shows of itself: its info and its row in the list. Pure. */
import type {
  ConversationRow,
  Info,
  Key,
  MessageRef,
  SendState,
  Store,
} from './client-interface.ts';
import type {
  ConversationId,
  ConversationSettings,
  Message,
  Sequence,
  UserId,
} from './contract.ts';
import type { ConversationLog } from './conversation-log.ts';
import type { OutboxEntry } from './outbox-entry.ts';
import type { Reason } from './reasons.ts';
import { keyOf, previewOf } from './timeline-rows.ts';
import { NOTHING_UNREAD, unreadCount } from './unread.ts';

/** A group made here, waiting for the server to make it. Kept in the own database. */
export interface LocalGroup {
  readonly conversationId: ConversationId;
  readonly requestId: string;
  readonly name: string;
  readonly members: readonly UserId[];
  readonly createTimeMs: number;
  readonly failed?: Reason;
}

export interface InfoContext {
  readonly me: UserId;
  nameOf(id: UserId): string;
  readonly localGroup: LocalGroup | undefined;
  readonly nowMs: number;
}

const EMPTY_SETTINGS: ConversationSettings = {};

export function infoOf(
  id: ConversationId,
  log: ConversationLog | undefined,
  context: InfoContext,
): Info {
  const resource = log?.resource;
  const kind = resource?.kind ?? 'direct';
  const my = resource?.me;
  const isOnServer = log?.isOnServer === true && context.localGroup === undefined;
  // A direct that nobody wrote to yet lets its two users write.
  const role =
    my === undefined
      ? isOnServer
        ? undefined
        : 'member'
      : my.role || (my.role === '' ? undefined : 'member');
  const unread = unreadCount(log?.unread ?? NOTHING_UNREAD);
  const peer = kind === 'direct' ? resource?.peerUserId : undefined;
  const settings = resource?.settings ?? EMPTY_SETTINGS;
  const isAdmin = role === 'owner' || role === 'admin';
  const failed = context.localGroup?.failed;
  return {
    id,
    kind,
    name: peer === undefined ? (resource?.name ?? '') : context.nameOf(peer),
    ...(peer === undefined ? {} : { peer }),
    memberCount: resource?.memberCount ?? (kind === 'direct' ? 2 : 0),
    settings,
    closed: resource?.closed === true,
    ...(role === undefined ? {} : { role }),
    canSend:
      role !== undefined &&
      resource?.closed !== true &&
      failed === undefined &&
      (settings.send !== 'admins' || isAdmin),
    onServer: isOnServer,
    ...(failed === undefined ? {} : { failed }),
    head: log?.head ?? 0,
    first: log?.first ?? 1,
    readThrough: log?.unread.readThrough ?? 0,
    unread: unread.messages,
    mentions: unread.mentions,
    markedUnread: my?.markedUnread === true,
    notify: my?.notify ?? 'all',
    muteUntilMs: my?.muteUntilMs ?? 0,
    archived: my?.archived === true,
    pinned: my?.pinned === true,
  };
}

export function listRowOf(
  info: Info,
  last: Message | undefined,
  context: InfoContext & {
    readonly pending: readonly { readonly entry: OutboxEntry; readonly ref: MessageRef }[];
    readonly draft: string;
    readonly typing: readonly UserId[];
    tickOf(key: Key, sequence: Sequence): Store<SendState>;
  },
): ConversationRow {
  const newest = context.pending.at(-1);
  const preview = newest === undefined ? committed(last, context) : pending(newest, context.me);
  const isMuted =
    info.notify !== 'all' && (info.muteUntilMs === 0 || info.muteUntilMs > context.nowMs);
  return {
    id: info.id,
    kind: info.kind,
    name: info.name,
    ...(info.peer === undefined ? {} : { peer: info.peer }),
    ...(preview === undefined ? {} : { last: preview }),
    timeMs: preview?.timeMs ?? context.localGroup?.createTimeMs ?? 0,
    unread: info.unread,
    mentions: info.mentions,
    markedUnread: info.markedUnread,
    muted: isMuted,
    pinned: info.pinned,
    archived: info.archived,
    ...(context.draft === '' ? {} : { draft: context.draft }),
    waiting: context.pending.length,
    typing: context.typing,
  };
}

type Preview = NonNullable<ConversationRow['last']>;

function pending(
  newest: { readonly entry: OutboxEntry; readonly ref: MessageRef },
  me: UserId,
): Preview {
  const { entry, ref } = newest;
  const content = entry.action.is === 'message' ? entry.action.content : {};
  return {
    key: entry.key,
    sender: me,
    mine: true,
    text: previewOf({ sequence: 0, content: { message: content } }),
    deleted: false,
    timeMs: entry.queuedTimeMs,
    state: ref.state,
  };
}

function committed(
  last: Message | undefined,
  context: { me: UserId; tickOf(key: Key, sequence: Sequence): Store<SendState> },
): Preview | undefined {
  if (last === undefined) return undefined;
  const mine = last.senderUserId === context.me;
  const key = keyOf(last);
  return {
    key,
    sender: last.senderUserId ?? '',
    mine,
    text: previewOf(last),
    deleted: last.deleted === true,
    timeMs: last.timeMs ?? 0,
    ...(mine ? { state: context.tickOf(key, last.sequence) } : {}),
  };
}
