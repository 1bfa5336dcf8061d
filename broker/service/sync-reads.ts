/** Sync.SyncConversation and the store's side of Resume: directory, changes, missing rows. */
import { ByteReader, ByteWriter, sameBytes } from '../../core/bytes.ts';
import { ParleyError } from '../../core/errors.ts';
import { encodeId, SEQUENCE_MAX } from '../../core/ids.ts';
import { RowView } from '../../core/row.ts';
import type { Fields, Plain, Sparse } from '../../proto/codec.ts';
import type {
  CatchUpAnswer,
  CatchUpQuery,
  ChangedAnswer,
  ChangedQuery,
  DirectoryAnswer,
  DirectoryQuery,
  ShardAnswer,
} from '../../proto/gen/parley/broker/v1/link_pb.ts';
import type {
  SyncConversationRequest,
  SyncConversationResponse,
} from '../../proto/gen/parley/client/v1/sync_pb.ts';
import type { Receipt, ReceiptCounts } from '../../proto/gen/parley/v1/types_pb.ts';
import type { ConversationView } from '../conversation/contract.ts';
import type { StandingRow } from '../runtime/contract.ts';
import { openReadable, type Readable } from './access.ts';
import { memberIds, renderMembers } from './conversation-reads.ts';
import {
  cursorSequence,
  PAGE_BYTES_MAX,
  pageSize,
  renderRows,
  standingBefore,
} from './message-reads.ts';
import { decodePageToken, encodePageToken, type Question } from './page-token.ts';
import type { Asked, Read } from './asked.ts';
import { conversationShape, renderMessage, standsInTimeline } from './render.ts';

const CHANGED_PAGE = 256;
const ROW_OVERHEAD_BYTES = 64;

export async function syncConversation(
  asked: Asked,
  request: Plain<SyncConversationRequest>,
): Promise<Read<SyncConversationResponse>> {
  const readable = await openReadable(asked, request.conversationId);
  const epoch = asked.reads.epoch;
  if (readable === undefined) return { response: { cursor: { epoch, sequence: 0 } }, index: 0 };
  const after = cursorSequence(readable, epoch, request.cursor);
  const question = ['changed', asked.caller.user, readable.raw, after] as const;
  const page = changePage(request.pageToken, question, after);
  const found = await asked.reads.changed(readable.raw, {
    above: page.above,
    through: after,
    limit: CHANGED_PAGE,
    bytesMax: PAGE_BYTES_MAX,
  });
  const standing = found.rows.filter(
    (row) => row.sequence >= readable.first && standsInTimeline(new RowView(row.row)),
  );
  const shared = {
    changed: standing.map((row) => renderMessage(readable.raw, row)),
    nextPageToken: found.isWhole ? '' : encodePageToken(question, place(found.through)),
  };
  if (!page.first) return { response: shared, index: readable.index };
  return {
    response: { ...shared, ...(await firstPage(asked, readable, after, request.limit)) },
    index: readable.index,
  };
}

const PLACE_BYTES = 8;

function changePage(
  token: string,
  question: Question,
  after: number,
): { readonly above: number; readonly first: boolean } {
  if (token === '') return { above: after, first: true };
  const above = new ByteReader(decodePageToken(token, question, PLACE_BYTES)).u53();
  return { above: Math.min(above, SEQUENCE_MAX), first: false };
}

function place(lastChange: number): Uint8Array {
  return new ByteWriter(PLACE_BYTES).u53(lastChange).finish();
}

/** All but `changed`: the newest messages, the hole before them, the conversation, receipts. */
async function firstPage(
  asked: Asked,
  at: Readable,
  after: number,
  limit: number,
): Promise<Fields<SyncConversationResponse>> {
  const { reads, caller } = asked;
  const above = { ...at, first: after + 1 };
  const { rows, isCut } = await standingBefore(reads, above, at.head, {
    limit: pageSize(limit),
    bytesMax: PAGE_BYTES_MAX,
  });
  const view = await reads.conversation(at.raw);
  if (view === undefined)
    throw new ParleyError('CONVERSATION_UNKNOWN', 'there is no such conversation that you may see');
  const oldest = rows[0];
  const isShort = rows.length < pageSize(limit) && !isCut;
  const isWhole = isShort || oldest === undefined || oldest.sequence <= after + 1;
  const last = rows.findLast((row) => row.sequence === view.lastMessageSequence);
  return {
    messages: rows.map((row) => renderMessage(at.raw, row)),
    hole: isWhole ? undefined : { after, before: oldest.sequence },
    conversation: conversationShape(view, caller.user, last),
    members: view.kind === 'group' ? renderMembers(view, memberIds(view)) : [],
    receipts: peerReceipts(view, caller.user),
    counts: view.kind === 'group' ? ownCounts(asked, view, rows) : [],
    cursor: { epoch: reads.epoch, sequence: at.head },
  };
}

function peerReceipts(view: ConversationView, user: Uint8Array): Sparse<Receipt>[] {
  const peer = view.kind === 'direct' ? view.peer(user) : undefined;
  const member = peer === undefined ? undefined : view.member(peer);
  if (peer === undefined || member === undefined) return [];
  return [
    {
      userId: encodeId('usr', peer),
      deliveredThrough: member.deliveredThrough,
      readThrough: member.readThrough,
      deliveredTimeMs: member.deliveredTimeMs,
      readTimeMs: member.readTimeMs,
    },
  ];
}

function ownCounts(
  asked: Asked,
  view: ConversationView,
  rows: readonly StandingRow[],
): Sparse<ReceiptCounts>[] {
  const user = asked.caller.user;
  const unreachable = asked.reads.queuedCount(view, user);
  return rows
    .filter((row) => sameBytes(new RowView(row.row).sender, user))
    .map((row) => {
      const counts = view.counts(row.sequence, user);
      return {
        sequence: row.sequence,
        ...counts,
        queued: Math.min(unreachable, counts.of - counts.delivered),
      };
    });
}

export async function directory(
  asked: Asked,
  request: Plain<DirectoryQuery>,
): Promise<Read<DirectoryAnswer>> {
  const { reads, caller } = asked;
  const index = await reads.readIndex(reads.shardOf(caller.user));
  const view = await reads.directory(caller.user);
  const since = request.sinceAccountSequence;
  const response = {
    open: view?.open().slice() ?? new Uint8Array(0),
    left: view?.leftSince(since).slice() ?? new Uint8Array(0),
    joined: view?.joinedSince(since).slice() ?? new Uint8Array(0),
    accountSequence: view?.accountSequence ?? 0,
    epoch: reads.epoch,
    revokedSessions: view?.revokedSessions().slice() ?? new Uint8Array(0),
  };
  return { response, index };
}

export async function changed(
  asked: Asked,
  request: Plain<ChangedQuery>,
): Promise<Read<ChangedAnswer>> {
  const { reads, caller } = asked;
  const shards: Sparse<ShardAnswer>[] = await Promise.all(
    request.shards.map(async ({ shard, sinceIndex, conversations }) => {
      await reads.readIndex(shard);
      const answer = await reads.changedConversations({
        shard,
        sinceIndex,
        conversations,
        user: caller.user,
      });
      return {
        shard,
        askedAtIndex: answer.askedAtIndex,
        changed: answer.changed,
        changeTimeMs: [...answer.timesMs],
      };
    }),
  );
  return { response: { shards }, index: 0 };
}

/** The rows that a resuming client lacks, or where its gap begins (CONTRACT §3 Resume). */
export async function catchUp(
  asked: Asked,
  request: Plain<CatchUpQuery>,
): Promise<Read<CatchUpAnswer>> {
  const epoch = asked.reads.epoch;
  const readable = await openReadable(asked, request.conversationId).catch((error: unknown) => {
    if (
      error instanceof ParleyError &&
      (error.reason === 'NOT_A_MEMBER' || error.reason === 'CONVERSATION_UNKNOWN')
    )
      return 'hidden' as const;
    throw error;
  });
  if (readable === 'hidden') return { response: { notReadable: true, epoch }, index: 0 };
  if (readable === undefined) return { response: { epoch }, index: 0 };
  const { head, first, index } = readable;
  const cursor = request.cursor;
  const after = cursor?.sequence ?? 0;
  if (cursor === undefined || cursor.epoch !== epoch || after < first - 1)
    return { response: { head, epoch, gapFrom: first }, index };
  if (after >= head) return { response: { head, epoch }, index };
  if (head - after > request.rowsMax)
    return { response: { head, epoch, gapFrom: after + 1 }, index };
  const rows = await asked.reads.rows(readable.raw, {
    from: after + 1,
    through: head,
    limit: request.rowsMax,
    newest: false,
  });
  const bytes = rows.reduce((sum, row) => sum + row.row.length + ROW_OVERHEAD_BYTES, 0);
  if (bytes > request.bytesMax) return { response: { head, epoch, gapFrom: after + 1 }, index };
  return { response: { rows: await renderRows(asked.reads, readable, rows), head, epoch }, index };
}
