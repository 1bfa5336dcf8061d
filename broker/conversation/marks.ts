/**
 * Marks: how far a member received and read. They only rise, clamp to the head, and read implies
 * delivered. Unread counts are differences of ordinals now and at the read mark (DESIGN §4, Counts),
 * so a mark must know the ordinals at its row and one's own share of them: the leader completes it
 * before it is proposed, from state where that suffices, else from rows.
 *
 * A completed mark carries behind its own 16 bytes: u53 read-through, ordinal, own, mention-all
 * ordinal, own of those.
 */
import { readU53, viewOf, writeU53 } from '../../core/bytes.ts';
import { COMMAND_HEADER_BYTES } from '../../core/command.ts';
import { invariant } from '../../core/invariant.ts';
import { ROW_FLAG, RowView } from '../../core/row.ts';
import { refusal, refused, registered, unknownConversation, type Applying } from './applying.ts';
import type { Applied } from './contract.ts';
import type { LiveConversation } from './live-conversation.ts';
import { MEMBER_FLAG } from './member.ts';
import { sameIdAt } from './packed.ts';

const MARK_BYTES: number = COMMAND_HEADER_BYTES + 16;
const COMPLETED_BYTES: number = MARK_BYTES + 40;
const ROWS_ALWAYS_COUNTED = 256;

/** Ordinals through a row, and the member's own share of them. */
export interface MarkPoint {
  readonly readThrough: number;
  readonly ordinal: number;
  readonly own: number;
  readonly mentionAll: number;
  readonly ownMentionAll: number;
}

export function applyMark(applying: Applying, command: Uint8Array): Applied {
  const { live, conversation } = applying;
  if (!live.isCreated || !live.aimAt(command, 40)) return refused(applying, unknownConversation());
  const { member, header } = live;
  if (!member.isPresent)
    return refused(applying, refusal('NOT_A_MEMBER', 'you are no longer a member'));
  live.openSender(member.slot);
  const { delivered, read } = wanted(live, command);
  if (read > member.readThrough) {
    const point = completed(live, command) ?? derive(live, read);
    if (point === undefined)
      return refused(applying, refusal('OVERLOADED', 'mark it again', { retryAfterMs: 1000 }));
    setRead(applying, point);
  } else if (delivered <= member.deliveredThrough)
    return { conversation, answer: registered(applying) };
  if (delivered > member.deliveredThrough) {
    member.deliveredThrough = delivered;
    member.deliveredTimeMs = applying.nowMs;
  }
  member.ownChangeIndex = applying.index;
  // A direct's peer sees the mark; in a group authors get counts, and nothing else moves.
  if (header.isDirect) {
    header.lastIndex = applying.index;
    live.headerChanged();
  }
  live.memberChanged(member.slot);
  return {
    conversation,
    answer: registered(applying),
    registers: [{ user: member.user.slice(), what: 'marks' }],
  };
}

/** Rows in (from, to] that completing the mark takes; undefined = it needs no completing. */
export function rowsForMark(
  live: LiveConversation,
  command: Uint8Array,
): { readonly from: number; readonly to: number } | undefined {
  if (!aimAtReader(live, command)) return undefined;
  const { read } = wanted(live, command);
  const { member, sender } = live;
  if (read <= member.readThrough) return undefined;
  if (derive(live, read) !== undefined) return { from: read, to: read };
  // The row of the mark alone would do while one has written nothing later; but one may write while
  // the rows are read, so few enough are asked for all.
  const ownIsKnown = sender.ref === 0 || sender.lastOwnSequence <= read;
  const isFar = read - member.readThrough > ROWS_ALWAYS_COUNTED;
  return { from: ownIsKnown && isFar ? read - 1 : member.readThrough, to: read };
}

/**
 * Counting towards a mark, over as many rows as there are, a few at a time. Its numbers are absolute,
 * so what is marked or written meanwhile does not touch them.
 */
export class MarkTally {
  readonly #user: Uint8Array;
  #point: MarkPoint;
  /** Whether it has all rows since the mark that it began at, so that it knows one's own share. */
  #isDense = true;

  constructor(user: Uint8Array, start: MarkPoint) {
    this.#user = user;
    this.#point = start;
  }

  /** Through the last row that was added. */
  get point(): MarkPoint {
    return this.#point;
  }
  get isDense(): boolean {
    return this.#isDense;
  }

  /** The next rows, oldest first; fixed parts suffice. */
  add(rows: readonly Uint8Array[]): void {
    let { readThrough, ordinal, own, mentionAll, ownMentionAll } = this.#point;
    for (const bytes of rows) {
      const row = new RowView(bytes);
      if (row.sequence <= readThrough) continue;
      if (row.sequence !== readThrough + 1) this.#isDense = false;
      readThrough = row.sequence;
      ordinal = row.ordinal;
      mentionAll = row.mentionAllOrdinal;
      if (!row.has(ROW_FLAG.countable) || !sameIdAt(row.bytes, 56, this.#user, 0)) continue;
      own += 1;
      if (row.has(ROW_FLAG.mentionAll)) ownMentionAll += 1;
    }
    this.#point = { readThrough, ordinal, own, mentionAll, ownMentionAll };
  }
}

/** A count that begins at the member's present mark; undefined = he is none. */
export function startTally(live: LiveConversation, command: Uint8Array): MarkTally | undefined {
  if (!aimAtReader(live, command)) return undefined;
  const { member } = live;
  return new MarkTally(member.user.slice(), {
    readThrough: member.readThrough,
    ordinal: member.ordinalAtRead,
    own: member.ownAtRead,
    mentionAll: member.mentionAllAtRead,
    ownMentionAll: member.ownMentionAllAtRead,
  });
}

/** The command with its point; as it was if nothing is to be completed. */
export function completeMark(
  live: LiveConversation,
  command: Uint8Array,
  tally: MarkTally | undefined,
): Uint8Array {
  if (!aimAtReader(live, command)) return command;
  const { read } = wanted(live, command);
  if (read <= live.member.readThrough) return command;
  const point = derive(live, read) ?? countedBy(live, tally);
  // Rows were asked for at another state: the client marks again.
  if (point === undefined || point.readThrough > live.header.head) return command;
  const bytes = new Uint8Array(COMPLETED_BYTES);
  bytes.set(command.subarray(0, MARK_BYTES));
  const view = viewOf(bytes);
  writeU53(view, MARK_BYTES, point.readThrough);
  writeU53(view, MARK_BYTES + 8, point.ordinal);
  writeU53(view, MARK_BYTES + 16, point.own);
  writeU53(view, MARK_BYTES + 24, point.mentionAll);
  writeU53(view, MARK_BYTES + 32, point.ownMentionAll);
  return bytes;
}

function aimAtReader(live: LiveConversation, command: Uint8Array): boolean {
  if (!live.isCreated || !live.aimAt(command, 40) || !live.member.isPresent) return false;
  live.openSender(live.member.slot);
  return true;
}

/** What the command asks, clamped to what exists; if it was completed, to what existed then. */
function wanted(
  live: LiveConversation,
  command: Uint8Array,
): { readonly delivered: number; readonly read: number } {
  const view = viewOf(command);
  const { head } = live.header;
  const limit = command.length === COMPLETED_BYTES ? readU53(view, MARK_BYTES) : head;
  const read = Math.min(readU53(view, COMMAND_HEADER_BYTES + 8), head, limit);
  const delivered = Math.min(readU53(view, COMMAND_HEADER_BYTES), head);
  return { read, delivered: Math.max(delivered, read) };
}

function completed(live: LiveConversation, command: Uint8Array): MarkPoint | undefined {
  if (command.length !== COMPLETED_BYTES) return undefined;
  const view = viewOf(command);
  const readThrough = readU53(view, MARK_BYTES);
  const ordinal = readU53(view, MARK_BYTES + 8);
  invariant(
    readThrough <= live.header.head && ordinal <= live.header.ordinal,
    'marks.completed-by-what-exists',
    () => ({ readThrough, ordinal }),
  );
  return {
    readThrough,
    ordinal,
    own: readU53(view, MARK_BYTES + 16),
    mentionAll: readU53(view, MARK_BYTES + 24),
    ownMentionAll: readU53(view, MARK_BYTES + 32),
  };
}

/** The point by state alone: at the head, or where every row since one's mark is alike. */
function derive(live: LiveConversation, read: number): MarkPoint | undefined {
  const { header, member, sender } = live;
  const { own, ownMentionAll } = ownNow(live);
  if (read === header.head)
    return {
      readThrough: read,
      ordinal: header.ordinal,
      own,
      mentionAll: header.mentionAllOrdinal,
      ownMentionAll,
    };
  const ownIsKnown =
    own === member.ownAtRead || (sender.ref !== 0 && sender.lastOwnSequence <= read);
  const mentionAllIsKnown = header.mentionAllOrdinal === member.mentionAllAtRead;
  if (!ownIsKnown || !mentionAllIsKnown) return undefined;
  const ordinal = ordinalBy(live, read);
  if (ordinal === undefined) return undefined;
  const mentionAll = header.mentionAllOrdinal;
  return { readThrough: read, ordinal, own, mentionAll, ownMentionAll };
}

/** The ordinal at a row, if all rows since one's mark count, or none does. */
function ordinalBy(live: LiveConversation, read: number): number | undefined {
  const { header, member } = live;
  const rows = header.head - member.readThrough;
  const counted = header.ordinal - member.ordinalAtRead;
  if (counted === rows) return member.ordinalAtRead + (read - member.readThrough);
  return counted === 0 ? header.ordinal : undefined;
}

/** The point by rows: the last one holds the ordinals, one's own are those counted if need be. */
function countedBy(live: LiveConversation, tally: MarkTally | undefined): MarkPoint | undefined {
  if (tally === undefined) return undefined;
  const { point } = tally;
  // Nothing was added: the rows were asked for at another state.
  if (point.readThrough <= live.member.readThrough) return undefined;
  const { sender } = live;
  const ownIsNow = sender.ref === 0 || sender.lastOwnSequence <= point.readThrough;
  if (ownIsNow) return { ...point, ...ownNow(live) };
  return tally.isDense ? point : undefined;
}

interface OwnShare {
  readonly own: number;
  readonly ownMentionAll: number;
}

function ownNow(live: LiveConversation): OwnShare {
  const { sender } = live;
  return sender.ref === 0
    ? { own: 0, ownMentionAll: 0 }
    : { own: sender.own, ownMentionAll: sender.ownMentionAll };
}

function setRead(applying: Applying, point: MarkPoint): void {
  const { live } = applying;
  const { member } = live;
  if (point.readThrough <= member.readThrough) return;
  live.mentions.drop(member.slot, point.readThrough);
  member.readThrough = point.readThrough;
  member.readTimeMs = applying.nowMs;
  member.ordinalAtRead = point.ordinal;
  member.ownAtRead = point.own;
  member.mentionAllAtRead = point.mentionAll;
  member.ownMentionAllAtRead = point.ownMentionAll;
  member.setFlag(MEMBER_FLAG.markedUnread, false);
}
