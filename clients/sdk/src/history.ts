/** Messages of the past: from the device, from the server, and both compared by key. */
import type { Key } from './client-interface.ts';
import type { ConversationLog } from './conversation-log.ts';
import type {
  ConversationId,
  Cursor,
  ListMessagesAnswer,
  LogRow,
  Message,
  Sequence,
} from './contract.ts';
import { coversOf, isAtEdge, type PageRequest } from './covers.ts';
import { ClientError, reasonOf } from './errors.ts';
import { newer } from './message-merge.ts';
import type { OutboxEntry } from './outbox-entry.ts';
import type { SavedStore } from './saved-store.ts';
import type { Sync } from './sync.ts';

const PAGE_TRIES = 3;
const RECOVERY_PAGE_ROWS = 200;

export interface HistoryHooks {
  call<T>(method: string, request: unknown): Promise<T>;
  sync(): Sync;
  entry(key: Key): OutboxEntry | undefined;
  /** A row that may be one of this user's sends. */
  seen(row: LogRow): void;
}

interface RowsAnswer {
  readonly rows?: readonly LogRow[];
  readonly cursor?: { readonly epoch: number; readonly sequence: Sequence };
  readonly head?: Sequence;
}

export class History {
  readonly #store: SavedStore;
  readonly #hooks: HistoryHooks;

  constructor(store: SavedStore, hooks: HistoryHooks) {
    this.#store = store;
    this.#hooks = hooks;
  }

  /** Messages held on the device in [from, through], ascending; the newest `limit` if `isNewest`. */
  async readMessages(
    id: ConversationId,
    o: { from: Sequence; through: Sequence; limit: number; isNewest: boolean },
  ): Promise<readonly Message[]> {
    if (o.from > o.through) return [];
    const unwritten = [...this.#hooks.sync().unwrittenOf(id)];
    const pairs = await this.#store.readCache('messages', {
      from: [id, o.from],
      through: [id, o.through],
      limit: o.limit,
      reverse: o.isNewest,
    });
    const messages = pairs.map((pair) => pair.value as Message);
    if (o.isNewest) messages.reverse();
    unwritten.push(...this.#hooks.sync().unwrittenOf(id));
    return unwritten.length === 0 ? messages : withUnwritten(messages, unwritten, o);
  }

  /** Reads a page from the server; it is stored, and in every open timeline, on return. */
  async readPage(id: ConversationId, request: PageRequest): Promise<ListMessagesAnswer> {
    for (let tries = 0; tries < PAGE_TRIES; tries++) {
      const answer = await this.#hooks.call<ListMessagesAnswer>('Messages.List', {
        conversationId: id,
        ...request,
      });
      const covers = coversOf(request, answer);
      const isTaken = await new Promise<boolean>((done) =>
        this.#hooks.sync().push({ is: 'page', conversationId: id, answer, covers, done }),
      );
      if (isTaken) return answer;
    }
    throw new ClientError('BACKEND_UNAVAILABLE', 'the history changes faster than it is read');
  }

  /**
   * What was sent of these stands under the same keys, above what was known when it was written:
   * that is read, and settles them. False = this user may not read all of that any more.
   */
  async recover(id: ConversationId, keys: readonly Key[]): Promise<boolean> {
    try {
      return await this.#compare(id, keys);
    } catch (error) {
      // Then nothing of this user ever stood there.
      if (reasonOf(error) === 'CONVERSATION_UNKNOWN') return true;
      throw error;
    }
  }

  async #compare(id: ConversationId, keys: readonly Key[]): Promise<boolean> {
    await this.#hooks.sync().syncOne(id);
    const left = (): OutboxEntry[] => keys.flatMap((key) => this.#hooks.entry(key) ?? []);
    const log = this.#hooks.sync().machine.logs.get(id);
    if (log === undefined) return this.#unheardOf(id);
    // Unknown = all of it that can be read.
    const knownOf = ({ above }: OutboxEntry): Sequence | undefined =>
      above?.epoch === log.epoch ? (above.sequence ?? 0) : undefined;
    const floor = Math.min(...left().map((entry) => knownOf(entry) ?? 0));
    let before = log.head + 1;
    while (left().length > 0 && before > floor + 1) {
      const request = { before, limit: Math.min(RECOVERY_PAGE_ROWS, before - floor - 1) };
      const answer = await this.readPage(id, request);
      const oldest = answer.messages?.[0]?.sequence;
      if (oldest === undefined || isAtEdge(request, answer)) break;
      if (oldest >= before) throw readBefore();
      before = oldest;
    }
    // Pages hold messages alone; edits and deletes stand in rows of their own.
    if (left().some(({ action }) => action.is !== 'message')) await this.#readRows(log, floor);
    return left().every((entry) => (knownOf(entry) ?? 0) >= log.first - 1);
  }

  /** Refused, or the list that is being read will name it. */
  async #unheardOf(id: ConversationId): Promise<never> {
    await this.#hooks.call<ListMessagesAnswer>('Messages.List', { conversationId: id, limit: 1 });
    throw new ClientError('BACKEND_UNAVAILABLE', 'the conversation is not known here yet');
  }

  async #readRows({ id, epoch, first }: ConversationLog, above: Sequence): Promise<void> {
    let cursor: Cursor = { epoch, sequence: Math.max(above, first - 1) };
    for (;;) {
      const answer = await this.#hooks.call<RowsAnswer>('Messages.ListRows', {
        conversationId: id,
        cursor,
        limit: RECOVERY_PAGE_ROWS,
      });
      for (const row of answer.rows ?? []) this.#hooks.seen(row);
      const reached = answer.cursor ?? cursor;
      if ((reached.sequence ?? 0) >= (answer.head ?? 0)) return;
      if ((reached.sequence ?? 0) <= (cursor.sequence ?? 0)) throw readBefore();
      cursor = reached;
    }
  }
}

function readBefore(): ClientError {
  return new ClientError('INVARIANT', 'the server named a page that was read before');
}

function withUnwritten(
  messages: readonly Message[],
  unwritten: readonly Message[],
  o: { from: Sequence; through: Sequence; limit: number; isNewest: boolean },
): readonly Message[] {
  const bySequence = new Map(messages.map((message) => [message.sequence, message]));
  for (const message of unwritten)
    if (o.from <= message.sequence && message.sequence <= o.through)
      bySequence.set(message.sequence, newer(bySequence.get(message.sequence), message));
  const all = [...bySequence.values()].sort((a, b) => a.sequence - b.sequence);
  return o.isNewest ? all.slice(-o.limit) : all.slice(0, o.limit);
}
