import assert from 'node:assert/strict';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, it } from 'mocha';
import { ANA, BO, messages, say, texts, World } from '../test/world.ts';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

/** A weak reference read in a task is held until the task ends. */
async function takeTheUnheld(): Promise<void> {
  await new Promise((done) => setTimeout(done, 1));
  collectGarbage();
}

describe('client', () => {
  it('a send’s state goes on though nothing but it is held of the conversation (S6)', async () => {
    const world = new World();
    const ana = await world.started(ANA);
    const bo = await world.started(BO);
    const ref = ana.client.direct(BO).send(say('hi'));
    const seen: string[] = [];
    ref.state.subscribe(() => seen.push(ref.state.get().is));
    await takeTheUnheld();
    await world.advance(200);
    await takeTheUnheld();
    bo.client.direct(ANA).markRead(1);
    await world.advance(300);
    assert.equal(seen.at(-1), 'READ');
  });

  it('nor is it lost when it waited offline and the conversation went meanwhile (S6)', async () => {
    const world = new World();
    const ana = await world.started(ANA);
    const bo = await world.started(BO);
    world.server.isUp = false;
    world.server.cut();
    const ref = ana.client.direct(BO).send(say('hi'));
    await world.advance(100);
    await takeTheUnheld();
    world.server.isUp = true;
    ana.host.signal('online');
    bo.host.signal('online');
    await world.advance(5_000);
    bo.client.direct(ANA).markRead(1);
    await world.advance(1_000);
    assert.equal(ref.state.get().is, 'READ');
  });

  it('receipts that somebody looks at go on, however many others were asked for', async () => {
    const world = new World();
    const ana = await world.started(ANA);
    const bo = await world.started(BO);
    const chat = ana.client.direct(BO);
    chat.send(say('hi'));
    await world.advance(300);
    const watched = chat.receipts(1);
    watched.subscribe(() => undefined);
    for (let sequence = 2; sequence < 100; sequence++) chat.receipts(sequence);
    bo.client.direct(ANA).markRead(1);
    await world.advance(300);
    assert.equal(watched.get().read, 1);
  });

  it('what is subscribed to goes on though nothing else is held of the conversation', async () => {
    const world = new World();
    const ana = await world.started(ANA);
    let heard = 0;
    ana.client.direct(BO).info.subscribe(() => heard++);
    await takeTheUnheld();
    ana.client.direct(BO).notify('none');
    assert.ok(heard > 0);
  });

  it('a value that is held is the conversation’s though nobody subscribed to it', async () => {
    const world = new World();
    const ana = await world.started(ANA);
    const { typing } = ana.client.direct(BO);
    await takeTheUnheld();
    assert.equal(ana.client.direct(BO).typing, typing);
  });

  it('a message sent is a row on return, SENT under the same key, and read by the other', async () => {
    const world = new World();
    const ana = await world.started(ANA);
    const bo = await world.started(BO);
    assert.equal(ana.client.connection.get().phase, 'live');
    const toBo = ana.client.direct(BO);
    const timeline = toBo.timeline();
    const ref = toBo.send(say('hi'));
    assert.deepEqual(texts(timeline), ['hi']);
    assert.equal(ref.state.get().is, 'SENDING');
    await world.advance(200);
    const accepted = await ref.accepted;
    assert.equal(accepted.sequence, 1);
    assert.deepEqual(texts(timeline), ['hi']);
    assert.equal(messages(timeline)[0]?.key, ref.key);
    assert.equal(messages(timeline)[0]?.sequence, 1);
    const list = bo.client.conversations({ filter: 'all' });
    assert.equal(list.get().rows.length, 1);
    assert.equal(list.get().rows[0]?.last?.text, 'hi');
    assert.equal(list.get().rows[0]?.unread, 1);
    assert.equal(ref.state.get().is, 'DELIVERED');
    const theirs = bo.client.direct(ANA).timeline();
    await world.advance(200);
    assert.deepEqual(texts(theirs), ['hi']);
    bo.client.direct(ANA).markRead(1);
    await world.advance(300);
    assert.equal(ref.state.get().is, 'READ');
    assert.equal(bo.client.unread.get().messages, 0);
    assert.equal(bo.client.conversations({ filter: 'all' }).get().rows[0]?.name, 'Ana');
    await ana.client.stop();
    await bo.client.stop();
    assert.equal(ana.host.timerCount, 0);
  });
});
