/** The truth at the end: every conversation read whole from the store, and what follows from it. */
import { encodeId, encodeUuid } from '../../core/ids.ts';
import { isZero } from '../../core/bytes.ts';
import { BODY_KIND, ROW_FLAG, RowView } from '../../core/row.ts';
import type { StoreReads } from '../../broker/runtime/contract.ts';
import { codecOf } from '../../proto/codec.ts';
import { ContentSchema } from '../../proto/gen/parley/v1/content_pb.ts';
import type { FinalLog, FinalRow } from '../checker/history.ts';
import { contentDigest, list, object, text, texts, type Json } from './wire.ts';

const contents = codecOf(ContentSchema);
const ROWS_MAX = 1_000_000;

export interface TrueRow extends FinalRow {
  readonly isCountable: boolean;
  readonly isMessage: boolean;
  /** Of an edit or a delete: what it was aimed at. */
  readonly target: number;
  readonly body: Json;
}

/** A message as everybody must see it: edits and deletes applied by this model. */
export interface TrueMessage {
  text: string;
  isDeleted: boolean;
  editCount: number;
}

export interface TrueConversation extends FinalLog {
  readonly id: string;
  readonly raw: Uint8Array;
  readonly kind: 'direct' | 'group';
  readonly head: number;
  readonly rows: readonly TrueRow[];
  readonly isHistoryAll: boolean;
  /** User id → where he may read and where he stands. */
  readonly members: ReadonlyMap<string, TrueMember>;
}

export interface TrueMember {
  readonly intervals: { readonly from: number; to: number }[];
  isMember: boolean;
  readThrough: number;
  deliveredThrough: number;
  unread: number;
}

/** undefined = it does not exist. */
export async function readConversation(
  reads: StoreReads,
  raw: Uint8Array,
): Promise<TrueConversation | undefined> {
  const view = await reads.conversation(raw);
  if (view === undefined) return undefined;
  const { kind, head } = view;
  const isHistoryAll = view.settings.historyAll;
  const members = new Map<string, TrueMember>();
  view.eachMember((user) => {
    const me = view.me(user);
    members.set(encodeId('usr', user), {
      intervals: [],
      isMember: true,
      readThrough: me?.readThrough ?? 0,
      deliveredThrough: me?.deliveredThrough ?? 0,
      unread: me?.unreadCount ?? 0,
    });
    return undefined;
  });
  const standing = await reads.rows(raw, {
    from: 1,
    through: head,
    limit: ROWS_MAX,
    newest: false,
  });
  const rows = standing.map(({ row }) => trueRow(new RowView(row)));
  replay(rows, members, kind);
  const id = encodeId('cnv', raw);
  return { conversation: id, id, raw, kind, head, rows, isHistoryAll, members };
}

/** Whether a user was ever allowed to see the row. */
export function mayHaveSeen(log: TrueConversation, userId: string, sequence: number): boolean {
  if (log.kind === 'direct') return log.members.has(userId);
  const intervals = log.members.get(userId)?.intervals ?? [];
  return intervals.some(({ from, to }) => sequence <= to && (log.isHistoryAll || sequence >= from));
}

export function unreadOf(log: TrueConversation, userId: string, readThrough: number): number {
  return log.rows.filter(
    (row) => row.isCountable && row.sequence > readThrough && row.sender !== userId,
  ).length;
}

/** Messages by sequence as they stand. */
export function messagesOf(log: TrueConversation): Map<number, TrueMessage> {
  const messages = new Map<number, TrueMessage>();
  for (const { sequence, body, isMessage, target: aimedAt } of log.rows) {
    const message = object(body['message']);
    if (isMessage)
      messages.set(sequence, {
        text: text(object(message['text'])['body']),
        isDeleted: false,
        editCount: 0,
      });
    const change = object(body['edit']);
    const target = messages.get(aimedAt);
    if (target === undefined || target.isDeleted) continue;
    if ('edit' in body) {
      target.text = text(object(object(change['message'])['text'])['body']);
      target.editCount++;
    } else if ('delete' in body) target.isDeleted = true;
  }
  return messages;
}

function trueRow(row: RowView): TrueRow {
  const isServer = row.has(ROW_FLAG.server);
  const isErased = row.has(ROW_FLAG.redacted) || row.body.length === 0;
  const body = isErased ? {} : object(contents.toJson(contents.decode(row.body)));
  return {
    sequence: row.sequence,
    timeMs: row.timeMs,
    sender: encodeId('usr', row.sender),
    outbox: isZero(row.outbox) ? '' : encodeUuid(row.outbox),
    clientSeq: row.clientSeq,
    clientMessageId: isZero(row.clientMessageId) ? '' : encodeUuid(row.clientMessageId),
    content: contentDigest(body),
    server: isServer,
    isCountable: row.has(ROW_FLAG.countable),
    isMessage: row.bodyKind === BODY_KIND.message,
    target: row.target,
    body,
  };
}

function replay(
  rows: readonly TrueRow[],
  members: Map<string, TrueMember>,
  kind: 'direct' | 'group',
): void {
  if (kind === 'direct') return;
  for (const { sequence, body, sender } of rows) {
    if ('created' in body)
      for (const user of new Set([sender, ...texts(object(body['created'])['userIds'])]))
        memberOf(members, user).intervals.push({ from: sequence, to: Infinity });
    for (const change of list('member' in body ? [body['member']] : [])) {
      const what = text(change['change']);
      for (const user of texts(change['userIds'])) {
        const { intervals } = memberOf(members, user);
        const last = intervals.at(-1);
        if (what === '' || what === 'added' || what === 'joined')
          intervals.push({ from: sequence, to: Infinity });
        else if ((what === 'left' || what === 'removed') && last !== undefined) last.to = sequence;
      }
    }
  }
}

function memberOf(members: Map<string, TrueMember>, user: string): TrueMember {
  let member = members.get(user);
  if (member === undefined) {
    member = { intervals: [], isMember: false, readThrough: 0, deliveredThrough: 0, unread: 0 };
    members.set(user, member);
  }
  return member;
}
