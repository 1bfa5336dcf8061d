/** One conversation of the fake server: rows, messages as they stand, windows, marks (CONTRACT §3, §6). */
import type {
  Body,
  ConversationId,
  ConversationResource,
  LogRow,
  Message,
  ReceiptCounts,
  Role,
  SendRequest,
  UserId,
  WireError,
} from '../src/contract.ts';
import {
  applyControl,
  changeOf,
  isControl,
  isCountable,
  messageOf,
  targetOf,
} from '../src/message-merge.ts';

export interface FakeMember {
  role: Role;
  joinSequence: number;
  read: number;
  delivered: number;
  historyFrom: number;
}

interface Window {
  lastAccepted: number;
  readonly seen: Map<number, { readonly text: string; readonly sequence: number }>;
}

export type Appended =
  | { readonly row: LogRow; readonly isReplay: boolean }
  | { readonly error: WireError };

export class FakeConversation {
  readonly id: ConversationId;
  readonly kind: 'direct' | 'group';
  readonly members: Map<UserId, FakeMember> = new Map();
  readonly rows: LogRow[] = [];
  readonly messages: Map<number, Message> = new Map();
  readonly #windows = new Map<string, Window>();
  readonly #settings = new Map<UserId, object>();
  name = '';
  epoch = 7;
  /** Server-wide number of the last change. */
  changedAt = 0;

  constructor(id: ConversationId, kind: 'direct' | 'group') {
    this.id = id;
    this.kind = kind;
  }

  get head(): number {
    return this.rows.length;
  }

  append(user: UserId, deviceId: string, request: SendRequest, timeMs: number): Appended {
    const text = JSON.stringify([request.clientMessageId, request.body]);
    let window = this.#windows.get(request.outboxId);
    if (window === undefined)
      this.#windows.set(request.outboxId, (window = { lastAccepted: 0, seen: new Map() }));
    const seen = window.seen.get(request.clientSeq);
    if (seen !== undefined) {
      if (seen.text !== text) return refusal('IDEMPOTENCY_CONFLICT');
      return { row: this.rows[seen.sequence - 1] as LogRow, isReplay: true };
    }
    if ((request.after ?? 0) !== window.lastAccepted || request.clientSeq <= window.lastAccepted) {
      if (request.clientSeq <= window.lastAccepted - 32) return refusal('TOO_OLD');
      return refusal('OUT_OF_ORDER', { lastAccepted: String(window.lastAccepted) });
    }
    if (!this.members.has(user)) return refusal('NOT_A_MEMBER');
    const target = targetOf(request.body);
    if (target !== undefined && this.messages.get(target)?.deleted === true)
      return refusal('TARGET_DELETED');
    window.lastAccepted = request.clientSeq;
    const row = this.add({
      sequence: this.head + 1,
      timeMs,
      senderUserId: user,
      senderDeviceId: deviceId,
      outboxId: request.outboxId,
      clientSeq: request.clientSeq,
      clientMessageId: request.clientMessageId,
      body: request.body,
    });
    window.seen.set(request.clientSeq, { text, sequence: row.sequence });
    if (window.seen.size > 32) window.seen.delete(window.seen.keys().next().value ?? 0);
    return { row, isReplay: false };
  }

  add(row: LogRow): LogRow {
    this.rows.push(row);
    const target = targetOf(row.body);
    if (isControl(row.body)) {
      const held = target === undefined ? undefined : this.messages.get(target);
      if (target !== undefined && held !== undefined)
        this.messages.set(target, applyControl(held, row, ''));
      if (row.body?.delete !== undefined && target !== undefined) this.#redact(target);
    } else this.messages.set(row.sequence, { ...messageOf(row), changeSequence: row.sequence });
    return row;
  }

  service(body: Body, timeMs: number): LogRow {
    return this.add({ sequence: this.head + 1, timeMs, senderUserId: 'usr_server', body });
  }

  resource(user: UserId): ConversationResource {
    const member = this.members.get(user);
    const countable = this.rows.filter((row) => isCountable(row.body) || this.#wasMessage(row));
    const last = countable.at(-1);
    const unread = countable.filter(
      (row) => member !== undefined && row.sequence > member.read && row.senderUserId !== user,
    );
    const peer = [...this.members].find(([id]) => id !== user);
    return {
      conversationId: this.id,
      kind: this.kind,
      ...(this.name === '' ? {} : { name: this.name }),
      memberCount: this.members.size,
      epoch: this.epoch,
      head: this.head,
      messageCount: countable.length,
      createTimeMs: 1,
      ...(last === undefined ? {} : { lastMessage: this.messages.get(last.sequence) as Message }),
      ...(this.kind === 'direct' && peer !== undefined
        ? {
            peerUserId: peer[0],
            peerDeliveredThrough: peer[1].delivered,
            peerReadThrough: peer[1].read,
          }
        : {}),
      me:
        member === undefined
          ? { role: '' }
          : {
              role: member.role,
              historyFrom: member.historyFrom,
              readThrough: member.read,
              deliveredThrough: member.delivered,
              unreadCount: unread.length,
              mentionCount: unread.filter((row) => mentions(row, user)).length,
              ...this.#settings.get(user),
            },
    };
  }

  setMine(user: UserId, patch: object): void {
    this.#settings.set(user, { ...this.#settings.get(user), ...patch });
  }

  /** Messages in [from, through] that a page may show. */
  page(from: number, through: number): Message[] {
    const found: Message[] = [];
    for (let sequence = Math.max(1, from); sequence <= Math.min(through, this.head); sequence++) {
      const message = this.messages.get(sequence);
      if (message !== undefined) found.push(message);
    }
    return found;
  }

  changedAbove(cursor: number): Message[] {
    return this.page(1, cursor).filter((message) => changeOf(message) > cursor);
  }

  counts(sequence: number): ReceiptCounts {
    const sender = this.rows[sequence - 1]?.senderUserId;
    const recipients = [...this.members].filter(
      ([id, member]) => id !== sender && member.joinSequence < sequence,
    );
    const delivered = recipients.filter(([, member]) => member.delivered >= sequence).length;
    const read = recipients.filter(([, member]) => member.read >= sequence).length;
    return { sequence, of: recipients.length, queued: 0, delivered, read };
  }

  #wasMessage(row: LogRow): boolean {
    return row.body === undefined && this.messages.get(row.sequence)?.deleted === true;
  }

  #redact(sequence: number): void {
    const row = this.rows[sequence - 1];
    if (row === undefined) return;
    const { body: _body, ...rest } = row;
    this.rows[sequence - 1] = rest;
  }
}

function mentions(row: LogRow, user: UserId): boolean {
  return (row.body?.message?.text?.entities ?? []).some(
    (each) => each.type === 'mention_all' || each.userId === user,
  );
}

function refusal(reason: string, metadata?: Record<string, string>): { error: WireError } {
  return { error: { reason, message: reason, ...(metadata === undefined ? {} : { metadata }) } };
}
