import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { under } from './stores/store-port.ts';
import { ANA, BO, World } from '../test/world.ts';

describe('unread and marks', () => {
  it('unread is the server’s number and what came since, 0 once read to the head (S8)', async () => {
    const world = new World();
    const talk = world.server.direct(ANA, BO);
    for (let i = 1; i <= 70; i++) world.server.say(talk, BO, `m${i}`);
    const ana = await world.started(ANA);
    const chat = ana.client.direct(BO);
    // Nothing of it is loaded here.
    assert.equal(chat.info.get().unread, 70);
    world.server.say(talk, BO, 'live');
    await world.advance(200);
    assert.equal(chat.info.get().unread, 71);
    world.server.say(talk, BO, 'silent', { silent: true });
    await world.advance(200);
    assert.equal(chat.info.get().unread, 71);
    chat.markRead(72);
    assert.equal(chat.info.get().unread, 0);
    await world.advance(500);
    assert.equal(chat.info.get().unread, 0);
    chat.markRead(5);
    assert.equal(chat.info.get().readThrough, 72);
    world.server.say(talk, BO, 'again');
    await world.advance(200);
    assert.equal(chat.info.get().unread, 1);
  });

  it('read on one device, the other’s badge falls to 0 (S8, CLIENT §4 18, CONTRACT §9 43)', async () => {
    const world = new World();
    const talk = world.server.direct(ANA, BO);
    world.server.say(talk, BO, 'hi');
    const phone = await world.started(ANA);
    const laptop = await world.started(ANA);
    assert.equal(laptop.client.unread.get().messages, 1);
    phone.client.direct(BO).markRead(1);
    await world.advance(500);
    assert.equal(laptop.client.unread.get().messages, 0);
  });

  it('two read offline: the higher mark stands, and both count alike (CLIENT §4 19)', async () => {
    const world = new World();
    const talk = world.server.direct(ANA, BO);
    for (let i = 1; i <= 10; i++) world.server.say(talk, BO, `m${i}`);
    const phone = await world.started(ANA);
    const laptop = await world.started(ANA);
    world.server.isUp = false;
    world.server.cut();
    await world.advance(100);
    phone.client.direct(BO).markRead(7);
    laptop.client.direct(BO).markRead(4);
    await phone.client.stop();
    world.server.isUp = true;
    const again = await world.started(ANA, { store: phone.store });
    laptop.host.signal('online');
    await world.advance(3_000);
    assert.equal(talk.members.get(ANA)?.read, 7);
    assert.equal(again.client.unread.get().messages, 3);
    assert.equal(laptop.client.unread.get().messages, 3);
  });

  it('read a moment before the network went: it is reported when there is one again (S9)', async () => {
    const world = new World();
    const talk = world.server.direct(ANA, BO);
    world.server.say(talk, BO, 'hi');
    const ana = await world.started(ANA);
    // So long that nothing which goes again of itself takes it along.
    await world.advance(12_000);
    ana.client.direct(BO).markRead(1);
    world.server.isUp = false;
    world.server.cut();
    await world.advance(500);
    assert.equal(talk.members.get(ANA)?.read ?? 0, 0);
    world.server.isUp = true;
    ana.host.signal('online');
    await world.advance(3_000);
    assert.equal(talk.members.get(ANA)?.read, 1);
  });

  it('what the server did not take goes again when it speaks of the conversation, not sooner (S9)', async () => {
    const world = new World();
    const talk = world.server.direct(ANA, BO);
    world.server.say(talk, BO, 'hi');
    const ana = await world.started(ANA);
    await world.advance(300);
    const reports: number[] = [];
    world.server.onRequest = ({ receipt }) => {
      if (receipt === undefined) return undefined;
      reports.push(receipt.read?.[0]?.sequence ?? 0);
      // Too busy: it says nothing.
      return reports.length === 1 ? {} : undefined;
    };
    ana.client.direct(BO).markRead(1);
    await world.advance(500);
    assert.equal(talk.members.get(ANA)?.read ?? 0, 0);
    const speak = (): void => {
      const items = [talk.resource(ANA)];
      for (const connection of world.server.connections)
        connection.push({ conversations: { items } });
    };
    speak();
    await world.advance(500);
    assert.deepEqual(reports, [1]);
    await world.advance(10_000);
    speak();
    await world.advance(500);
    assert.deepEqual(reports, [1, 1]);
    assert.equal(talk.members.get(ANA)?.read, 1);
    // Confirmed by now.
    await world.advance(10_000);
    speak();
    await world.advance(500);
    assert.deepEqual(reports, [1, 1]);
  });

  it('delivered is reported once stored, and the marks of the last 10 s go again after a break (S9)', async () => {
    const world = new World();
    const ana = await world.started(ANA);
    const talk = world.server.direct(ANA, BO);
    world.server.say(talk, BO, 'one');
    await world.advance(300);
    assert.equal(talk.members.get(ANA)?.delivered, 1);
    ana.client.direct(BO).markRead(1);
    await world.advance(300);
    assert.equal(talk.members.get(ANA)?.read, 1);
    // Confirmed, so nothing of it waits here any more.
    assert.deepEqual(await ana.store.readOwn('marks', under()), []);
    // The server falls and forgets marks it had not made durable.
    const member = talk.members.get(ANA);
    assert.ok(member);
    member.read = 0;
    member.delivered = 0;
    world.server.cut();
    await world.advance(3_000);
    assert.equal(member.delivered, 1);
    assert.equal(member.read, 1);
  });
});
