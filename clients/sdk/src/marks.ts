/**
 * Receipts this device owes (S9): delivered once stored here, read once seen. At most one report per
 * 100 ms; both survive being offline, and after a break the marks of its last 10 s go again, because
 * a server that fell may have forgotten them. A report has no answer: what the server does not confirm,
 * having been too busy perhaps, goes again with whatever is heard of the conversation next. Marks only rise.
 */
import type { ClientFrame, ConversationId, ReceiptMark, Sequence } from './contract.ts';
import type { ConversationLog } from './conversation-log.ts';
import type { HostPort } from './host.ts';

const REPORT_MS = 100;
const REPEAT_MS = 10_000;
const ITEMS_MAX = 200;
const RECENT_MAX = 2_000;

export interface MarksHooks {
  log(id: ConversationId): ConversationLog | undefined;
  logs(): Iterable<ConversationLog>;
  /** False = there is no connection. */
  tell(frame: ClientFrame): boolean;
}

interface Sent {
  readonly kind: 'delivered' | 'read';
  readonly id: ConversationId;
  readonly sequence: Sequence;
  readonly atMs: number;
}

export class Marks {
  readonly #host: HostPort;
  readonly #hooks: MarksHooks;
  readonly #delivered = new Map<ConversationId, Sequence>();
  readonly #read = new Map<ConversationId, Sequence>();
  /** Told on this connection: not again within 10 s, which an answer may take. */
  readonly #told = new Map<string, Sent>();
  #recent: Sent[] = [];
  #brokeAtMs = Number.POSITIVE_INFINITY;
  #cancel: (() => void) | undefined;

  constructor(host: HostPort, hooks: MarksHooks) {
    this.#host = host;
    this.#hooks = hooks;
  }

  /** Something of it is stored, and may be reported, beside a mark that is not confirmed yet. */
  stored(id: ConversationId, unconfirmedRead: Sequence | undefined): void {
    if (unconfirmedRead !== undefined) this.read(id, unconfirmedRead);
    const log = this.#hooks.log(id);
    if (log === undefined || !isReportable(log) || log.cursor <= log.receipts.reported.delivered)
      return;
    this.#want('delivered', id, log.cursor);
  }

  read(id: ConversationId, sequence: Sequence): void {
    this.#want('read', id, sequence);
  }

  /** A connection caught up: what the server may not know goes (again). */
  live(unconfirmedReads: ReadonlyMap<ConversationId, Sequence>): void {
    this.#told.clear();
    for (const log of this.#hooks.logs()) this.stored(log.id, unconfirmedReads.get(log.id));
    for (const sent of this.#recent)
      if (sent.atMs >= this.#brokeAtMs - REPEAT_MS) this.#want(sent.kind, sent.id, sent.sequence);
    this.#brokeAtMs = Number.POSITIVE_INFINITY;
  }

  lost(): void {
    this.#brokeAtMs = Math.min(this.#brokeAtMs, this.#host.monotonicMs());
    this.stop();
  }

  stop(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }

  #want(kind: 'delivered' | 'read', id: ConversationId, sequence: Sequence): void {
    const told = this.#told.get(`${kind} ${id}`);
    const isRecent = told !== undefined && this.#host.monotonicMs() - told.atMs < REPEAT_MS;
    if (isRecent && told.sequence >= sequence) return;
    const wanted = kind === 'read' ? this.#read : this.#delivered;
    if ((wanted.get(id) ?? 0) < sequence) wanted.set(id, sequence);
    // Also for what was wanted before: its report may have been cut off with the connection.
    this.#cancel ??= this.#host.after(REPORT_MS, () => this.#report());
  }

  #report(): void {
    this.#cancel = undefined;
    const delivered = this.#take('delivered', this.#delivered);
    const read = this.#take('read', this.#read);
    if (delivered.length + read.length === 0) return;
    const isTold = this.#hooks.tell({
      receipt: {
        ...(delivered.length > 0 ? { delivered: delivered.map((each) => this.#mark(each)) } : {}),
        ...(read.length > 0 ? { read: read.map((each) => this.#mark(each)) } : {}),
      },
    });
    // Without a connection they are derived again when there is one.
    if (!isTold) return;
    const nowMs = this.#host.monotonicMs();
    for (const each of [...delivered, ...read]) this.#told.set(`${each.kind} ${each.id}`, each);
    this.#recent = [...this.#recent, ...delivered, ...read]
      .filter((each) => nowMs - each.atMs <= REPEAT_MS)
      .slice(-RECENT_MAX);
    if (this.#delivered.size + this.#read.size > 0)
      this.#cancel = this.#host.after(REPORT_MS, () => this.#report());
  }

  #take(kind: Sent['kind'], wanted: Map<ConversationId, Sequence>): Sent[] {
    const taken: Sent[] = [];
    const atMs = this.#host.monotonicMs();
    for (const [id, sequence] of wanted) {
      if (taken.length >= ITEMS_MAX) break;
      taken.push({ kind, id, sequence, atMs });
      wanted.delete(id);
    }
    return taken;
  }

  #mark(sent: Sent): ReceiptMark {
    const epoch = this.#hooks.log(sent.id)?.epoch ?? 0;
    const mark = { conversationId: sent.id, sequence: sent.sequence };
    return epoch === 0 ? mark : { ...mark, epoch };
  }
}

function isReportable(log: ConversationLog): boolean {
  return log.isOnServer && log.resource.me?.role !== '';
}
