/** Messages of the past: from the device, from the server, and both compared by key. */
import type { Key } from './client-interface.ts';
import type { ConversationId, ListMessagesAnswer, LogRow, Message, Sequence } from './contract.ts';
import { coversOf, isAtEdge, type PageRequest } from './covers.ts';
import { ClientError } from './errors.ts';
import { newer } from './message-merge.ts';
import type { OutboxEntry } from './outbox-entry.ts';
import type { SavedStore } from './saved-store.ts';
import type { Sync } from './sync.ts';

const PAGE_TRIES = 3;
const RECOVERY_ROWS_MAX = 10_000;
const RECOVERY_PAGE_ROWS = 200;
/** How much a device's clock and the server's may differ when a restored outbox is compared. */
const CLOCK_SLACK_MS: number = 26 * 3600 * 1000;

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

  /** A restored database: what it sent after the backup is on the server under the same keys. */
  async recover(id: ConversationId, keys: readonly Key[]): Promise<void> {
    await this.#hooks.sync().syncOne(id);
    const entries = keys.flatMap((key) => this.#hooks.entry(key) ?? []);
    const sinceMs = Math.min(...entries.map((entry) => entry.queuedTimeMs)) - CLOCK_SLACK_MS;
    const left = (): OutboxEntry[] => keys.flatMap((key) => this.#hooks.entry(key) ?? []);
    let before: Sequence | undefined;
    for (let rows = 0; rows < RECOVERY_ROWS_MAX; ) {
      if (left().length === 0) return;
      const limit = RECOVERY_PAGE_ROWS;
      const request = before === undefined ? { limit } : { limit, before };
      const answer = await this.readPage(id, request);
      rows += answer.messages?.length ?? 0;
      const oldest = answer.messages?.[0];
      before = oldest?.sequence ?? before;
      if (oldest === undefined || (oldest.timeMs ?? 0) < sinceMs) break;
      if (isAtEdge(request, answer)) break;
    }
    // Pages hold messages alone; edits and deletes stand in rows of their own.
    if (left().some(({ action }) => action.is !== 'message')) await this.#readRows(id, before ?? 1);
  }

  async #readRows(id: ConversationId, from: Sequence): Promise<void> {
    const log = this.#hooks.sync().machine.logs.get(id);
    let cursor = { epoch: log?.epoch ?? 0, sequence: Math.max(from, log?.first ?? 1) - 1 };
    for (let rows = 0; rows < RECOVERY_ROWS_MAX; ) {
      const answer = await this.#hooks.call<RowsAnswer>('Messages.ListRows', {
        conversationId: id,
        cursor,
        limit: RECOVERY_PAGE_ROWS,
      });
      rows += Math.max(1, answer.rows?.length ?? 0);
      for (const row of answer.rows ?? []) this.#hooks.seen(row);
      cursor = answer.cursor ?? cursor;
      if (cursor.sequence >= (answer.head ?? 0)) return;
    }
  }
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
