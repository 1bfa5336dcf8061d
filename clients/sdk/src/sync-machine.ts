/**
 * Sync as a pure machine (S7, S8, CONTRACT §3, §6): frames and answers in; out comes what the cache
 * must hold, written in one transaction with the sync token of the same batch, and what else is owed.
 * It knows every conversation by its ConversationLog; the messages an event touches are handed in.
 */
import type {
  ClientFrame,
  ConversationId,
  ConversationResource,
  ListConversationsAnswer,
  ListMessagesAnswer,
  LogRow,
  Message,
  Ready,
  Sequence,
  ServerFrame,
  SyncConversationAnswer,
  UserId,
} from './contract.ts';
import { ConversationLog, type RowContext, type RowsOutcome } from './conversation-log.ts';
import type { MessageBatch } from './message-batch.ts';
import type { Span } from './ranges.ts';
import { unreadCount } from './unread.ts';

/** As many cursors as a hello may carry (CONTRACT §3). */
const CURSORS_MAX = 50;

export type Resume = NonNullable<NonNullable<ClientFrame['hello']>['resume']>;

export type SyncEvent =
  | { readonly is: 'ready'; readonly ready: Ready }
  | { readonly is: 'frame'; readonly frame: ServerFrame }
  | {
      readonly is: 'listed';
      readonly answer: ListConversationsAnswer;
      /** `listRound` when its first page was asked for. */
      readonly round: number;
    }
  | {
      readonly is: 'synced';
      readonly conversationId: ConversationId;
      readonly answer: SyncConversationAnswer;
      readonly asked: Sequence;
    }
  | {
      readonly is: 'page';
      readonly conversationId: ConversationId;
      readonly answer: ListMessagesAnswer;
      readonly covers: { readonly from?: Sequence; readonly through?: Sequence };
      /** False = read it again. */
      done(isTaken: boolean): void;
    }
  | {
      readonly is: 'committed';
      readonly conversationId: ConversationId;
      /** Absent for control rows: their row follows and is applied in its place. */
      readonly message?: Message;
      done(): void;
    }
  | { readonly is: 'resource'; readonly resource: ConversationResource }
  | { readonly is: 'read'; readonly conversationId: ConversationId; readonly sequence: Sequence }
  | { readonly is: 'gone'; readonly conversationId: ConversationId }
  | {
      readonly is: 'truncated';
      readonly conversationId: ConversationId;
      readonly first: Sequence;
    };

/** What a batch of events led to, in the order of happening where order matters. */
export interface SyncOutcome {
  /** Conversations whose record must be written. */
  readonly touched: Set<ConversationId>;
  readonly arrived: { readonly conversationId: ConversationId; readonly message: Message }[];
  readonly own: { readonly conversationId: ConversationId; readonly row: LogRow }[];
  readonly trimmed: { readonly conversationId: ConversationId; readonly span: Span }[];
  readonly removed: ConversationId[];
  /** Conversations that owe a sync now. */
  readonly syncs: Set<ConversationId>;
  /** Headed groups: a sync is owed, but nobody looks. */
  readonly lateSyncs: Set<ConversationId>;
  readonly resources: Set<ConversationId>;
  /** Not in the whole list: left, or joined so lately that the list does not know. To be asked for. */
  readonly absent: Set<ConversationId>;
  readonly typing: {
    readonly conversationId: ConversationId;
    readonly userId: UserId;
    readonly isTyping: boolean;
  }[];
  syncToken?: string;
  /** The whole list must be read. */
  needsList: boolean;
  isCaughtUp: boolean;
  /** Called once the batch is durable. */
  readonly afterwards: (() => void)[];
}

export function newOutcome(): SyncOutcome {
  return {
    touched: new Set(),
    arrived: [],
    own: [],
    trimmed: [],
    removed: [],
    syncs: new Set(),
    lateSyncs: new Set(),
    resources: new Set(),
    absent: new Set(),
    typing: [],
    needsList: false,
    isCaughtUp: false,
    afterwards: [],
  };
}

/** What must be read from the cache before an event can be stepped. */
export interface SyncNeeds {
  readonly conversationId: ConversationId;
  readonly sequences: readonly Sequence[];
}

export interface SyncPorts {
  readonly me: () => UserId;
  ownBody(key: string): LogRow['body'];
}

export class SyncMachine {
  readonly logs: Map<ConversationId, ConversationLog> = new Map();
  readonly #ports: SyncPorts;
  #syncToken = '';
  /** Conversations seen since a whole listing was owed, by page or by push; undefined = none is. */
  #listed: Set<ConversationId> | undefined;
  #isListOwed = false;
  /** Rises with whatever makes a whole listing owed: one begun before it does not pay for it. */
  #listRound = 0;

  constructor(ports: SyncPorts) {
    this.#ports = ports;
  }

  /** What the cache holds; one made meanwhile on this device only gives way. */
  load(logs: readonly ConversationLog[]): void {
    for (const log of logs)
      if (this.logs.get(log.id)?.isOnServer !== true) this.logs.set(log.id, log);
  }

  /** One that exists on this device only; what is known already stays. */
  adopt(log: ConversationLog): void {
    if (!this.logs.has(log.id)) this.logs.set(log.id, log);
  }

  /** Only once every conversation it covers is loaded. */
  resumeFrom(syncToken: string): void {
    this.#syncToken = syncToken;
  }

  /** What hello says: the token, and cursors of what is open, then of what spoke last. */
  resume(open: ReadonlySet<ConversationId>): Resume | undefined {
    if (this.#syncToken === '') return undefined;
    const known = [...this.logs.values()].filter((log) => log.isOnServer && log.cursor > 0);
    known.sort((a, b) => {
      if (open.has(a.id) !== open.has(b.id)) return open.has(a.id) ? -1 : 1;
      return (b.resource.lastMessage?.timeMs ?? 0) - (a.resource.lastMessage?.timeMs ?? 0);
    });
    const cursors = known.slice(0, CURSORS_MAX).map(({ id, epoch, cursor }) => ({
      conversationId: id,
      epoch,
      sequence: cursor,
    }));
    return { syncToken: this.#syncToken, cursors };
  }

  get isListOwed(): boolean {
    return this.#isListOwed;
  }

  get listRound(): number {
    return this.#listRound;
  }

  /** Over all conversations but the archived ones. */
  unread(): { readonly messages: number; readonly mentions: number } {
    let messages = 0;
    let mentions = 0;
    for (const log of this.logs.values()) {
      if (log.resource.me?.archived === true) continue;
      const unread = unreadCount(log.unread);
      messages += unread.messages;
      mentions += unread.mentions;
    }
    return { messages, mentions };
  }

  needs(event: SyncEvent): readonly SyncNeeds[] {
    switch (event.is) {
      case 'frame':
        return (event.frame.rows?.items ?? []).map((item) => ({
          conversationId: item.conversationId,
          sequences: this.#needsOfRows(item.conversationId, item.rows ?? []),
        }));
      case 'synced':
        return [
          need(event.conversationId, event.answer.changed, event.answer.messages),
          {
            conversationId: event.conversationId,
            sequences: this.#needsOfRows(event.conversationId, []),
          },
        ];
      case 'page':
        return [need(event.conversationId, event.answer.messages)];
      case 'committed':
        return event.message === undefined ? [] : [need(event.conversationId, [event.message])];
      case 'listed':
        return (event.answer.recent ?? []).map((each) => need(each.conversationId, each.messages));
      default:
        return [];
    }
  }

  step(event: SyncEvent, messages: MessageBatch, outcome: SyncOutcome): void {
    switch (event.is) {
      case 'ready':
        return this.#ready(event.ready, outcome);
      case 'frame':
        return this.#frame(event.frame, messages, outcome);
      case 'listed':
        return this.#listedPage(event, outcome);
      case 'synced':
        return this.#synced(event, messages, outcome);
      case 'page':
        return this.#page(event, messages, outcome);
      case 'committed':
        return this.#committed(event, messages, outcome);
      case 'resource':
        return this.#resource(event.resource, outcome);
      case 'read':
        this.logs.get(event.conversationId)?.read(event.sequence);
        outcome.touched.add(event.conversationId);
        return;
      case 'gone':
        return this.#gone(event.conversationId, outcome);
      case 'truncated':
        this.logs.get(event.conversationId)?.forget(event.first);
        outcome.touched.add(event.conversationId);
        return;
    }
  }

  #needsOfRows(conversationId: ConversationId, rows: readonly LogRow[]): Sequence[] {
    const log = this.logs.get(conversationId);
    if (log === undefined) return [];
    const own = (key: string): LogRow['body'] => this.#ports.ownBody(key);
    // Stubs may stand here already by their commit; so may rows out of a page.
    const mayBeHeld = rows.filter((row) => row.body === undefined || row.sequence <= log.head);
    return [...mayBeHeld.map((row) => row.sequence), ...log.targetsOf(rows, own)];
  }

  #ready(ready: Ready, outcome: SyncOutcome): void {
    // Resumed: everything that changed since the stored token is on its way, whatever was owed before.
    this.#listRound += 1;
    this.#isListOwed = false;
    this.#listed = undefined;
    if (ready.resumed !== true) this.#oweList(outcome);
  }

  #oweList(outcome: SyncOutcome): void {
    this.#listRound += 1;
    this.#isListOwed = true;
    // What is pushed from now on may be younger than the list, which must not take it away again.
    this.#listed = new Set();
    outcome.needsList = true;
  }

  #frame(frame: ServerFrame, messages: MessageBatch, outcome: SyncOutcome): void {
    for (const item of frame.rows?.items ?? []) {
      const log = this.logs.get(item.conversationId);
      if (log === undefined) outcome.resources.add(item.conversationId);
      else {
        const taken = log.takeRows(item, this.#context(log, messages));
        this.#took(log, taken, outcome);
      }
    }
    for (const item of frame.heads?.items ?? []) {
      const log = this.logs.get(item.conversationId);
      if (log === undefined) outcome.resources.add(item.conversationId);
      else {
        log.takeHead(item);
        outcome.touched.add(log.id);
        if (log.owesSync) outcome.lateSyncs.add(log.id);
      }
    }
    for (const resource of frame.conversations?.items ?? []) this.#resource(resource, outcome);
    for (const id of frame.conversations?.removed ?? []) this.#gone(id, outcome);
    if (frame.receipts !== undefined) {
      this.logs.get(frame.receipts.conversationId)?.takeReceipts(frame.receipts);
      outcome.touched.add(frame.receipts.conversationId);
    }
    if (frame.gap !== undefined) this.#gap(frame.gap, outcome);
    if (frame.typing?.userId !== undefined)
      outcome.typing.push({
        conversationId: frame.typing.conversationId,
        userId: frame.typing.userId,
        isTyping: frame.typing.state !== 'stopped',
      });
    if (frame.token?.syncToken !== undefined) this.#token(frame.token.syncToken, outcome);
    if (frame.caughtUp !== undefined) this.#caughtUp(frame.caughtUp.syncToken ?? '', outcome);
  }

  #gap(gap: NonNullable<ServerFrame['gap']>, outcome: SyncOutcome): void {
    if (gap.scope === 'all') {
      return this.#oweList(outcome);
    }
    const log = this.logs.get(gap.conversationId ?? '');
    if (log === undefined) {
      if (gap.conversationId !== undefined) outcome.resources.add(gap.conversationId);
      return;
    }
    log.takeGap(gap);
    outcome.touched.add(log.id);
    if (log.owesSync) outcome.syncs.add(log.id);
  }

  #token(syncToken: string, outcome: SyncOutcome): void {
    // While the list is owed a token would claim conversations that are not here yet.
    if (syncToken === '' || this.#isListOwed) return;
    this.#syncToken = syncToken;
    outcome.syncToken = syncToken;
  }

  #caughtUp(syncToken: string, outcome: SyncOutcome): void {
    this.#token(syncToken, outcome);
    outcome.isCaughtUp = true;
    for (const log of this.logs.values()) if (log.owesSync) outcome.syncs.add(log.id);
  }

  #resource(resource: ConversationResource, outcome: SyncOutcome): void {
    this.#listed?.add(resource.conversationId);
    let log = this.logs.get(resource.conversationId);
    if (log === undefined) {
      log = ConversationLog.of(resource);
      this.logs.set(log.id, log);
    } else log.takeResource(resource);
    outcome.touched.add(log.id);
    if (log.owesSync) outcome.syncs.add(log.id);
  }

  /** One page of the whole list; the last carries the token and tells what may be gone. */
  #listedPage(event: Extract<SyncEvent, { is: 'listed' }>, outcome: SyncOutcome): void {
    const { answer } = event;
    for (const resource of answer.conversations ?? []) this.#resource(resource, outcome);
    for (const id of answer.removed ?? []) this.#gone(id, outcome);
    // Read before what is owed now: its token would claim what a gap since then took away.
    if ((answer.nextPageToken ?? '') !== '' || event.round !== this.#listRound) return;
    for (const log of this.logs.values()) {
      const isNamed = this.#listed?.has(log.id) === true;
      if (isNamed || !log.isOnServer || log.resource.me?.role === '') continue;
      // Kept, because the token that follows stands for a list in which it is not.
      log.isDoubtful = true;
      outcome.touched.add(log.id);
      outcome.absent.add(log.id);
    }
    this.#listed = undefined;
    this.#isListOwed = false;
    this.#token(answer.syncToken ?? '', outcome);
  }

  #synced(
    event: Extract<SyncEvent, { is: 'synced' }>,
    messages: MessageBatch,
    outcome: SyncOutcome,
  ): void {
    const log = this.logs.get(event.conversationId);
    if (log === undefined) return;
    const isLast = (event.answer.nextPageToken ?? '') === '';
    const o = { asked: event.asked, isLast };
    const taken = log.takeSync(event.answer, o, this.#context(log, messages));
    this.#took(log, taken, outcome);
  }

  #page(
    event: Extract<SyncEvent, { is: 'page' }>,
    messages: MessageBatch,
    outcome: SyncOutcome,
  ): void {
    const log = this.logs.get(event.conversationId);
    if (log === undefined) {
      outcome.afterwards.push(() => event.done(true));
      return;
    }
    const context = this.#context(log, messages);
    const isTaken = log.takePage(event.answer, event.covers, context);
    for (const message of isTaken ? (event.answer.messages ?? []) : [])
      if (message.senderUserId === context.me)
        outcome.own.push({ conversationId: log.id, row: message });
    outcome.touched.add(log.id);
    outcome.afterwards.push(() => event.done(isTaken));
  }

  #committed(
    event: Extract<SyncEvent, { is: 'committed' }>,
    messages: MessageBatch,
    outcome: SyncOutcome,
  ): void {
    const log = this.logs.get(event.conversationId);
    if (log !== undefined && event.message !== undefined)
      log.takeCommitted(event.message, this.#context(log, messages));
    outcome.touched.add(event.conversationId);
    outcome.afterwards.push(() => event.done());
  }

  #gone(id: ConversationId, outcome: SyncOutcome): void {
    const log = this.logs.get(id);
    if (log === undefined) return;
    log.leave();
    outcome.touched.add(id);
    outcome.removed.push(id);
  }

  #took(log: ConversationLog, taken: RowsOutcome, outcome: SyncOutcome): void {
    outcome.touched.add(log.id);
    for (const message of taken.arrived) outcome.arrived.push({ conversationId: log.id, message });
    for (const row of taken.own) outcome.own.push({ conversationId: log.id, row });
    if (taken.needsResource) outcome.resources.add(log.id);
    if (taken.trimmed !== undefined)
      outcome.trimmed.push({ conversationId: log.id, span: taken.trimmed });
    if (log.owesSync) outcome.syncs.add(log.id);
  }

  #context(log: ConversationLog, batch: MessageBatch): RowContext {
    return {
      me: this.#ports.me(),
      ownBody: (key) => this.#ports.ownBody(key),
      messages: batch.of(log.id),
    };
  }
}

function need(
  conversationId: ConversationId,
  ...lists: readonly (readonly Message[] | undefined)[]
): SyncNeeds {
  const sequences = lists.flatMap((list) => (list ?? []).map((message) => message.sequence));
  return { conversationId, sequences };
}
