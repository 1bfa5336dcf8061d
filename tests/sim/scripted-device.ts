/**
 * A device in the fewest lines that keep the contract: a durable outbox sent in order and repeated
 * until it is answered, cursors, a sync token stored behind what it covers, gaps closed by ListRows,
 * marks repeated after a break. It writes down all it does and sees. Thinner and more impatient than
 * the SDK: it pipelines as much as it may and leaves whenever it likes.
 */
import { encodeUuid } from '../../core/ids.ts';
import { REASONS, type Reason } from '../../core/reasons.ts';
import type { HistoryEvent } from '../checker/history.ts';
import type { Chance } from './chance.ts';
import type { DeviceSocketEvents, VirtualSocket } from './virtual-socket.ts';
import type { Scope } from './virtual-time.ts';
import { contentDigest, count, list, object, text, texts, type Json } from './wire.ts';

/** What a device needs of the world it lives in. */
export interface DeviceWorld {
  nowMs(): number;
  /** undefined = there is no way to any gateway now. */
  open(events: DeviceSocketEvents): VirtualSocket | undefined;
  /** What the log will call an address. */
  idOf(to: string): string;
  readonly events: HistoryEvent[];
  /** Something happened that no rule allows. */
  broken(what: string): void;
}

export interface DeviceParts {
  readonly name: string;
  readonly userId: string;
  readonly token: string;
  readonly scope: Scope;
  readonly chance: Chance;
  readonly world: DeviceWorld;
}

interface Pending {
  readonly op: string;
  readonly to: string;
  readonly clientSeq: number;
  after: number;
  readonly clientMessageId: string;
  readonly body: Json;
  readonly done: ((commit: Json | undefined) => void) | undefined;
  frameId: number;
}

interface Lane {
  last: number;
  accepted: number;
  isRetrying: boolean;
}

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

interface Call {
  readonly method: string;
  readonly request: Json;
  readonly done: (answer: Json | undefined, reason: string) => void;
  frameId: number;
}

const RECONNECT_MS = 300;
const RETRY_MS = 60;
const IN_FLIGHT_MAX = 16;
const REPORT_MS = 150;
const CURSORS_MAX = 50;
const CALL_RETRY_MS = 120;
const SILENCE_MS = 40_000;

export class ScriptedDevice {
  readonly name: string;
  readonly userId: string;
  readonly conversations: Map<string, KnownConversation> = new Map();
  readonly #parts: DeviceParts;
  readonly #world: DeviceWorld;
  readonly #outbox: string;
  readonly #pending: Pending[] = [];
  readonly #lanes = new Map<string, Lane>();
  readonly #calls: Call[] = [];
  #socket: VirtualSocket | undefined;
  #events: DeviceSocketEvents | undefined;
  #syncToken = '';
  #isReady = false;
  #isListed = false;
  /** Conversations heard of since the listing under way began. */
  #seen = new Set<string>();
  #isOffline = false;
  #nextFrame = 2;
  #nextOp = 1;
  #isReportDue = false;
  #heardMs = 0;
  connections = 0;

  constructor(parts: DeviceParts) {
    this.name = parts.name;
    this.userId = parts.userId;
    this.#parts = parts;
    this.#world = parts.world;
    this.#outbox = encodeUuid(parts.chance.uuid());
  }

  idOf(to: string): string {
    return this.#world.idOf(to);
  }

  get isReady(): boolean {
    return this.#isReady;
  }

  get unanswered(): number {
    return this.#pending.length + this.#calls.length;
  }

  get socket(): VirtualSocket | undefined {
    return this.#socket;
  }

  get isSettled(): boolean {
    if (this.unanswered > 0 || !this.#isReady || !this.#isListed) return false;
    for (const c of this.conversations.values())
      if (c.isMember && (c.isBehind || c.isFetching || c.cursor < c.head)) return false;
    return true;
  }

  start(): void {
    this.#connect();
    this.#parts.scope.every(5000, () => this.#watch());
  }

  /** Goes away for a while. */
  sleep(ms: number): void {
    this.#isOffline = true;
    this.#lost();
    this.#socket?.leave();
    this.#parts.scope.after(ms, () => this.wake());
  }

  wake(): void {
    if (!this.#isOffline) return;
    this.#isOffline = false;
    this.#connect();
  }

  // ---- what a person does

  send(to: string, body: Json, done?: (commit: Json | undefined) => void): string {
    const { events } = this.#world;
    const lane = this.#lane(to);
    const waiting = this.#pending.findLast((one) => one.to === to);
    const clientSeq = (lane.last += this.#parts.chance.is(0.1) ? 2 : 1);
    const op = `${this.name}/${this.#nextOp++}`;
    const clientMessageId = encodeUuid(this.#parts.chance.uuid());
    const after = waiting?.clientSeq ?? lane.accepted;
    const send = { op, to, clientSeq, after, clientMessageId, body, done, frameId: 0 };
    this.#pending.push(send);
    events.push({
      is: 'invoked',
      at: this.#world.nowMs(),
      op,
      user: this.userId,
      outbox: this.#outbox,
      clientSeq,
      clientMessageId,
      conversation: this.#world.idOf(to),
      content: contentDigest(body),
    });
    this.#pump(to);
    return op;
  }

  /** Asks until there is an answer that stands; `done` gets it, or the reason of the refusal. */
  call(method: string, request: Json, done: Call['done']): void {
    const call = { method, request, done, frameId: 0 };
    this.#calls.push(call);
    if (this.#isReady) this.#transmitCall(call);
  }

  markRead(id: string): void {
    const c = this.conversations.get(id);
    if (c === undefined || !c.isMember || c.cursor <= c.read) return;
    c.read = c.cursor;
    if (this.#isReady) this.#say({ receipt: { read: [mark(c, c.read)] } });
  }

  say(frame: Json): void {
    if (this.#isReady) this.#say(frame);
  }

  // ---- connection

  #connect(): void {
    if (this.#isOffline) return;
    const number = ++this.connections;
    const events: DeviceSocketEvents = {
      opened: () => this.#isCurrent(events) && this.#hello(),
      message: (message) => this.#isCurrent(events) && this.#message(message, number),
      closed: (code, reason) => this.#isCurrent(events) && this.#closed(code, reason),
    };
    this.#events = events;
    this.#heardMs = this.#parts.scope.monotonicMs();
    this.#socket = this.#world.open(events);
    if (this.#socket === undefined) this.#connectLater();
  }

  #isCurrent(events: DeviceSocketEvents): boolean {
    return this.#events === events && !this.#isOffline;
  }

  #hello(): void {
    const cursors = [...this.conversations.values()]
      .filter((c) => c.isMember && c.cursor > 0)
      .slice(-CURSORS_MAX)
      .map(({ id, epoch, cursor }) => ({ conversationId: id, epoch, sequence: cursor }));
    const resume =
      this.#syncToken === '' ? {} : { resume: { syncToken: this.#syncToken, cursors } };
    this.#say({ id: 1, hello: { token: this.#parts.token, ...resume } });
  }

  #closed(code: number, reason: string): void {
    this.#lost();
    if (code >= 4500 && reason !== 'REPLACED')
      this.#world.broken(`${this.name} was told never to come back: ${code} ${reason}`);
    this.#connectLater();
  }

  #lost(): void {
    this.#isReady = false;
    this.#events = undefined;
    for (const send of this.#pending) send.frameId = 0;
    for (const call of this.#calls) call.frameId = 0;
    for (const lane of this.#lanes.values()) lane.isRetrying = false;
  }

  #connectLater(): void {
    const { scope, chance } = this.#parts;
    scope.after(RECONNECT_MS * (0.2 + chance.unit()), () => {
      if (this.#events === undefined || this.#socket === undefined) this.#connect();
    });
  }

  /** A half-open connection: nothing was heard for too long. */
  #watch(): void {
    const silentMs = this.#parts.scope.monotonicMs() - this.#heardMs;
    if (this.#isOffline || this.#events === undefined || silentMs < SILENCE_MS) return;
    this.#socket?.leave();
    this.#lost();
    this.#connectLater();
  }

  #say(frame: Json): void {
    this.#socket?.say(JSON.stringify(frame));
  }

  // ---- frames

  #message(message: string, connection: number): void {
    this.#heardMs = this.#parts.scope.monotonicMs();
    const parsed: unknown = JSON.parse(message);
    for (const frame of Array.isArray(parsed) ? list(parsed) : [object(parsed)])
      this.#frame(frame, connection);
  }

  #frame(frame: Json, connection: number): void {
    const id = count(frame['id']);
    if ('ready' in frame) this.#ready(object(frame['ready']));
    else if ('commit' in frame) this.#committed(id, object(frame['commit']));
    else if ('result' in frame) this.#answered(id, object(frame['result']));
    else if ('error' in frame) this.#error(id, object(frame['error']));
    else if ('rows' in frame) this.#rows(object(frame['rows']), connection);
    else if ('heads' in frame) this.#heads(object(frame['heads']), connection);
    else if ('conversations' in frame) this.#views(object(frame['conversations']), connection);
    else if ('receipts' in frame) this.#receipts(object(frame['receipts']), connection);
    else if ('gap' in frame) this.#gap(object(frame['gap']), connection);
    else if ('caughtUp' in frame) this.#token(object(frame['caughtUp']));
    else if ('token' in frame) this.#token(object(frame['token']));
    else if ('ping' in frame) this.#say({ pong: {} });
  }

  #ready(ready: Json): void {
    this.#isReady = true;
    for (const c of this.conversations.values()) c.reported = 0;
    if (ready['resumed'] !== true) this.#listAll();
    for (const to of this.#lanes.keys()) this.#pump(to);
    for (const call of [...this.#calls]) this.#transmitCall(call);
    for (const c of this.conversations.values()) if (c.isBehind) this.#fetch(c);
    this.#repeatMarks();
  }

  #token(holder: Json): void {
    const token = text(holder['syncToken']);
    // Without a listing a token says nothing about what this device holds.
    if (token !== '' && this.#isListed) this.#syncToken = token;
  }

  #listAll(): void {
    this.#isListed = false;
    // What was pushed before this connection says nothing about now: from the beginning.
    const under = this.#calls.findIndex(({ method }) => method === 'Sync.ListConversations');
    if (under >= 0) this.#calls.splice(under, 1);
    this.#seen = new Set();
    this.#listPage('');
  }

  #listPage(pageToken: string): void {
    const request = { pageSize: 20, ...(pageToken === '' ? {} : { pageToken }) };
    this.call('Sync.ListConversations', request, (answer, reason) => {
      if (answer === undefined) {
        // A page token of another life: from the beginning.
        if (reason === 'BAD_PAGE_TOKEN') return this.#listPage('');
        return this.#world.broken(`${this.name} could not list: ${reason}`);
      }
      for (const item of list(answer['conversations'])) this.#view(item);
      const next = text(answer['nextPageToken']);
      if (next !== '') return this.#listPage(next);
      for (const c of this.conversations.values()) if (!this.#seen.has(c.id)) c.isMember = false;
      this.#isListed = true;
      this.#syncToken = text(answer['syncToken']);
    });
  }

  #views(frame: Json, connection: number): void {
    for (const item of list(frame['items'])) this.#view(item);
    for (const id of texts(frame['removed'])) {
      const c = this.conversations.get(id);
      if (c === undefined) continue;
      c.isMember = false;
      this.#jumped(c, connection);
    }
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
      this.#jumped(c, this.connections);
    }
    this.#heard(c, count(item['head']));
  }

  /** Instead of rows: order begins anew behind them. */
  #heads(frame: Json, connection: number): void {
    for (const item of list(frame['items'])) {
      const c = this.#conversation(text(item['conversationId']));
      this.#jumped(c, connection);
      c.isMember = true;
      c.epoch = count(item['epoch']);
      this.#heard(c, count(item['head']));
    }
  }

  #heard(c: KnownConversation, head: number): void {
    c.head = Math.max(c.head, head);
    if (c.cursor < c.head && c.isMember) this.#fetch(c);
  }

  #rows(frame: Json, connection: number): void {
    for (const item of list(frame['items'])) {
      const c = this.#conversation(text(item['conversationId']));
      c.epoch = count(item['epoch']);
      for (const row of list(item['rows'])) this.#row(c, row, `${this.name}#${connection}`);
      c.head = Math.max(c.head, count(item['head']));
      if (c.cursor < c.head) this.#fetch(c);
    }
    this.#reportSoon();
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
      user: this.userId,
      conversation: c.id,
      epoch: c.epoch,
      sequence: count(row['sequence']),
      clientMessageId: text(row['clientMessageId']),
      outbox: text(row['outboxId']),
      clientSeq: count(row['clientSeq']),
      content: contentDigest(row['body']),
      timeMs: count(row['timeMs']),
    });
  }

  #gap(gap: Json, connection: number): void {
    if (text(gap['scope']) === 'all') {
      for (const c of this.conversations.values()) this.#jumped(c, connection);
      if (this.#isReady) this.#listAll();
      return;
    }
    const c = this.#conversation(text(gap['conversationId']));
    this.#jumped(c, connection);
    c.isBehind = true;
    c.head = Math.max(c.head, count(gap['head']));
    this.#fetch(c);
  }

  #jumped(c: KnownConversation, connection: number): void {
    const reader = `${this.name}#${connection}`;
    this.#world.events.push({
      is: 'jumped',
      at: this.#world.nowMs(),
      reader,
      conversation: c.id,
      to: 0,
    });
  }

  /** Everything above the cursor, page by page. */
  #fetch(c: KnownConversation): void {
    c.isBehind = true;
    if (c.isFetching || !this.#isReady) return;
    c.isFetching = true;
    const asked = this.#world.nowMs();
    const cursor = { epoch: c.epoch, sequence: c.cursor };
    this.call(
      'Messages.ListRows',
      { conversationId: c.id, cursor, limit: 50 },
      (answer, reason) => {
        c.isFetching = false;
        if (answer === undefined) return this.#fetchRefused(c, reason);
        for (const row of list(answer['rows'])) {
          this.#note(c, row, { reader: this.name, from: 'page', at: asked });
          const sequence = count(row['sequence']);
          if (sequence !== c.cursor + 1 && sequence > c.cursor)
            this.#world.broken(
              `${this.name}: ListRows of ${c.id} skips to ${sequence} from ${c.cursor}`,
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
      this.call('Conversations.Get', { conversationId: c.id }, (answer) => {
        c.isBehind = false;
        if (answer === undefined) c.isMember = false;
        else this.#view(answer);
      });
    } else this.#world.broken(`${this.name}: ListRows of ${c.id} was refused: ${reason}`);
  }

  #receipts(frame: Json, connection: number): void {
    const conversation = text(frame['conversationId']);
    const write = (user: string, marks: Json, head: number): void => {
      this.#world.events.push({
        is: 'marked',
        at: this.#world.nowMs(),
        // Another gateway may be behind: within a connection they never fall, over two they may.
        reader: `${this.name}#${connection}`,
        user,
        conversation,
        deliveredThrough: count(marks['deliveredThrough']),
        readThrough: count(marks['readThrough']),
        head,
      });
    };
    const me = object(frame['me']);
    if ('me' in frame) {
      write(this.userId, me, count(me['head']));
      const c = this.#conversation(conversation);
      this.#heard(c, count(me['head']));
    }
    const peer = object(frame['peer']);
    if ('peer' in frame) write(text(peer['userId']), peer, Number.MAX_SAFE_INTEGER);
  }

  // ---- marks

  #reportSoon(): void {
    if (this.#isReportDue) return;
    this.#isReportDue = true;
    this.#parts.scope.after(REPORT_MS, () => {
      this.#isReportDue = false;
      this.#report();
    });
  }

  #report(): void {
    if (!this.#isReady) return;
    const delivered: Json[] = [];
    for (const c of this.conversations.values()) {
      if (!c.isMember || c.cursor <= c.reported || c.cursor === 0) continue;
      c.reported = c.cursor;
      delivered.push(mark(c, c.cursor));
    }
    if (delivered.length > 0) this.#say({ receipt: { delivered } });
  }

  #repeatMarks(): void {
    this.#report();
    const read = [...this.conversations.values()]
      .filter((c) => c.isMember && c.read > 0)
      .map((c) => mark(c, c.read));
    if (read.length > 0) this.#say({ receipt: { read } });
  }

  // ---- sends

  #lane(to: string): Lane {
    let lane = this.#lanes.get(to);
    if (lane === undefined)
      this.#lanes.set(to, (lane = { last: 0, accepted: 0, isRetrying: false }));
    return lane;
  }

  /** Puts on the wire what may be, in order. */
  #pump(to: string): void {
    if (!this.#isReady || this.#lane(to).isRetrying) return;
    const sends = this.#pending.filter((send) => send.to === to);
    let inFlight = sends.filter((send) => send.frameId > 0).length;
    for (const send of sends) {
      if (inFlight >= IN_FLIGHT_MAX) return;
      if (send.frameId > 0) continue;
      inFlight++;
      this.#transmit(send);
    }
  }

  #transmit(send: Pending): void {
    send.frameId = this.#nextFrame++;
    const { to, clientSeq, after, clientMessageId, body } = send;
    const outboxId = this.#outbox;
    this.#say({
      id: send.frameId,
      send: { to, outboxId, clientSeq, after, clientMessageId, body },
    });
  }

  #committed(frameId: number, commit: Json): void {
    const send = this.#take(frameId);
    if (send === undefined) return;
    const lane = this.#lane(send.to);
    lane.accepted = Math.max(lane.accepted, send.clientSeq);
    const [sequence, timeMs] = [count(commit['sequence']), count(commit['timeMs'])];
    const at = this.#world.nowMs();
    this.#world.events.push({ is: 'committed', at, op: send.op, sequence, timeMs });
    send.done?.(commit);
    this.#pump(send.to);
  }

  #take(frameId: number): Pending | undefined {
    const i = this.#pending.findIndex((send) => send.frameId === frameId);
    return i < 0 ? undefined : this.#pending.splice(i, 1)[0];
  }

  #error(frameId: number, error: Json): void {
    const reason = text(error['reason']);
    const call = this.#calls.find((one) => one.frameId === frameId);
    if (call !== undefined) return this.#callRefused(call, reason);
    const send = this.#pending.find((one) => one.frameId === frameId);
    if (send === undefined) {
      if (frameId === 1 || frameId === 0) return;
      return;
    }
    if (reason !== 'OUT_OF_ORDER' && isFinal(reason)) return this.#sendRefused(send, reason);
    send.frameId = 0;
    if (reason === 'OUT_OF_ORDER') this.#renumber(send);
    const lane = this.#lane(send.to);
    if (lane.isRetrying) return;
    lane.isRetrying = true;
    this.#parts.scope.after(RETRY_MS, () => {
      lane.isRetrying = false;
      this.#pump(send.to);
    });
  }

  /** `after` anew: whatever stands before it in the outbox, else what was accepted last. */
  #renumber(send: Pending): void {
    const before = this.#pending.findLast(
      (one) => one.to === send.to && one.clientSeq < send.clientSeq,
    );
    send.after = before?.clientSeq ?? this.#lane(send.to).accepted;
  }

  #sendRefused(send: Pending, reason: string): void {
    this.#pending.splice(this.#pending.indexOf(send), 1);
    this.#world.events.push({ is: 'refused', at: this.#world.nowMs(), op: send.op, reason });
    if (!EXPECTED.has(reason)) this.#world.broken(`${send.op} was refused with ${reason}`);
    send.done?.(undefined);
    this.#pump(send.to);
  }

  // ---- calls

  #transmitCall(call: Call): void {
    call.frameId = this.#nextFrame++;
    const { method, request } = call;
    this.#say({ id: call.frameId, call: { method, request } });
  }

  #answered(frameId: number, answer: Json): void {
    const i = this.#calls.findIndex((one) => one.frameId === frameId);
    if (i >= 0) this.#calls.splice(i, 1)[0]?.done(answer, '');
  }

  #callRefused(call: Call, reason: string): void {
    if (isFinal(reason)) {
      this.#calls.splice(this.#calls.indexOf(call), 1);
      call.done(undefined, reason);
      return;
    }
    call.frameId = 0;
    this.#parts.scope.after(CALL_RETRY_MS, () => {
      if (this.#isReady && call.frameId === 0 && this.#calls.includes(call))
        this.#transmitCall(call);
    });
  }

  #conversation(id: string): KnownConversation {
    let c = this.conversations.get(id);
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
      this.conversations.set(id, c);
    }
    return c;
  }
}

/** Refusals that the random talk of a world may earn. */
const EXPECTED: ReadonlySet<string> = new Set([
  'NOT_A_MEMBER',
  'ROLE_REQUIRED',
  'CONVERSATION_UNKNOWN',
  'CONVERSATION_CLOSED',
  'TARGET_DELETED',
  'MESSAGE_UNKNOWN',
  'EDIT_WINDOW_PASSED',
]);

function isFinal(reason: string): boolean {
  const rule = REASONS[reason as Reason];
  return (
    rule === undefined || rule.retry === 'never' || rule.retry === 'fix' || rule.retry === 'reread'
  );
}

function mark(c: KnownConversation, sequence: number): Json {
  return { conversationId: c.id, epoch: c.epoch, sequence };
}
