/**
 * One conversation as this device knows it: the resource, the cursor, which sequences are held, the
 * unread count and the watermarks of receipts. Pure: rows and answers in, changed messages out; the
 * messages themselves lie in the cache and are handed in where a change needs them.
 *
 * The cursor is dense: every row at or below it was applied or lies in a noted hole. A row beyond the
 * next one is kept aside and the conversation asks to be synced; nothing else is touched (S7).
 */
import type {
  ConversationId,
  ConversationResource,
  ConversationRows,
  Gap,
  Head,
  ListMessagesAnswer,
  LogRow,
  Message,
  ReceiptsFrame,
  Sequence,
  SyncConversationAnswer,
  UserId,
} from './contract.ts';
import { ConversationReceipts } from './conversation-receipts.ts';
import type { Messages } from './message-batch.ts';
import {
  applyControl,
  isControl,
  isCountable,
  messageOf,
  newer,
  targetOf,
} from './message-merge.ts';
import { RecentControls } from './recent-controls.ts';
import { addSpan, cutAbove, cutBelow, type Ranges, type Span, spanOf } from './ranges.ts';
import { NOTHING_UNREAD, type Unread, withArrival, withRead, withServerCount } from './unread.ts';

/** As kept in the cache. */
export interface LogRecord {
  readonly resource: ConversationResource;
  readonly epoch: number;
  readonly cursor: Sequence;
  /** Newest sequence heard of; above the cursor = a sync is owed. */
  readonly head: Sequence;
  readonly ranges: Ranges;
  readonly unread: Unread;
  readonly first: Sequence;
  readonly isDoubtful?: true;
}

export interface RowContext {
  readonly me: UserId;
  /** Content of an own send by key, for the bodiless stubs of the sending connection. */
  ownBody(key: string): LogRow['body'];
  readonly messages: Messages;
}

export interface RowsOutcome {
  /** Rows of others that were not here before. */
  readonly arrived: Message[];
  /** Own rows, by key. */
  readonly own: LogRow[];
  /** Something in the resource may be out of date: members, name, settings. */
  needsResource: boolean;
  /** An own stub whose content nothing here knows: the page around it must be read. */
  needsPage?: Sequence;
  /** Sequences whose messages were trimmed and must go from the cache. */
  trimmed?: Span;
}

const ASIDE_MAX = 256;

export class ConversationLog {
  readonly id: ConversationId;
  resource: ConversationResource;
  epoch: number;
  cursor: Sequence;
  head: Sequence;
  first: Sequence;
  ranges: Ranges;
  unread: Unread;
  /** A list did not name it, and the server was not asked yet whether it is left. */
  isDoubtful: boolean;
  readonly receipts: ConversationReceipts = new ConversationReceipts();
  /** Rows beyond the next one, kept until a sync closes what lies between. */
  #aside: LogRow[] = [];
  readonly #controls: RecentControls;

  constructor(record: LogRecord) {
    this.id = record.resource.conversationId;
    this.resource = record.resource;
    this.epoch = record.epoch;
    this.cursor = record.cursor;
    this.head = record.head;
    this.first = record.first;
    this.ranges = record.ranges;
    this.unread = record.unread;
    this.isDoubtful = record.isDoubtful === true;
    this.#controls = new RecentControls(record.cursor);
    this.#takePeerMarks(record.resource);
    this.receipts.heard(record.resource.me?.deliveredThrough ?? 0, 0);
  }

  /** A conversation first heard of: its rows so far are a noted hole. */
  static of(resource: ConversationResource): ConversationLog {
    const head = resource.head ?? 0;
    const log = new ConversationLog({
      resource,
      epoch: resource.epoch ?? 0,
      cursor: head,
      head,
      ranges: [],
      unread: NOTHING_UNREAD,
      first: Math.max(1, resource.me?.historyFrom ?? 1),
    });
    log.#countFrom(resource);
    return log;
  }

  /** One that exists on this device only, until its first append or Create. */
  static local(resource: ConversationResource): ConversationLog {
    return ConversationLog.of({ ...resource, head: 0 });
  }

  record(): LogRecord {
    const { resource, epoch, cursor, head, ranges, unread, first } = this;
    const doubt = this.isDoubtful ? ({ isDoubtful: true } as const) : {};
    return { resource, epoch, cursor, head, ranges, unread, first, ...doubt };
  }

  get isOnServer(): boolean {
    return this.head > 0 || (this.resource.createTimeMs ?? 0) > 0;
  }

  get owesSync(): boolean {
    return this.cursor < this.head;
  }

  // --- whole resources ---------------------------------------------------------------------------

  /** Takes a resource from any source; an older one changes nothing but marks, which only rise. */
  takeResource(resource: ConversationResource): void {
    this.isDoubtful = false;
    const head = resource.head ?? 0;
    if ((resource.epoch ?? this.epoch) !== this.epoch && this.epoch !== 0) this.#newEpoch(resource);
    this.epoch = resource.epoch ?? this.epoch;
    const heldHead = this.resource.head ?? 0;
    if (head >= heldHead || resource.me?.role !== this.resource.me?.role)
      this.resource = keepPreview(this.resource, resource);
    this.first = Math.max(this.first, resource.me?.historyFrom ?? 0);
    this.#countFrom(resource);
    this.#takePeerMarks(resource);
    this.receipts.heard(resource.me?.deliveredThrough ?? 0, 0);
    if (head > this.head) this.head = head;
    // Nothing is held, so nothing can be out of date: the missing rows are a noted hole.
    if (this.owesSync && this.ranges.length === 0 && this.#aside.length === 0)
      this.#jump(this.head);
  }

  takeHead(item: Head): void {
    const rise = (item.messageCount ?? 0) - (this.resource.messageCount ?? 0);
    const head = item.head ?? 0;
    if (head <= (this.resource.head ?? 0)) return;
    this.unread = withArrival(this.unread, { sequence: head, n: Math.max(0, rise), mentions: 0 });
    this.resource = keepPreview(this.resource, {
      ...this.resource,
      head,
      messageCount: Math.max(item.messageCount ?? 0, this.resource.messageCount ?? 0),
      ...(item.lastMessage === undefined ? {} : { lastMessage: item.lastMessage }),
    });
    this.head = Math.max(this.head, head);
    if (this.ranges.length === 0) this.#jump(this.head);
  }

  takeGap(gap: Gap): void {
    this.head = Math.max(
      this.head,
      gap.head ?? 0,
      (gap.from ?? 0) > this.cursor ? (gap.from ?? 0) : 0,
    );
    if (this.owesSync && this.ranges.length === 0) this.#jump(this.head);
  }

  takeReceipts(frame: ReceiptsFrame): void {
    this.receipts.take(frame);
    if (frame.me === undefined) return;
    const { unreadCount, mentionCount, head, readThrough } = frame.me;
    this.unread = withServerCount(this.unread, {
      count: unreadCount ?? 0,
      mentions: mentionCount ?? 0,
      head: head ?? this.resource.head ?? 0,
      readThrough: readThrough ?? 0,
    });
  }

  read(sequence: Sequence): void {
    this.unread = withRead(this.unread, sequence);
  }

  // --- rows --------------------------------------------------------------------------------------

  /** Sequences of held messages that these rows change. */
  targetsOf(rows: readonly LogRow[], ownBody: RowContext['ownBody']): Sequence[] {
    const all = [...rows, ...this.#aside];
    const targets = all.flatMap(
      (row) => targetOf(row.body ?? ownBody(row.clientMessageId ?? '')) ?? [],
    );
    return [...targets, ...this.#aside.map((row) => row.sequence)];
  }

  takeRows(item: ConversationRows, context: RowContext): RowsOutcome {
    const outcome: RowsOutcome = { arrived: [], own: [], needsResource: false };
    if ((item.epoch ?? this.epoch) !== this.epoch && this.epoch !== 0) {
      this.head = Math.max(this.head, this.cursor + 1);
      return outcome;
    }
    if (this.epoch === 0) this.epoch = item.epoch ?? 0;
    for (const row of item.rows ?? []) this.#takeRow(row, context, outcome);
    this.#drainAside(context, outcome);
    this.head = Math.max(this.head, item.head ?? 0);
    return outcome;
  }

  #takeRow(row: LogRow, context: RowContext, outcome: RowsOutcome): void {
    if (row.sequence <= this.cursor) {
      if (spanOf(this.ranges, row.sequence) === undefined) this.#apply(row, context, outcome);
      else if (row.senderUserId === context.me) outcome.own.push(row);
    } else if (row.sequence === this.cursor + 1) {
      this.cursor = row.sequence;
      this.#apply(row, context, outcome);
    } else {
      // Beyond the next: only the sync can say what lies between.
      this.head = Math.max(this.head, row.sequence);
      if (this.#aside.length < ASIDE_MAX && !this.#aside.some((r) => r.sequence === row.sequence))
        this.#aside.push(row);
    }
  }

  #drainAside(context: RowContext, outcome: RowsOutcome): void {
    if (this.#aside.length === 0) return;
    const waiting = this.#aside.sort((a, b) => a.sequence - b.sequence);
    this.#aside = [];
    for (const row of waiting) {
      const isPassed =
        row.sequence <= this.cursor && spanOf(this.ranges, row.sequence) === undefined;
      // What waited is as old as its push: behind a row that is gone, or beside a hole, rows that
      // changed it may have passed.
      if (isPassed && row.sequence < this.#controls.from) continue;
      this.#takeRow(row, context, outcome);
      if (isPassed) this.#controls.bringUp(row.sequence, context);
    }
  }

  #apply(row: LogRow, context: RowContext, outcome: RowsOutcome): void {
    const isMine = row.senderUserId === context.me;
    const key = row.clientMessageId ?? '';
    const body = row.body ?? (isMine ? context.ownBody(key) : undefined);
    const whole: LogRow = body === undefined ? row : { ...row, body };
    const held = context.messages.get(row.sequence);
    this.head = Math.max(this.head, row.sequence);
    if (isControl(body)) this.#control(whole, context, outcome);
    else if (body === undefined && held === undefined) {
      // A stub whose content nothing here knows any more, or an erased row, of which only the page
      // says whether it was a message: not loaded, so the page brings it.
      outcome.needsPage = row.sequence;
      if (isMine) outcome.own.push(whole);
      this.#moveHead(row, undefined, isMine, context.me);
      return;
    } else {
      const message = newer(held, messageOf(whole));
      context.messages.set(row.sequence, message);
      if (!isMine && held === undefined) outcome.arrived.push(message);
    }
    if (isMine) outcome.own.push(whole);
    if (body?.member !== undefined || body?.update !== undefined || body?.created !== undefined)
      outcome.needsResource = true;
    this.ranges = addSpan(this.ranges, { from: row.sequence, through: row.sequence });
    this.#moveHead(whole, context.messages.get(row.sequence), isMine, context.me);
  }

  #control(row: LogRow, context: RowContext, outcome: RowsOutcome): void {
    this.#controls.passed(row);
    const target = targetOf(row.body);
    const held = target === undefined ? undefined : context.messages.get(target);
    if (target !== undefined && held !== undefined)
      context.messages.set(target, applyControl(held, row, context.me));
    const last = this.resource.lastMessage;
    if (last !== undefined && last.sequence === target)
      this.resource = { ...this.resource, lastMessage: applyControl(last, row, context.me) };
    if (row.body?.trim === undefined) return;
    const { from = 0, through = 0 } = row.body.trim;
    outcome.trimmed = { from, through };
    this.#trim(from, through);
  }

  /** Erased rows are not held any more; below the first readable one nothing is. */
  #trim(from: Sequence, through: Sequence): void {
    if (from <= this.first) {
      this.first = Math.max(this.first, through + 1);
      this.ranges = cutBelow(this.ranges, this.first);
      return;
    }
    this.evict({ from, through });
  }

  #moveHead(row: LogRow, message: Message | undefined, isMine: boolean, me: UserId): void {
    const countable = isCountable(row.body);
    // The resource may have come ahead of the row, with or without its preview.
    const lastSequence = this.resource.lastMessage?.sequence ?? 0;
    if (countable && message !== undefined && row.sequence > lastSequence)
      this.resource = { ...this.resource, lastMessage: message };
    if (row.sequence <= (this.resource.head ?? 0)) return;
    const mentions = (row.body?.message?.text?.entities ?? []).some(
      (each) => each.type === 'mention_all' || (each.type === 'mention' && each.userId === me),
    );
    this.resource = {
      ...this.resource,
      head: row.sequence,
      messageCount: (this.resource.messageCount ?? 0) + (countable ? 1 : 0),
    };
    if (!isMine && countable)
      this.unread = withArrival(this.unread, {
        sequence: row.sequence,
        n: 1,
        mentions: mentions ? 1 : 0,
      });
  }

  // --- answers -----------------------------------------------------------------------------------

  /**
   * An own send was committed. It stands in its place though rows between may still be coming. One
   * whose answer is heard again later, below the cursor, may have been changed by rows that passed
   * while it was not held: those known here are applied, else it stays a hole for a page to fill.
   */
  takeCommitted(committed: Message, context: Pick<RowContext, 'me' | 'messages'>): void {
    const { messages } = context;
    const held = messages.get(committed.sequence);
    if (held === undefined && committed.sequence < this.#controls.from) return;
    messages.set(committed.sequence, newer(held, committed));
    this.#controls.bringUp(committed.sequence, context);
    const message = messages.get(committed.sequence) ?? committed;
    this.head = Math.max(this.head, message.sequence);
    this.ranges = addSpan(this.ranges, { from: message.sequence, through: message.sequence });
    const last = this.resource.lastMessage;
    if (last === undefined || last.sequence <= message.sequence)
      this.resource = { ...this.resource, lastMessage: newer(last, message) };
  }

  /**
   * One page of SyncConversation; only the last moves the cursor. `asked` = the cursor sent.
   */
  takeSync(
    answer: SyncConversationAnswer,
    o: { readonly asked: Sequence; readonly isLast: boolean },
    context: RowContext,
  ): RowsOutcome {
    const outcome: RowsOutcome = { arrived: [], own: [], needsResource: false };
    for (const message of [...(answer.changed ?? []), ...(answer.messages ?? [])])
      this.#takeMessage(message, context, outcome);
    if (answer.conversation !== undefined) this.takeResource(answer.conversation);
    for (const receipt of answer.receipts ?? [])
      if (receipt.userId === this.resource.peerUserId)
        this.receipts.raise(receipt.deliveredThrough ?? 0, receipt.readThrough ?? 0);
    if (!o.isLast) return outcome;
    const through = answer.cursor?.sequence ?? this.cursor;
    const hole = answer.hole;
    const from = hole?.before ?? o.asked + 1;
    // Own sends stand there by their commits alone: what changed them since is not in `changed`.
    if (hole !== undefined)
      this.ranges = [...cutAbove(this.ranges, o.asked), ...cutBelow(this.ranges, from)];
    this.ranges = addSpan(this.ranges, { from: Math.max(from, this.first), through });
    this.epoch = answer.cursor?.epoch ?? this.epoch;
    if (through > this.cursor) this.#jump(through);
    this.#drainAside(context, outcome);
    return outcome;
  }

  /** A page of List. False = it was read before changes that are not known here: read it again. */
  takePage(
    answer: ListMessagesAnswer,
    covers: { readonly from?: Sequence; readonly through?: Sequence },
    context: RowContext,
  ): boolean {
    const asOf = answer.asOf ?? answer.head ?? 0;
    if (asOf < this.#controls.from && asOf < this.cursor) return false;
    const outcome: RowsOutcome = { arrived: [], own: [], needsResource: false };
    for (const message of answer.messages ?? []) this.#takeMessage(message, context, outcome);
    this.#controls.bringUpAll(context);
    this.first = Math.max(this.first, answer.first ?? 0);
    const oldest = answer.messages?.[0]?.sequence;
    const newest = answer.messages?.at(-1)?.sequence;
    const from = Math.max(this.first, covers.from ?? oldest ?? this.first);
    // Rows above what the page was read at are not in it.
    const through = Math.min(asOf, covers.through ?? newest ?? asOf);
    this.ranges = addSpan(this.ranges, { from, through });
    return true;
  }

  #takeMessage(message: Message, context: RowContext, outcome: RowsOutcome): void {
    const held = context.messages.get(message.sequence);
    context.messages.set(message.sequence, newer(held, message));
    if (message.senderUserId === context.me) outcome.own.push(message);
    else if (held === undefined && message.sequence > this.cursor) outcome.arrived.push(message);
    const last = this.resource.lastMessage;
    if (last?.sequence === message.sequence)
      this.resource = { ...this.resource, lastMessage: newer(last, message) };
  }

  /** What was held is void, for instance after CURSOR_TRUNCATED: everything is a hole. */
  forget(first: Sequence): void {
    this.ranges = [];
    this.first = Math.max(this.first, first);
    this.#aside = [];
    this.#jump(this.head);
  }

  /** These went from the cache for want of room: a hole, which whoever looks there reads again. */
  evict({ from, through }: Span): void {
    this.ranges = [...cutAbove(this.ranges, from - 1), ...cutBelow(this.ranges, through + 1)];
  }

  /** Removed from it, or it is gone. */
  leave(): void {
    this.isDoubtful = false;
    const { me: _me, ...rest } = this.resource;
    this.resource = { ...rest, me: { role: '' } };
    this.head = this.cursor;
    this.unread = NOTHING_UNREAD;
  }

  // --- parts -------------------------------------------------------------------------------------

  #jump(through: Sequence): void {
    this.cursor = Math.max(this.cursor, through);
    this.#controls.restart(this.cursor);
  }

  // LIMIT: rows above the new epoch's head are forgotten here; offering to send them again is later.
  #newEpoch(resource: ConversationResource): void {
    const head = resource.head ?? 0;
    this.ranges = cutAbove(this.ranges, head);
    this.cursor = Math.min(this.cursor, head);
    this.head = head;
    this.resource = { ...this.resource, head: Math.min(this.resource.head ?? 0, head) };
    this.receipts.newEpoch();
    this.unread = { ...NOTHING_UNREAD };
    this.#aside = [];
    this.#controls.restart(this.cursor);
  }

  #countFrom(resource: ConversationResource): void {
    if (resource.me === undefined) return;
    this.receipts.heard(0, resource.me.readThrough ?? 0);
    this.unread = withServerCount(this.unread, {
      count: resource.me.unreadCount ?? 0,
      mentions: resource.me.mentionCount ?? 0,
      head: resource.head ?? 0,
      readThrough: resource.me.readThrough ?? 0,
    });
  }

  #takePeerMarks(resource: ConversationResource): void {
    this.receipts.raise(resource.peerDeliveredThrough ?? 0, resource.peerReadThrough ?? 0);
  }
}

/** The newer resource, with the preview as it stands by changeSequence. */
function keepPreview(
  held: ConversationResource,
  incoming: ConversationResource,
): ConversationResource {
  const [a, b] = [held.lastMessage, incoming.lastMessage];
  if (a === undefined || (b !== undefined && b.sequence > a.sequence)) return incoming;
  if (b === undefined || b.sequence < a.sequence) return { ...incoming, lastMessage: a };
  return { ...incoming, lastMessage: newer(a, b) };
}
