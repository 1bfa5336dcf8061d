import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { ANA, BO, CY, texts, World } from '../test/world.ts';

describe('what a conversation shows', () => {
  it('a direct and its names: the peer’s display name comes by itself', async () => {
    const world = new World();
    world.server.say(world.server.direct(ANA, BO), BO, 'hi');
    const ana = await world.started(ANA);
    const list = ana.client.conversations({ filter: 'all' });
    await world.advance(300);
    assert.equal(list.get().rows[0]?.name, 'Bo');
    assert.equal(ana.client.conversations({ filter: 'all', text: 'bo' }).get().total, 1);
    assert.equal(ana.client.conversations({ filter: 'all', text: 'zz' }).get().total, 0);
  });

  it('a preview stands in the list though its resource came bare and ahead of the row', async () => {
    const world = new World();
    const ana = await world.started(ANA);
    world.server.onFrame = (frame) => {
      const items = frame.conversations?.items?.map(
        ({ lastMessage: _lastMessage, ...rest }) => rest,
      );
      return [items === undefined ? frame : { conversations: { items } }];
    };
    world.server.say(world.server.direct(ANA, BO), BO, 'first words');
    await world.advance(300);
    const list = ana.client.conversations({ filter: 'all' });
    assert.equal(list.get().rows[0]?.last?.text, 'first words');
    assert.equal(list.get().rows[0]?.unread, 1);
  });

  it('an unknown kind shows its fallback, an unknown frame is no trouble (CLIENT §4 43)', async () => {
    const world = new World();
    const ana = await world.started(ANA);
    const timeline = ana.client.direct(BO).timeline();
    const talk = world.server.direct(ANA, BO);
    world.server.toUser(ANA, { hologram: { x: 1 } } as object);
    world.server.append(talk, BO, { poll: { fallback: 'A poll: tea?' } } as object);
    await world.advance(300);
    assert.deepEqual(texts(timeline), ['A poll: tea?']);
  });

  it('settings of a conversation show at once, survive being offline and reach the server', async () => {
    const world = new World();
    world.server.say(world.server.direct(ANA, BO), BO, 'hi');
    const ana = await world.started(ANA);
    world.server.isUp = false;
    world.server.cut();
    await world.advance(100);
    ana.client.direct(BO).notify('none');
    ana.client.direct(BO).markUnread();
    assert.equal(ana.client.direct(BO).info.get().notify, 'none');
    await ana.client.stop();
    world.server.isUp = true;
    const again = await world.started(ANA, { store: ana.store });
    await world.advance(1_000);
    assert.equal(again.client.direct(BO).info.get().notify, 'none');
    assert.equal(again.client.direct(BO).info.get().markedUnread, true);
    const resource = world.server.direct(ANA, BO).resource(ANA);
    assert.equal(resource.me?.notify, 'none');
    again.client.direct(BO).markRead(1);
    await world.advance(500);
    assert.equal(world.server.direct(ANA, BO).resource(ANA).me?.markedUnread, false);
  });

  it('typing shows for 6 s at most, and ends with the message (S10)', async () => {
    const world = new World();
    world.server.say(world.server.direct(ANA, BO), BO, 'hi');
    const ana = await world.started(ANA);
    const chat = ana.client.direct(BO);
    const frame = { typing: { conversationId: chat.id, userId: BO, state: 'typing' as const } };
    world.server.toUser(ANA, frame);
    await world.advance(100);
    assert.deepEqual(chat.typing.get(), [BO]);
    await world.advance(6_100);
    assert.deepEqual(chat.typing.get(), []);
    world.server.toUser(ANA, frame);
    await world.advance(100);
    world.server.say(world.server.direct(ANA, BO), BO, 'done');
    await world.advance(100);
    assert.deepEqual(chat.typing.get(), []);
  });

  it('a member list that was opened offline fills when the server can be asked', async () => {
    const world = new World();
    world.server.say(world.server.direct(ANA, BO), BO, 'hi');
    const ana = await world.started(ANA);
    world.server.isUp = false;
    world.server.cut();
    await world.advance(100);
    const { members } = ana.client.direct(BO);
    members.subscribe(() => undefined);
    const closed = ana.client.direct(CY).members;
    closed.subscribe(() => undefined)();
    await world.advance(100);
    assert.deepEqual(members.get(), { items: [], complete: false });
    world.server.isUp = true;
    await world.advance(5_000);
    assert.deepEqual(
      members.get().items.map((member) => member.userId),
      [ANA, BO],
    );
    // Nobody looks at this one any more.
    assert.deepEqual(closed.get().items, []);
  });

  it('receipts that were opened offline are read when the server can be asked', async () => {
    const world = new World();
    const ana = await world.started(ANA);
    const crew = world.server.group(ANA, 'crew', { name: 'Crew', members: [BO, CY] });
    const { sequence } = world.server.say(crew, ANA, 'all here?');
    await world.advance(300);
    world.server.isUp = false;
    world.server.cut();
    await world.advance(100);
    Object.assign(crew.members.get(BO) ?? {}, { delivered: sequence, read: sequence });
    const chat = ana.client.conversation(crew.id);
    const watched = chat.receipts(sequence);
    const seen: number[] = [];
    watched.subscribe(() => seen.push(watched.get().read));
    await world.advance(100);
    assert.equal(watched.get().of, 0);
    let asked = 0;
    world.server.onRequest = (frame) => {
      if (frame.call?.method === 'Messages.ListReceipts') asked++;
      return undefined;
    };
    world.server.isUp = true;
    await world.advance(5_000);
    assert.deepEqual(watched.get(), { of: 2, queued: 0, delivered: 1, read: 1 });
    assert.deepEqual(seen, [1]);
    // Once: another connection owes it nothing.
    world.server.cut();
    await world.advance(5_000);
    assert.equal(asked, 1);
  });
});
