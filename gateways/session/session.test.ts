import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { describe, it } from 'mocha';
import { decodeCommand } from '../../core/command-codec.ts';
import { ParleyError } from '../../core/errors.ts';
import { decodeUuid, encodeId, newRawId, directConversationRaw } from '../../core/ids.ts';
import { newConversationRaw } from '../testing/new-conversation.ts';
import { callerOf, rowEvent, SCRIPT_EPOCH, ScriptedSession } from '../testing/scripted-session.ts';
import { decodeSyncToken, encodeSyncToken } from './sync-token.ts';

const CONVERSATION = newConversationRaw();
const ID = encodeId('cnv', CONVERSATION);
const OUTBOX = randomUUID();

function send(clientSeq: number, over: object = {}): object {
  return {
    send: {
      to: ID,
      outboxId: OUTBOX,
      clientSeq,
      after: clientSeq - 1,
      clientMessageId: randomUUID(),
      body: { message: { text: { body: 'hi' } } },
      ...over,
    },
  };
}

function kinds(script: ScriptedSession): string[] {
  return script.frames.map((frame) => Object.keys(frame).find((key) => key !== 'id') ?? '');
}

function resumeToken(
  script: ScriptedSession,
  over: { timeMs?: number; epoch?: number } = {},
): string {
  const position = { accountSequence: 3, indexes: [5, 0, 7, 0] };
  return encodeSyncToken(
    { epoch: SCRIPT_EPOCH, timeMs: script.wallMs, position, ...over },
    script.caller.user,
  );
}

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
    assert.deepEqual(kinds(script), ['ready', 'caughtUp']);
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
  it('is warned 60 s before its token ends, at most half its life, and ends with it (case 22)', () => {
    const long = new ScriptedSession(
      { pingIntervalMs: 1e9 },
      callerOf(newRawId(1), 600_000),
    ).live();
    long.pass(539_000);
    assert.ok(!kinds(long).includes('auth'));
    long.pass(2000);
    assert.deepEqual(long.frames.at(-1), { auth: { expiresInMs: 60_000 } });
    long.pass(60_000);
    assert.equal(long.closed, 4005);
    const short = new ScriptedSession({}, callerOf(newRawId(1), 10_000)).live();
    short.pass(5100);
    assert.ok(kinds(short).includes('auth'));
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
    assert.ok(!kinds(script).includes('pong'));
  });
  it('a draining one is told, gets its token first, and is closed when it stays (case 31)', () => {
    const script = new ScriptedSession();
    script.live({ resume: { syncToken: resumeToken(script) } });
    script.running[0]?.answer({
      open: new Uint8Array(0),
      left: new Uint8Array(0),
      joined: new Uint8Array(0),
      accountSequence: 3,
    });
    script.do((session) => session.deliver(rowEvent({ conversationId: ID })));
    script.frames.length = 0;
    script.do((session) => session.drain(700, script.nowMs));
    assert.deepEqual(kinds(script), ['token', 'drain']);
    script.pass(5100);
    assert.equal(script.closed, 4001);
  });
});

describe('session: sends', () => {
  it('becomes a command with what apply needs, and its commit answers it', () => {
    const script = new ScriptedSession().live();
    const peer = newRawId(20);
    const user = encodeId('usr', peer);
    const text = {
      body: 'hi @you',
      entities: [{ type: 'mention', offset: 3, length: 4, userId: user }],
    };
    script.frame({ id: 7, ...send(1, { body: { message: { text, silent: true } } }) });
    const effect = script.effects.find((one) => one.is === 'send');
    assert.ok(effect?.is === 'send');
    const command = decodeCommand(effect.command);
    assert.ok('clientSeq' in command);
    assert.deepEqual(Buffer.from(command.key), Buffer.from(CONVERSATION));
    assert.deepEqual(Buffer.from(command.mentions), Buffer.from(peer));
    assert.deepEqual([command.clientSeq, command.after, command.flags], [1, 0, 1 | 2 | 16]);
    script.commit({ sequence: 44 });
    const commit = script.take('commit');
    assert.deepEqual([commit.id, commit.commit.sequence], [7, 44]);
  });
  it('33 in one conversation, 257 in all: IN_FLIGHT_EXCEEDED; answers make room', () => {
    const script = new ScriptedSession().live();
    for (let i = 1; i <= 32; i++) assert.equal(script.ask(send(i)), undefined);
    const refused = script.ask(send(33));
    assert.ok(refused?.error !== undefined && !(refused.error instanceof Uint8Array));
    assert.equal(refused.error.reason, 'IN_FLIGHT_EXCEEDED');
    assert.equal(script.ask(send(1, { to: encodeId('cnv', newConversationRaw()) })), undefined);
    script.commit({});
    assert.equal(script.ask(send(33)), undefined);
    const calls = new ScriptedSession().live();
    const call = { call: { method: 'Conversations.Get', request: { conversationId: ID } } };
    for (let i = 0; i < 256; i++) assert.equal(calls.ask(call), undefined);
    const late = calls.ask(call);
    assert.ok(late?.error !== undefined && !(late.error instanceof Uint8Array));
    assert.equal(late.error.reason, 'IN_FLIGHT_EXCEEDED');
    calls.running[0]?.answer(new Uint8Array(0));
    assert.equal(calls.ask(call), undefined);
  });
  it('the first to a direct asks whether the user exists; those behind it wait, in order', () => {
    const script = new ScriptedSession().live();
    const peer = newRawId(21);
    const to = `direct:${encodeId('usr', peer)}`;
    script.ask(send(1, { to }));
    script.ask(send(2, { to }));
    script.ask(send(3, { to: encodeId('cnv', directConversationRaw(script.caller.user, peer)) }));
    assert.equal(script.count('send'), 0);
    script.knowUsers([]);
    const sends = script.effects.flatMap((one) =>
      one.is === 'send' ? [decodeCommand(one.command)] : [],
    );
    assert.deepEqual(
      sends.map((one) => 'clientSeq' in one && one.clientSeq),
      [1, 2, 3],
    );
    assert.deepEqual(
      sends.map((one) => 'flags' in one && (one.flags & 64) !== 0),
      [true, true, false],
    );
  });
  it('to an unknown user carries USER_UNKNOWN as a veto, so that a repeated one is still answered', () => {
    const script = new ScriptedSession().live();
    const peer = newRawId(22);
    script.ask(send(1, { to: `direct:${encodeId('usr', peer)}` }));
    script.knowUsers([peer]);
    const effect = script.take('send');
    const command = decodeCommand(effect.command);
    assert.ok('flags' in command && (command.flags & 256) !== 0);
    assert.equal(Buffer.from(command.body).toString(), 'USER_UNKNOWN');
    effect.done({ sequence: 4, timeMs: 1, queued: 0, replayed: true }, script.nowMs);
    assert.equal(
      script.do((session) => session.isLive),
      true,
    );
  });
  it('sealed content is vetoed with ENCRYPTION_MISMATCH, attachments with MEDIA_UNKNOWN', () => {
    const script = new ScriptedSession().live();
    const sealed = { sealed: { scheme: 'mls', ciphertext: 'AAAA' } };
    const media = { message: { attachments: [{ mediaId: encodeId('med', newRawId(5)) }] } };
    for (const [i, [body, reason]] of (
      [
        [sealed, 'ENCRYPTION_MISMATCH'],
        [media, 'MEDIA_UNKNOWN'],
      ] as const
    ).entries()) {
      script.ask(send(i + 1, { body }));
      const command = decodeCommand(script.take('send').command);
      assert.ok('body' in command);
      assert.equal(Buffer.from(command.body).toString(), reason);
    }
  });
  it('without an id, a send or call is refused; after the end no answer is written', () => {
    const script = new ScriptedSession().live();
    script.frame(send(1));
    const { error } = script.frames.at(-1) ?? {};
    assert.ok(error !== undefined && !(error instanceof Uint8Array));
    assert.equal(error.reason, 'BAD_FIELD');
    script.ask(send(1));
    script.do((session) => session.close('REPLACED'));
    const before = script.effects.length;
    script.commit({});
    assert.equal(script.effects.length, before - 1);
    assert.equal(script.closed, 4505);
  });
  it('a failure inside the server is INVARIANT and shows nothing of itself', () => {
    const script = new ScriptedSession().live();
    const reply = script.ask({
      call: { method: 'Conversations.Get', request: { conversationId: ID } },
    });
    assert.equal(reply, undefined);
    script.running[0]?.refuse(new ParleyError('INVARIANT', 'the server found a fault in itself'));
    const { error } = script.reply(script.lastId) ?? {};
    assert.ok(error !== undefined && !(error instanceof Uint8Array));
    assert.deepEqual([error.code, error.reason], ['internal', 'INVARIANT']);
  });
});

describe('session: rows', () => {
  const other = rowEvent({ conversationId: ID, sequence: 5 });
  it('come whole, the own ones of this outbox bodiless, also dense (case 24)', () => {
    const script = new ScriptedSession().live();
    script.ask(send(1));
    const device = script.caller.device;
    const own = { ...other, device, outbox: decodeUuid(OUTBOX) ?? new Uint8Array(16) };
    assert.equal(
      script.do((session) => session.deliver(other)),
      'full',
    );
    assert.equal(
      script.do((session) => session.deliver(own)),
      'stub',
    );
    const elsewhere = { ...own, device: newRawId(9) };
    assert.equal(
      script.do((session) => session.deliver(elsewhere)),
      'full',
    );
    const byRest = { ...own, outbox: new Uint8Array(16), clientMessageId: newRawId(8) };
    assert.equal(
      script.do((session) => session.deliver(byRest)),
      'full',
    );
  });
  it('own ones sent without an outbox are bodiless once', () => {
    const script = new ScriptedSession().live();
    const name = randomUUID();
    script.ask(send(0, { outboxId: '', clientSeq: 0, after: 0, clientMessageId: name }));
    const own = {
      ...other,
      device: script.caller.device,
      clientMessageId: decodeUuid(name) ?? new Uint8Array(16),
    };
    assert.equal(
      script.do((session) => session.deliver(own)),
      'stub',
    );
    assert.equal(
      script.do((session) => session.deliver(own)),
      'full',
    );
  });
  it('groups of 100 and more come as heads unless in focus, all of them with push heads', () => {
    const script = new ScriptedSession().live();
    const large = { ...other, isLargeGroup: true };
    assert.equal(
      script.do((session) => session.deliver(large)),
      'head',
    );
    assert.deepEqual(script.ask({ focus: { conversations: [ID] } }), {
      id: script.lastId,
      result: {},
    });
    assert.equal(
      script.do((session) => session.deliver(large)),
      'full',
    );
    script.frame({ focus: {} });
    assert.equal(
      script.do((session) => session.deliver(large)),
      'head',
    );
    const heads = new ScriptedSession().live({ push: 'heads' });
    assert.equal(
      heads.do((session) => session.deliver(other)),
      'head',
    );
  });
  it('become one gap a conversation while the socket is full, and are told when it drains (case 30)', () => {
    const script = new ScriptedSession().live();
    script.do((session) => session.pressure(1024 * 1024 + 1));
    for (const sequence of [5, 6, 7])
      assert.equal(
        script.do((session) => session.deliver({ ...other, sequence, head: sequence })),
        'none',
      );
    script.do((session) =>
      session.typing({ conversationId: ID, userId: 'usr_x' }, true, script.nowMs),
    );
    script.frames.length = 0;
    script.do((session) => session.pressure(600 * 1024));
    assert.equal(script.frames.length, 0);
    script.do((session) => session.pressure(100 * 1024));
    assert.deepEqual(script.frames, [
      {
        gap: {
          scope: 'conversation',
          conversationId: ID,
          epoch: SCRIPT_EPOCH,
          from: 5,
          head: 7,
          reason: 'BACKLOG',
        },
      },
    ]);
    assert.equal(
      script.do((session) => session.deliver(other)),
      'full',
    );
  });
  it('above 4 MiB the connection ends with SLOW_CONSUMER; gaps in too many conversations are one', () => {
    const script = new ScriptedSession().live();
    script.do((session) => session.pressure(1024 * 1024 + 1));
    for (let i = 0; i < 1001; i++)
      script.do((session) => session.deliver({ ...other, conversationId: `cnv_${i}` }));
    script.do((session) => session.pressure(0));
    assert.deepEqual(script.frames.at(-1), {
      gap: { scope: 'all', reason: 'BACKLOG', epoch: SCRIPT_EPOCH },
    });
    script.do((session) => session.pressure(4 * 1024 * 1024 + 1));
    assert.equal(script.closed, 4002);
  });
  it('typing reaches who has it in focus, not its author, and lapses after 6 s (case 51)', () => {
    const script = new ScriptedSession().live();
    const who = { conversationId: ID, userId: encodeId('usr', newRawId(30)) };
    script.do((session) => session.typing(who, true, script.nowMs));
    script.frame({ focus: { conversations: [ID] } });
    script.frames.length = 0;
    script.do((session) =>
      session.typing({ ...who, userId: script.caller.userId }, true, script.nowMs),
    );
    assert.equal(script.frames.length, 0);
    script.do((session) => session.typing(who, true, script.nowMs));
    assert.deepEqual(script.frames, [{ typing: { ...who, state: 'typing' } }]);
    script.pass(6001);
    assert.deepEqual(script.frames.at(-1), { typing: { ...who, state: 'stopped' } });
  });
  it('one’s own typing goes out once in 3 s', () => {
    const script = new ScriptedSession().live();
    const typing = { typing: { conversationId: ID } };
    script.frame(typing);
    script.frame(typing);
    assert.equal(script.count('typing'), 1);
    script.pass(3000);
    script.frame(typing);
    assert.equal(script.count('typing'), 2);
    script.frame({ typing: { conversationId: ID, state: 'stopped' } });
    assert.equal(script.count('typing'), 3);
  });
});

describe('session: marks', () => {
  const report = (sequence: number, over: object = {}): object => ({
    receipt: { delivered: [{ conversationId: ID, epoch: SCRIPT_EPOCH, sequence, ...over }] },
  });
  it('merge to one each 200 ms, the highest; in large groups each 2 s', () => {
    const script = new ScriptedSession().live();
    for (const sequence of [1, 2, 5, 3]) script.frame(report(sequence));
    assert.equal(script.count('mark'), 1);
    script.pass(201);
    assert.equal(script.count('mark'), 2);
    const marks = script.effects.flatMap((one) =>
      one.is === 'mark' ? [decodeCommand(one.command)] : [],
    );
    assert.deepEqual(
      marks.map((one) => 'deliveredThrough' in one && one.deliveredThrough),
      [1, 5],
    );
    script.large.add(ID);
    script.pass(3000);
    script.frame(report(6));
    script.frame(report(7));
    script.pass(1000);
    assert.equal(script.count('mark'), 3);
    script.pass(1100);
    assert.equal(script.count('mark'), 4);
  });
  it('are said once more after a hole and with the check: a lost one is not lost for good', () => {
    const caller = callerOf(newRawId(1), 9_000_000);
    const script = new ScriptedSession({ pingIntervalMs: 9_000_000 }, caller).live();
    script.frame(report(5));
    script.session.resync(script.nowMs);
    script.frame({ ping: {} });
    assert.equal(script.count('mark'), 2);
    // The gateway's wheel wakes it a little late.
    script.nowMs += 300_090;
    script.session.tick(script.nowMs);
    script.frame({ ping: {} });
    assert.equal(script.count('mark'), 3);
    script.pass(700_000);
    assert.equal(script.count('mark'), 3);
  });
  it('of another epoch are ignored, bad ones refused, read implies delivered', () => {
    const script = new ScriptedSession().live();
    script.frame(report(3, { epoch: 5 }));
    assert.equal(script.count('mark'), 0);
    const bad = script.ask(report(-1));
    assert.ok(bad?.error !== undefined && !(bad.error instanceof Uint8Array));
    assert.equal(bad.error.reason, 'BAD_FIELD');
    script.frame({ receipt: { read: [{ conversationId: ID, sequence: 4 }] } });
    const command = decodeCommand(script.take('mark').command);
    assert.ok('readThrough' in command);
    assert.deepEqual([command.deliveredThrough, command.readThrough], [4, 4]);
  });
});

describe('session: resume', () => {
  const directory = (open: readonly Uint8Array[], over: object = {}): object => ({
    open: Buffer.concat(open),
    left: new Uint8Array(0),
    joined: new Uint8Array(0),
    accountSequence: 4,
    ...over,
  });
  const shard = (CONVERSATION[15] ?? 0) % 4;
  const changed = (index: number): object => ({
    shards: [{ shard, askedAtIndex: index, changed: CONVERSATION, changeTimeMs: [9] }],
  });

  it('asks the directory, then the shards, then the first views; ends with a token that covers both feed and answer', () => {
    const script = new ScriptedSession();
    script.live({ resume: { syncToken: resumeToken(script) } });
    assert.deepEqual(kinds(script), ['ready']);
    script.positions[shard] = 50;
    script.running[0]?.answer(directory([CONVERSATION]));
    const [ask] = script.running[0]?.asks ?? [];
    assert.ok(ask?.ask === 'query' && ask.method === 'Link.Changed');
    const { shards } = ask.request as { shards: { sinceIndex: number }[] };
    assert.deepEqual(
      shards.map((one) => one.sinceIndex),
      [[5, 0, 7, 0][shard]],
    );
    script.running[0]?.answer(changed(40));
    script.running[0]?.answer({ conversations: [{ conversationId: ID }], recent: [] });
    assert.deepEqual(kinds(script), ['ready', 'conversations', 'caughtUp']);
    const { caughtUp } = script.frames.at(-1) ?? {};
    assert.ok(caughtUp !== undefined && !(caughtUp instanceof Uint8Array));
    const token = decodeSyncToken(caughtUp.syncToken ?? '', script.caller.user);
    assert.equal(token?.position.indexes[shard], 50);
    assert.equal(token?.position.accountSequence, 4);
  });
  it('holds back live rows of a cursor’s conversation until the missing ones have gone out', () => {
    const script = new ScriptedSession();
    const cursors = [{ conversationId: ID, epoch: SCRIPT_EPOCH, sequence: 2 }];
    script.live({ resume: { syncToken: resumeToken(script), cursors } });
    script.running[0]?.answer(directory([CONVERSATION]));
    script.running[0]?.answer(changed(40));
    script.running[0]?.answer({ conversations: [{ conversationId: ID }], recent: [] });
    assert.equal(
      script.do((session) => session.deliver(rowEvent({ conversationId: ID, sequence: 5 }))),
      'none',
    );
    script.running[0]?.answer({
      rows: [{ sequence: 3 }, { sequence: 4 }],
      head: 4,
      epoch: SCRIPT_EPOCH,
      gapFrom: 0,
    });
    const [again] = script.running[0]?.asks ?? [];
    assert.ok(again?.ask === 'query' && again.method === 'Link.CatchUp');
    assert.deepEqual((again.request as { cursor: object }).cursor, {
      epoch: SCRIPT_EPOCH,
      sequence: 4,
    });
    script.running[0]?.answer({
      rows: [{ sequence: 5 }],
      head: 5,
      epoch: SCRIPT_EPOCH,
      gapFrom: 0,
    });
    assert.deepEqual(kinds(script), ['ready', 'conversations', 'rows', 'rows', 'caughtUp']);
    assert.equal(
      script.do((session) => session.deliver(rowEvent({ conversationId: ID, sequence: 6 }))),
      'full',
    );
  });
  it('says a gap where too much is missing', () => {
    const script = new ScriptedSession();
    const cursors = [{ conversationId: ID, epoch: SCRIPT_EPOCH, sequence: 2 }];
    script.live({ resume: { syncToken: resumeToken(script), cursors } });
    script.running[0]?.answer(directory([CONVERSATION]));
    script.running[0]?.answer(changed(40));
    script.running[0]?.answer({ conversations: [{ conversationId: ID }], recent: [] });
    script.running[0]?.answer({ rows: [], head: 900, epoch: SCRIPT_EPOCH, gapFrom: 3 });
    assert.deepEqual(script.frames.at(-2), {
      gap: {
        scope: 'conversation',
        reason: 'BACKLOG',
        conversationId: ID,
        from: 3,
        head: 900,
        epoch: SCRIPT_EPOCH,
      },
    });
  });
  it('a token over 30 days old, of another epoch or user, or broken lists anew (case 28)', () => {
    const make = (over: object): string => resumeToken(new ScriptedSession(), over);
    const tokens = [
      (script: ScriptedSession) => resumeToken(script, { timeMs: script.wallMs - 31 * 86_400_000 }),
      (script: ScriptedSession) => resumeToken(script, { epoch: 5 }),
      () => make({}),
      () => 'nonsense',
      () => '',
    ];
    for (const tokenOf of tokens) {
      const script = new ScriptedSession();
      script.live({ resume: { syncToken: tokenOf(script) } });
      assert.deepEqual(kinds(script), ['ready', 'gap', 'caughtUp']);
      assert.deepEqual(script.frames[1], {
        gap: { scope: 'all', reason: 'EXPIRED', epoch: SCRIPT_EPOCH },
      });
    }
  });
  it('before anything was listed its token stands for nothing; a listing through it gives it a place', () => {
    const script = new ScriptedSession().live();
    script.positions[shard] = 50;
    const { caughtUp } = script.frames.at(-1) ?? {};
    assert.ok(caughtUp !== undefined && !(caughtUp instanceof Uint8Array));
    const token = decodeSyncToken(caughtUp.syncToken ?? '', script.caller.user);
    assert.deepEqual(token?.position, { accountSequence: 0, indexes: [] });
    script.do((session) => session.deliver(rowEvent({ conversationId: ID })));
    script.pass(11_000);
    assert.ok(!kinds(script).includes('token'));
    script.ask({ call: { method: 'Sync.ListConversations', request: {} } });
    script.running[0]?.answer(directory([CONVERSATION]));
    script.running[0]?.answer(changed(40));
    script.running[0]?.answer({ conversations: [], recent: [] });
    script.do((session) => session.drain(0, script.nowMs));
    const { token: written } = script.frames.find((frame) => frame.token !== undefined) ?? {};
    assert.ok(written !== undefined && !(written instanceof Uint8Array));
    assert.equal(
      decodeSyncToken(written.syncToken ?? '', script.caller.user)?.position.indexes[shard],
      50,
    );
  });
  it('a hole in the feed: no token until a check has closed it, and what changed is announced', () => {
    const script = new ScriptedSession();
    script.live({ resume: { syncToken: resumeToken(script) } });
    script.running[0]?.answer(directory([]));
    script.do((session) => session.resync(script.nowMs));
    script.do((session) => session.deliver(rowEvent({ conversationId: ID })));
    script.pass(11_000);
    assert.ok(!kinds(script).includes('token'));
    script.do((session) => session.resync(script.nowMs));
    script.running[0]?.answer(directory([CONVERSATION]));
    script.running[0]?.answer(changed(60));
    script.running[0]?.answer({ conversations: [{ conversationId: ID }], recent: [] });
    assert.deepEqual(script.frames.at(-1), {
      gap: { scope: 'conversation', conversationId: ID, reason: 'RESYNC', epoch: SCRIPT_EPOCH },
    });
    assert.equal(script.running.length, 1, 'the second hole is checked too');
    script.running[0]?.answer(directory([]));
    script.pass(11_000);
    assert.ok(kinds(script).includes('token'));
  });
  it('every five minutes it looks for lost pushes, and tells only of what did not pass by', () => {
    const script = new ScriptedSession({ pingIntervalMs: 1e9 }, callerOf(newRawId(1), 1e9));
    script.live({ resume: { syncToken: resumeToken(script) } });
    script.running[0]?.answer(directory([]));
    script.frames.length = 0;
    script.seen.set(ID, 9);
    script.pass(301_000);
    script.running[0]?.answer(directory([CONVERSATION]));
    script.running[0]?.answer(changed(60));
    assert.deepEqual(
      kinds(script).filter((kind) => kind !== 'token'),
      [],
    );
    script.seen.set(ID, 8);
    script.pass(301_000);
    script.running[0]?.answer(directory([CONVERSATION]));
    script.running[0]?.answer(changed(70));
    script.running[0]?.answer({ conversations: [{ conversationId: ID }], recent: [] });
    assert.ok(kinds(script).includes('gap'));
  });
  it('who was added again while it ran is not told that he was removed', () => {
    const [gone, back] = [newRawId(21), newRawId(22)];
    const [goneId, backId] = [encodeId('cnv', gone), encodeId('cnv', back)];
    const script = new ScriptedSession();
    script.live({ resume: { syncToken: resumeToken(script) } });
    script.running[0]?.answer(directory([], { left: Buffer.concat([gone, back]) }));
    // Pushed as it happens, ahead of what the resume found in the directory before.
    script.do((session) => session.conversation(backId, new Uint8Array(1)));
    script.running[0]?.answer({ conversations: [{ conversationId: backId }], recent: [] });
    const removed = script.frames.flatMap(({ conversations }) =>
      conversations === undefined || conversations instanceof Uint8Array
        ? []
        : (conversations.removed ?? []),
    );
    assert.deepEqual(removed, [goneId]);
    // A listing since a token answers alike.
    script.ask({
      call: { method: 'Sync.ListConversations', request: { since: resumeToken(script) } },
    });
    script.running[0]?.answer(directory([], { left: Buffer.concat([gone, back]) }));
    script.running[0]?.answer({ conversations: [{ conversationId: backId }], recent: [] });
    const listed = script.effects.find((effect) => effect.is === 'result');
    assert.ok(listed?.is === 'result');
    assert.deepEqual((listed.response as { removed: string[] }).removed, [goneId]);
  });
  it('a join that a courier brought late is told by the check, whatever passed by since', () => {
    const script = new ScriptedSession({ pingIntervalMs: 1e9 }, callerOf(newRawId(1), 1e9));
    script.live({ resume: { syncToken: resumeToken(script) } });
    script.running[0]?.answer(directory([]));
    script.frames.length = 0;
    // Its rows go through this gateway to others of the same group.
    script.seen.set(ID, 9);
    script.pass(301_000);
    script.running[0]?.answer(directory([CONVERSATION], { joined: CONVERSATION }));
    script.running[0]?.answer(changed(60));
    script.running[0]?.answer({ conversations: [{ conversationId: ID }], recent: [] });
    assert.deepEqual(
      kinds(script).filter((kind) => kind !== 'token'),
      ['conversations'],
    );
  });
  it('that cannot be finished ends the connection, which resumes elsewhere', () => {
    const script = new ScriptedSession();
    script.live({ resume: { syncToken: resumeToken(script) } });
    script.running[0]?.refuse(new ParleyError('SHARD_UNAVAILABLE', 'away'));
    assert.equal(script.closed, 4004);
  });
});
