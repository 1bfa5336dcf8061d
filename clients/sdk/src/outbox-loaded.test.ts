import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { OutboxScript } from '../test/outbox-script.ts';
import type { OutboxEvent } from './outbox-events.ts';
import { RECOVERIES_MAX } from './outbox-lane.ts';

type Loaded = Extract<OutboxEvent, { is: 'loaded' }>;

/** A start on a database that holds these, unnumbered; `other` is of a conversation of its own. */
function loaded(keys: readonly string[], nowMs: number): Loaded {
  return {
    is: 'loaded',
    outboxId: 'box-1',
    isNew: false,
    entries: keys.map((key, i) => ({
      ordinal: i + 1,
      key,
      conversationId: key === 'other' ? 'other' : 'cnv',
      to: key === 'other' ? 'other' : 'cnv',
      action: { is: 'message' as const, content: { text: { body: key } } },
      queuedTimeMs: nowMs,
    })),
    lanes: [],
  };
}

describe('outbox machine, on what an earlier run left', () => {
  it('what was loaded goes on with its numbers; lanes of a former outbox are forgotten', () => {
    const script = new OutboxScript();
    const entry = {
      key: 'a',
      conversationId: 'cnv',
      to: 'cnv',
      action: { is: 'message' as const, content: { text: { body: 'a' } } },
      queuedTimeMs: script.nowMs,
    };
    script.step({
      is: 'loaded',
      outboxId: 'box-1',
      isNew: false,
      entries: [
        {
          ...entry,
          ordinal: 1,
          number: { outboxId: 'box-1', clientSeq: 5, after: 4 },
          body: { message: { text: { body: 'a' } } },
        },
        { ...entry, key: 'b', ordinal: 2 },
      ],
      lanes: [
        { conversationId: 'cnv', outboxId: 'box-1', next: 6, lastAccepted: 4 },
        { conversationId: 'old', outboxId: 'box-0', next: 40, lastAccepted: 39 },
      ],
    });
    script.live();
    script.send('c', { conversationId: 'old' });
    assert.deepEqual(script.sent(), ['c:1<0']);
    script.recovered('cnv', 'box-2');
    assert.deepEqual(script.sent(), ['a:5<4']);
    script.commit('a', 1);
    assert.deepEqual(script.sent(), ['b:6<5']);
  });

  it('a lane stored before its newest number was taken gives that number to nobody else', () => {
    const script = new OutboxScript();
    const entry = {
      ordinal: 1,
      key: 'a',
      conversationId: 'cnv',
      to: 'cnv',
      action: { is: 'message' as const, content: { text: { body: 'a' } } },
      queuedTimeMs: script.nowMs,
      number: { outboxId: 'box-1', clientSeq: 5, after: 4 },
    };
    script.step({
      is: 'loaded',
      outboxId: 'box-1',
      isNew: false,
      entries: [entry],
      lanes: [{ conversationId: 'cnv', outboxId: 'box-1', next: 5, lastAccepted: 4 }],
    });
    script.live();
    script.send('b');
    script.recovered('cnv', 'box-2');
    assert.deepEqual(script.sent(), ['a:5<4']);
    script.commit('a', 1);
    assert.deepEqual(script.sent(), ['b:6<5']);
  });

  it('after a start one new number goes at a time, until the server has taken one that it had not (S5)', () => {
    const script = new OutboxScript();
    script.step(loaded(['a', 'b', 'c', 'd'], script.nowMs));
    script.live();
    script.recovered('cnv', 'box-2');
    assert.deepEqual(script.sent(), ['a:1<0']);
    // A repeat: an earlier life, or one after the backup, may have sent more than that.
    const commit = { conversationId: 'cnv', sequence: 1, replayed: true };
    script.step({ is: 'committed', key: 'a', commit });
    script.store();
    assert.deepEqual(script.sent(), ['b:2<1']);
    script.commit('b', 2);
    assert.deepEqual(script.sent(), ['c:3<2', 'd:4<3']);
  });

  it('a number being stored when another shows that the database was restored: nothing followed that one (case 11)', () => {
    const script = new OutboxScript();
    script.step(loaded(['a', 'b'], script.nowMs));
    script.live();
    script.recovered('cnv', 'box-2');
    assert.deepEqual(script.sent(), ['a:1<0']);
    script.refuse('a', { reason: 'IDEMPOTENCY_CONFLICT' });
    assert.deepEqual(script.recovers, ['cnv', 'cnv']);
    script.recovered('cnv', 'box-2');
    assert.deepEqual(script.sent(), ['a:1<0', 'b:2<1']);
    assert.equal(script.machine.outboxId, 'box-2');
  });

  it('what an earlier run left goes once it was compared; what is there settles, what is new waits (S5, case 11)', () => {
    const script = new OutboxScript();
    const load = loaded(['a', 'b'], script.nowMs);
    script.step(load);
    script.live();
    script.send('c');
    assert.deepEqual(script.asked('cnv'), ['a', 'b']);
    assert.deepEqual(script.sent(), []);
    script.step({ is: 'appeared', key: 'a', sequence: 9, timeMs: 1 });
    assert.deepEqual(script.sent(), []);
    script.recovered('cnv', 'box-2');
    assert.deepEqual(script.settled, ['a']);
    assert.deepEqual(script.sent(), ['b:1<0']);
    // No number was refused: the outbox stays.
    assert.equal(script.machine.outboxId, 'box-1');
  });

  it('what failed in an earlier run is compared when it is tried again, and holds up nobody until then (S5, S6)', () => {
    const script = new OutboxScript();
    const load = loaded(['a'], script.nowMs);
    const failed = { reason: 'ROLE_REQUIRED', retryable: false } as const;
    script.step({ ...load, entries: load.entries.map((entry) => ({ ...entry, failed })) });
    script.live();
    assert.deepEqual(script.recovers, []);
    script.send('b');
    assert.deepEqual(script.sent(), ['b:1<0']);
    script.commit('b', 1);
    script.step({ is: 'retry', key: 'a' });
    assert.deepEqual(script.recovers, ['cnv']);
    script.recovered('cnv', 'box-2');
    assert.deepEqual(script.sent(), ['a:2<1']);
  });

  it('who may not read: a number asks for itself, what has none fails as the reading did (S5, S6)', () => {
    const script = new OutboxScript();
    const load = loaded(['a', 'b'], script.nowMs);
    const [a, b] = load.entries;
    assert.ok(a && b);
    const number = { outboxId: 'box-1', clientSeq: 5, after: 4 };
    script.step({ ...load, entries: [{ ...a, number }, b] });
    script.live();
    script.hidden('cnv', 'NOT_A_MEMBER');
    assert.deepEqual(script.sent(), ['a:5<0']);
    const failed = { is: 'FAILED', reason: 'NOT_A_MEMBER', retryable: true } as const;
    assert.deepEqual(script.machine.stateOf('b'), failed);
    // A later number was accepted, which this database does not know: it may be the same message.
    script.refuse('a', { reason: 'OUT_OF_ORDER', metadata: { lastAccepted: '7' } });
    assert.deepEqual(script.asked('cnv'), ['a']);
    script.hidden('cnv', 'COMMIT_UNKNOWN');
    const unknown = { is: 'FAILED', reason: 'COMMIT_UNKNOWN', retryable: true } as const;
    assert.deepEqual(script.machine.stateOf('a'), unknown);
    // A member again: it is compared first.
    script.step({ is: 'retry', key: 'b' });
    assert.deepEqual(script.asked('cnv'), ['b']);
    assert.deepEqual(script.sent(), []);
  });

  it('numbers of an earlier run go one at a time, too: what a used one would let pass stands behind it (G3)', () => {
    const script = new OutboxScript();
    const load = loaded(['a', 'b', 'c'], script.nowMs);
    const entries = load.entries.map((entry, i) => ({
      ...entry,
      number: { outboxId: 'box-1', clientSeq: 5 + i, after: 4 + i },
    }));
    script.step({ ...load, entries });
    script.live();
    script.recovered('cnv', 'box-2');
    assert.deepEqual(script.sent(), ['a:5<0']);
    // Proved by a number that was not used; what is behind it follows together.
    script.commit('a', 1);
    assert.deepEqual(script.sent(), ['b:6<5', 'c:7<6']);
  });

  it('what follows something given up in the last moment of a run fails with it (S6)', () => {
    const script = new OutboxScript();
    const load = loaded(['a', 'b'], script.nowMs);
    const [a, b] = load.entries;
    assert.ok(a && b);
    script.step({ ...load, entries: [a, { ...b, after: 'gone' }] });
    script.live();
    const failed = { is: 'FAILED', reason: 'CANCELED', retryable: false } as const;
    assert.deepEqual(script.machine.stateOf('b'), failed);
    script.step({ is: 'retry', key: 'b' });
    assert.deepEqual(script.machine.stateOf('b'), failed);
    script.recovered('cnv', 'box-2');
    assert.deepEqual(script.sent(), ['a:1<0']);
  });

  it('a number that asked and was refused: tried again, it is compared under whatever others (S5)', () => {
    const script = new OutboxScript();
    const load = loaded(['a'], script.nowMs);
    const number = { outboxId: 'box-1', clientSeq: 5, after: 4 };
    script.step({ ...load, entries: load.entries.map((entry) => ({ ...entry, number })) });
    script.live();
    script.hidden('cnv', 'NOT_A_MEMBER');
    assert.deepEqual(script.sent(), ['a:5<0']);
    script.refuse('a', { reason: 'NOT_A_MEMBER' });
    script.step({ is: 'retry', key: 'a' });
    script.store();
    assert.deepEqual(script.sent(), []);
    assert.equal(script.recovers.length, 2);
  });

  it('what became doubtful while others were compared is compared by itself (S5)', () => {
    const script = new OutboxScript();
    const load = loaded(['a', 'b'], script.nowMs);
    const [a, b] = load.entries;
    assert.ok(a && b);
    const failed = { reason: 'DEADLINE', retryable: true } as const;
    script.step({ ...load, entries: [a, { ...b, failed }] });
    script.live();
    script.step({ is: 'retry', key: 'b' });
    assert.deepEqual(script.asked('cnv'), ['a']);
    script.recovered('cnv', 'box-2');
    assert.deepEqual(script.asked('cnv'), ['b']);
    assert.deepEqual(script.sent(), []);
    script.recovered('cnv', 'box-2');
    assert.deepEqual(script.sent(), ['a:1<0']);
  });

  it('eight conversations are compared at once, the next when one ends, however that was (S14)', () => {
    const script = new OutboxScript();
    const load = loaded(['a'], script.nowMs);
    const entries = Array.from({ length: RECOVERIES_MAX + 3 }, (_, i) =>
      load.entries.map((entry) => ({ ...entry, key: `k${i}`, conversationId: `c${i}` })),
    );
    script.step({ ...load, entries: entries.flat() });
    script.live();
    assert.equal(script.recovers.length, RECOVERIES_MAX);
    script.recovered('c0', 'box-2');
    assert.equal(script.recovers.length, RECOVERIES_MAX + 1);
    script.hidden('c1', 'NOT_A_MEMBER');
    assert.equal(script.recovers.length, RECOVERIES_MAX + 2);
    script.step({ is: 'unrecovered', conversationId: 'c2', retryAfterMs: 5_000 });
    assert.equal(script.recovers.at(-1), 'c10');
    script.lost();
    script.live();
    assert.equal(script.recovers.length, RECOVERIES_MAX + 3 + RECOVERIES_MAX);
  });

  it('a restored database: what waits elsewhere is compared as well, once it is a conversation (S5)', () => {
    const script = new OutboxScript();
    script.step(loaded(['a', 'other'], script.nowMs));
    script.step({ is: 'held', conversationId: 'other', isHeld: true });
    script.live();
    assert.deepEqual(script.recovers, ['cnv']);
    script.sent();
    script.refuse('a', { reason: 'IDEMPOTENCY_CONFLICT' });
    script.recovered('cnv', 'box-2');
    script.step({ is: 'held', conversationId: 'other', isHeld: false });
    script.store();
    assert.deepEqual(script.recovers, ['cnv', 'other']);
    assert.deepEqual(script.sent(), ['a:1<0']);
    script.step({ is: 'appeared', key: 'other', sequence: 4, timeMs: 1 });
    script.recovered('other', 'box-3');
    script.store();
    assert.deepEqual(script.sent(), []);
    assert.deepEqual(script.settled, ['other']);
  });
});
