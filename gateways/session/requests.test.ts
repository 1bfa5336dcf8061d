import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { decodeCommand } from '../../core/command-codec.ts';
import { ParleyError } from '../../core/errors.ts';
import { encodeId, newRawId, directConversationRaw } from '../../core/ids.ts';
import { newConversationRaw } from '../testing/new-conversation.ts';
import { ScriptedSession } from '../testing/scripted-session.ts';
import { CONVERSATION, ID, send } from '../testing/one-conversation.ts';

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
  it('to an unknown user those behind it carry the veto too, unless they named the conversation', () => {
    const script = new ScriptedSession().live();
    const peer = newRawId(22);
    const to = `direct:${encodeId('usr', peer)}`;
    script.ask(send(1, { to }));
    script.ask(send(2, { to }));
    script.ask(send(3, { to: encodeId('cnv', directConversationRaw(script.caller.user, peer)) }));
    script.knowUsers([peer]);
    const vetoed = script.effects.flatMap((one) => {
      const command = one.is === 'send' ? decodeCommand(one.command) : undefined;
      return command !== undefined && 'flags' in command ? [(command.flags & 256) !== 0] : [];
    });
    assert.deepEqual(vetoed, [true, true, false]);
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
  it('eight pages are under way at a time, for each waits in memory for the client; later ones begin in turn', () => {
    const script = new ScriptedSession().live();
    const call = { call: { method: 'Messages.List', request: { conversationId: ID } } };
    for (let i = 0; i < 11; i++) script.ask(call);
    assert.equal(script.running.length, 8);
    script.running[0]?.refuse(new ParleyError('OVERLOADED', 'too much'));
    assert.equal(script.running.length, 8);
    for (let left = 10; left > 0; left--) {
      const answered: number = script.running.length;
      script.running[0]?.answer(new Uint8Array(0));
      assert.equal(script.running.at(-1)?.asks[0]?.ask, 'room');
      script.running.unshift(...script.running.splice(-1));
      script.running[0]?.answer(undefined);
      assert.equal(script.running.length, left > 8 ? answered : answered - 1);
    }
    assert.equal(script.running.length, 0);
    assert.equal(script.ask({ call: { ...call.call, method: 'Messages.ListRows' } }), undefined);
    assert.equal(script.running.length, 1);
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
