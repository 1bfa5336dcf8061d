import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { OutboxScript } from '../test/outbox-script.ts';
import { ANSWER_MS_MAX, IN_FLIGHT_MAX, LANE_IN_FLIGHT_MAX, QUEUED_MS_MAX } from './outbox-lane.ts';
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
