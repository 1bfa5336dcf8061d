/**
 * Drives SyncMachine: one batch of events at a time, read what they need, step, write all of it in
 * one transaction (rows and the token that covers them: S4), then tell whoever waits. Also asks the
 * server for what is owed: the list, conversations to sync, resources to read again.
 */
import { CachePages, type PageSpan, weightOf } from './cache-pages.ts';
import type {
  ConversationId,
  ConversationResource,
  ListConversationsAnswer,
  Message,
  SyncConversationAnswer,
} from './contract.ts';
import { ClientError, isRefusedForGood, reasonOf, retryAfterMsOf } from './errors.ts';
import type { HostPort } from './host.ts';
import { MessageBatch } from './message-batch.ts';
import { readPages } from './read-pages.ts';
import type { SavedStore } from './saved-store.ts';
import { type CacheTable, type StorePut, under } from './stores/store-port.ts';
import {
  newOutcome,
  type SyncEvent,
  SyncMachine,
  type SyncNeeds,
  type SyncOutcome,
  type SyncPorts,
} from './sync-machine.ts';

/** Events taken into one transaction. */
const BATCH_MAX = 64;
/** Pushes waiting to be applied; beyond it the connection is dropped and resumed (S14). */
export const QUEUE_MAX = 4_096;
const SYNCS_AT_ONCE = 6;
/** Pages read and not stored yet; beyond it the next are asked for when these are. */
const PAGES_WAITING_MAX = 8;
const SYNC_RETRY_MS = 2_000;
/** A resource ahead of its rows: they are usually right behind it. */
const GRACE_MS = 150;
const LATE_MS = 5_000;

export interface SyncHooks {
  readonly call: <T>(method: string, request: unknown) => Promise<T>;
  isReady(): boolean;
  /** Before the write: what is shown may change now. */
  changed(outcome: SyncOutcome, messages: MessageBatch): void;
  /** After the write: what was stored may be reported. */
  stored(outcome: SyncOutcome): void;
  listed(): void;
  /** Too much is waiting: start over from the stored token. */
  flooded(): void;
  /** Whether a window shows any of it: that is not evicted. */
  isShown(page: PageSpan): boolean;
}

export class Sync {
  readonly machine: SyncMachine;
  readonly #store: SavedStore;
  readonly #host: HostPort;
  readonly #hooks: SyncHooks;
  #queue: SyncEvent[] = [];
  #running: Promise<void> = Promise.resolve();
  #isRunning = false;
  /** Shown already, and on their way into the cache. */
  #unwritten: MessageBatch | undefined;
  readonly #pages: CachePages;
  #hasPages = false;
  /** Waiting for their SyncConversation, oldest debt first. */
  readonly #owed = new Set<ConversationId>();
  readonly #busy = new Set<ConversationId>();
  /** Resources to be read, until they are: in a moment, else with the next connection. */
  readonly #resources = new Set<ConversationId>();
  /** Those of them that a timer will ask for. */
  readonly #refreshing = new Set<ConversationId>();
  readonly #timers = new Set<() => void>();
  /** Owed in a while; what is kept takes that back. */
  readonly #late = new Map<ConversationId, () => void>();
  #isListing = false;
  #isCaughtUp = false;
  #isStopped = false;
  /** Rises with each connection: what an earlier one asked for is not asked again. */
  #generation = 0;

  constructor(o: {
    store: SavedStore;
    host: HostPort;
    ports: SyncPorts;
    hooks: SyncHooks;
    cacheBytesMax: number;
  }) {
    this.machine = new SyncMachine(o.ports);
    this.#pages = new CachePages(o.cacheBytesMax);
    this.#store = o.store;
    this.#host = o.host;
    this.#hooks = o.hooks;
  }

  push(event: SyncEvent): void {
    if (this.#isStopped) {
      if (event.is === 'page') event.done(false);
      return;
    }
    if (this.#queue.length >= QUEUE_MAX && event.is === 'frame') {
      this.#queue = this.#queue.filter((each) => each.is !== 'frame');
      this.#hooks.flooded();
      return;
    }
    this.#queue.push(event);
    if (!this.#isRunning) this.#running = this.#run();
  }

  /** Messages that a read of the cache may miss by a moment. */
  unwrittenOf(id: ConversationId): readonly Message[] {
    return [...(this.#unwritten?.changed().get(id)?.values() ?? [])];
  }

  /** The list is being read, or is about to be. */
  get isListing(): boolean {
    return this.#isListing || this.machine.isListOwed;
  }

  lost(): void {
    this.#generation += 1;
    this.#isCaughtUp = false;
    this.#isListing = false;
    this.#owed.clear();
    this.#refreshing.clear();
    this.#late.clear();
    for (const cancel of this.#timers) cancel();
    this.#timers.clear();
    // Frames of a dead connection still count: they came before its end.
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    this.lost();
    await this.#running;
  }

  /** Asks for a conversation's changes now, for instance because somebody looks at it. */
  want(conversationId: ConversationId): void {
    this.#notLate(conversationId);
    this.#owed.add(conversationId);
    this.#pumpSyncs();
  }

  async #run(): Promise<void> {
    this.#isRunning = true;
    try {
      // The flag falls in the same turn in which the queue was seen empty.
      while (this.#queue.length > 0) {
        await this.#runBatch();
        while (this.#pages.isFull && (await this.#evict()));
      }
    } finally {
      this.#isRunning = false;
    }
  }

  /** Storage broke: what was in the cache is not there any more. */
  unsaved(): void {
    for (const log of this.machine.logs.values()) log.ranges = [];
    this.#pages.clear();
  }

  async #loadPages(): Promise<void> {
    this.#pages.load(await this.#store.readCache('pages', under()));
    this.#hasPages = true;
  }

  /** Between two batches, so that no row enters a page while it goes. False = nothing may go. */
  async #evict(): Promise<boolean> {
    const excess = this.#pages.excess((page) => this.#hooks.isShown(page));
    const puts: StorePut<CacheTable>[] = [];
    const touched = new Set<ConversationId>();
    for (const page of excess) {
      const { conversationId, span } = page;
      this.machine.logs.get(conversationId)?.evict(span);
      touched.add(conversationId);
      for (let sequence = span.from; sequence <= span.through; sequence++)
        puts.push({ table: 'messages', key: [conversationId, sequence] });
      puts.push(this.#pages.evicted(page));
    }
    puts.push(...this.#recordsOf(touched));
    // FENCED: the new owner weighs for itself.
    await this.#store.writeCache(puts).catch(() => undefined);
    return excess.length > 0;
  }

  #recordsOf(ids: Iterable<ConversationId>): StorePut<CacheTable>[] {
    const puts: StorePut<CacheTable>[] = [];
    for (const id of ids) {
      const log = this.machine.logs.get(id);
      if (log?.isOnServer === true)
        puts.push({ table: 'conversations', key: [id], value: log.record() });
    }
    return puts;
  }

  async #runBatch(): Promise<void> {
    const batch = this.#queue.splice(0, BATCH_MAX);
    if (!this.#hasPages) await this.#loadPages();
    const messages = new MessageBatch();
    for (const need of batch.flatMap((event) => this.machine.needs(event)))
      await this.#read(need, messages);
    const outcome = newOutcome();
    for (const event of batch) this.machine.step(event, messages, outcome);
    this.#unwritten = messages;
    this.#hooks.changed(outcome, messages);
    try {
      await this.#store.writeCache(await this.#putsOf(outcome, messages));
    } catch (error) {
      // FENCED: a follower goes on showing what it has; nothing of it may be reported.
      if (reasonOf(error) !== 'FENCED') throw error;
      for (const event of batch) if (event.is === 'page') event.done(false);
      return;
    } finally {
      this.#unwritten = undefined;
    }
    this.#hooks.stored(outcome);
    for (const done of outcome.afterwards) done();
    this.#oweFrom(outcome);
  }

  async #read(need: SyncNeeds, messages: MessageBatch): Promise<void> {
    const { conversationId, sequences } = need;
    if (sequences.length === 0) return;
    const sorted = [...new Set(sequences)].sort((a, b) => a - b);
    // Neighbours are read together; far ones one by one.
    for (let i = 0; i < sorted.length; ) {
      let j = i;
      while (j + 1 < sorted.length && (sorted[j + 1] ?? 0) - (sorted[j] ?? 0) <= 8) j += 1;
      const pairs = await this.#store.readCache('messages', {
        from: [conversationId, sorted[i] ?? 0],
        through: [conversationId, sorted[j] ?? 0],
      });
      for (const pair of pairs) messages.hold(conversationId, pair.value as Message);
      i = j + 1;
    }
  }

  async #putsOf(outcome: SyncOutcome, messages: MessageBatch): Promise<StorePut<CacheTable>[]> {
    const puts = messages.puts();
    const weights = [...messages.weights(weightOf)];
    for (const { conversationId, span } of outcome.trimmed) {
      const pairs = await this.#store.readCache('messages', {
        from: [conversationId, span.from],
        through: [conversationId, span.through],
      });
      for (const { key, value } of pairs) {
        puts.push({ table: 'messages', key });
        const bytes = -weightOf(value as Message);
        weights.push({ conversationId, sequence: Number(key[1]), timeMs: 0, bytes });
      }
    }
    puts.push(...this.#pages.weigh(weights), ...this.#recordsOf(outcome.touched));
    if (outcome.syncToken !== undefined)
      puts.push({ table: 'meta', key: ['token'], value: { syncToken: outcome.syncToken } });
    return puts;
  }

  #oweFrom(outcome: SyncOutcome): void {
    if (outcome.isCaughtUp) this.#isCaughtUp = true;
    if (outcome.needsList) this.#list().catch(() => undefined);
    for (const id of outcome.resources) this.#refresh(id);
    // Not in the whole list: only their own log says whether one is still a member.
    for (const id of outcome.absent) this.#refresh(id);
    if (outcome.isCaughtUp) {
      for (const log of this.machine.logs.values()) if (log.isDoubtful) this.#refresh(log.id);
      for (const id of this.#resources) this.#refresh(id);
    }
    if (outcome.isCaughtUp) for (const id of outcome.syncs) this.#owed.add(id);
    else for (const id of outcome.syncs) this.#later(GRACE_MS, id);
    for (const id of outcome.lateSyncs) this.#later(LATE_MS, id);
    this.#pumpSyncs();
  }

  #later(ms: number, id: ConversationId): void {
    // Before `caughtUp` the missing rows are on their way, and it looks at every debt itself; so does
    // a sync that runs, at its end.
    if (!this.#isCaughtUp || this.#busy.has(id)) return;
    if (this.#late.has(id) || this.#owed.has(id)) return;
    this.#late.set(
      id,
      this.#after(ms, () => this.want(id)),
    );
  }

  #notLate(id: ConversationId): void {
    this.#late.get(id)?.();
    this.#late.delete(id);
  }

  #after(ms: number, fn: () => void): () => void {
    const stop = this.#host.after(ms, () => {
      this.#timers.delete(cancel);
      fn();
    });
    const cancel = (): void => {
      this.#timers.delete(cancel);
      stop();
    };
    this.#timers.add(cancel);
    return cancel;
  }

  #pumpSyncs(): void {
    if (!this.#hooks.isReady() || this.#isStopped) return;
    for (const id of this.#owed) {
      if (this.#busy.size >= SYNCS_AT_ONCE) return;
      if (this.#busy.has(id)) continue;
      this.#owed.delete(id);
      if (this.machine.logs.get(id)?.owesSync !== true) continue;
      this.#notLate(id);
      this.#busy.add(id);
      this.syncOne(id)
        .then(() => GRACE_MS)
        .catch((error: unknown) => this.#syncFailed(id, error))
        .then((againMs) => this.#syncEnded(id, againMs))
        .catch(() => undefined);
    }
  }

  /** Rows may have come above what it read; or it failed, and all of it is owed again. */
  #syncEnded(id: ConversationId, againMs: number): void {
    this.#busy.delete(id);
    if (this.machine.logs.get(id)?.owesSync === true) this.#later(againMs, id);
    this.#pumpSyncs();
  }

  /** Reads all pages; the cursor moves with the last. */
  async syncOne(conversationId: ConversationId): Promise<void> {
    const log = this.machine.logs.get(conversationId);
    if (log === undefined) return;
    const asked = log.cursor;
    const cursor = { epoch: log.epoch, sequence: asked };
    let first: SyncConversationAnswer | undefined;
    await readPages(async (pageToken) => {
      const answer = await this.#hooks.call<SyncConversationAnswer>('Sync.SyncConversation', {
        conversationId,
        limit: 50,
        ...(asked > 0 ? { cursor } : {}),
        ...(pageToken === '' ? {} : { pageToken }),
      });
      first ??= answer;
      this.push({ is: 'synced', conversationId, answer: { ...endsOf(first), ...answer }, asked });
      await this.#taken();
      return answer.nextPageToken ?? '';
    });
    await this.settled();
  }

  /** Storage may be slower than the network: its pages do not pile up. */
  async #taken(): Promise<void> {
    if (this.#queue.length >= PAGES_WAITING_MAX) await this.settled();
  }

  /** When everything pushed so far is applied and stored. */
  async settled(): Promise<void> {
    while (this.#isRunning) await this.#running;
  }

  /** Answers after how long it is asked for again, if it is still owed then. */
  #syncFailed(conversationId: ConversationId, error: unknown): number {
    const reason = reasonOf(error);
    if (reason === 'CURSOR_TRUNCATED' || reason === 'BAD_CURSOR') {
      const first = Number(error instanceof ClientError ? (error.metadata['first'] ?? 0) : 0);
      this.push({ is: 'truncated', conversationId, first });
    } else if (reason === 'NOT_A_MEMBER' || reason === 'CONVERSATION_UNKNOWN')
      this.push({ is: 'gone', conversationId });
    // Also what was asked for while it ran: it would fail as soon as this did.
    this.#owed.delete(conversationId);
    return retryMsOf(error);
  }

  /** The whole list: at first, and when the token is too old to tell what changed. */
  async #list(): Promise<void> {
    if (this.#isListing) return;
    this.#isListing = true;
    const generation = this.#generation;
    try {
      do await this.#listOnce(generation);
      while (
        // A gap came while it was read, after what the server read it from.
        this.machine.isListOwed &&
        generation === this.#generation
      );
    } catch (error) {
      if (generation !== this.#generation) return;
      this.#isListing = false;
      if (this.#hooks.isReady())
        this.#after(retryMsOf(error), () => {
          this.#list().catch(() => undefined);
        });
      return;
    }
    if (generation !== this.#generation) return;
    this.#isListing = false;
    this.#hooks.listed();
    for (const log of this.machine.logs.values()) if (log.owesSync) this.#owed.add(log.id);
    this.#pumpSyncs();
  }

  async #listOnce(generation: number): Promise<void> {
    const round = this.machine.listRound;
    await readPages(async (pageToken) => {
      // The next connection has a list of its own.
      if (generation !== this.#generation) return '';
      const answer = await this.#hooks.call<ListConversationsAnswer>('Sync.ListConversations', {
        // The first page is the first screen.
        ...(pageToken === '' ? { pageSize: 30 } : { pageSize: 200, pageToken }),
      });
      this.push({ is: 'listed', answer, round });
      await this.#taken();
      return answer.nextPageToken ?? '';
    });
    await this.settled();
  }

  #refresh(conversationId: ConversationId, ms: number = GRACE_MS): void {
    this.#resources.add(conversationId);
    if (this.#refreshing.has(conversationId)) return;
    this.#refreshing.add(conversationId);
    // Coalesced: a burst of member rows is one read.
    this.#after(ms, () => {
      this.#refreshing.delete(conversationId);
      this.#hooks.call<ConversationResource>('Conversations.Get', { conversationId }).then(
        (resource) => this.#got({ is: 'resource', resource }, conversationId),
        (error: unknown) => this.#refreshFailed(conversationId, error),
      );
    });
  }

  #refreshFailed(conversationId: ConversationId, error: unknown): void {
    const reason = reasonOf(error);
    if (reason === 'NOT_A_MEMBER' || reason === 'CONVERSATION_UNKNOWN')
      this.#got({ is: 'gone', conversationId }, conversationId);
    else if (isRefusedForGood(error)) this.#resources.delete(conversationId);
    else if (this.#hooks.isReady()) this.#refresh(conversationId, retryMsOf(error));
  }

  #got(event: SyncEvent, conversationId: ConversationId): void {
    // Asked for again since: that one is still to come.
    if (!this.#refreshing.has(conversationId)) this.#resources.delete(conversationId);
    this.push(event);
  }
}

function retryMsOf(error: unknown): number {
  return Math.max(SYNC_RETRY_MS, retryAfterMsOf(error));
}

/** Where a sync ends and what it leaves out: said with its first page, true with its last (CONTRACT §6). */
function endsOf({
  cursor,
  hole,
}: SyncConversationAnswer): Pick<SyncConversationAnswer, 'cursor' | 'hole'> {
  return {
    ...(cursor === undefined ? {} : { cursor }),
    ...(hole === undefined ? {} : { hole }),
  };
}
