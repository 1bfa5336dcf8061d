/**
 * Who has one message (CLIENT §1 `receipts`): its counts in a store, read from the server when asked
 * for and then as receipts move. What could not be read, offline mostly, is read with the next
 * connection for as long as its value is kept here.
 */
import type { Receipts, ReceiptsStore } from './client-interface.ts';
import type { ConversationId, Receipt, ReceiptCounts, Sequence } from './contract.ts';
import type { ConversationLog } from './conversation-log.ts';
import type { Core } from './core.ts';
import { isRefusedForGood } from './errors.ts';
import { Cell, isShallowEqual, type Watch } from './store.ts';

const KEPT_MAX = 64;
const NONE: Receipts = { of: 0, queued: 0, delivered: 0, read: 0 };

interface ReceiptsAnswer {
  readonly counts?: ReceiptCounts;
  readonly receipts?: readonly Receipt[];
}

export class MessageReceipts {
  readonly #core: Core;
  readonly #id: ConversationId;
  readonly #watch: Watch;
  /** The log's receipts moved. */
  readonly #moved: () => void;
  readonly #cells = new Map<Sequence, Cell<Receipts>>();
  /** Asked for, and not read yet. */
  readonly #owed = new Set<Sequence>();
  readonly #reading = new Map<Sequence, Promise<ReceiptsAnswer>>();

  constructor(core: Core, id: ConversationId, on: { watch: Watch; moved: () => void }) {
    this.#core = core;
    this.#id = id;
    this.#watch = on.watch;
    this.#moved = on.moved;
  }

  open(sequence: Sequence): ReceiptsStore {
    const cell = this.#cell(sequence);
    this.#read(sequence).catch(() => undefined);
    return {
      get: () => cell.get(),
      subscribe: (fn) => {
        const stop = cell.subscribe(fn);
        if (this.#owed.has(sequence)) this.#read(sequence).catch(() => undefined);
        return stop;
      },
      who: async () => (await this.#read(sequence)).receipts ?? [],
    };
  }

  /** What the log knows of receipts moved. */
  moved(log: ConversationLog): void {
    for (const [sequence, cell] of this.#cells) cell.set(countsIn(log, sequence));
  }

  /** The server can be asked again: one after the other, for they may be many. */
  async online(): Promise<void> {
    for (const sequence of [...this.#owed]) {
      if (!this.#core.isReady()) return;
      await this.#read(sequence).catch(() => undefined);
    }
  }

  #read(sequence: Sequence): Promise<ReceiptsAnswer> {
    let reading = this.#reading.get(sequence);
    if (reading === undefined) {
      reading = this.#ask(sequence).finally(() => this.#reading.delete(sequence));
      this.#reading.set(sequence, reading);
    }
    return reading;
  }

  async #ask(sequence: Sequence): Promise<ReceiptsAnswer> {
    if (this.#cells.has(sequence)) this.#owed.add(sequence);
    const request = { conversationId: this.#id, sequence };
    try {
      const answer = await this.#core.call<ReceiptsAnswer>('Messages.ListReceipts', request);
      this.#owed.delete(sequence);
      this.#take(sequence, answer.counts);
      return answer;
    } catch (error) {
      if (isRefusedForGood(error)) this.#owed.delete(sequence);
      throw error;
    }
  }

  #take(sequence: Sequence, counts: ReceiptCounts | undefined): void {
    const log = this.#core.log(this.#id);
    if (counts === undefined || log === undefined) return;
    log.takeReceipts({ conversationId: this.#id, counts: [{ ...counts, sequence }] });
    this.#moved();
  }

  #cell(sequence: Sequence): Cell<Receipts> {
    let cell = this.#cells.get(sequence);
    if (cell === undefined) {
      const log = this.#core.log(this.#id);
      const counts = log === undefined ? NONE : countsIn(log, sequence);
      cell = new Cell<Receipts>(counts, isShallowEqual, this.#watch);
      this.#cells.set(sequence, cell);
      this.#bound();
    }
    return cell;
  }

  /** One open details view at a time is usual: the oldest that nobody looks at goes. */
  #bound(): void {
    if (this.#cells.size <= KEPT_MAX) return;
    for (const [sequence, cell] of this.#cells)
      if (!cell.isWatched) {
        this.#cells.delete(sequence);
        this.#owed.delete(sequence);
        return;
      }
  }
}

function countsIn(log: ConversationLog, sequence: Sequence): Receipts {
  const counts = log.receipts.countsOf(sequence) ?? NONE;
  if (log.resource.kind !== 'direct') return counts;
  // A direct's counts are told when asked for, its watermarks whenever they move.
  const { delivered, read } = log.receipts.watermarks;
  const isDelivered = sequence <= delivered;
  return {
    of: 1,
    queued: isDelivered ? 0 : counts.queued,
    delivered: isDelivered ? 1 : counts.delivered,
    read: sequence <= read ? 1 : counts.read,
  };
}
