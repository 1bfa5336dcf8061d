import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { QUEUE_MAX } from './sync.ts';
import { memoryStore } from './stores/memory.ts';
import { under } from './stores/store-port.ts';
import type { LogRecord } from './conversation-log.ts';
import { ANA, BO, CY, messages, say, texts, World } from '../test/world.ts';
import { methodsOf } from '../test/store-methods.ts';

describe('sync', () => {
  it('a first start lists the conversations, a later one resumes and asks for nothing whole', async () => {
    const world = new World();
    for (const user of [BO, CY])
      world.server.say(world.server.direct(ANA, user), user, `hi from ${user}`);
    const ana = await world.started(ANA);
    assert.equal(ana.client.conversations({ filter: 'all' }).get().total, 2);
    assert.deepEqual(ana.client.unread.get(), { messages: 2, mentions: 0 });
    await ana.client.stop();
    world.server.say(world.server.direct(ANA, BO), BO, 'while away');
    world.server.calls.length = 0;
    const again = await world.started(ANA, { store: ana.store });
    assert.ok(!world.server.calls.includes('Sync.ListConversations'));
    assert.deepEqual(again.client.unread.get(), { messages: 3, mentions: 0 });
    const timeline = again.client.direct(BO).timeline();
    await world.advance(300);
    assert.deepEqual(texts(timeline), [`hi from ${BO}`, 'while away']);
  });

  it('changes on many pages are all taken, and the sync is done with the last (CONTRACT §6)', async () => {
    const world = new World();
    const talk = world.server.direct(ANA, BO);
    for (let i = 1; i <= 20; i++) world.server.say(talk, BO, `m${i}`);
    const ana = await world.started(ANA);
    const before = ana.client.direct(BO).timeline();
    await world.advance(300);
    before.close();
    world.server.isUp = false;
    world.server.cut();
    await world.advance(100);
    for (let n = 1; n <= 20; n++)
      world.server.append(talk, BO, {
        edit: { target: { sequence: n }, message: { text: { body: `e${n}` } } },
      });
    // More than a resume brings.
    for (let i = 0; i < 260; i++) world.server.say(talk, BO, `away ${i}`);
    world.server.pageMessagesMax = 6;
    world.server.calls.length = 0;
    world.server.isUp = true;
    ana.host.signal('online');
    await world.advance(10_000);
    const syncs = world.server.calls.filter((method) => method === 'Sync.SyncConversation');
    assert.equal(syncs.length, Math.ceil(20 / 6));
    const timeline = ana.client.direct(BO).timeline({ sequence: 10 });
    await world.advance(1_000);
    assert.deepEqual(
      texts(timeline).slice(0, 20),
      Array.from({ length: 20 }, (_, i) => `e${i + 1}`),
    );
  });

  it('the cache is shown before any network: list and rows at once (law 3, S13)', async () => {
    const world = new World();
    const ana = await world.started(ANA);
    ana.client.direct(BO).send(say('cached'));
    await world.advance(300);
    await ana.client.stop();
    world.server.isUp = false;
    const again = world.phone(ANA, { store: ana.store });
    await again.client.start();
    const list = again.client.conversations({ filter: 'all' });
    assert.equal(list.get().rows[0]?.last?.text, 'cached');
    assert.equal(list.get().freshness, 'cached');
    const timeline = again.client.direct(BO).timeline();
    await again.host.advance(0);
    assert.deepEqual(texts(timeline), ['cached']);
  });

  it('content that is much larger as JSON than a server’s limit hides nobody’s messages', async () => {
    const world = new World();
    const ana = await world.started(ANA);
    // 60 KB of protobuf.
    const entities = Array.from({ length: 6_000 }, () => ({ type: 'bold', length: 1 }));
    const text = { body: 'x', entities };
    world.server.append(world.server.direct(ANA, BO), BO, { message: { text } });
    world.server.say(world.server.direct(ANA, CY), CY, 'from another');
    await world.advance(2_000);
    await ana.client.stop();
    const again = await world.started(ANA, { store: ana.store });
    for (const [who, said] of [[BO, 'x'] as const, [CY, 'from another'] as const]) {
      const timeline = again.client.direct(who).timeline();
      await world.advance(500);
      assert.deepEqual(texts(timeline), [said]);
    }
  });

  it('a row and the token that covers it are one transaction (S4)', async () => {
    const world = new World();
    const inner = memoryStore();
    const seen: { token: string; head: number }[] = [];
    const store = {
      ...methodsOf(inner),
      writeCache: async (...args: Parameters<typeof inner.writeCache>) => {
        await inner.writeCache(...args);
        const [token] = await inner.readCache('meta', under('token'));
        const [record] = await inner.readCache('conversations', under());
        const { syncToken = '' } = (token?.value ?? {}) as { syncToken?: string };
        seen.push({
          token: syncToken,
          head: (record?.value as LogRecord | undefined)?.cursor ?? 0,
        });
      },
    };
    await world.started(ANA, { store });
    const talk = world.server.direct(ANA, BO);
    const rowsAt = new Map<number, number>();
    for (let i = 0; i < 20; i++) {
      world.server.say(talk, BO, `m${i}`);
      rowsAt.set(Number(world.server.token().slice(1)), talk.head);
      if (i % 3 === 0) await world.advance(50);
    }
    await world.advance(300);
    // Tokens count changes, marks among them: none may claim a row that is not stored.
    for (const { token, head } of seen) {
      const changes = Number(token.slice(1) || 0);
      const claimed = Math.max(0, ...[...rowsAt].filter(([at]) => at <= changes).map(([, n]) => n));
      assert.ok(head >= claimed, `token ${token} stored with cursor ${head}`);
    }
    assert.equal(seen.at(-1)?.head, 20);
  });

  it('a gap touches its conversation alone, which syncs and ends complete (S7, CONTRACT §9 29)', async () => {
    const world = new World();
    const ana = await world.started(ANA);
    const withBo = world.server.direct(ANA, BO);
    const withCy = world.server.direct(ANA, CY);
    world.server.say(withCy, CY, 'other talk');
    world.server.say(withBo, BO, 'first');
    const timeline = ana.client.direct(BO).timeline();
    await world.advance(300);
    world.server.calls.length = 0;
    world.server.onFrame = (frame) =>
      frame.rows === undefined
        ? [frame]
        : [
            {
              gap: {
                scope: 'conversation',
                conversationId: withBo.id,
                from: 2,
                head: withBo.head,
                epoch: 7,
              },
            },
          ];
    for (let i = 0; i < 5; i++) world.server.say(withBo, BO, `lost ${i}`);
    await world.advance(1_000);
    assert.deepEqual(texts(timeline), ['first', ...[0, 1, 2, 3, 4].map((i) => `lost ${i}`)]);
    const syncs = world.server.calls.filter((method) => method === 'Sync.SyncConversation');
    assert.ok(syncs.length >= 1 && syncs.length <= 5);
  });

  it('a row beyond the next one syncs its conversation; what came aside is kept (S7)', async () => {
    const world = new World();
    const ana = await world.started(ANA);
    const talk = world.server.direct(ANA, BO);
    world.server.say(talk, BO, 'one');
    const timeline = ana.client.direct(BO).timeline();
    await world.advance(200);
    world.server.onFrame = (frame) => (frame.rows === undefined ? [frame] : []);
    world.server.say(talk, BO, 'two');
    world.server.onFrame = (frame) => [frame];
    world.server.say(talk, BO, 'three');
    await world.advance(1_000);
    assert.deepEqual(texts(timeline), ['one', 'two', 'three']);
  });

  it('pushes twice are rows once', async () => {
    const world = new World();
    const ana = await world.started(ANA);
    world.server.onFrame = (frame) => (frame.rows === undefined ? [frame] : [frame, frame]);
    const timeline = ana.client.direct(BO).timeline();
    const talk = world.server.direct(ANA, BO);
    const heard: string[] = [];
    ana.client.on('message', ({ row }) => heard.push(row.content?.text?.body ?? ''));
    world.server.say(talk, BO, 'one');
    world.server.append(talk, BO, { reaction: { target: { sequence: 1 }, emoji: '❤', op: 'add' } });
    world.server.say(talk, BO, 'two');
    await world.advance(500);
    assert.deepEqual(texts(timeline), ['one', 'two']);
    assert.deepEqual(messages(timeline)[0]?.reactions, [{ emoji: '❤', count: 1 }]);
    assert.deepEqual(heard, ['one', 'two']);
    assert.equal(ana.client.unread.get().messages, 2);
  });

  it('a page read before a change and shown after it ends as the change says (S7, CONTRACT §9 34)', async () => {
    const world = new World();
    const ana = await world.started(ANA);
    const talk = world.server.direct(ANA, BO);
    for (let i = 1; i <= 60; i++) world.server.say(talk, BO, `m${i}`);
    await world.advance(500);
    await ana.client.stop();
    // A fresh device has nothing but holes.
    const tablet = await world.started(ANA);
    const held: (() => void)[] = [];
    world.server.onFrame = (frame, connection) => {
      const isPage = (frame.result as { asOf?: number } | undefined)?.asOf !== undefined;
      if (!isPage) return [frame];
      const copy = structuredClone(frame);
      held.push(() => connection.pushRaw(copy));
      return [];
    };
    const timeline = tablet.client.direct(BO).timeline();
    await world.advance(100);
    assert.equal(held.length, 1);
    world.server.append(talk, BO, {
      edit: { target: { sequence: 58 }, message: { text: { body: 'edited' } } },
    });
    world.server.append(talk, BO, { delete: { target: { sequence: 59 } } });
    await world.advance(200);
    world.server.onFrame = (frame) => [frame];
    for (const deliver of held) deliver();
    await world.advance(500);
    assert.deepEqual(texts(timeline).slice(-3), ['edited', '(deleted)', 'm60']);
  });

  it('offline: edits and reactions on held messages come as changes, once each (CONTRACT §9 33)', async () => {
    const world = new World();
    const ana = await world.started(ANA);
    const talk = world.server.direct(ANA, BO);
    const timeline = ana.client.direct(BO).timeline();
    for (let i = 1; i <= 3; i++) world.server.say(talk, BO, `m${i}`);
    await world.advance(300);
    world.server.isUp = false;
    world.server.cut();
    await world.advance(100);
    world.server.append(talk, BO, {
      edit: { target: { sequence: 1 }, message: { text: { body: 'E' } } },
    });
    world.server.append(talk, BO, { delete: { target: { sequence: 2 } } });
    for (let i = 0; i < 50; i++)
      world.server.append(talk, BO, { reaction: { target: { sequence: 3 }, emoji: `e${i}` } });
    for (let i = 0; i < 300; i++) world.server.say(talk, BO, `bulk ${i}`);
    world.server.isUp = true;
    ana.host.signal('online');
    await world.advance(2_000);
    const rows = timeline.get().rows;
    assert.ok(rows.some((row) => row.is === 'hole') || rows.length >= 200);
    await timeline.moveTo({ sequence: 1 });
    await world.advance(300);
    assert.deepEqual(texts(timeline).slice(0, 3), ['E', '(deleted)', 'm3']);
    assert.equal(messages(timeline)[2]?.reactions.length, 50);
  });

  it('a token too old: the list is read anew, bodies and cursors stay (CONTRACT §9 28)', async () => {
    const world = new World();
    const ana = await world.started(ANA);
    const talk = world.server.direct(ANA, BO);
    for (let i = 1; i <= 3; i++) world.server.say(talk, BO, `m${i}`);
    await world.advance(300);
    world.server.isUp = false;
    world.server.cut();
    await world.advance(100);
    world.server.append(talk, BO, {
      edit: { target: { sequence: 2 }, message: { text: { body: 'E' } } },
    });
    world.server.say(talk, BO, 'm4');
    world.server.isUp = true;
    let isExpired = true;
    world.server.onRequest = (frame) => {
      if (frame.hello?.resume === undefined || !isExpired) return undefined;
      isExpired = false;
      return { ready: { resumed: false, epoch: 7 } };
    };
    // The refusal above answers hello without making the connection ready here; the next try lists.
    ana.host.signal('online');
    const timeline = ana.client.direct(BO).timeline();
    await world.advance(1_000);
    world.server.cut();
    await world.advance(3_000);
    assert.deepEqual(texts(timeline), ['m1', 'E', 'm3', 'm4']);
  });

  it('a conversation that could not be read again for now is read later, once (S7)', async () => {
    for (const [reason, retryAfterMs, waitMs] of [
      ['OVERLOADED', 0, 2_000],
      ['RATE_LIMITED', 5_000, 5_000],
      ['DEADLINE', 0, 2_000],
    ] as const) {
      const { world, rename, name } = await withGroup();
      let asked = 0;
      world.server.onRequest = (frame) => {
        if (frame.call?.method !== 'Conversations.Get' || ++asked > 1) return undefined;
        return { error: { reason, retryAfterMs } };
      };
      rename('Second name');
      await world.advance(waitMs - 500);
      assert.deepEqual([asked, name()], [1, 'First name'], reason);
      await world.advance(1_500);
      assert.deepEqual([asked, name()], [2, 'Second name'], reason);
      await world.advance(30_000);
      assert.equal(asked, 2, reason);
    }
  });

  it('one whose reading the connection did not outlive is read on the next (S7)', async () => {
    const { world, rename, name } = await withGroup();
    let asked = 0;
    world.server.onFrame = (frame) => {
      const isResource = (frame.result as { memberCount?: number } | undefined)?.memberCount;
      if (isResource === undefined || ++asked > 1) return [frame];
      return [];
    };
    rename('Second name');
    await world.advance(1_000);
    assert.deepEqual([asked, name()], [1, 'First name']);
    world.server.cut();
    await world.advance(5_000);
    assert.deepEqual([asked, name()], [2, 'Second name']);
    // It owes nothing to the one after.
    world.server.cut();
    await world.advance(5_000);
    assert.equal(asked, 2);
  });

  it('a flood of pushes is bounded: it starts over from its token and ends complete (S14)', async () => {
    const world = new World();
    const ana = await world.started(ANA);
    const talk = world.server.direct(ANA, BO);
    world.server.say(talk, BO, 'first');
    await world.advance(300);
    const before = world.server.attempts;
    // Faster than storage takes them.
    const [connection] = world.server.of(ANA);
    assert.ok(connection);
    const noise = { conversationId: talk.id, userId: BO, state: 'stopped' as const };
    for (let i = 0; i < QUEUE_MAX + 500; i++) connection.pushRaw({ typing: noise });
    world.server.say(talk, BO, 'last');
    await world.advance(5_000);
    assert.ok(world.server.attempts > before);
    const timeline = ana.client.direct(BO).timeline();
    await world.advance(300);
    assert.deepEqual(texts(timeline), ['first', 'last']);
  });
});

/** A group, and a rename of which only its row is pushed. */
async function withGroup(): Promise<{
  world: World;
  rename(to: string): void;
  name(): string;
}> {
  const world = new World();
  const group = world.server.group(BO, 'crew', { name: 'First name', members: [ANA] });
  const ana = await world.started(ANA);
  return {
    world,
    rename: (to) => {
      group.name = to;
      world.server.append(group, BO, { update: { fields: ['name'], name: to } });
    },
    name: () => ana.client.conversation(group.id).info.get().name,
  };
}
