/**
 * Bringing a live connection up to date: after a hello with a sync token, after a hole in a shard's
 * feed, and every five minutes to find pushes that got lost on the way (CONTRACT §3 Resume).
 */
import { encodeId } from '../../core/ids.ts';
import { parseAddress } from './address.ts';
import { changesSince, stillLeft, viewsOf, type ChangedConversation } from './changes.ts';
import {
  CONVERSATIONS_PER_FRAME,
  RESUME_BYTES_MAX,
  RESUME_CURSORS_MAX,
  RESUME_ROWS_MAX,
} from './limits.ts';
import { badField } from './refusals.ts';
import { query, room, type Routine } from './routine.ts';
import type { Caller } from './caller.ts';
import type { ClientFrame, ServerFrame, Surroundings } from './session-contract.ts';
import type { Position } from './sync-token.ts';
import type { Plain } from '../../proto/codec.ts';
import type { CatchUpAnswer } from '../../proto/gen/parley/broker/v1/link_pb.ts';

export interface ResumeCursor {
  readonly conversation: Uint8Array;
  readonly conversationId: string;
  readonly epoch: number;
  readonly sequence: number;
}

/** Where a resume puts what it finds: the session itself. */
export interface ResumeSink {
  push(frame: ServerFrame): void;
  /** Highest sequence held back for this conversation since its catching up began; 0 = none. */
  heldThrough(conversationId: string): number;
  /** From here on its rows are pushed again. */
  release(conversationId: string): void;
}

type HelloResume = NonNullable<NonNullable<ClientFrame['hello']>['resume']>;

/** A row's weight beside its content, for the budget of bytes. */
const ROW_BYTES = 200;
/** A conversation that grows faster than it is read becomes a gap. */
const ROUNDS_MAX = 4;

export function parseCursors(resume: HelloResume, caller: Caller): ResumeCursor[] {
  if (resume.cursors.length > RESUME_CURSORS_MAX)
    throw badField('hello.resume.cursors', `has more than ${RESUME_CURSORS_MAX}`);
  return resume.cursors.map((cursor, i) => {
    const field = `hello.resume.cursors[${i}]`;
    const address = parseAddress(cursor.conversationId, caller.user, `${field}.conversationId`);
    if (cursor.sequence < 0) throw badField(`${field}.sequence`, 'is negative');
    const { conversation, conversationId } = address;
    return { conversation, conversationId, epoch: cursor.epoch, sequence: cursor.sequence };
  });
}

/** Pushes what changed since the position and returns how far the device then is. */
export function* resume(
  sink: ResumeSink,
  caller: Caller,
  surroundings: Surroundings,
  from: { readonly since: Position; readonly cursors: readonly ResumeCursor[] },
): Routine<Position> {
  const changes = yield* changesSince(caller, surroundings, from.since);
  yield* pushLeft(sink, caller, changes.left);
  yield* pushViews(sink, caller, changes.changed);
  const changed = new Set(changes.changed.map((entry) => encodeId('cnv', entry.conversation)));
  const budget = { rows: RESUME_ROWS_MAX, bytes: RESUME_BYTES_MAX };
  for (const cursor of from.cursors) {
    const { conversationId } = cursor;
    if (changed.has(conversationId) || sink.heldThrough(conversationId) > 0) {
      if (budget.bytes < RESUME_BYTES_MAX) yield* room();
      yield* catchUp(sink, caller, surroundings, { cursor, budget });
    }
    sink.release(conversationId);
  }
  return changes.position;
}

/**
 * Finds conversations that moved without this connection hearing of it. `isTrusted` = the pushes
 * that came were complete, so only what is newer than the newest push is missing; else everything
 * that changed is announced.
 */
export function* verify(
  sink: ResumeSink,
  caller: Caller,
  surroundings: Surroundings,
  from: { readonly since: Position; readonly isTrusted: boolean },
): Routine<Position> {
  const changes = yield* changesSince(caller, surroundings, from.since);
  const isMissed = ({ conversation, timeMs }: ChangedConversation): boolean =>
    !from.isTrusted || timeMs > surroundings.lastSeenMs(conversation);
  const told = changes.changed.filter((entry) => entry.isJoined || isMissed(entry));
  const missed = told.filter(isMissed);
  // The check repeats what left the directory and what came into it: a courier that was late may
  // have brought a join behind the listing of who connected in between.
  yield* pushLeft(sink, caller, changes.left);
  yield* pushViews(sink, caller, told);
  for (const entry of missed)
    sink.push({
      gap: {
        scope: 'conversation',
        conversationId: encodeId('cnv', entry.conversation),
        reason: 'RESYNC',
        epoch: surroundings.epoch(),
      },
    });
  return changes.position;
}

function* pushLeft(sink: ResumeSink, caller: Caller, left: readonly Uint8Array[]): Routine<void> {
  const removed = yield* stillLeft(caller, left);
  if (removed.length > 0) sink.push({ conversations: { removed } });
}

function* pushViews(
  sink: ResumeSink,
  caller: Caller,
  changed: readonly ChangedConversation[],
): Routine<void> {
  for (let at = 0; at < changed.length; ) {
    if (at > 0) yield* room();
    const page = changed.slice(at, at + CONVERSATIONS_PER_FRAME);
    const views = yield* viewsOf(caller, page, { each: 0, of: 0 });
    sink.push({ conversations: { items: views.conversations } });
    at += views.answered;
  }
}

interface Budget {
  rows: number;
  bytes: number;
}

/** The missing rows of one conversation, or a gap in their place. Live rows are held back meanwhile. */
function* catchUp(
  sink: ResumeSink,
  caller: Caller,
  surroundings: Surroundings,
  at: { readonly cursor: ResumeCursor; readonly budget: Budget },
): Routine<void> {
  const { cursor, budget } = at;
  const { conversation, conversationId } = cursor;
  let through = cursor.sequence;
  let epoch = cursor.epoch;
  for (let round = 0; round < ROUNDS_MAX; round++) {
    const askedBehind = sink.heldThrough(conversationId);
    const answer: Plain<CatchUpAnswer> = yield* query<Plain<CatchUpAnswer>>({
      method: 'Link.CatchUp',
      key: conversation,
      caller,
      request: {
        conversationId,
        cursor: { epoch, sequence: through },
        rowsMax: budget.rows,
        bytesMax: budget.bytes,
      },
    });
    const isLast = round === ROUNDS_MAX - 1;
    if (answer.notReadable) {
      const head = sink.heldThrough(conversationId);
      if (head <= askedBehind) return;
      // A row came behind the question: he may have been added again since, by that very row.
      if (isLast) pushGap(sink, { conversationId, from: through + 1, head, epoch: answer.epoch });
      continue;
    }
    budget.rows -= answer.rows.length;
    for (const { body } of answer.rows)
      budget.bytes -= ROW_BYTES + (body === undefined ? 0 : surroundings.contentBytes(body).length);
    if (answer.rows.length > 0)
      sink.push({
        rows: {
          items: [{ conversationId, epoch: answer.epoch, head: answer.head, rows: answer.rows }],
        },
      });
    if (answer.gapFrom > 0 || budget.rows <= 0 || budget.bytes <= 0 || isLast) {
      const from =
        answer.gapFrom > 0 ? answer.gapFrom : (answer.rows.at(-1)?.sequence ?? through) + 1;
      const head = Math.max(answer.head, sink.heldThrough(conversationId));
      if (head >= from) pushGap(sink, { conversationId, from, head, epoch: answer.epoch });
      return;
    }
    through = answer.head;
    epoch = answer.epoch;
    if (sink.heldThrough(conversationId) <= through) return;
  }
}

function pushGap(
  sink: ResumeSink,
  gap: { conversationId: string; from: number; head: number; epoch: number },
): void {
  sink.push({ gap: { scope: 'conversation', reason: 'BACKLOG', ...gap } });
}
