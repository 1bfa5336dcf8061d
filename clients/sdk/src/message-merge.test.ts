import assert from 'node:assert/strict';
import fc from 'fast-check';
import { describe, it } from 'mocha';
import type { LogRow, Message } from './contract.ts';
import { applyControl, isCountable, messageOf, newer, reacted } from './message-merge.ts';

const first: LogRow = {
  sequence: 1,
  senderUserId: 'usr_a',
  body: { message: { text: { body: 'text' } } },
};

/** A message's life: control rows 2… on message 1. */
const life = fc
  .array(
    fc.oneof(
      {
        weight: 3,
        arbitrary: fc.record({
          emoji: fc.constantFrom('a', 'b'),
          who: fc.constantFrom('usr_a', 'usr_b'),
        }),
      },
      { weight: 2, arbitrary: fc.constant('edit' as const) },
      { weight: 1, arbitrary: fc.constant('delete' as const) },
    ),
    { maxLength: 12 },
  )
  .map((steps) =>
    steps.map((step, i): LogRow => {
      const row = { sequence: i + 2, timeMs: i, senderUserId: 'usr_a' };
      const target = { sequence: 1 };
      if (step === 'edit')
        return { ...row, body: { edit: { target, message: { text: { body: `edit ${i}` } } } } };
      if (step === 'delete') return { ...row, body: { delete: { target } } };
      return {
        ...row,
        senderUserId: step.who,
        body: { reaction: { target, emoji: step.emoji, op: 'add' } },
      };
    }),
  );

function after(rows: readonly LogRow[]): Message {
  let message = messageOf(first);
  for (const row of rows) message = applyControl(message, row, 'usr_a');
  return message;
}

describe('message merge', () => {
  it('snapshots and rows in any order, repeated at will, end as the last state (S7)', () => {
    fc.assert(
      fc.property(life, fc.array(fc.nat(13), { maxLength: 20 }), (rows, order) => {
        // Any number of snapshots (pages, syncs), then rows from the snapshot's place on.
        let held: Message | undefined;
        for (const n of order) held = newer(held, after(rows.slice(0, n % (rows.length + 1))));
        held = newer(held, messageOf(first));
        for (const row of rows) held = applyControl(held, row, 'usr_a');
        for (const row of rows) held = applyControl(held, row, 'usr_a');
        assert.deepEqual(held, after(rows));
      }),
    );
  });

  it('a deleted message stays deleted: no edit, no reaction, no content', () => {
    const gone = applyControl(
      messageOf(first),
      { sequence: 5, body: { delete: { target: { sequence: 1 } } } },
      'me',
    );
    assert.equal(gone.content, undefined);
    const edit: LogRow = {
      sequence: 6,
      body: { edit: { target: { sequence: 1 }, message: { text: { body: 'x' } } } },
    };
    assert.equal(applyControl(gone, edit, 'me').content, undefined);
  });

  it('an edit keeps what the message answers to', () => {
    const reply: Message = {
      sequence: 3,
      content: { message: { text: { body: 'a' }, replyTo: 2 } },
    };
    const edit: LogRow = {
      sequence: 4,
      body: { edit: { target: { sequence: 3 }, message: { text: { body: 'b' } } } },
    };
    assert.equal(applyControl(reply, edit, 'me').content?.message?.replyTo, 2);
  });

  it('reactions count up and down, and know one’s own', () => {
    const one = reacted([], { emoji: 'x', isAdded: true, isMine: true });
    assert.deepEqual(one, [{ emoji: 'x', count: 1, me: true }]);
    const two = reacted(one, { emoji: 'x', isAdded: true, isMine: false });
    assert.deepEqual(two, [{ emoji: 'x', count: 2, me: true }]);
    const mineGone = reacted(two, { emoji: 'x', isAdded: false, isMine: true });
    assert.deepEqual(mineGone, [{ emoji: 'x', count: 1 }]);
    assert.deepEqual(reacted(mineGone, { emoji: 'x', isAdded: false, isMine: false }), []);
    assert.deepEqual(reacted([], { emoji: 'x', isAdded: false, isMine: false }), []);
  });

  it('silent messages and control rows do not count as unread', () => {
    assert.equal(isCountable({ message: { text: { body: 'x' } } }), true);
    assert.equal(isCountable({ message: { text: { body: 'x' }, silent: true } }), false);
    assert.equal(isCountable({ delete: { target: { sequence: 1 } } }), false);
    assert.equal(isCountable({ sealed: { countable: true } }), true);
    assert.equal(isCountable(undefined), false);
  });
});
