import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { OutboxScript } from '../test/outbox-script.ts';
import {
  ANSWER_MS_MAX,
  IN_FLIGHT_MAX,
  LANE_IN_FLIGHT_MAX,
  QUEUED_MS_MAX,
  RECOVERIES_MAX,
} from './outbox-lane.ts';
import type { OutboxEntry } from './outbox-entry.ts';
import type { OutboxEffect, OutboxEvent } from './outbox-events.ts';

function editOf(key: string, target: { key: string }, queuedTimeMs: number): OutboxEntry {
  const action = { is: 'edit', target, content: { text: { body: 'edited' } } } as const;
  return { ordinal: 2, key, conversationId: 'cnv', to: 'cnv', action, queuedTimeMs };
}

describe('outbox machine', () => {
  it('pipelines: each names the one before it (S5, G3)', () => {
    const script = new OutboxScript();
    script.live();
    for (const key of ['a', 'b', 'c']) script.send(key);
    assert.deepEqual(script.sent(), ['a:1<0', 'b:2<1', 'c:3<2']);
    script.commit('a', 1);
    script.send('d');
    assert.deepEqual(script.sent(), ['d:4<3']);
  });

  it('what waited for a commit keeps its number when that commit is cached late (S5)', () => {
    const kept = new Map<string, unknown>();
    const keep = (effects: readonly OutboxEffect[]): void => {
      for (const effect of effects)
        if (effect.is === 'store')
          for (const { table, key, value } of effect.puts)
            kept.set(`${table} ${key.join()}`, value);
    };
    const script = new OutboxScript();
    script.live();
    script.send('a');
    const target = { key: 'a' };
    keep(script.step({ is: 'added', entry: editOf('b', target, script.nowMs) }));
    script.step({ is: 'saved', key: 'b' });
    const committed = { is: 'committed', key: 'a', commit: { conversationId: 'cnv', sequence: 7 } };
    const effects = script.step(committed as OutboxEvent);
    keep(effects);
    script.store();
    assert.deepEqual(script.sent(), ['a:1<0', 'b:2<1']);
    const [settled] = effects.filter((effect) => effect.is === 'settled');
    assert.ok(settled?.is === 'settled');
    // The cache has it only now, long after the edit went out.
    keep(script.step({ is: 'cached', entry: settled.settled.entry }));
    assert.equal(kept.get('outbox 1'), undefined);
    const stored = kept.get('outbox 2') as OutboxEntry;
    assert.deepEqual(stored.number, { outboxId: 'box-1', clientSeq: 2, after: 1 });
    assert.deepEqual(stored.action, { ...editOf('b', target, 0).action, target: { sequence: 7 } });
    assert.equal((kept.get('lanes cnv') as { next: number }).next, 3);
  });

  it('a wait that ended while another conversation was busy is not forgotten (S5)', () => {
    const script = new OutboxScript();
    script.live();
    script.send('a');
    script.send('z', { conversationId: 'other', to: 'other' });
    script.sent();
    script.refuse('a', { reason: 'OVERLOADED', retryAfterMs: 2_000 });
    // Something happens elsewhere a moment after the wait ended, before anybody looked at the clock.
    script.monotonicMs += 2_005;
    script.step({ is: 'committed', key: 'z', commit: { conversationId: 'other', sequence: 1 } });
    const moment = { nowMs: script.nowMs, monotonicMs: script.monotonicMs, chance: 0.5 };
    assert.ok((script.machine.nextTickMs(moment) ?? Infinity) <= script.monotonicMs);
    script.step({ is: 'tick' });
    script.store();
    assert.deepEqual(script.sent(), ['a:1<0']);
  });

  it('what was refused and cannot be compared fails without its number, and its writer decides (S5, S6)', () => {
    const script = new OutboxScript();
    script.live();
    script.send('a');
    script.send('b');
    script.refuse('a', { reason: 'TOO_OLD' });
    script.refuse('b', { reason: 'TOO_OLD' });
    assert.deepEqual(script.recovers, ['cnv']);
    script.hidden('cnv', 'NOT_A_MEMBER');
    const failed = { is: 'FAILED', reason: 'COMMIT_UNKNOWN', retryable: true } as const;
    assert.deepEqual(script.machine.stateOf('a'), failed);
    assert.deepEqual(script.machine.stateOf('b'), failed);
    script.sent();
    script.step({ is: 'retry', key: 'a' });
    script.store();
    assert.deepEqual(script.sent(), ['a:1<0']);
    assert.equal(script.machine.entry('a')?.number?.outboxId, 'box-hidden');
    script.step({ is: 'cancel', key: 'b' });
    assert.equal(script.machine.entry('b'), undefined);
  });

  it('an entry that is not durable does not go; nor does one whose number is not (S4)', () => {
    const script = new OutboxScript();
    script.live();
    script.write('a');
    assert.deepEqual(script.sent(), []);
    script.step({ is: 'saved', key: 'a' });
    assert.deepEqual(script.sent(), []);
    assert.deepEqual(script.machine.stateOf('a'), { is: 'SENDING', step: 'queued' });
    script.store();
    assert.deepEqual(script.sent(), ['a:1<0']);
    assert.deepEqual(script.machine.stateOf('a'), { is: 'SENDING', step: 'in-flight' });
    // Saved again makes nothing of what is under way.
    script.step({ is: 'saved', key: 'a' });
    script.store();
    assert.deepEqual(script.sent(), []);
    assert.deepEqual(script.machine.stateOf('a'), { is: 'SENDING', step: 'in-flight' });
  });

  it('16 in flight a conversation, 192 over all (S5, S14)', () => {
    const script = new OutboxScript();
    script.live();
    for (let i = 0; i < 40; i++) script.send(`k${i}`);
    assert.equal(script.sent().length, LANE_IN_FLIGHT_MAX);
    script.commit('k0', 1);
    assert.equal(script.sent().length, 1);
    for (let c = 0; c < 30; c++)
      for (let i = 0; i < 10; i++) script.send(`c${c}.${i}`, { conversationId: `cnv${c}` });
    assert.equal(script.sent().length, IN_FLIGHT_MAX - LANE_IN_FLIGHT_MAX);
  });

  it('who found no room goes when there is some, and nobody again before all others went (S14)', () => {
    const script = new OutboxScript();
    script.live();
    // A few that always have more to say, and many who have one thing to say.
    const busy = IN_FLIGHT_MAX / LANE_IN_FLIGHT_MAX;
    for (let i = 0; i < busy; i++)
      for (let n = 0; n < 3 * LANE_IN_FLIGHT_MAX; n++)
        script.send(`b${i}.${n}`, { conversationId: `busy${i}` });
    for (let i = 0; i < 300; i++) script.send(`one${i}`, { conversationId: `c${i}` });
    const gone: string[] = [];
    for (let round = 0; gone.length < 300 + busy * 3 * LANE_IN_FLIGHT_MAX; round++) {
      assert.ok(round < 1_000, `${gone.length} went`);
      const sent = script.transmitted.splice(0).map(({ key }) => key);
      gone.push(...sent);
      for (const key of sent) script.commit(key, 1);
    }
    const lastSingle = gone.findLastIndex((key) => key.startsWith('one'));
    const before = gone.slice(0, lastSingle).filter((key) => key.startsWith('b'));
    // Those in flight at the start, and one turn of each beside the many.
    assert.ok(before.length <= 2 * IN_FLIGHT_MAX, `${before.length} of the busy went before`);
  });

  it('an unknown outcome: the same numbers again, oldest first, then what is new (S5)', () => {
    const script = new OutboxScript();
    script.live();
    for (const key of ['a', 'b']) script.send(key);
    script.sent();
    script.lost();
    script.send('c');
    script.live();
    assert.deepEqual(script.sent(), ['a:1<0', 'b:2<1', 'c:3<2']);
  });

  it('no answer for 20 s is an unknown outcome too', () => {
    const script = new OutboxScript();
    script.live();
    script.send('a');
    script.sent();
    script.pass(ANSWER_MS_MAX - 1);
    assert.deepEqual(script.sent(), []);
    script.pass(1);
    assert.deepEqual(script.sent(), ['a:1<0']);
  });

  it('24 h: FAILED, but its number stays its own, for it may have been accepted (S6)', () => {
    const script = new OutboxScript();
    script.live();
    script.send('a');
    script.sent();
    script.lost();
    script.pass(QUEUED_MS_MAX);
    assert.deepEqual(script.machine.stateOf('a'), {
      is: 'FAILED',
      reason: 'DEADLINE',
      retryable: true,
    });
    script.step({ is: 'retry', key: 'a' });
    script.live();
    assert.deepEqual(script.sent(), ['a:1<0']);
    assert.equal(script.machine.stateOf('a')?.is, 'SENDING');
  });

  it('cancel: while its number is stored yes, once it may have left no (S6)', () => {
    const script = new OutboxScript();
    script.live();
    script.write('a');
    script.step({ is: 'saved', key: 'a' });
    script.step({ is: 'cancel', key: 'a' });
    script.store();
    assert.deepEqual(script.sent(), []);
    assert.equal(script.machine.size, 0);
    script.send('b');
    script.lost();
    script.step({ is: 'cancel', key: 'b' });
    assert.equal(script.machine.size, 1);
  });

  it('what has left cannot be cancelled while it is about to leave again (S6)', () => {
    const script = new OutboxScript();
    script.live();
    script.send('a');
    script.lost();
    script.step({ is: 'live', isLive: true });
    script.step({ is: 'cancel', key: 'a' });
    script.store();
    assert.deepEqual(script.sent(), ['a:1<0', 'a:1<0']);
    // Refused, it is nowhere: under another number it can be cancelled again.
    script.refuse('a', { reason: 'BLOCKED' });
    script.lost();
    script.step({ is: 'retry', key: 'a' });
    script.step({ is: 'live', isLive: true });
    script.step({ is: 'cancel', key: 'a' });
    script.store();
    assert.equal(script.machine.size, 0);
  });

  it('what failed is given up by its writer, wherever it may stand; its row then says so (S6)', () => {
    const script = new OutboxScript();
    script.live();
    script.send('a');
    script.lost();
    script.pass(QUEUED_MS_MAX);
    assert.equal(script.machine.stateOf('a')?.is, 'FAILED');
    script.step({ is: 'cancel', key: 'a' });
    assert.equal(script.machine.size, 0);
  });

  it('a failed entry blocks only what names it (S5)', () => {
    const script = new OutboxScript();
    script.live();
    script.send('a');
    script.send('b', { after: 'a' });
    script.send('c');
    assert.deepEqual(script.sent(), ['a:1<0', 'c:2<1']);
    script.refuse('a', { reason: 'BLOCKED' });
    script.refuse('c', { reason: 'OUT_OF_ORDER', metadata: { lastAccepted: '0' } });
    assert.deepEqual(script.sent(), ['c:2<0']);
    script.step({ is: 'retry', key: 'a' });
    script.store();
    script.sent();
    script.commit('c', 1);
    script.commit('a', 2);
    assert.deepEqual(script.sent(), ['b:4<3']);
  });

  it('a restored database: recovers once the lane is quiet, then a new outbox, the old one answered first (S5, G5)', () => {
    const script = new OutboxScript();
    script.live();
    for (const key of ['a', 'b']) script.send(key);
    script.send('x', { conversationId: 'other' });
    script.sent();
    script.refuse('a', { reason: 'IDEMPOTENCY_CONFLICT' });
    assert.deepEqual(script.recovers, []);
    script.refuse('b', { reason: 'TOO_OLD' });
    assert.deepEqual(script.recovers, ['cnv']);
    // Sync found b there.
    script.step({ is: 'appeared', key: 'b', sequence: 9, timeMs: 1 });
    script.recovered('cnv', 'box-2');
    script.store();
    assert.deepEqual(script.settled, ['b']);
    const [a] = script.transmitted.splice(0);
    assert.deepEqual(a?.number, { outboxId: 'box-2', clientSeq: 1, after: 0 });
    assert.equal(a?.key, 'a');
    // The other conversation's send is still the old outbox's; a new one waits for its answer.
    script.send('y', { conversationId: 'other' });
    assert.deepEqual(script.sent(), []);
    script.step({ is: 'committed', key: 'x', commit: { conversationId: 'other', sequence: 1 } });
    script.store();
    const [y] = script.transmitted.splice(0);
    assert.deepEqual(y?.number, { outboxId: 'box-2', clientSeq: 1, after: 0 });
  });

  it('recovery cut off is asked for again on the next connection', () => {
    const script = new OutboxScript();
    script.live();
    script.send('a');
    script.refuse('a', { reason: 'IDEMPOTENCY_CONFLICT' });
    script.lost();
    script.live();
    assert.deepEqual(script.recovers, ['cnv', 'cnv']);
  });

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

  const loaded = (keys: readonly string[], nowMs: number): OutboxEvent => ({
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
    assert.equal(load.is, 'loaded');
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
    assert.equal(load.is, 'loaded');
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
    assert.equal(load.is, 'loaded');
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
    assert.equal(load.is, 'loaded');
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
    assert.equal(load.is, 'loaded');
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

  it('of two waits in a conversation the longer one counts (S16)', () => {
    const script = new OutboxScript();
    script.live();
    for (const key of ['a', 'b']) script.send(key);
    script.sent();
    script.refuse('b', { reason: 'RATE_LIMITED', retryAfterMs: 60_000 });
    script.refuse('a', { reason: 'RATE_LIMITED' });
    script.pass(59_000);
    assert.deepEqual(script.sent(), []);
    script.pass(1_000);
    assert.deepEqual(script.sent(), ['a:1<0', 'b:2<1']);
  });

  it('what became doubtful while others were compared is compared by itself (S5)', () => {
    const script = new OutboxScript();
    const load = loaded(['a', 'b'], script.nowMs);
    assert.equal(load.is, 'loaded');
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

  it('numbers that are refused one after another are asked for ever more rarely (S16)', () => {
    const script = new OutboxScript();
    script.live();
    script.send('a');
    for (let i = 0; i < 50; i++) {
      script.refuse('a', { reason: 'IDEMPOTENCY_CONFLICT' });
      script.recovered('cnv', `box-${i + 2}`);
    }
    assert.equal(script.recovers.length, 1);
    script.pass(30_000);
    script.recovered('cnv', 'box-60');
    assert.equal(script.recovers.length, 2);
  });

  it('eight conversations are compared at once, the next when one ends, however that was (S14)', () => {
    const script = new OutboxScript();
    const load = loaded(['a'], script.nowMs);
    assert.equal(load.is, 'loaded');
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

  it('a commit of what settled by its row changes nothing', () => {
    const script = new OutboxScript();
    script.live();
    script.send('a');
    script.step({
      is: 'appeared',
      key: 'a',
      sequence: 1,
      timeMs: 1,
      outboxId: 'box-1',
      clientSeq: 1,
    });
    script.commit('a', 1);
    assert.deepEqual(script.settled, ['a']);
    script.sent();
    script.send('b');
    assert.deepEqual(script.sent(), ['b:2<1']);
  });
});
