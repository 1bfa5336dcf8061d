import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import type { LogRow, Message } from './contract.ts';
import { ConversationLog, type RowContext } from './conversation-log.ts';

const ME = 'usr_me';

function context(): RowContext & { held: Map<number, Message> } {
  const held = new Map<number, Message>();
  return { me: ME, ownBody: () => undefined, messages: held, held };
}

function row(sequence: number, more: Partial<LogRow> = {}): LogRow {
  return {
    sequence,
    timeMs: sequence,
    senderUserId: 'usr_other',
    body: { message: { text: { body: `m${sequence}` } } },
    ...more,
  };
}

function said(body: string): { text: { body: string } } {
  return { text: { body } };
}

function log(head = 0): ConversationLog {
  return ConversationLog.of({
    conversationId: 'cnv',
    kind: 'direct',
    peerUserId: 'usr_other',
    epoch: 1,
    head,
    createTimeMs: 1,
    me: { role: 'member' },
  });
}

function rows(...items: LogRow[]): { conversationId: string; epoch: number; rows: LogRow[] } {
  return { conversationId: 'cnv', epoch: 1, rows: items };
}

describe('conversation log', () => {
  it('known rows drop, the next applies, one beyond waits and owes a sync (S7)', () => {
    const cnv = log();
    const ctx = context();
    cnv.takeRows(rows(row(1), row(2), row(1)), ctx);
    assert.equal(cnv.cursor, 2);
    assert.equal(cnv.owesSync, false);
    cnv.takeRows(rows(row(5)), ctx);
    assert.equal(cnv.cursor, 2);
    assert.equal(cnv.owesSync, true);
    assert.equal(ctx.held.has(5), false);
    cnv.takeRows(rows(row(4), row(3)), ctx);
    assert.equal(cnv.cursor, 5);
    assert.equal(cnv.owesSync, false);
    assert.deepEqual(
      [...ctx.held.keys()].sort((a, b) => a - b),
      [1, 2, 3, 4, 5],
    );
  });

  it('an own send that stands in a hole by its commit alone is read anew: it may have changed (S7)', () => {
    const cnv = log();
    const ctx = context();
    cnv.takeRows(rows(row(1), row(2)), ctx);
    cnv.takeCommitted({ ...row(8), senderUserId: ME }, ctx);
    cnv.takeSync(
      {
        messages: [row(12), row(13)],
        hole: { after: 2, before: 12 },
        cursor: { epoch: 1, sequence: 13 },
      },
      { asked: 2, isLast: true },
      ctx,
    );
    assert.deepEqual(cnv.ranges, [
      { from: 1, through: 2 },
      { from: 12, through: 13 },
    ]);
  });

  it('a commit heard again below the cursor does not undo what changed the message since (S7)', () => {
    const edit = row(25, { body: { edit: { target: { sequence: 19 }, message: said('later') } } });
    const committed: Message = {
      sequence: 19,
      senderUserId: ME,
      content: { message: said('first') },
    };
    // A start on a cache that never held the row: it lies in the hole of the first listing.
    const hole = log(24);
    const ctx = context();
    hole.takeRows(rows(edit), ctx);
    hole.takeCommitted(committed, ctx);
    assert.equal(hole.cursor, 25);
    assert.deepEqual(
      [ctx.held.has(19), hole.ranges.some(({ from }) => from === 19)],
      [false, false],
    );
    // The rows that passed are known here: they are applied.
    const known = log(18);
    known.takeRows(rows(row(19), row(20), row(21), row(22), row(23), row(24), edit), ctx);
    ctx.held.delete(19);
    known.takeCommitted(committed, ctx);
    assert.equal(ctx.held.get(19)?.content?.message?.text?.body, 'later');
    assert.equal(ctx.held.get(19)?.changeSequence, 25);
  });

  it('a row kept aside does not bring back what was deleted before its turn came (S7)', () => {
    const cnv = log();
    const ctx = context();
    cnv.takeRows(rows(row(1)), ctx);
    cnv.takeRows(rows(row(3)), ctx);
    // Read again as it stands: the third is gone, and the fifth says so.
    const { body: _body, ...erased } = row(3);
    const gone = row(5, { body: { delete: { target: { sequence: 3 } } } });
    cnv.takeRows(rows(row(2), erased, row(4), gone), ctx);
    assert.equal(ctx.held.get(3)?.deleted, true);
    // The same, its deletion long passed: a hole, which a page fills.
    const late = log();
    const later = context();
    late.takeRows(rows(row(1)), later);
    late.takeRows(rows(row(3)), later);
    late.takeSync(
      { messages: [row(40)], hole: { after: 1, before: 40 }, cursor: { epoch: 1, sequence: 40 } },
      { asked: 1, isLast: true },
      later,
    );
    assert.equal(later.held.has(3), false);
    assert.equal(late.cursor, 40);
  });

  it('a doubt whether it is left outlives a reload, and ends with an answer', () => {
    const doubtful = log(3);
    doubtful.isDoubtful = true;
    const again = new ConversationLog(doubtful.record());
    assert.equal(again.isDoubtful, true);
    again.takeResource({ ...again.resource, head: 4 });
    assert.equal(new ConversationLog(again.record()).isDoubtful, false);
    const left = new ConversationLog(doubtful.record());
    left.leave();
    assert.equal(left.isDoubtful, false);
  });

  it('an erased row may have been an edit: only a page says whether a message stands there', () => {
    const cnv = log();
    const ctx = context();
    const { body: _body, ...erased } = row(2);
    const outcome = cnv.takeRows(rows(row(1), erased), ctx);
    assert.equal(ctx.held.has(2), false);
    assert.equal(outcome.needsPage, 2);
    assert.equal(cnv.cursor, 2);
  });

  it('what waits aside is bounded (S14)', () => {
    const cnv = log();
    const ctx = context();
    cnv.takeRows(rows(row(1)), ctx);
    for (let n = 3; n < 1_000; n++) cnv.takeRows(rows(row(n)), ctx);
    cnv.takeRows(rows(row(2)), ctx);
    assert.ok(cnv.cursor < 400);
    assert.equal(cnv.owesSync, true);
  });

  it('receipts never fall, and read implies delivered (CONTRACT §9 45)', () => {
    const cnv = log(10);
    cnv.takeReceipts({ conversationId: 'cnv', peer: { deliveredThrough: 8, readThrough: 3 } });
    cnv.takeReceipts({ conversationId: 'cnv', peer: { deliveredThrough: 5, readThrough: 1 } });
    assert.deepEqual(cnv.receipts.watermarks, { delivered: 8, read: 3 });
    cnv.takeReceipts({ conversationId: 'cnv', peer: { readThrough: 9 } });
    assert.deepEqual(cnv.receipts.watermarks, { delivered: 9, read: 9 });
    const counts = [{ sequence: 10, of: 2, delivered: 2, read: 1 }];
    cnv.takeReceipts({ conversationId: 'cnv', counts });
    assert.deepEqual(cnv.receipts.watermarks, { delivered: 10, read: 9 });
  });

  it('only own rows settle own sends, from rows, pages and syncs alike (S6)', () => {
    const forged = { senderUserId: 'usr_other', clientMessageId: 'my-key' };
    const cnv = log();
    assert.deepEqual(cnv.takeRows(rows(row(1, forged)), context()).own, []);
    const synced = cnv.takeSync(
      { messages: [{ sequence: 2, ...forged }], cursor: { epoch: 1, sequence: 2 } },
      { asked: 1, isLast: true },
      context(),
    );
    assert.deepEqual(synced.own, []);
    const mine = { senderUserId: ME, clientMessageId: 'my-key' };
    assert.equal(cnv.takeRows(rows(row(3, mine)), context()).own.length, 1);
  });

  it('a page read before changes that are not known here is refused (S7)', () => {
    const cnv = log();
    const ctx = context();
    cnv.takeRows(rows(row(1)), ctx);
    // A sync jumped over rows 2…9, among them edits of what the page would show.
    cnv.takeSync(
      {
        messages: [{ sequence: 10 }],
        hole: { after: 1, before: 10 },
        cursor: { epoch: 1, sequence: 10 },
      },
      { asked: 1, isLast: true },
      ctx,
    );
    const stale = { messages: [{ sequence: 5 }], asOf: 6, head: 6, first: 1 };
    assert.equal(cnv.takePage(stale, { from: 5, through: 5 }, ctx), false);
    const fresh = { ...stale, asOf: 10, head: 10 };
    assert.equal(cnv.takePage(fresh, { from: 5, through: 5 }, ctx), true);
  });

  it('another epoch voids marks and what lies above its head', () => {
    const cnv = log(10);
    cnv.takeReceipts({ conversationId: 'cnv', peer: { deliveredThrough: 10, readThrough: 10 } });
    cnv.takeResource({
      conversationId: 'cnv',
      kind: 'direct',
      epoch: 2,
      head: 6,
      me: { role: 'member', readThrough: 4, unreadCount: 2 },
    });
    assert.equal(cnv.epoch, 2);
    assert.equal(cnv.cursor, 6);
    assert.deepEqual(cnv.receipts.watermarks, { delivered: 0, read: 0 });
    assert.equal(cnv.unread.readThrough, 4);
    // Rows of the former epoch are not applied any more.
    cnv.takeRows({ conversationId: 'cnv', epoch: 1, rows: [row(7)] }, context());
    assert.equal(cnv.cursor, 6);
  });

  it('an older resource changes nothing but marks, which only rise', () => {
    const cnv = log(10);
    cnv.takeResource({
      conversationId: 'cnv',
      kind: 'direct',
      epoch: 1,
      head: 12,
      name: 'new',
      me: { role: 'member', readThrough: 12 },
    });
    cnv.takeResource({
      conversationId: 'cnv',
      kind: 'direct',
      epoch: 1,
      head: 9,
      name: 'old',
      me: { role: 'member', readThrough: 5, unreadCount: 4 },
    });
    assert.equal(cnv.resource.name, 'new');
    assert.equal(cnv.unread.readThrough, 12);
    assert.equal(cnv.unread.count, 0);
  });
});
