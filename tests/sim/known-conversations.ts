/**
 * What a device knows of conversations: rows in order up to a cursor, gaps closed by ListRows, marks
 * reported and repeated after a break, and a sync token stored behind what it covers. All that it sees
 * goes into the history.
 */
import type { DeviceCalls } from './device-calls.ts';
import type { DeviceLine, DeviceParts, DeviceWorld } from './device-world.ts';
import { contentDigest, count, list, object, seenOf, text, texts, type Json } from './wire.ts';

export interface KnownRow {
  readonly clientMessageId: string;
  readonly sender: string;
  content: string;
  readonly isMessage: boolean;
}

export interface KnownConversation {
  readonly id: string;
  epoch: number;
  /** Through this row everything readable is here. */
  cursor: number;
  /** Highest row that this device heard of. */
  head: number;
  isBehind: boolean;
  isFetching: boolean;
  isMember: boolean;
  reported: number;
  read: number;
  readonly rows: Map<number, KnownRow>;
}

const REPORT_MS = 150;
const CURSORS_MAX = 50;

export class KnownConversations {
  readonly byId: Map<string, KnownConversation> = new Map();
  readonly #parts: DeviceParts;
  readonly #world: DeviceWorld;
  readonly #line: DeviceLine;
  readonly #calls: DeviceCalls;
  #syncToken = '';
  #isListed = false;
  /** Conversations heard of since the listing under way began. */
  #seen = new Set<string>();
  #isReportDue = false;

  constructor(parts: DeviceParts, line: DeviceLine, calls: DeviceCalls) {
    this.#parts = parts;
    this.#world = parts.world;
    this.#line = line;
    this.#calls = calls;
  }

  /** Everything that it may read is here, as far as it knows. */
  get isComplete(): boolean {
    if (!this.#isListed) return false;
    for (const c of this.byId.values())
      if (c.isMember && (c.isBehind || c.isFetching || c.cursor < c.head)) return false;
    return true;
  }

  /** What a hello says of it. */
  resume(): Json {
    if (this.#syncToken === '') return {};
    const cursors = [...this.byId.values()]
      .filter((c) => c.isMember && c.cursor > 0)
      .slice(-CURSORS_MAX)
      .map(({ id, epoch, cursor }) => ({ conversationId: id, epoch, sequence: cursor }));
    return { resume: { syncToken: this.#syncToken, cursors } };
  }

  /** A connection: unless it resumed what was known, everything is listed anew. */
  ready(isResumed: boolean): void {
    for (const c of this.byId.values()) c.reported = 0;
    if (!isResumed) this.#listAll();
  }

  /** The server can be asked for what is missing, and told again what it may have forgotten. */
  catchUp(): void {
    for (const c of this.byId.values()) if (c.isBehind) this.#fetch(c);
    this.#repeatMarks();
  }

  markRead(id: string): void {
    const c = this.byId.get(id);
    if (c === undefined || !c.isMember || c.cursor <= c.read) return;
    c.read = c.cursor;
    if (this.#line.isReady) this.#line.say({ receipt: { read: [mark(c, c.read)] } });
  }

  token(holder: Json): void {
    const token = text(holder['syncToken']);
    // Without a listing a token says nothing about what this device holds.
    if (token !== '' && this.#isListed) this.#syncToken = token;
  }

  views(frame: Json): void {
    for (const item of list(frame['items'])) this.#view(item);
    for (const id of texts(frame['removed'])) {
      const c = this.byId.get(id);
      if (c === undefined) continue;
      c.isMember = false;
      this.#jumped(c);
    }
  }

  /** Instead of rows: order begins anew behind them. */
  heads(frame: Json): void {
    for (const item of list(frame['items'])) {
      const c = this.#conversation(text(item['conversationId']));
      this.#jumped(c);
      c.isMember = true;
      c.epoch = count(item['epoch']);
      this.#heard(c, count(item['head']));
    }
  }

  rows(frame: Json): void {
    for (const item of list(frame['items'])) {
      const c = this.#conversation(text(item['conversationId']));
      c.epoch = count(item['epoch']);
      for (const row of list(item['rows'])) this.#row(c, row, this.#line.reader);
      c.head = Math.max(c.head, count(item['head']));
      if (c.cursor < c.head) this.#fetch(c);
    }
    this.#reportSoon();
  }

  gap(gap: Json): void {
    if (text(gap['scope']) === 'all') {
      for (const c of this.byId.values()) this.#jumped(c);
      if (this.#line.isReady) this.#listAll();
      return;
    }
    const c = this.#conversation(text(gap['conversationId']));
    this.#jumped(c);
    c.isBehind = true;
    c.head = Math.max(c.head, count(gap['head']));
    this.#fetch(c);
  }

  receipts(frame: Json): void {
    const conversation = text(frame['conversationId']);
    const write = (user: string, marks: Json, head: number): void => {
      this.#world.events.push({
        is: 'marked',
        at: this.#world.nowMs(),
        // Another gateway may be behind: within a connection they never fall, over two they may.
        reader: this.#line.reader,
        user,
        conversation,
        deliveredThrough: count(marks['deliveredThrough']),
        readThrough: count(marks['readThrough']),
        head,
      });
    };
    const me = object(frame['me']);
    if ('me' in frame) {
      write(this.#parts.userId, me, count(me['head']));
      const c = this.#conversation(conversation);
      this.#heard(c, count(me['head']));
    }
    const peer = object(frame['peer']);
    if ('peer' in frame) write(text(peer['userId']), peer, Number.MAX_SAFE_INTEGER);
  }

  #listAll(): void {
    this.#isListed = false;
    // What was pushed before this connection says nothing about now: from the beginning.
    this.#calls.withdraw('Sync.ListConversations');
    this.#seen = new Set();
    this.#listPage('');
  }

  #listPage(pageToken: string): void {
    const request = { pageSize: 20, ...(pageToken === '' ? {} : { pageToken }) };
    this.#calls.call('Sync.ListConversations', request, (answer, reason) => {
      if (answer === undefined) {
        // A page token of another life: from the beginning.
        if (reason === 'BAD_PAGE_TOKEN') return this.#listPage('');
        return this.#world.broken(`${this.#parts.name} could not list: ${reason}`);
      }
      for (const item of list(answer['conversations'])) this.#view(item);
      const next = text(answer['nextPageToken']);
      if (next !== '') return this.#listPage(next);
      for (const c of this.byId.values()) if (!this.#seen.has(c.id)) c.isMember = false;
      this.#isListed = true;
      this.#syncToken = text(answer['syncToken']);
    });
  }

  #view(item: Json): void {
    const c = this.#conversation(text(item['conversationId']));
    const me = object(item['me']);
    c.isMember = text(me['role']) !== '';
    if (c.isMember) this.#seen.add(c.id);
    c.epoch = count(item['epoch']);
    const from = count(me['historyFrom']);
    // What may not be read is not missing.
    if (c.cursor < from - 1) {
      c.cursor = from - 1;
      this.#jumped(c);
    }
    this.#heard(c, count(item['head']));
    // It may have been too busy to take what it was told, and said nothing.
    c.reported = Math.min(c.reported, count(me['deliveredThrough']));
    this.#reportSoon();
    if (this.#line.isReady && count(me['readThrough']) < c.read)
      this.#line.say({ receipt: { read: [mark(c, c.read)] } });
  }

  #heard(c: KnownConversation, head: number): void {
    c.head = Math.max(c.head, head);
    if (c.cursor < c.head && c.isMember) this.#fetch(c);
  }

  #row(c: KnownConversation, row: Json, reader: string): void {
    const sequence = count(row['sequence']);
    this.#note(c, row, { reader, from: 'push', at: this.#world.nowMs() });
    if (sequence <= c.cursor) return;
    // Only what is pushed says so: a page may have been read before a removal that was told since.
    c.isMember = true;
    if (sequence === c.cursor + 1) {
      this.#keep(c, row);
      c.cursor = sequence;
      return;
    }
    c.head = Math.max(c.head, sequence);
    this.#fetch(c);
  }

  #keep(c: KnownConversation, row: Json): void {
    const sequence = count(row['sequence']);
    const clientMessageId = text(row['clientMessageId']);
    const sender = text(row['senderUserId']);
    const isMessage = 'message' in object(row['body']);
    c.rows.set(sequence, {
      clientMessageId,
      sender,
      content: contentDigest(row['body']),
      isMessage,
    });
  }

  #note(
    c: KnownConversation,
    row: Json,
    how: { readonly reader: string; readonly from: 'push' | 'page'; readonly at: number },
  ): void {
    this.#world.events.push({
      is: 'seen',
      ...how,
      user: this.#parts.userId,
      conversation: c.id,
      epoch: c.epoch,
      ...seenOf(row),
    });
  }

  #jumped(c: KnownConversation): void {
    this.#world.events.push({
      is: 'jumped',
      at: this.#world.nowMs(),
      reader: this.#line.reader,
      conversation: c.id,
      to: 0,
    });
  }

  /** Everything above the cursor, page by page. */
  #fetch(c: KnownConversation): void {
    c.isBehind = true;
    if (c.isFetching || !this.#line.isReady) return;
    c.isFetching = true;
    const asked = this.#world.nowMs();
    const cursor = { epoch: c.epoch, sequence: c.cursor };
    this.#calls.call(
      'Messages.ListRows',
      { conversationId: c.id, cursor, limit: 50 },
      (answer, reason) => {
        c.isFetching = false;
        if (answer === undefined) return this.#fetchRefused(c, reason);
        for (const row of list(answer['rows'])) {
          this.#note(c, row, { reader: this.#parts.name, from: 'page', at: asked });
          const sequence = count(row['sequence']);
          if (sequence !== c.cursor + 1 && sequence > c.cursor)
            this.#world.broken(
              `${this.#parts.name}: ListRows of ${c.id} skips to ${sequence} from ${c.cursor}`,
            );
          if (sequence <= c.cursor) continue;
          this.#keep(c, row);
          c.cursor = sequence;
        }
        c.head = Math.max(c.head, count(answer['head']));
        this.#reportSoon();
        if (c.cursor < c.head) this.#fetch(c);
        else c.isBehind = false;
      },
    );
  }

  #fetchRefused(c: KnownConversation, reason: string): void {
    if (reason === 'NOT_A_MEMBER' || reason === 'CONVERSATION_UNKNOWN') {
      c.isBehind = false;
      c.isMember = false;
    } else if (reason === 'CURSOR_TRUNCATED') {
      // Joined again since: what was missed meanwhile may not be read. The view says from where.
      this.#calls.call('Conversations.Get', { conversationId: c.id }, (answer) => {
        c.isBehind = false;
        if (answer === undefined) c.isMember = false;
        else this.#view(answer);
      });
    } else this.#world.broken(`${this.#parts.name}: ListRows of ${c.id} was refused: ${reason}`);
  }

  #reportSoon(): void {
    if (this.#isReportDue) return;
    this.#isReportDue = true;
    this.#parts.scope.after(REPORT_MS, () => {
      this.#isReportDue = false;
      this.#report();
    });
  }

  #report(): void {
    if (!this.#line.isReady) return;
    const delivered: Json[] = [];
    for (const c of this.byId.values()) {
      if (!c.isMember || c.cursor <= c.reported || c.cursor === 0) continue;
      c.reported = c.cursor;
      delivered.push(mark(c, c.cursor));
    }
    if (delivered.length > 0) this.#line.say({ receipt: { delivered } });
  }

  #repeatMarks(): void {
    this.#report();
    const read = [...this.byId.values()]
      .filter((c) => c.isMember && c.read > 0)
      .map((c) => mark(c, c.read));
    if (read.length > 0) this.#line.say({ receipt: { read } });
  }

  #conversation(id: string): KnownConversation {
    let c = this.byId.get(id);
    if (c === undefined) {
      c = {
        id,
        epoch: 0,
        cursor: 0,
        head: 0,
        isBehind: false,
        isFetching: false,
        isMember: false,
        reported: 0,
        read: 0,
        rows: new Map(),
      };
      this.byId.set(id, c);
    }
    return c;
  }
}

function mark(c: KnownConversation, sequence: number): Json {
  return { conversationId: c.id, epoch: c.epoch, sequence };
}
