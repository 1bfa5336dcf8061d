import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import type { ServerFrame } from './contract.ts';
import { ClientError } from './errors.ts';
import { under } from './stores/store-port.ts';
import { ANA, BO, say, texts, World } from '../test/world.ts';

describe('sending again', () => {
  it('nothing is transmitted before its number is stored (S4, S5)', async () => {
    const world = new World();
    const ana = await world.started(ANA);
    const stored: number[] = [];
    world.server.onRequest = (frame) => {
      if (frame.send !== undefined) stored.push(frame.send.clientSeq);
      return undefined;
    };
    const checked: Promise<void>[] = [];
    const server = world.server;
    server.onRequest = (frame) => {
      if (frame.send === undefined) return undefined;
      const { clientSeq, clientMessageId } = frame.send;
      checked.push(
        ana.store.readOwn('outbox', under()).then((pairs) => {
          const held = pairs
            .map((pair) => pair.value as { key: string; number?: { clientSeq: number } })
            .find((entry) => entry.key === clientMessageId);
          // Settled already, or there under this very number.
          if (held !== undefined) assert.equal(held.number?.clientSeq, clientSeq);
        }),
      );
      return undefined;
    };
    for (let i = 0; i < 10; i++) ana.client.direct(BO).send(say(`m${i}`));
    await world.advance(500);
    await Promise.all(checked);
    assert.equal(checked.length, 10);
  });

  it('lost commits: the same number goes again, one row each, in order (S5, CONTRACT §9 6, CLIENT §4 4)', async () => {
    const world = new World();
    const ana = await world.started(ANA);
    world.server.onFrame = (frame) => (frame.commit === undefined ? [frame] : []);
    const timeline = ana.client.direct(BO).timeline();
    const refs = Array.from({ length: 20 }, (_, i) => ana.client.direct(BO).send(say(`m${i}`)));
    await world.advance(20);
    world.server.onFrame = (frame: ServerFrame) => [frame];
    world.server.cut();
    await world.advance(3_000);
    assert.equal(world.server.direct(ANA, BO).head, 20);
    assert.deepEqual(
      texts(timeline),
      Array.from({ length: 20 }, (_, i) => `m${i}`),
    );
    for (const ref of refs) assert.equal(ref.state.get().is, 'SENT');
  });

  it('the first of a pipeline refused: the rest goes again in order (CONTRACT §9 10)', async () => {
    const world = new World();
    const ana = await world.started(ANA);
    const timeline = ana.client.direct(BO).timeline();
    let refusals = 1;
    world.server.onRequest = (frame) =>
      frame.send?.body.message?.text?.body === 'bad' && refusals-- > 0
        ? { error: { reason: 'BLOCKED' } }
        : undefined;
    const bad = ana.client.direct(BO).send(say('bad'));
    for (const text of ['x', 'y', 'z']) ana.client.direct(BO).send(say(text));
    await world.advance(500);
    assert.deepEqual(
      world.server.direct(ANA, BO).rows.map((row) => row.body?.message?.text?.body),
      ['x', 'y', 'z'],
    );
    const state = bad.state.get();
    assert.deepEqual(state, { is: 'FAILED', reason: 'BLOCKED', retryable: true });
    await assert.rejects(bad.accepted, (e) => e instanceof ClientError && e.reason === 'BLOCKED');
    bad.retry();
    await world.advance(500);
    assert.equal(bad.state.get().is, 'SENT');
    assert.deepEqual(texts(timeline), ['x', 'y', 'z', 'bad']);
    assert.equal((await bad.accepted).sequence, 4);
    // S6: retry keeps the key.
    assert.equal(world.server.direct(ANA, BO).rows[3]?.clientMessageId, bad.key);
  });

  it('an edit that was accepted long ago settles by its row: pages of messages do not hold it (S5)', async () => {
    const world = new World();
    const ana = await world.started(ANA);
    const direct = ana.client.direct(BO);
    const first = direct.send(say('one'));
    await world.advance(300);
    // Accepted, and neither the answer nor the row is heard.
    world.server.onFrame = (frame) =>
      frame.commit === undefined && frame.rows === undefined ? [frame] : [];
    const edit = direct.edit(first.key, say('one, changed'));
    await world.advance(300);
    const rows = (): number => world.server.direct(ANA, BO).rows.length;
    assert.equal(rows(), 2);
    // So many were accepted since that the window has forgotten it.
    world.server.onRequest = (frame) =>
      frame.send?.clientMessageId === edit.key ? { error: { reason: 'TOO_OLD' } } : undefined;
    world.server.cut();
    await world.advance(10_000);
    assert.equal(rows(), 2);
    assert.equal((await edit.accepted).sequence, 2);
  });

  it('after 24 h in the queue it is FAILED; retry sends one copy (S6, CLIENT §4 7)', async () => {
    const world = new World();
    const ana = await world.started(ANA);
    world.server.isUp = false;
    world.server.cut();
    await ana.host.advance(100);
    const ref = ana.client.direct(BO).send(say('late'));
    await ana.host.advance(23 * 3600_000);
    assert.equal(ref.state.get().is, 'SENDING');
    await ana.host.advance(2 * 3600_000);
    assert.deepEqual(ref.state.get(), { is: 'FAILED', reason: 'DEADLINE', retryable: true });
    world.server.isUp = true;
    ana.host.signal('online');
    await ana.host.advance(2_000);
    assert.equal(world.server.direct(ANA, BO).head, 0);
    ref.retry();
    await ana.host.advance(500);
    assert.equal(ref.state.get().is, 'SENT');
    assert.equal(world.server.direct(ANA, BO).head, 1);
  });

  it('a FAILED one whose row appears after all is SENT (S6)', async () => {
    const world = new World();
    const ana = await world.started(ANA);
    world.server.onFrame = (frame) =>
      frame.commit === undefined && frame.rows === undefined && frame.token === undefined
        ? [frame]
        : [];
    const timeline = ana.client.direct(BO).timeline();
    const ref = ana.client.direct(BO).send(say('ghost'));
    await ana.host.advance(50);
    world.server.isUp = false;
    world.server.cut();
    await ana.host.advance(25 * 3600_000);
    assert.equal(ref.state.get().is, 'FAILED');
    world.server.onFrame = (frame) => [frame];
    world.server.isUp = true;
    ana.host.signal('online');
    await ana.host.advance(3_000);
    assert.equal(ref.state.get().is, 'SENT');
    assert.equal((await ref.accepted).sequence, 1);
    assert.deepEqual(texts(timeline), ['ghost']);
  });

  it('cancel works until the first transmission, and what was to follow it says so (S6)', async () => {
    const world = new World();
    const ana = await world.started(ANA);
    world.server.isUp = false;
    world.server.cut();
    await world.advance(100);
    const timeline = ana.client.direct(BO).timeline();
    const first = ana.client.direct(BO).send(say('first'));
    const second = ana.client.direct(BO).send(say('second'), { after: first.key });
    await world.advance(100);
    assert.equal(first.cancel(), true);
    assert.equal(first.cancel(), false);
    await world.advance(100);
    assert.deepEqual(second.state.get(), { is: 'FAILED', reason: 'CANCELED', retryable: false });
    assert.deepEqual(texts(timeline), ['second']);
    world.server.isUp = true;
    ana.host.signal('online');
    await world.advance(2_000);
    const third = ana.client.direct(BO).send(say('third'));
    await world.advance(300);
    assert.equal(third.cancel(), false);
  });

  it('what waits at a stop is accepted after the next start, and its sender hears of it (S6)', async () => {
    const world = new World();
    const ana = await world.started(ANA);
    world.server.isUp = false;
    world.server.cut();
    await world.advance(100);
    const kept = ana.client.direct(BO).send(say('kept'));
    const dropped = ana.client.direct(BO).send(say('dropped'));
    await world.advance(100);
    await ana.client.stop();
    assert.equal(dropped.cancel(), false);
    await ana.client.start();
    assert.equal(dropped.cancel(), true);
    world.server.isUp = true;
    await world.advance(5_000);
    assert.equal((await kept.accepted).sequence, 1);
    assert.equal(kept.state.get().is, 'SENT');
    await assert.rejects(
      dropped.accepted,
      (e) => e instanceof ClientError && e.reason === 'CANCELED',
    );
  });

  it('what is sent after a stop is refused: it could be stored over what waits', async () => {
    const world = new World();
    const ana = await world.started(ANA);
    const chat = ana.client.direct(BO);
    world.server.isUp = false;
    world.server.cut();
    const waiting = chat.send(say('waits'));
    await world.advance(300);
    chat.draft.set({ text: 'too late' });
    await ana.client.stop();
    assert.throws(() => chat.send(say('too late')), { reason: 'TOKEN_INVALID' });
    assert.equal(chat.draft.get().text, 'too late');
    const starting = ana.client.start();
    assert.throws(() => chat.send(say('too early')), { reason: 'TOKEN_INVALID' });
    await starting;
    chat.send(say('in time'));
    world.server.isUp = true;
    await world.advance(5_000);
    await waiting.accepted;
    const rows = world.server.direct(ANA, BO).rows;
    assert.deepEqual(
      rows.map((row) => row.body?.message?.text?.body),
      ['waits', 'in time'],
    );
  });

  it('one that failed before a stop is retried after it, by the ref its sender holds (S6)', async () => {
    const world = new World();
    const ana = await world.started(ANA);
    world.server.onRequest = (frame) =>
      frame.send === undefined ? undefined : { error: { reason: 'BLOCKED' } };
    const ref = ana.client.direct(BO).send(say('again'));
    await world.advance(300);
    await ana.client.stop();
    await ana.client.start();
    await world.advance(500);
    await assert.rejects(ref.accepted, (e) => e instanceof ClientError && e.reason === 'BLOCKED');
    world.server.onRequest = () => undefined;
    ref.retry();
    await world.advance(500);
    assert.equal((await ref.accepted).sequence, 1);
  });
});
