/**
 * The chat checker: judges a history in linear time (DESIGN §7). It knows nothing of how the system
 * works, only what was promised: no acknowledged message lost, a dense order, one sequence per
 * (outbox, clientSeq), no phantoms, the same order for all, FIFO per outbox, real-time order,
 * cursors that never fall, nothing to a removed member, nothing deleted served again.
 */
import type {
  Committed,
  FinalLog,
  FinalRow,
  History,
  HistoryEvent,
  Invoked,
  Joined,
  Removed,
  Seen,
} from './history.ts';

export type Promised =
  | 'lost'
  | 'not-dense'
  | 'duplicate'
  | 'phantom'
  | 'altered'
  | 'refused-but-there'
  | 'replicas-differ'
  | 'reader-order'
  | 'reader-repeats'
  | 'reader-skips'
  | 'fifo'
  | 'real-time'
  | 'stamp-falls'
  | 'two-answers'
  | 'wrong-answer'
  | 'mark-falls'
  | 'mark-beyond'
  | 'shown-after-removal'
  | 'deleted-served';

export interface Violation {
  readonly promise: Promised;
  readonly text: string;
}

export interface Verdict {
  readonly violations: readonly Violation[];
  readonly counts: {
    readonly invoked: number;
    readonly committed: number;
    readonly refused: number;
    readonly unknown: number;
    readonly seen: number;
    readonly rows: number;
  };
}

const VIOLATIONS_MAX = 100;

export function check(history: History): Verdict {
  return new Checker(history).run();
}

interface Op {
  readonly invoked: Invoked;
  committed: Committed | undefined;
  refused: boolean;
}

class Checker {
  readonly #history: History;
  readonly #violations: Violation[] = [];
  readonly #ops = new Map<string, Op>();
  readonly #byName = new Map<string, Op>();
  /** Conversation → rows by sequence, of the first final log of it. */
  readonly #logs = new Map<string, Map<number, FinalRow>>();

  constructor(history: History) {
    this.#history = history;
  }

  run(): Verdict {
    const { events, finals } = this.#history;
    this.#readSends(events);
    for (const log of finals) this.#readLog(log);
    for (const op of this.#ops.values()) this.#judgeSend(op);
    this.#judgeFifo();
    this.#judgeRealTime(events);
    this.#judgeReaders(events);
    this.#judgeMarks(events);
    const ops = [...this.#ops.values()];
    const committed = ops.filter((op) => op.committed !== undefined).length;
    const refused = ops.filter((op) => op.refused).length;
    return {
      violations: this.#violations,
      counts: {
        invoked: ops.length,
        committed,
        refused,
        unknown: ops.length - committed - refused,
        seen: events.filter((event) => event.is === 'seen').length,
        rows: [...this.#logs.values()].reduce((sum, rows) => sum + rows.size, 0),
      },
    };
  }

  #broken(promise: Promised, text: string): void {
    if (this.#violations.length < VIOLATIONS_MAX) this.#violations.push({ promise, text });
  }

  #readSends(events: readonly HistoryEvent[]): void {
    for (const event of events) {
      if (event.is === 'invoked') {
        if (this.#ops.has(event.op)) continue;
        const op: Op = { invoked: event, committed: undefined, refused: false };
        this.#ops.set(event.op, op);
        this.#byName.set(nameOf(event.conversation, event.clientMessageId), op);
      } else if (event.is === 'committed') this.#readCommit(event);
      else if (event.is === 'refused') {
        const op = this.#ops.get(event.op);
        if (op !== undefined) op.refused = true;
      }
    }
  }

  #readCommit(event: Committed): void {
    const op = this.#ops.get(event.op);
    if (op === undefined) return;
    const before = op.committed;
    if (
      before !== undefined &&
      (before.sequence !== event.sequence || before.timeMs !== event.timeMs)
    )
      this.#broken(
        'two-answers',
        `${event.op} was committed at ${before.sequence} and at ${event.sequence}`,
      );
    op.committed = before ?? event;
  }

  #readLog(log: FinalLog): void {
    const known = this.#logs.get(log.conversation);
    if (known !== undefined) {
      this.#compare(log, known);
      return;
    }
    const rows = new Map<number, FinalRow>();
    const names = new Map<string, number>();
    let previous = 0;
    let stamp = 0;
    for (const row of log.rows) {
      if (row.sequence !== previous + 1)
        this.#broken('not-dense', `${log.conversation}: ${row.sequence} follows ${previous}`);
      if (row.timeMs < stamp)
        this.#broken('stamp-falls', `${log.conversation}: the stamp falls at ${row.sequence}`);
      previous = row.sequence;
      stamp = row.timeMs;
      rows.set(row.sequence, row);
      if (!row.server) this.#judgeRow(log.conversation, row, names);
    }
    this.#logs.set(log.conversation, rows);
  }

  #judgeRow(conversation: string, row: FinalRow, names: Map<string, number>): void {
    for (const name of [
      row.clientMessageId,
      row.outbox === '' ? '' : `${row.outbox}/${row.clientSeq}`,
    ]) {
      if (name === '') continue;
      const first = names.get(name);
      if (first !== undefined)
        this.#broken(
          'duplicate',
          `${conversation}: ${name} stands at ${first} and at ${row.sequence}`,
        );
      names.set(name, row.sequence);
    }
    const op = this.#byName.get(nameOf(conversation, row.clientMessageId));
    if (op === undefined)
      this.#broken(
        'phantom',
        `${conversation}/${row.sequence}: nobody sent ${row.clientMessageId}`,
      );
    else if (row.content !== '' && row.content !== op.invoked.content)
      this.#broken('altered', `${conversation}/${row.sequence} has other content than was sent`);
    else if (row.sender !== op.invoked.user)
      this.#broken('altered', `${conversation}/${row.sequence} has another sender`);
  }

  #compare(log: FinalLog, known: ReadonlyMap<number, FinalRow>): void {
    if (log.rows.length !== known.size)
      this.#broken(
        'replicas-differ',
        `${log.conversation}: ${log.rows.length} rows against ${known.size}`,
      );
    for (const row of log.rows) {
      const other = known.get(row.sequence);
      if (
        other?.clientMessageId !== row.clientMessageId ||
        other.timeMs !== row.timeMs ||
        other.content !== row.content
      )
        this.#broken(
          'replicas-differ',
          `${log.conversation}/${row.sequence} differs between readers`,
        );
    }
  }

  #judgeSend({ invoked, committed, refused }: Op): void {
    const rows = this.#logs.get(invoked.conversation);
    if (rows === undefined) {
      if (committed !== undefined) this.#broken('lost', `${invoked.op}: its conversation is gone`);
      return;
    }
    if (committed === undefined) {
      if (refused && this.#standsIn(rows, invoked))
        this.#broken(
          'refused-but-there',
          `${invoked.op} was refused for good and stands in the log`,
        );
      return;
    }
    const row = rows.get(committed.sequence);
    if (row === undefined)
      this.#broken(
        'lost',
        `${invoked.op} was acknowledged at ${committed.sequence} and is not there`,
      );
    else if (row.clientMessageId !== invoked.clientMessageId)
      this.#broken(
        'wrong-answer',
        `${invoked.op} was acknowledged at ${committed.sequence}, where another message stands`,
      );
    else if (row.timeMs !== committed.timeMs)
      this.#broken('wrong-answer', `${invoked.op}: its time changed after the acknowledgement`);
  }

  #standsIn(rows: ReadonlyMap<number, FinalRow>, invoked: Invoked): boolean {
    for (const row of rows.values())
      if (row.clientMessageId === invoked.clientMessageId) return true;
    return false;
  }

  /** Within one outbox and conversation numbers rise with sequences. */
  #judgeFifo(): void {
    for (const [conversation, rows] of this.#logs) {
      const last = new Map<string, number>();
      for (const row of rows.values()) {
        if (row.server || row.outbox === '') continue;
        const before = last.get(row.outbox) ?? 0;
        if (row.clientSeq <= before)
          this.#broken(
            'fifo',
            `${conversation}/${row.sequence}: number ${row.clientSeq} of its outbox stands behind ${before}`,
          );
        last.set(row.outbox, row.clientSeq);
      }
    }
  }

  /** A send invoked after another's commit has a larger sequence (G4). */
  #judgeRealTime(events: readonly HistoryEvent[]): void {
    const highest = new Map<string, { at: number; sequence: number; before: number }>();
    const floor = new Map<string, number>();
    for (const event of sorted(events)) {
      if (event.is === 'committed') {
        const op = this.#ops.get(event.op);
        if (op === undefined) continue;
        const conversation = op.invoked.conversation;
        const bound = floor.get(event.op) ?? 0;
        if (event.sequence <= bound && op.committed === event)
          this.#broken(
            'real-time',
            `${event.op} was sent after ${bound} was acknowledged and got ${event.sequence}`,
          );
        const known = highest.get(conversation);
        if (known === undefined)
          highest.set(conversation, { at: event.at, sequence: event.sequence, before: 0 });
        else if (event.sequence > known.sequence) {
          known.before = known.at < event.at ? known.sequence : known.before;
          known.at = event.at;
          known.sequence = event.sequence;
        }
      } else if (event.is === 'invoked' && !floor.has(event.op)) {
        const known = highest.get(event.conversation);
        if (known !== undefined)
          floor.set(event.op, known.at < event.at ? known.sequence : known.before);
      }
    }
  }

  #judgeReaders(events: readonly HistoryEvent[]): void {
    const cursors = new Map<string, number>();
    const away = new Map<string, number>();
    const deleted = new Map<string, number>();
    for (const event of sorted(events)) {
      switch (event.is) {
        case 'seen':
          this.#judgeSeen(event, cursors, away, deleted);
          break;
        case 'jumped':
          cursors.set(`${event.reader} ${event.conversation}`, event.to === 0 ? -1 : event.to - 1);
          break;
        case 'removed':
        case 'joined':
          this.#moved(event, away);
          break;
        case 'deleted':
          deleted.set(`${event.conversation}/${event.sequence}`, event.at);
          break;
        default:
      }
    }
  }

  #moved(event: Removed | Joined, away: Map<string, number>): void {
    const key = `${event.user} ${event.conversation}`;
    if (event.is === 'removed') away.set(key, event.sequence);
    else away.delete(key);
  }

  // biome-ignore format: one signature
  #judgeSeen(event: Seen, cursors: Map<string, number>, away: ReadonlyMap<string, number>, deleted: ReadonlyMap<string, number>): void {
    const place = `${event.conversation}/${event.sequence}`;
    const row = this.#logs.get(event.conversation)?.get(event.sequence);
    if (row === undefined) this.#broken('phantom', `${event.reader} saw ${place}, which is not in the log`);
    else if (row.clientMessageId !== event.clientMessageId) this.#broken('replicas-differ', `${event.reader} saw another message at ${place}`);
    else if (event.content !== '' && row.content !== '' && event.content !== row.content) this.#broken('altered', `${event.reader} saw other content at ${place}`);
    const gone = away.get(`${event.user} ${event.conversation}`);
    if (gone !== undefined && event.sequence > gone) this.#broken('shown-after-removal', `${event.reader} saw ${place} after removal at ${gone}`);
    const erased = deleted.get(place);
    if (erased !== undefined && erased < event.at && event.content !== '') this.#broken('deleted-served', `${event.reader} got the text of ${place} after its deletion`);
    if (event.from !== 'push') return;
    const key = `${event.reader} ${event.conversation}`;
    const before = cursors.get(key);
    if (before !== undefined && before >= 0) {
      if (event.sequence === before) this.#broken('reader-repeats', `${event.reader} saw ${place} twice`);
      else if (event.sequence < before) this.#broken('reader-order', `${event.reader} saw ${place} after ${before}`);
      else if (event.sequence > before + 1) this.#broken('reader-skips', `${event.reader} saw ${place} after ${before} without a gap`);
    }
    cursors.set(key, event.sequence);
  }

  #judgeMarks(events: readonly HistoryEvent[]): void {
    const last = new Map<string, { delivered: number; read: number }>();
    for (const event of sorted(events)) {
      if (event.is !== 'marked') continue;
      const key = `${event.reader} ${event.user} ${event.conversation}`;
      const before = last.get(key) ?? { delivered: 0, read: 0 };
      if (event.deliveredThrough < before.delivered || event.readThrough < before.read)
        this.#broken(
          'mark-falls',
          `${event.user} in ${event.conversation}: ${event.deliveredThrough}/${event.readThrough} after ${before.delivered}/${before.read}`,
        );
      if (event.readThrough > event.deliveredThrough || event.deliveredThrough > event.head)
        this.#broken(
          'mark-beyond',
          `${event.user} in ${event.conversation}: read ${event.readThrough}, delivered ${event.deliveredThrough}, head ${event.head}`,
        );
      last.set(key, { delivered: event.deliveredThrough, read: event.readThrough });
    }
  }
}

const orders = new WeakMap<readonly HistoryEvent[], readonly HistoryEvent[]>();

/** By time; events of one time keep their order. Sorted once per history. */
function sorted(events: readonly HistoryEvent[]): readonly HistoryEvent[] {
  const known = orders.get(events);
  if (known !== undefined) return known;
  const order = [...events].sort((a, b) => a.at - b.at);
  orders.set(events, order);
  return order;
}

function nameOf(conversation: string, clientMessageId: string): string {
  return `${conversation} ${clientMessageId}`;
}
