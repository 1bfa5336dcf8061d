import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { ParleyError } from '../../core/errors.ts';
import { newRawId } from '../../core/ids.ts';
import { callerOf, rowEvent, SCRIPT_EPOCH, ScriptedSession } from '../testing/scripted-session.ts';
import { ID, send } from '../testing/one-conversation.ts';

describe('session: hello', () => {
  it('is ended after 5 s without one (case 20)', () => {
    const script = new ScriptedSession();
    script.pass(4999);
    assert.equal(script.closed, 0);
    script.pass(2);
    assert.equal(script.closed, 4007);
    assert.deepEqual(script.frames.at(-1), { close: { code: 4007, reason: 'HELLO_TIMEOUT' } });
  });
  it('any other frame before it, a second one, none or two kinds in a frame are 4500 (case 21)', () => {
    for (const early of [{ ping: {} }, { id: 3 }, { hello: {}, ping: {} }]) {
      const script = new ScriptedSession();
      script.frame(early);
      assert.equal(script.closed, 4500);
    }
    const twice = new ScriptedSession().live();
    twice.frame({ hello: { token: 't' } });
    assert.equal(twice.closed, 4500);
  });
  it('is admitted, told its limits, and caught up at once when it resumes nothing', () => {
    const script = new ScriptedSession().live();
    assert.deepEqual(script.kinds, ['ready', 'caughtUp']);
    const { ready } = script.frames[0] ?? {};
    assert.ok(ready !== undefined && !(ready instanceof Uint8Array));
    assert.equal(ready.resumed, false);
    assert.equal(ready.pingIntervalMs, 25_000);
    assert.equal(script.count('admit'), 1);
  });
  it('frames sent behind it wait for it, in order; more than 64 of them end it', () => {
    const script = new ScriptedSession();
    script.frame({ id: 1, hello: { token: 't' } });
    script.frame({ id: 2, ...send(1) });
    script.frame({ id: 3, ping: {} });
    assert.equal(script.count('send'), 0);
    script.verified(script.caller);
    assert.equal(script.count('send'), 1);
    assert.notEqual(script.reply(3), undefined);
    const flood = new ScriptedSession();
    flood.frame({ id: 1, hello: { token: 't' } });
    for (let i = 0; i < 65; i++) flood.frame({ ping: {} });
    assert.equal(flood.closed, 4500);
  });
  it('a refused token ends it with the reason’s code; what has none ends it as a fault', () => {
    for (const [reason, code] of [
      ['TOKEN_INVALID', 4501],
      ['TOKEN_EXPIRED', 4005],
      ['SESSION_REVOKED', 4502],
      ['DEVICE_UNKNOWN', 4503],
      ['ACCOUNT_SUSPENDED', 4504],
      ['BACKEND_UNAVAILABLE', 4000],
      ['OVERLOADED', 4004],
    ] as const) {
      const script = new ScriptedSession();
      script.frame({ id: 1, hello: { token: 't' } });
      script.verified(new ParleyError(reason, 'no'));
      assert.equal(script.closed, code);
      const [frame] = script.frames;
      assert.ok(frame?.error !== undefined && !(frame.error instanceof Uint8Array));
      assert.equal(frame.error.reason, reason);
    }
  });
  it('with an unknown push, too many or bad cursors, or unknown fields it is 4500 and says why', () => {
    const cursors = Array.from({ length: 51 }, () => ({ conversationId: ID }));
    for (const [hello, reason] of [
      [{ push: 'some' }, 'UNKNOWN_FIELD'],
      [{ resume: { cursors } }, 'BAD_FIELD'],
      [{ resume: { cursors: [{ conversationId: 'x' }] } }, 'BAD_ID'],
      [{ colour: 'red' }, 'UNKNOWN_FIELD'],
    ] as const) {
      const script = new ScriptedSession();
      script.frame({ id: 1, hello: { token: 't', ...hello } });
      if (script.count('verify') > 0) script.verified(script.caller);
      assert.equal(script.closed, 4500);
      const { error } = script.reply(1) ?? {};
      assert.ok(error !== undefined && !(error instanceof Uint8Array));
      assert.equal(error.reason, reason);
    }
  });
});

describe('session: life', () => {
  it('is pinged each 25 s and ended 10 s after a ping that nothing answers', () => {
    const script = new ScriptedSession().live();
    for (let i = 0; i < 3; i++) {
      script.pass(25_000);
      assert.deepEqual(script.frames.at(-1), { ping: {} });
      script.frame({ pong: {} });
    }
    script.pass(25_000);
    script.pass(10_001);
    assert.equal(script.closed, 4003);
  });
  it('pings that are closer than the timeout do not put off the end', () => {
    const limits = { pingIntervalMs: 5_000, pingTimeoutMs: 10_000 };
    const script = new ScriptedSession(limits).live();
    for (let i = 0; i < 4; i++) script.pass(4_000);
    assert.equal(script.closed, 4003);
  });
  it('is warned 60 s before its token ends, at most half its life, and ends with it (case 22)', () => {
    const long = new ScriptedSession(
      { pingIntervalMs: 1e9 },
      callerOf(newRawId(1), 600_000),
    ).live();
    long.pass(539_000);
    assert.ok(!long.kinds.includes('auth'));
    long.pass(2000);
    assert.deepEqual(long.frames.at(-1), { auth: { expiresInMs: 60_000 } });
    long.pass(60_000);
    assert.equal(long.closed, 4005);
    const short = new ScriptedSession({}, callerOf(newRawId(1), 10_000)).live();
    short.pass(5100);
    assert.ok(short.kinds.includes('auth'));
  });
  it('a fresh token of the same user and device prolongs it, another’s ends it', () => {
    const script = new ScriptedSession({}, callerOf(newRawId(1), 10_000)).live();
    script.frame({ id: 9, auth: { token: 'fresh' } });
    script.verified({ ...script.caller, expiresAtMs: script.wallMs + 20_000 });
    assert.deepEqual(script.reply(9), { id: 9, result: {} });
    script.pass(12_000);
    assert.equal(script.closed, 0);
    script.frame({ id: 10, auth: { token: 'other' } });
    script.verified(callerOf());
    assert.equal(script.closed, 4501);
  });
  it('while nobody can verify tokens it outlives its own, for an hour', () => {
    const script = new ScriptedSession({}, callerOf(newRawId(1), 10_000)).live();
    script.frame({ id: 9, auth: { token: 'fresh' } });
    script.verified(new ParleyError('BACKEND_UNAVAILABLE', 'away'));
    for (let i = 0; i < 144; i++) {
      script.pass(25_000);
      script.frame({ pong: {} });
      assert.equal(script.closed, 0);
    }
    script.pass(30_000);
    assert.equal(script.closed, 4005);
  });
  it('bye ends it in good order and hands over the marks that wait', () => {
    const script = new ScriptedSession().live();
    const mark = (sequence: number): object => ({
      receipt: { delivered: [{ conversationId: ID, epoch: SCRIPT_EPOCH, sequence }] },
    });
    script.frame(mark(1));
    script.frame(mark(2));
    assert.equal(script.count('mark'), 1);
    script.frame({ bye: {} });
    assert.equal(script.closed, 1000);
    assert.equal(script.count('mark'), 2);
    script.frame({ ping: {} });
    assert.ok(!script.kinds.includes('pong'));
  });
  it('a draining one is told, gets its token first, and is closed when it stays (case 31)', () => {
    const script = new ScriptedSession();
    script.live({ resume: { syncToken: script.resumeToken() } });
    script.running[0]?.answer({
      open: new Uint8Array(0),
      left: new Uint8Array(0),
      joined: new Uint8Array(0),
      accountSequence: 3,
    });
    script.do((session) => session.deliver(rowEvent({ conversationId: ID })));
    script.frames.length = 0;
    script.do((session) => session.drain(700, script.nowMs));
    assert.deepEqual(script.kinds, ['token', 'drain']);
    script.pass(5100);
    assert.equal(script.closed, 4001);
  });
});
