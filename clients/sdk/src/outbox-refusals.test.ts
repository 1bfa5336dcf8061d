import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { OutboxScript } from '../test/outbox-script.ts';
import { REASONS, type Reason, type Retry } from './reasons.ts';

/** Gone, past, or never to be: no N or S that anybody can lift. */
const REFUSED_FOR_GOOD: Reason[] = [
  'CONVERSATION_CLOSED',
  'EDIT_WINDOW_PASSED',
  'ENCRYPTED_NO_SEARCH',
  'ENCRYPTION_MISMATCH',
  'INVITE_EXPIRED',
  'INVITE_UNKNOWN',
  'MEDIA_UNKNOWN',
  'MESSAGE_UNKNOWN',
  'SENDER_MISMATCH',
  'TARGET_DELETED',
  'TOPIC_UNKNOWN',
  'USER_UNKNOWN',
];
/** Somebody may lift it: the other one, an admin, an operator, an update; or it is redone anew. */
const REFUSED_FOR_NOW: Reason[] = [
  'ACCOUNT_SUSPENDED',
  'BAD_CURSOR',
  'BAD_PAGE_TOKEN',
  'BLOCKED',
  'CANCELED',
  'CLIENT_TOO_OLD',
  'CONVERSATION_UNKNOWN',
  'CORRUPT_ENTRY',
  'CURSOR_TRUNCATED',
  'FEATURE_DISABLED',
  'FENCED',
  'GROUP_FULL',
  'LAST_OWNER',
  'MLS_EPOCH_CONFLICT',
  'NOT_A_MEMBER',
  'ORIGIN_DENIED',
  'PROTOCOL_UNSUPPORTED',
  'QUOTA_EXCEEDED',
  'REPLACED',
  'ROLE_REQUIRED',
  'SCOPE_REQUIRED',
  'SIGNUP_CLOSED',
  'STALE_MLS_EPOCH',
  'USERNAME_TAKEN',
  'VERSION_CONFLICT',
];

describe('outbox machine, refused', () => {
  it('OUT_OF_ORDER: nothing goes until all in flight is answered, then in order under the same numbers (S5)', () => {
    const script = new OutboxScript();
    script.live();
    for (const key of ['a', 'b', 'c']) script.send(key);
    script.sent();
    script.refuse('a', { reason: 'BLOCKED' });
    script.refuse('b', { reason: 'OUT_OF_ORDER', metadata: { lastAccepted: '0' } });
    assert.deepEqual(script.sent(), []);
    script.refuse('c', { reason: 'OUT_OF_ORDER', metadata: { lastAccepted: '0' } });
    assert.deepEqual(script.sent(), ['b:2<0', 'c:3<2']);
  });

  it('a number below the last accepted one is spent: a new one is taken (G3)', () => {
    const script = new OutboxScript();
    script.live();
    script.send('a');
    script.sent();
    script.refuse('a', { reason: 'OUT_OF_ORDER', metadata: { lastAccepted: '7' } });
    assert.deepEqual(script.sent(), ['a:8<7']);
  });

  it('W and R: the same again after the time asked for, and what followed in order (S5)', () => {
    const script = new OutboxScript();
    script.live();
    for (const key of ['a', 'b']) script.send(key);
    script.sent();
    script.refuse('a', { reason: 'SLOW_MODE', retryAfterMs: 4_000 });
    script.refuse('b', { reason: 'OUT_OF_ORDER', metadata: { lastAccepted: '0' } });
    script.pass(3_999);
    assert.deepEqual(script.sent(), []);
    script.pass(1);
    assert.deepEqual(script.sent(), ['a:1<0', 'b:2<1']);
    script.refuse('a', { reason: 'COMMIT_UNKNOWN' });
    script.commit('b', 2);
    script.pass(30_000);
    assert.deepEqual(script.sent(), ['a:1<0']);
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

  it('a refused send skips its number, and goes under the next when it is tried again (S6)', () => {
    const script = new OutboxScript();
    script.live();
    script.send('a');
    script.sent();
    script.refuse('a', { reason: 'BLOCKED' });
    script.step({ is: 'retry', key: 'a' });
    script.store();
    assert.deepEqual(script.sent(), ['a:2<0']);
  });

  it('of every reason: what goes again by itself, what may still be accepted, what never (CONTRACT §8)', () => {
    const met: Record<string, Reason[]> = { again: [], compared: [], retryable: [], final: [] };
    for (const reason of Object.keys(REASONS) as Reason[]) {
      const script = new OutboxScript();
      script.live();
      script.send('a');
      script.refuse('a', { reason });
      const state = script.machine.stateOf('a');
      if (state?.is === 'FAILED') met[state.retryable ? 'retryable' : 'final']?.push(reason);
      else met[script.recovers.length > 0 ? 'compared' : 'again']?.push(reason);
    }
    const ofRule = (...rules: Retry[]): Reason[] =>
      (Object.keys(REASONS) as Reason[]).filter((each) => rules.includes(REASONS[each].retry));
    const both = (a: Reason[], b: Reason[]): Reason[] => [...a, ...b].sort();
    assert.deepEqual(
      met['again']?.sort(),
      both(ofRule('wait', 'backoff', 'sign_in'), ['OUT_OF_ORDER']),
    );
    assert.deepEqual(met['compared'], ['IDEMPOTENCY_CONFLICT', 'TOO_OLD']);
    assert.deepEqual(met['final']?.sort(), both(ofRule('fix'), REFUSED_FOR_GOOD));
    assert.deepEqual(met['retryable']?.sort(), REFUSED_FOR_NOW);
  });
});
