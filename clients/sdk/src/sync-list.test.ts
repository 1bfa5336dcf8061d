import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { memoryStore } from './stores/memory.ts';
import { ANA, BO, texts, World } from '../test/world.ts';
import { methodsOf } from '../test/store-methods.ts';

describe('reading the whole list', () => {
  it('what is pushed while the list is read is not taken away by it, though it is not in it (S7)', async () => {
    const world = new World();
    world.server.onRequest = (frame) => {
      if (frame.call?.method !== 'Sync.ListConversations') return undefined;
      world.server.say(world.server.direct(ANA, BO), BO, 'hi');
      return { result: { syncToken: 't1' } };
    };
    const ana = await world.started(ANA);
    assert.equal(ana.client.conversations({ filter: 'all' }).get().total, 1);
    assert.equal(ana.client.direct(BO).info.get().role, 'member');
  });

  it('it is live only once the list is here, though caughtUp comes with ready', async () => {
    const world = new World();
    world.server.say(world.server.direct(ANA, BO), BO, 'hi');
    const inner = memoryStore();
    // Storage so slow that both are waiting when it answers.
    const slow = {
      ...methodsOf(inner),
      readCache: async (...a: Parameters<typeof inner.readCache>) => {
        for (let i = 0; i < 50; i++) await Promise.resolve();
        return inner.readCache(...a);
      },
    };
    const ana = world.phone(ANA, { store: slow });
    const known: number[] = [];
    ana.client.connection.subscribe(() => {
      if (ana.client.connection.get().phase === 'live')
        known.push(ana.client.conversations({ filter: 'all' }).get().total);
    });
    await ana.client.start();
    await world.advance(1_000);
    assert.ok(known.length > 0);
    for (const total of known) assert.equal(total, 1);
  });

  it('a gap that comes while the list is read is paid for by another list (S7)', async () => {
    const world = new World();
    let lists = 0;
    world.server.onRequest = (frame, connection) => {
      if (frame.call?.method !== 'Sync.ListConversations') return undefined;
      lists += 1;
      if (lists > 1) return undefined;
      // Answered from before: what happened since is in no push, only the gap says so.
      connection.pushRaw({ gap: { scope: 'all', reason: 'RESYNC' } });
      const { onFrame } = world.server;
      world.server.onFrame = () => [];
      world.server.say(world.server.direct(ANA, BO), BO, 'lost on the way');
      world.server.onFrame = onFrame;
      return { result: { syncToken: 't1' } };
    };
    const ana = await world.started(ANA);
    assert.equal(lists, 2);
    const timeline = ana.client.direct(BO).timeline();
    await world.advance(500);
    assert.deepEqual(texts(timeline), ['lost on the way']);
    assert.deepEqual(ana.client.unread.get(), { messages: 1, mentions: 0 });
  });

  it('a list that does not know a conversation yet does not take it away; one that was left goes (S7)', async () => {
    const world = new World();
    const [one, other] = [
      '11111111-1111-4111-8111-111111111111',
      '22222222-2222-4222-8222-222222222222',
    ];
    const crew = world.server.group(BO, one, { name: 'Crew', members: [ANA] });
    const old = world.server.group(BO, other, { name: 'Old crew', members: [ANA] });
    const ana = await world.started(ANA);
    const all = ana.client.conversations({ filter: 'all' });
    assert.equal(all.get().total, 2);
    world.server.onRequest = (frame) =>
      frame.call?.method === 'Sync.ListConversations' ? { result: { syncToken: 't9' } } : undefined;
    old.members.delete(ANA);
    for (const connection of world.server.connections)
      connection.pushRaw({ gap: { scope: 'all', reason: 'RESYNC' } });
    await world.advance(1_000);
    assert.deepEqual(
      all.get().rows.map((row) => row.name),
      ['Crew'],
    );
    assert.equal(ana.client.conversation(crew.id).info.get().role, 'member');
  });

  it('removed: it leaves the list, sending closes, no later row shows (CLIENT §4 42, CONTRACT §9 49)', async () => {
    const world = new World();
    const ana = await world.started(ANA);
    const group = world.server.group(BO, '11111111-1111-4111-8111-111111111111', {
      name: 'Crew',
      members: [ANA],
    });
    await world.advance(300);
    const crew = ana.client.conversation(group.id);
    const timeline = crew.timeline();
    assert.equal(crew.info.get().canSend, true);
    const removed: string[] = [];
    ana.client.on('removed', ({ conversationId }) => removed.push(conversationId));
    group.members.delete(ANA);
    world.server.toUser(ANA, { conversations: { removed: [group.id] } });
    await world.advance(300);
    assert.equal(crew.info.get().canSend, false);
    assert.equal(crew.info.get().role, undefined);
    assert.deepEqual(removed, [group.id]);
    world.server.say(group, BO, 'secret');
    await world.advance(300);
    assert.ok(!texts(timeline).includes('secret'));
    assert.equal(ana.client.conversations({ filter: 'all' }).get().total, 0);
  });
});
