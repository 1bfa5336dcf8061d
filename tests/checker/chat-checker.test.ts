import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { check, type Promised } from './chat-checker.ts';
import type {
  Committed,
  FinalRow,
  History,
  HistoryEvent,
  Invoked,
  Marked,
  Seen,
} from './history.ts';

const C = 'cnv_1';

function invoked(n: number, at: number, more: Partial<Invoked> = {}): Invoked {
  return {
    is: 'invoked',
    at,
    op: `op${n}`,
    user: 'ana',
    outbox: 'box',
    clientSeq: n,
    clientMessageId: `m${n}`,
    conversation: C,
    content: `text${n}`,
    ...more,
  };
}
function committed(n: number, at: number, more: Partial<Committed> = {}): Committed {
  return { is: 'committed', at, op: `op${n}`, sequence: n, timeMs: 1000 + n, ...more };
}
function seen(n: number, at: number, more: Partial<Seen> = {}): Seen {
  return {
    is: 'seen',
    at,
    reader: 'bo-1',
    user: 'bo',
    from: 'push',
    conversation: C,
    epoch: 1,
    sequence: n,
    clientMessageId: `m${n}`,
    outbox: 'box',
    clientSeq: n,
    content: `text${n}`,
    timeMs: 1000 + n,
    ...more,
  };
}
function row(n: number, more: Partial<FinalRow> = {}): FinalRow {
  return {
    sequence: n,
    timeMs: 1000 + n,
    sender: 'ana',
    outbox: 'box',
    clientSeq: n,
    clientMessageId: `m${n}`,
    content: `text${n}`,
    server: false,
    ...more,
  };
}
function marked(at: number, delivered: number, read: number): Marked {
  return {
    is: 'marked',
    at,
    reader: 'ana-1',
    user: 'bo',
    conversation: C,
    deliveredThrough: delivered,
    readThrough: read,
    head: 3,
  };
}

const GOOD: HistoryEvent[] = [
  invoked(1, 1),
  invoked(2, 2),
  committed(1, 10),
  committed(2, 11),
  invoked(3, 20),
  committed(3, 30),
  seen(1, 12),
  seen(2, 13),
  seen(3, 31),
  marked(40, 2, 1),
  marked(41, 3, 3),
];
const ROWS = [row(1), row(2), row(3)];

function judge(
  events: readonly HistoryEvent[],
  rows: readonly FinalRow[] = ROWS,
  more: History['finals'] = [],
): Promised[] {
  return check({ events, finals: [{ conversation: C, rows }, ...more] }).violations.map(
    ({ promise }) => promise,
  );
}

describe('the chat checker', () => {
  it('finds nothing in a good history', () => {
    assert.deepEqual(check({ events: GOOD, finals: [{ conversation: C, rows: ROWS }] }), {
      violations: [],
      counts: { invoked: 3, committed: 3, refused: 0, unknown: 0, seen: 3, rows: 3 },
    });
  });
  it('allows an unknown outcome to be there once, or not at all', () => {
    assert.deepEqual(judge([...GOOD, invoked(4, 50)]), []);
    assert.deepEqual(judge([...GOOD, invoked(4, 50)], [...ROWS, row(4)]), []);
  });

  const cases: Partial<Record<Promised, () => Promised[]>> = {
    lost: () => judge(GOOD, ROWS.slice(0, 2)).filter((promise) => promise !== 'phantom'),
    'not-dense': () => judge([invoked(1, 1), invoked(3, 2)], [row(1), row(3)]),
    duplicate: () =>
      judge(
        [...GOOD, invoked(4, 50)],
        [...ROWS, row(4, { clientMessageId: 'm1', clientSeq: 4, content: 'text1' })],
      ),
    phantom: () => judge(GOOD, [...ROWS, row(4)]),
    altered: () => judge(GOOD, [row(1), row(2), row(3, { content: 'other' })]).slice(0, 1),
    'refused-but-there': () =>
      judge(
        [...GOOD, invoked(4, 50), { is: 'refused', at: 51, op: 'op4', reason: 'BLOCKED' }],
        [...ROWS, row(4)],
      ),
    'replicas-differ': () =>
      judge(GOOD, ROWS, [{ conversation: C, rows: [row(1), row(2), row(3, { timeMs: 9 })] }]),
    'reader-order': () => judge([...GOOD, seen(1, 50)]),
    'reader-repeats': () => judge([...GOOD, seen(3, 50)]),
    'reader-skips': () =>
      judge(GOOD.filter((event) => event.is !== 'seen' || event.sequence !== 2)),
    fifo: () =>
      judge(
        [invoked(1, 1), invoked(2, 1)],
        [
          row(1, { clientMessageId: 'm2', clientSeq: 2, content: 'text2' }),
          row(2, { clientMessageId: 'm1', clientSeq: 1, content: 'text1' }),
        ],
      ),
    'real-time': () =>
      judge(
        [
          invoked(1, 1, { outbox: 'a' }),
          committed(1, 5, { sequence: 2, timeMs: 1002 }),
          invoked(2, 9, { outbox: 'b' }),
          committed(2, 12, { sequence: 1, timeMs: 1001 }),
        ],
        [
          row(1, { clientMessageId: 'm2', outbox: 'b', content: 'text2' }),
          row(2, { clientMessageId: 'm1', outbox: 'a', content: 'text1' }),
        ],
      ),
    'stamp-falls': () => judge([invoked(1, 1), invoked(2, 1)], [row(1), row(2, { timeMs: 5 })]),
    'two-answers': () => judge([...GOOD, committed(1, 60, { sequence: 2 })]),
    'wrong-answer': () =>
      judge(
        [invoked(1, 1), invoked(2, 1), committed(1, 3, { sequence: 2, timeMs: 1002 })],
        ROWS.slice(0, 2),
      ),
    'mark-falls': () => judge([...GOOD, marked(50, 2, 2)]),
    'mark-beyond': () => judge([...GOOD, marked(50, 4, 3)]),
    'shown-after-removal': () =>
      judge([...GOOD, { is: 'removed', at: 25, user: 'bo', conversation: C, sequence: 2 }]),
    'deleted-served': () =>
      judge([
        ...GOOD,
        { is: 'deleted', at: 50, conversation: C, sequence: 2 },
        seen(2, 60, { from: 'page' }),
      ]),
  };
  for (const [promise, run] of Object.entries(cases))
    it(`finds a broken promise: ${promise}`, () =>
      assert.deepEqual([...new Set(run())], [promise]));

  it('takes a gap as a new beginning, and a page for no part of the order', () => {
    const events = GOOD.filter((event) => event.is !== 'seen' || event.sequence !== 2);
    assert.deepEqual(
      judge([...events, { is: 'jumped', at: 30.5, reader: 'bo-1', conversation: C, to: 3 }]),
      [],
    );
    assert.deepEqual(judge([...GOOD, seen(1, 70, { from: 'page' })]), []);
  });
  it('judges a hundred thousand events in well under a second of work', () => {
    const events: HistoryEvent[] = [];
    const rows: FinalRow[] = [];
    for (let n = 1; n <= 25_000; n++) {
      events.push(
        invoked(n, n),
        committed(n, n + 0.5),
        seen(n, n + 0.6),
        seen(n, n + 0.7, { reader: 'bo-2' }),
      );
      rows.push(row(n));
    }
    assert.deepEqual(judge(events, rows), []);
  });
});
