import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { REASONS } from '../../core/reasons.ts';
import type { Reason } from '../../core/errors.ts';
import { closeCode, mayReconnect } from './close-codes.ts';
import { TokenBucket } from './limits.ts';
import { MarkMerger } from './marks.ts';
import { encodeId } from '../../core/ids.ts';
import { newConversationRaw } from '../testing/new-conversation.ts';
import { ScriptedSession } from '../testing/scripted-session.ts';

describe('limits', () => {
  it('a bucket grants its burst at once, then its rate, and says how long to wait', () => {
    const bucket = new TokenBucket(200, 1000, 0);
    for (let i = 0; i < 1000; i++) assert.equal(bucket.take(0), 0);
    assert.equal(bucket.take(0), 5);
    assert.equal(bucket.take(5), 0);
    let granted = 0;
    for (let ms = 6; ms <= 1005; ms++) if (bucket.take(ms) === 0) granted++;
    assert.equal(granted, 200);
  });
  it('the 1,001st frame at once is RATE_LIMITED: answered if it asks, told once a second if not', () => {
    const script = new ScriptedSession().live();
    for (let i = 0; i < 999; i++) script.frame({ pong: {} });
    const refused = script.ask({ ping: {} });
    assert.ok(refused?.error !== undefined && !(refused.error instanceof Uint8Array));
    assert.equal(refused.error.reason, 'RATE_LIMITED');
    for (let i = 0; i < 10; i++) script.frame({ ping: {} });
    assert.equal(script.frames.filter((frame) => frame.flow !== undefined).length, 1);
    script.pass(1000);
    assert.notEqual(script.ask({ ping: {} })?.pong, undefined);
    for (let i = 0; i < 2000; i++) script.frame({ ping: {} });
    assert.equal(script.closed, 4008);
  });
  it('a flood of marks costs a bounded time and is refused beyond full reports each 100 ms', () => {
    const script = new ScriptedSession({ frameRate: 1e6, frameBurst: 1e6 }).live();
    const begin = performance.now();
    let refused = 0;
    for (let i = 0; i < 40; i++) {
      const delivered = Array.from({ length: 1000 }, () => ({
        conversationId: encodeId('cnv', newConversationRaw()),
        sequence: 1,
      }));
      if (script.ask({ receipt: { delivered } })?.error !== undefined) refused++;
    }
    assert.equal(script.count('mark'), 20_000);
    assert.equal(refused, 20);
    assert.ok(performance.now() - begin < 2000, 'each mark was looked for among all');
    script.pass(1000);
    script.ask({
      receipt: { read: [{ conversationId: encodeId('cnv', newConversationRaw()), sequence: 1 }] },
    });
    assert.equal(script.count('mark'), 20_001);
  });
  it('each close code comes from the table; only 4500 to 4999 forbid to come back', () => {
    for (const [reason, rule] of Object.entries(REASONS)) {
      const code = closeCode(reason as Reason);
      assert.equal(code, rule.close === 0 ? 4000 : rule.close);
      assert.ok(code >= 4000 && code <= 4999);
      // What the client may do again by itself it may also do after a close, and the reverse.
      if (rule.close !== 0 && ['backoff', 'wait'].includes(rule.retry))
        assert.ok(mayReconnect(code), reason);
    }
    for (const reason of ['TOKEN_EXPIRED', 'OVERLOADED', 'SLOW_CONSUMER', 'DRAINING'] as const)
      assert.ok(mayReconnect(closeCode(reason)));
    for (const reason of ['REPLACED', 'SESSION_REVOKED', 'MALFORMED', 'ORIGIN_DENIED'] as const)
      assert.ok(!mayReconnect(closeCode(reason)));
  });
  it('marks of a thousand conversations are remembered within a bound', () => {
    const merger = new MarkMerger();
    const user = new Uint8Array(16);
    for (let i = 0; i < 5000; i++) {
      const mark = {
        conversation: user,
        conversationId: `c${i}`,
        deliveredThrough: 1,
        readThrough: 0,
      };
      assert.equal(merger.offer(mark, 200, i * 10), true);
    }
    assert.deepEqual(
      merger.due(Infinity, user, () => 200),
      [],
    );
    assert.equal(merger.nextDueMs, Infinity);
  });
});
