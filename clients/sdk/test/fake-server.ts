/**
 * The server's side of CONTRACT §3 and §6 in memory, as far as the SDK's invariants need it, with the
 * faults they are about: replies lost, pushes repeated, dropped or late, connections cut.
 */
import type {
  ClientFrame,
  ConversationId,
  Cursor,
  LogRow,
  ReceiptMark,
  ServerFrame,
  UserId,
} from '../src/contract.ts';
import { directConversationId, groupConversationId } from '../src/ids.ts';
import type { Transport, TransportConnection, TransportEvents } from '../src/transport.ts';
import { FakeConversation } from './fake-conversation.ts';
import { changedPage, pageOf } from './fake-pages.ts';

/** Rows given on resume, over all conversations named; beyond it a gap. */
export const RESUME_ROWS_MAX = 256;

export class FakeServer {
  readonly conversations: Map<ConversationId, FakeConversation> = new Map();
  readonly connections: Set<FakeConnection> = new Set();
  readonly users: Map<UserId, string> = new Map();
  /** Every attempt to open a connection. */
  attempts = 0;
  isUp = true;
  /** Tokens refused, with the reason. */
  readonly refusedTokens: Map<string, string> = new Map();
  readonly calls: string[] = [];
  /** May replace or lose a frame on its way to a client. */
  onFrame: (frame: ServerFrame, connection: FakeConnection) => readonly ServerFrame[] = (frame) => [
    frame,
  ];
  /** May refuse a request before it is looked at. */
  onRequest: (frame: ClientFrame, connection: FakeConnection) => ServerFrame | undefined = () =>
    undefined;
  /** Messages in a page are too large for more than this. */
  pageMessagesMax: number = Number.POSITIVE_INFINITY;
  timeMs = 1_000;
  #changes = 0;

  transport(userId: UserId, deviceId: string): Transport {
    return {
      name: 'websocket',
      open: (_url, events) => {
        this.attempts += 1;
        const connection = new FakeConnection(this, { userId, deviceId }, events);
        queueMicrotask(() => connection.begin());
        return connection;
      },
    };
  }

  direct(a: UserId, b: UserId): FakeConversation {
    const id = directConversationId(a, b);
    let held = this.conversations.get(id);
    if (held === undefined) {
      held = new FakeConversation(id, 'direct');
      held.members.set(a, {
        role: 'member',
        joinSequence: 0,
        read: 0,
        delivered: 0,
        historyFrom: 1,
      });
      held.members.set(b, {
        role: 'member',
        joinSequence: 0,
        read: 0,
        delivered: 0,
        historyFrom: 1,
      });
      this.conversations.set(id, held);
    }
    return held;
  }

  group(
    creator: UserId,
    requestId: string,
    o: { name: string; members: readonly UserId[] },
  ): FakeConversation {
    const id = groupConversationId(creator, requestId);
    const held = this.conversations.get(id);
    if (held !== undefined) return held;
    const made = new FakeConversation(id, 'group');
    made.name = o.name;
    made.members.set(creator, {
      role: 'owner',
      joinSequence: 0,
      read: 1,
      delivered: 1,
      historyFrom: 1,
    });
    for (const user of o.members)
      made.members.set(user, {
        role: 'member',
        joinSequence: 0,
        read: 1,
        delivered: 1,
        historyFrom: 1,
      });
    this.conversations.set(id, made);
    const row = made.service({ created: { name: o.name, userIds: o.members } }, this.tick());
    this.touch(made);
    for (const user of made.members.keys())
      this.toUser(user, { conversations: { items: [made.resource(user)] } });
    this.fanOut(made, row, undefined);
    return made;
  }

  /** Another's message, as if sent by REST. */
  say(conversation: FakeConversation, user: UserId, text: string, more: object = {}): LogRow {
    return this.append(conversation, user, { message: { text: { body: text }, ...more } });
  }

  append(conversation: FakeConversation, user: UserId, body: LogRow['body']): LogRow {
    const sequence = conversation.head + 1;
    const row: LogRow = {
      sequence,
      timeMs: this.tick(),
      senderUserId: user,
      senderDeviceId: 'dev_other',
      clientMessageId: `00000000-0000-4000-8000-${String(this.#changes).padStart(12, '0')}`,
      ...(body === undefined ? {} : { body }),
    };
    conversation.add(row);
    this.touch(conversation);
    this.fanOut(conversation, row, undefined);
    return row;
  }

  tick(): number {
    this.timeMs += 1;
    return this.timeMs;
  }

  touch(conversation: FakeConversation): void {
    this.#changes += 1;
    conversation.changedAt = this.#changes;
  }

  token(): string {
    return `t${this.#changes}`;
  }

  fanOut(conversation: FakeConversation, row: LogRow, sender: FakeConnection | undefined): void {
    for (const user of conversation.members.keys())
      for (const connection of this.of(user)) {
        if (row.sequence === 1 && conversation.kind === 'direct')
          connection.push({ conversations: { items: [conversation.resource(user)] } });
        connection.push({
          rows: {
            items: [
              {
                conversationId: conversation.id,
                epoch: conversation.epoch,
                head: conversation.head,
                rows: [connection === sender ? stub(row) : row],
              },
            ],
          },
        });
        connection.push({ token: { syncToken: this.token() } });
      }
  }

  toUser(user: UserId, frame: ServerFrame): void {
    for (const connection of this.of(user)) connection.push(frame);
  }

  of(user: UserId): FakeConnection[] {
    return [...this.connections].filter((each) => each.userId === user && each.isReady);
  }

  mark(user: UserId, kind: 'read' | 'delivered', mark: ReceiptMark): void {
    const conversation = this.conversations.get(mark.conversationId);
    const member = conversation?.members.get(user);
    if (conversation === undefined || member === undefined) return;
    const through = Math.min(mark.sequence, conversation.head);
    if (kind === 'read') member.read = Math.max(member.read, through);
    member.delivered = Math.max(member.delivered, through);
    this.touch(conversation);
    const {
      readThrough = 0,
      deliveredThrough = 0,
      unreadCount = 0,
      mentionCount = 0,
    } = conversation.resource(user).me ?? {};
    const me = {
      readThrough,
      deliveredThrough,
      unreadCount,
      mentionCount,
      head: conversation.head,
    };
    this.toUser(user, { receipts: { conversationId: conversation.id, me } });
    for (const other of conversation.members.keys()) {
      if (other === user) continue;
      if (conversation.kind === 'direct')
        this.toUser(other, {
          receipts: {
            conversationId: conversation.id,
            peer: { userId: user, deliveredThrough: member.delivered, readThrough: member.read },
          },
        });
      else {
        const own = conversation.rows.filter((row) => row.senderUserId === other);
        const counts = own.map((row) => conversation.counts(row.sequence));
        this.toUser(other, { receipts: { conversationId: conversation.id, counts } });
      }
    }
  }

  /** Ends every connection, as a fallen network does. */
  cut(): void {
    for (const connection of [...this.connections]) connection.cut();
  }
}

export class FakeConnection implements TransportConnection {
  readonly userId: UserId;
  readonly deviceId: string;
  isReady = false;
  /** Frames this client sent. */
  readonly heard: ClientFrame[] = [];
  readonly #server: FakeServer;
  readonly #events: TransportEvents;
  #isClosed = false;
  #out: ServerFrame[] = [];

  constructor(
    server: FakeServer,
    who: { readonly userId: UserId; readonly deviceId: string },
    events: TransportEvents,
  ) {
    this.#server = server;
    this.userId = who.userId;
    this.deviceId = who.deviceId;
    this.#events = events;
  }

  begin(): void {
    if (this.#isClosed) return;
    if (!this.#server.isUp) return this.cut();
    this.#server.connections.add(this);
    this.#events.opened();
  }

  send(frames: readonly ClientFrame[]): void {
    if (this.#isClosed) return;
    const copies = JSON.parse(JSON.stringify(frames)) as ClientFrame[];
    queueMicrotask(() => {
      for (const frame of copies) if (!this.#isClosed) this.#take(frame);
    });
  }

  close(): void {
    this.#isClosed = true;
    this.#server.connections.delete(this);
  }

  cut(code = 1006, reason = ''): void {
    if (this.#isClosed) return;
    this.close();
    queueMicrotask(() => this.#events.closed(code, reason));
  }

  push(frame: ServerFrame): void {
    if (this.#isClosed) return;
    for (const each of this.#server.onFrame(frame, this)) this.#emit(each);
  }

  /** As it is, whatever the faults. */
  pushRaw(frame: ServerFrame): void {
    this.#emit(frame);
  }

  #emit(frame: ServerFrame): void {
    this.#out.push(JSON.parse(JSON.stringify(frame)) as ServerFrame);
    if (this.#out.length > 1) return;
    queueMicrotask(() => {
      const frames = this.#out;
      this.#out = [];
      if (!this.#isClosed) this.#events.frames(frames);
    });
  }

  #take(frame: ClientFrame): void {
    this.heard.push(frame);
    const refused = this.#server.onRequest(frame, this);
    if (refused !== undefined) return this.push({ id: frame.id ?? 0, ...refused });
    const id = frame.id ?? 0;
    if (frame.hello !== undefined) this.#hello(id, frame.hello);
    else if (frame.send !== undefined) this.#send(id, frame.send);
    else if (frame.call !== undefined) this.#call(id, frame.call);
    else if (frame.receipt !== undefined) {
      for (const mark of frame.receipt.delivered ?? [])
        this.#server.mark(this.userId, 'delivered', mark);
      for (const mark of frame.receipt.read ?? []) this.#server.mark(this.userId, 'read', mark);
    } else if (frame.ping !== undefined) this.push({ pong: {} });
  }

  #hello(id: number, hello: NonNullable<ClientFrame['hello']>): void {
    const refused = this.#server.refusedTokens.get(hello.token);
    if (refused !== undefined) {
      this.push({ id, error: { reason: refused } });
      return;
    }
    for (const other of [...this.#server.connections])
      if (other !== this && other.isReady && other.deviceId === this.deviceId)
        other.cut(4505, 'REPLACED');
    this.isReady = true;
    const resumed = hello.resume !== undefined;
    this.push({
      id,
      ready: {
        resumed,
        serverTimeMs: this.#server.timeMs,
        reconnect: { baseMs: 500, maxMs: 30_000 },
        userId: this.userId,
        deviceId: this.deviceId,
        epoch: 7,
      },
    });
    if (hello.resume !== undefined) this.#resume(hello.resume.syncToken, hello.resume.cursors);
    this.push({ caughtUp: resumed ? { syncToken: this.#server.token() } : {} });
  }

  #resume(
    token: string,
    cursors: readonly (Cursor & { readonly conversationId: ConversationId })[],
  ): void {
    const since = Number(token.slice(1));
    const changed = [...this.#server.conversations.values()].filter(
      (each) => each.changedAt > since && each.members.has(this.userId),
    );
    const items = changed.map((each) => each.resource(this.userId));
    if (items.length > 0) this.push({ conversations: { items } });
    let room = RESUME_ROWS_MAX;
    for (const conversation of changed) {
      const cursor = cursors.find((each) => each.conversationId === conversation.id);
      if (cursor === undefined) continue;
      const from = cursor.sequence ?? 0;
      const rows = conversation.rows.slice(from);
      const { id: conversationId, head, epoch } = conversation;
      if (rows.length > room)
        this.push({ gap: { scope: 'conversation', conversationId, from: from + 1, head, epoch } });
      else if (rows.length > 0)
        this.push({ rows: { items: [{ conversationId, epoch, head, rows }] } });
      room -= Math.min(room, rows.length);
    }
  }

  #send(id: number, request: NonNullable<ClientFrame['send']>): void {
    const server = this.#server;
    const peer = request.to.startsWith('direct:') ? request.to.slice(7) : undefined;
    const conversation =
      peer === undefined ? server.conversations.get(request.to) : server.direct(this.userId, peer);
    if (conversation === undefined) {
      this.push({ id, error: { reason: 'CONVERSATION_UNKNOWN' } });
      return;
    }
    const appended = conversation.append(this.userId, this.deviceId, request, server.tick());
    if ('error' in appended) {
      this.push({ id, error: appended.error });
      return;
    }
    const { row, isReplay } = appended;
    if (!isReplay) {
      server.touch(conversation);
      server.fanOut(conversation, row, this);
    }
    this.push({
      id,
      commit: {
        conversationId: conversation.id,
        sequence: row.sequence,
        timeMs: row.timeMs ?? 0,
        ...(isReplay ? { replayed: true } : {}),
      },
    });
  }

  #call(id: number, call: { readonly method: string; readonly request: unknown }): void {
    this.#server.calls.push(call.method);
    const answer = this.#answer(call.method, call.request as Record<string, unknown>);
    this.push(
      answer === undefined
        ? { id, error: { reason: 'CONVERSATION_UNKNOWN' } }
        : { id, result: answer },
    );
  }

  #answer(method: string, request: Record<string, unknown>): object | undefined {
    const server = this.#server;
    const conversation = server.conversations.get(String(request['conversationId']));
    switch (method) {
      case 'Sync.ListConversations':
        return this.#list(Number(request['pageToken'] ?? 0), Number(request['pageSize'] ?? 50));
      case 'Sync.SyncConversation':
        return conversation && this.#sync(conversation, request);
      case 'Messages.ListRows':
        return conversation && this.#listRows(conversation, request);
      case 'Messages.List':
        return conversation && this.#page(conversation, request);
      case 'Conversations.Get':
        // Who is none of its members does not hear of it.
        return conversation?.members.has(this.userId) === true
          ? conversation.resource(this.userId)
          : undefined;
      case 'Conversations.ListMembers':
        return { members: [...(conversation?.members.keys() ?? [])].map((userId) => ({ userId })) };
      case 'Conversations.SetMyState':
        conversation?.setMine(this.userId, request['me'] as object);
        return conversation?.resource(this.userId);
      case 'Conversations.Create':
        return server
          .group(this.userId, String(request['requestId']), {
            name: String(request['name']),
            members: request['members'] as UserId[],
          })
          .resource(this.userId);
      case 'Messages.ListReceipts':
        return { counts: conversation?.counts(Number(request['sequence'])), receipts: [] };
      case 'Users.Get':
        return { userId: this.userId, displayName: server.users.get(this.userId) ?? '' };
      case 'Users.Search': {
        const ids = (request['ids'] as UserId[] | undefined) ?? [...server.users.keys()];
        return {
          users: ids.map((userId) => ({ userId, displayName: server.users.get(userId) ?? '' })),
        };
      }
      default:
        return undefined;
    }
  }

  #listRows(conversation: FakeConversation, request: Record<string, unknown>): object {
    const after = (request['cursor'] as Cursor | undefined)?.sequence ?? 0;
    const rows = conversation.rows.slice(after, after + Number(request['limit'] ?? 50));
    const sequence = rows.at(-1)?.sequence ?? after;
    return { rows, cursor: { epoch: conversation.epoch, sequence }, head: conversation.head };
  }

  #list(from: number, size: number): object {
    const mine = [...this.#server.conversations.values()]
      .filter((each) => each.members.has(this.userId) && each.head > 0)
      .sort((a, b) => b.changedAt - a.changedAt);
    const conversations = mine.slice(from, from + size).map((each) => each.resource(this.userId));
    return from + size < mine.length
      ? { conversations, nextPageToken: String(from + size) }
      : { conversations, syncToken: this.#server.token() };
  }

  #sync(conversation: FakeConversation, request: Record<string, unknown>): object {
    const cursor = (request['cursor'] as Cursor | undefined)?.sequence ?? 0;
    const limit = Number(request['limit'] ?? 50);
    const most = this.#server.pageMessagesMax;
    const changesAbove = Number(request['pageToken'] ?? cursor);
    const changed = changedPage(conversation, cursor, { above: changesAbove, most });
    if (request['pageToken'] !== undefined) return changed;
    const above = conversation.page(cursor + 1, conversation.head);
    const messages = above.slice(-Math.min(limit, most));
    const before = messages[0]?.sequence ?? conversation.head + 1;
    return {
      ...changed,
      messages,
      ...(above.length > messages.length ? { hole: { after: cursor, before } } : {}),
      conversation: conversation.resource(this.userId),
      cursor: { epoch: conversation.epoch, sequence: conversation.head },
    };
  }

  #page(conversation: FakeConversation, request: Record<string, unknown>): object {
    const first = conversation.members.get(this.userId)?.historyFrom ?? 1;
    return pageOf(conversation, request, { first, most: this.#server.pageMessagesMax });
  }
}

/** Own rows come bodiless on the connection that sent them. */
function stub(row: LogRow): LogRow {
  const { body: _body, ...rest } = row;
  return rest;
}
