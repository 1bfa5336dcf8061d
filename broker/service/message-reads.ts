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
import { bytesOf, type StandingRow, type StoreReads } from '../runtime/contract.ts';
import { openReadable, type Readable } from './access.ts';
import type { Asked, Read } from './asked.ts';
import { encodeMessages } from './message-writer.ts';
import { isErased, renderRow, standsInTimeline } from './render.ts';

const PAGE_DEFAULT = 50;
export const PAGE_MAX = 200;
/**
 * Of the rows of a page: 200 of the largest messages would be 12 MiB, for one call among many. In JSON
 * it may be three times as much, and still no more than a connection may owe its client.
 */
export const PAGE_BYTES_MAX: number = 512 * 1024;
/** So much that is too large for the page has been read in vain at most. */
const ROWS_AT_ONCE = 50;
const SAMPLES_MAX = 64;
const MESSAGES_FIELD = 1;
const listResponses = codecOf(ListMessagesResponseSchema);

export interface Wanted {
  readonly limit: number;
  readonly bytesMax: number;
}

export interface Page {
  /** Oldest first. */
  readonly rows: readonly StandingRow[];
  /** More was wanted and is there, but would be too large. */
  readonly isCut: boolean;
}

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
  const { rows, isCut } = await page(asked.reads, readable, request);
  const samples = await sample(asked.reads, readable, Math.min(request.samples, SAMPLES_MAX));
  const { raw, head, first, index } = readable;
  // Protobuf of parts one behind the other is protobuf of the whole: field 1 is `messages`.
  const rest = listResponses.encode({ asOf: head, first, head, samples, cut: isCut });
  return { response: () => encodeMessages(MESSAGES_FIELD, raw, rows, rest), index };
}

async function page(
  reads: StoreReads,
  at: Readable,
  request: Plain<ListMessagesRequest>,
): Promise<Page> {
  const limit = pageSize(request.limit);
  const want = { limit, bytesMax: PAGE_BYTES_MAX };
  if (request.sequence !== 0)
    return { rows: [await oneMessage(reads, at, request.sequence)], isCut: false };
  if (request.after !== 0) return standingAfter(reads, at, request.after + 1, want);
  if (request.before !== 0)
    return standingBefore(reads, at, Math.min(request.before - 1, at.head), want);
  const middle =
    request.atTimeMs === 0 ? request.around : await reads.sequenceAt(at.raw, request.atTimeMs);
  if (middle === 0 && request.atTimeMs === 0) return standingBefore(reads, at, at.head, want);
  const older = await standingBefore(reads, at, Math.min(middle, at.head), {
    limit: Math.ceil(limit / 2),
    bytesMax: PAGE_BYTES_MAX / 2,
  });
  const newer = await standingAfter(reads, at, Math.max(middle + 1, at.first), {
    limit: limit - older.rows.length,
    bytesMax: PAGE_BYTES_MAX - older.rows.reduce((sum, row) => sum + bytesOf(row), 0),
  });
  return { rows: [...older.rows, ...newer.rows], isCut: older.isCut || newer.isCut };
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

/** The newest standing rows at or below `through`, oldest first; at least one, if there is any. */
export async function standingBefore(
  reads: StoreReads,
  at: Readable,
  through: number,
  want: Wanted,
): Promise<Page> {
  const found = new PageRows(want);
  let upTo = through;
  while (found.room > 0 && upTo >= at.first) {
    const limit = Math.min(found.room, ROWS_AT_ONCE);
    const rows = await reads.rows(at.raw, { from: at.first, through: upTo, limit, newest: true });
    const oldest = rows[0];
    if (oldest === undefined) break;
    for (const row of rows.toReversed())
      if (standsInTimeline(new RowView(row.row))) found.offer(row);
    upTo = oldest.sequence - 1;
  }
  return { rows: found.rows.reverse(), isCut: found.isCut };
}

/** The oldest standing rows from `from` on. */
async function standingAfter(
  reads: StoreReads,
  at: Readable,
  from: number,
  want: Wanted,
): Promise<Page> {
  return rowsAfter(reads, at, from, { ...want, isWanted: (row) => standsInTimeline(row) });
}

async function rowsAfter(
  reads: StoreReads,
  at: Readable,
  from: number,
  want: Wanted & { readonly isWanted: (row: RowView) => boolean },
): Promise<Page> {
  const found = new PageRows(want);
  let start = Math.max(from, at.first);
  while (found.room > 0 && start <= at.head) {
    const limit = Math.min(found.room, ROWS_AT_ONCE);
    const rows = await reads.rows(at.raw, { from: start, through: at.head, limit, newest: false });
    const newest = rows.at(-1);
    if (newest === undefined) break;
    for (const row of rows) if (want.isWanted(new RowView(row.row))) found.offer(row);
    start = newest.sequence + 1;
  }
  return { rows: found.rows, isCut: found.isCut };
}

/** Rows of a page in the order of reading: as many as are wanted, and at least one, however large. */
class PageRows {
  readonly rows: StandingRow[] = [];
  isCut = false;
  readonly #want: Wanted;
  #bytes = 0;

  constructor(want: Wanted) {
    this.#want = want;
  }

  /** How many more it takes at most. */
  get room(): number {
    return this.isCut ? 0 : this.#want.limit - this.rows.length;
  }

  offer(row: StandingRow): void {
    if (this.isCut) return;
    this.#bytes += bytesOf(row);
    this.isCut = this.rows.length > 0 && this.#bytes > this.#want.bytesMax;
    if (!this.isCut) this.rows.push(row);
  }
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
  const { rows } = await rowsAfter(asked.reads, readable, after + 1, {
    limit: pageSize(request.limit),
    bytesMax: PAGE_BYTES_MAX,
    isWanted: () => true,
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
