/** For tests: what a tiny broker keeps, and how it shows it. */
import { hex } from '../../core/bytes.ts';
import { NO_ID } from '../../core/command.ts';
import { ROLES } from '../../core/facts.ts';
import { encodeId, encodeUuid, messageIdRaw } from '../../core/ids.ts';
import { ROW_FLAG, RowView } from '../../core/row.ts';
import { contentBytesOf } from '../row-frames.ts';

export const TINY_EPOCH = 1_700_000_000;
export const TINY_SHARDS = 4;
export const LARGE_MEMBERS = 100;

export interface TinyMember {
  readonly user: Uint8Array;
  role: number;
  joinSequence: number;
  delivered: number;
  read: number;
}

export interface TinyConversation {
  readonly raw: Uint8Array;
  readonly isDirect: boolean;
  readonly creator: Uint8Array;
  name: string;
  isClosed: boolean;
  version: number;
  readonly members: Map<string, TinyMember>;
  readonly left: Set<string>;
  readonly rows: Uint8Array[];
  readonly windows: Map<string, { hash: string; sequence: number; timeMs: number }>;
  readonly lastAccepted: Map<string, number>;
  lastIndex: number;
  lastTimeMs: number;
}

export type Shape = Record<string, unknown>;

/** A page of messages as List gives it. */
export function messagesOf(c: TinyConversation, asked: Shape): Shape[] {
  const n = (name: string): number => Number(asked[name] ?? 0);
  let rows = c.rows.map((bytes) => new RowView(bytes)).filter((row) => row.has(ROW_FLAG.countable));
  if (n('sequence') > 0) rows = rows.filter((row) => row.sequence === n('sequence'));
  if (n('after') > 0) rows = rows.filter((row) => row.sequence > n('after'));
  if (n('before') > 0) rows = rows.filter((row) => row.sequence < n('before'));
  const limit = n('limit') === 0 ? 50 : n('limit');
  return (n('after') > 0 ? rows.slice(0, limit) : rows.slice(-limit)).map((row) =>
    messageShape(row, c.raw),
  );
}

/** A conversation as one of its members sees it. */
export function shownTo(c: TinyConversation, key: string): Shape {
  const me = c.members.get(key);
  const peer = [...c.members].find(([user]) => user !== key)?.[1];
  const last = c.rows.findLast((bytes) => new RowView(bytes).has(ROW_FLAG.countable));
  return {
    conversationId: encodeId('cnv', c.raw),
    kind: c.isDirect ? 'direct' : 'group',
    name: c.name,
    creatorUserId: encodeId('usr', c.creator),
    memberCount: c.members.size,
    closed: c.isClosed,
    epoch: TINY_EPOCH,
    head: c.rows.length,
    messageCount: c.rows.length,
    createTimeMs: 1_800_000_000_000,
    updateTimeMs: c.lastTimeMs,
    etag: String(c.version),
    ...(last === undefined ? {} : { lastMessage: messageShape(new RowView(last), c.raw) }),
    ...(c.isDirect
      ? {
          peerUserId: encodeId('usr', peer?.user ?? me?.user ?? NO_ID),
          peerDeliveredThrough: peer?.delivered ?? 0,
          peerReadThrough: peer?.read ?? 0,
        }
      : {}),
    me: {
      role: ROLES[me?.role ?? 0],
      historyFrom: 1,
      readThrough: me?.read ?? 0,
      deliveredThrough: me?.delivered ?? 0,
      unreadCount: c.rows
        .slice(me?.read ?? 0)
        .filter((bytes) => hex(new RowView(bytes).sender) !== key).length,
    },
  };
}

export function rowShape(bytes: Uint8Array): Shape {
  const row = new RowView(bytes);
  return {
    sequence: row.sequence,
    timeMs: row.timeMs,
    senderUserId: encodeId('usr', row.sender),
    body: contentBytesOf(row),
  };
}

export function messageShape(row: RowView, conversation: Uint8Array): Shape {
  return {
    sequence: row.sequence,
    timeMs: row.timeMs,
    senderUserId: encodeId('usr', row.sender),
    clientMessageId: encodeUuid(row.clientMessageId),
    content: contentBytesOf(row),
    changeSequence: row.sequence,
    messageId: encodeId('msg', messageIdRaw(row.timeMs, row.sequence, conversation)),
  };
}

export function memberShape(member: TinyMember): {
  userId: string;
  role: string;
  joinTimeMs: number;
  joinSequence: number;
} {
  const role = ROLES[member.role] ?? 'member';
  return {
    userId: encodeId('usr', member.user),
    role,
    joinTimeMs: 1_800_000_000_000,
    joinSequence: member.joinSequence,
  };
}

export function idsOf(bytes: Uint8Array): Uint8Array[] {
  return Array.from({ length: bytes.length / 16 }, (_, i) => bytes.slice(i * 16, i * 16 + 16));
}

export function joinIds(raws: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(raws.length * 16);
  for (const [i, raw] of raws.entries()) out.set(raw, i * 16);
  return out;
}
