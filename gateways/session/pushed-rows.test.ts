import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { describe, it } from 'mocha';
import { decodeUuid, encodeId, newRawId } from '../../core/ids.ts';
import { newConversationRaw } from '../testing/new-conversation.ts';
import { rowEvent, SCRIPT_EPOCH, ScriptedSession } from '../testing/scripted-session.ts';
import { ID, OUTBOX, send } from '../testing/one-conversation.ts';

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
    // One frame that large: what was there before it had been taken.
    script.do((session) => session.pressure(40 * 1024 * 1024, 1024));
    assert.equal(script.closed, 0);
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
  it('stopping in between, or going round many conversations, tells nobody more often', () => {
    const script = new ScriptedSession().live();
    for (let i = 0; i < 10; i++) {
      script.frame({ typing: { conversationId: ID } });
      script.frame({ typing: { conversationId: ID, state: 'stopped' } });
    }
    assert.equal(script.count('typing'), 2);
    const others = Array.from({ length: 40 }, () => encodeId('cnv', newConversationRaw()));
    for (let round = 0; round < 3; round++)
      for (const conversationId of others) script.frame({ typing: { conversationId } });
    assert.equal(script.count('typing'), 2 + 31);
    script.pass(3_001);
    script.frame({ typing: { conversationId: others[39] ?? '' } });
    assert.equal(script.count('typing'), 2 + 31 + 1);
  });
});
