/** Messages.List, .ListRows, .ListReceipts: pages of a conversation as one member may see it. */
import { compareBytes } from '../../core/bytes.ts';
import { ParleyError } from '../../core/errors.ts';
import { encodeId } from '../../core/ids.ts';
import { RowView, BODY_KIND } from '../../core/row.ts';
import { codecOf, type Plain, type Sparse } from '../../proto/codec.ts';
import {
  ListMessagesResponseSchema,
  type ListMessagesRequest,
  type ListMessagesResponse,
  type ListReceiptsRequest,
  type ListReceiptsResponse,
  type ListRowsRequest,
  type ListRowsResponse,
  type Sample,
} from '../../proto/gen/parley/client/v1/messages_pb.ts';
import type { Receipt } from '../../proto/gen/parley/v1/types_pb.ts';
import type { StandingRow, StoreReads } from '../runtime/contract.ts';
import { openReadable, type Readable } from './access.ts';
import type { Asked, Read } from './asked.ts';
import { encodeMessages } from './message-writer.ts';
import { isErased, renderRow, standsInTimeline } from './render.ts';

const PAGE_DEFAULT = 50;
export const PAGE_MAX = 200;
const SAMPLES_MAX = 64;
const MESSAGES_FIELD = 1;
const listResponses = codecOf(ListMessagesResponseSchema);

export function pageSize(asked: number): number {
  return asked <= 0 ? PAGE_DEFAULT : Math.min(asked, PAGE_MAX);
}

export async function listMessages(
  asked: Asked,
  request: Plain<ListMessagesRequest>,
): Promise<Read<ListMessagesResponse>> {
  const { before, after, around, atTimeMs, sequence } = request;
  const modes = Object.entries({ before, after, around, atTimeMs, sequence }).filter(
    ([, n]) => n !== 0,
  );
  const negative = modes.find(([, n]) => n < 0);
  if (negative !== undefined)
    throw new ParleyError('BAD_FIELD', `${negative[0]} is negative`, { field: negative[0] });
  if (modes.length > 1)
    throw new ParleyError(
      'BAD_FIELD',
      'give at most one of before, after, around, atTimeMs, sequence',
      { field: 'before' },
    );
  const readable = await openReadable(asked, request.conversationId);
  if (readable === undefined) return { response: { first: 1 }, index: 0 };
  const rows = await page(asked.reads, readable, request);
  const samples = await sample(asked.reads, readable, Math.min(request.samples, SAMPLES_MAX));
  const { raw, head, first, index } = readable;
  // Protobuf of parts one behind the other is protobuf of the whole: field 1 is `messages`.
  const rest = listResponses.encode({ asOf: head, first, head, samples });
  return { response: () => encodeMessages(MESSAGES_FIELD, raw, rows, rest), index };
}

async function page(
  reads: StoreReads,
  at: Readable,
  request: Plain<ListMessagesRequest>,
): Promise<readonly StandingRow[]> {
  const limit = pageSize(request.limit);
  if (request.sequence !== 0) return [await oneMessage(reads, at, request.sequence)];
  if (request.after !== 0) return standingAfter(reads, at, request.after + 1, limit);
  if (request.before !== 0)
    return standingBefore(reads, at, Math.min(request.before - 1, at.head), limit);
  const middle =
    request.atTimeMs === 0 ? request.around : await reads.sequenceAt(at.raw, request.atTimeMs);
  if (middle === 0 && request.atTimeMs === 0) return standingBefore(reads, at, at.head, limit);
  const older = await standingBefore(reads, at, Math.min(middle, at.head), Math.ceil(limit / 2));
  return [
    ...older,
    ...(await standingAfter(reads, at, Math.max(middle + 1, at.first), limit - older.length)),
  ];
}

/** A message by its place. Control rows have no message. */
export async function oneMessage(
  reads: StoreReads,
  at: Readable,
  sequence: number,
): Promise<StandingRow> {
  const [row] =
    sequence < at.first || sequence > at.head
      ? []
      : await reads.rows(at.raw, { from: sequence, through: sequence, limit: 1, newest: true });
  if (row === undefined || !standsInTimeline(new RowView(row.row)))
    throw new ParleyError('MESSAGE_UNKNOWN', 'there is no such message that you may see', {
      sequence,
    });
  return row;
}

/** The newest `limit` standing rows at or below `through`, oldest first. */
export async function standingBefore(
  reads: StoreReads,
  at: Readable,
  through: number,
  limit: number,
): Promise<readonly StandingRow[]> {
  const found: StandingRow[] = [];
  let upTo = through;
  while (found.length < limit && upTo >= at.first) {
    const rows = await reads.rows(at.raw, {
      from: at.first,
      through: upTo,
      limit: limit - found.length,
      newest: true,
    });
    const oldest = rows[0];
    if (oldest === undefined) break;
    found.unshift(...rows.filter((row) => standsInTimeline(new RowView(row.row))));
    upTo = oldest.sequence - 1;
  }
  return found;
}

async function standingAfter(
  reads: StoreReads,
  at: Readable,
  from: number,
  limit: number,
): Promise<readonly StandingRow[]> {
  const found: StandingRow[] = [];
  let start = Math.max(from, at.first);
  while (found.length < limit && start <= at.head) {
    const rows = await reads.rows(at.raw, {
      from: start,
      through: at.head,
      limit: limit - found.length,
      newest: false,
    });
    const newest = rows.at(-1);
    if (newest === undefined) break;
    found.push(...rows.filter((row) => standsInTimeline(new RowView(row.row))));
    start = newest.sequence + 1;
  }
  return found;
}

/** Evenly spaced (sequence, time) pairs over the readable range, for a client's scroll rail. */
async function sample(reads: StoreReads, at: Readable, wanted: number): Promise<Sparse<Sample>[]> {
  const span = at.head - at.first + 1;
  const count = Math.min(wanted, span);
  const picks = Array.from(
    { length: count },
    (_, i) => at.first + Math.floor((i * (span - 1)) / Math.max(count - 1, 1)),
  );
  const rows = await Promise.all(
    picks.map((n) => reads.rows(at.raw, { from: n, through: n, limit: 1, newest: true })),
  );
  return rows
    .flat()
    .map((row) => ({ sequence: row.sequence, timeMs: new RowView(row.row).timeMs }));
}

export async function listRows(
  asked: Asked,
  request: Plain<ListRowsRequest>,
): Promise<Read<ListRowsResponse>> {
  const readable = await openReadable(asked, request.conversationId);
  const epoch = asked.reads.epoch;
  if (readable === undefined) return { response: { cursor: { epoch, sequence: 0 } }, index: 0 };
  const after = cursorSequence(readable, epoch, request.cursor);
  const limit = pageSize(request.limit);
  const rows = await asked.reads.rows(readable.raw, {
    from: after + 1,
    through: readable.head,
    limit,
    newest: false,
  });
  const rendered = await renderRows(asked.reads, readable, rows);
  const sequence = rows.at(-1)?.sequence ?? after;
  return {
    response: { rows: rendered, cursor: { epoch, sequence }, head: readable.head },
    index: readable.index,
  };
}

/** Rows as appended. The text of an edit goes with the message that it edited. */
export async function renderRows(
  reads: StoreReads,
  at: Readable,
  rows: readonly StandingRow[],
): Promise<ReturnType<typeof renderRow>[]> {
  const shown: ReturnType<typeof renderRow>[] = [];
  for (const row of rows) {
    const view = new RowView(row.row);
    const gone = view.bodyKind === BODY_KIND.edit && (await isTargetErased(reads, at, view.target));
    shown.push(gone ? { ...renderRow(row), body: undefined } : renderRow(row));
  }
  return shown;
}

async function isTargetErased(reads: StoreReads, at: Readable, target: number): Promise<boolean> {
  const [row] = await reads.rows(at.raw, { from: target, through: target, limit: 1, newest: true });
  return row !== undefined && isErased(row);
}

/** The sequence that a cursor stands for; void ones are refused with where to begin (case 42). */
export function cursorSequence(
  at: Readable,
  epoch: number,
  cursor: { readonly epoch: number; readonly sequence: number } | undefined,
): number {
  const before = at.first - 1;
  if (cursor === undefined) return before;
  if (cursor.epoch !== epoch || cursor.sequence < before)
    throw new ParleyError('CURSOR_TRUNCATED', 'the cursor is void; begin at `first`', {
      epoch,
      first: at.first,
    });
  return Math.min(cursor.sequence, at.head);
}

export async function listReceipts(
  asked: Asked,
  request: Plain<ListReceiptsRequest>,
): Promise<Read<ListReceiptsResponse>> {
  const readable = await openReadable(asked, request.conversationId);
  if (readable === undefined)
    throw new ParleyError('MESSAGE_UNKNOWN', 'nothing was written here yet');
  const standing = await oneMessage(asked.reads, readable, request.sequence);
  const sender = new RowView(standing.row).sender;
  // The view is taken again: the read above has let the loop go on.
  const view = await asked.reads.conversation(readable.raw);
  if (view === undefined)
    throw new ParleyError('CONVERSATION_UNKNOWN', 'there is no such conversation that you may see');
  const counts = view.counts(request.sequence, sender);
  const receipts: Sparse<Receipt>[] = [];
  view.eachMember((user) => {
    const member = view.member(user);
    if (
      member === undefined ||
      compareBytes(user, sender) === 0 ||
      member.joinSequence >= request.sequence
    )
      return true;
    receipts.push({
      userId: encodeId('usr', user),
      deliveredThrough: member.deliveredThrough,
      readThrough: member.readThrough,
      deliveredTimeMs: member.deliveredTimeMs,
      readTimeMs: member.readTimeMs,
    });
    return true;
  });
  const queued = Math.min(asked.reads.queuedCount(view, sender), counts.of - counts.delivered);
  return {
    response: { counts: { sequence: request.sequence, ...counts, queued }, receipts },
    index: readable.index,
  };
}
