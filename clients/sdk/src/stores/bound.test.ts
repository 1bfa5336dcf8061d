/** The cache has a bound (S12): what goes is the oldest that nobody looks at, and it comes back as a gap. */
import 'fake-indexeddb/auto';
import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import type { Timeline } from '../client-interface.ts';
import { indexedDbStore } from './idb.ts';
import { memoryStore } from './memory.ts';
import type { StorePort } from './store-port.ts';
import { ANA, BO, CY, messages, type Phone, say, texts, World } from '../../test/world.ts';

const ALL = { from: [], through: ['\uffff'] };
const BYTES_MAX = 200_000;

async function bytesOf(store: StorePort): Promise<number> {
  let bytes = 0;
  for (const table of ['messages', 'pages', 'conversations', 'users', 'meta'] as const)
    for (const { value } of await store.readCache(table, ALL))
      bytes += JSON.stringify(value).length;
  return bytes;
}

async function older(phone: Phone, timeline: Timeline, pages: number): Promise<void> {
  for (let i = 0; i < pages; i++)
    await Promise.all([timeline.more('older'), phone.host.advance(20)]);
}

async function withHistory(
  count: number,
  store: StorePort = memoryStore(),
): Promise<{ world: World; ana: Phone }> {
  const world = new World();
  const talk = world.server.direct(ANA, BO);
  for (let i = 1; i <= count; i++) world.server.say(talk, BO, `m${i}`);
  return { world, ana: await world.started(ANA, { store, cacheBytesMax: BYTES_MAX }) };
}

describe('the bound of the cache', function () {
  this.timeout(20_000);

  for (const [name, make] of [
    ['memory', memoryStore],
    ['IndexedDB', () => indexedDbStore(`bound-${Math.random()}`)],
  ] as const) {
    it(`holds while 3,000 messages are read, in ${name} (S12)`, async () => {
      const store = make();
      const { ana } = await withHistory(3_000, store);
      const timeline = ana.client.direct(BO).timeline();
      await settled(ana);
      for (let i = 0; i < 59; i++) {
        await older(ana, timeline, 1);
        await settled(ana);
        const bytes = await bytesOf(store);
        assert.ok(bytes <= BYTES_MAX, `${bytes} after page ${i}`);
      }
      assert.equal(messages(timeline)[0]?.sequence, 1);
      await ana.client.stop();
    });
  }

  it('what was evicted is a gap that fills itself again, the same as before (S12)', async () => {
    const { world, ana } = await withHistory(3_000);
    const timeline = ana.client.direct(BO).timeline();
    await world.advance(200);
    await older(ana, timeline, 59);
    const before = world.server.calls.length;
    await Promise.all([timeline.moveTo({ sequence: 1_500 }), world.advance(500)]);
    assert.ok(world.server.calls.slice(before).includes('Messages.List'), 'asked again');
    const shown = messages(timeline);
    assert.ok(shown.length >= 50);
    for (const row of shown) assert.equal(row.content?.text?.body, `m${row.sequence}`);
    assert.ok(timeline.get().rows.every((row, i) => row.is === 'message' || i === 0));
  });

  it('evicted and offline it is a hole that says how many, never a silent loss (S12)', async () => {
    const { world, ana } = await withHistory(3_000);
    const timeline = ana.client.direct(BO).timeline();
    await world.advance(200);
    await older(ana, timeline, 59);
    world.server.isUp = false;
    world.server.cut();
    await world.advance(100);
    await Promise.all([timeline.moveTo('latest'), world.advance(100)]);
    // Every position is a row, or lies in a hole that names it.
    for (let i = 0; i < 12; i++) await older(ana, timeline, 1);
    let next: number | undefined;
    for (const row of timeline.get().rows) {
      if (row.is === 'hole') next = row.before;
      else {
        if (next !== undefined) assert.equal(row.sequence, next);
        next = (row.sequence ?? 0) + 1;
      }
    }
  });

  it('what a window shows stays, however much comes in elsewhere (S12)', async () => {
    const { world, ana } = await withHistory(400);
    const open = ana.client.direct(BO).timeline({ sequence: 100 });
    await world.advance(300);
    const shown = messages(open).map((row) => row.sequence ?? 0);
    assert.ok(shown.includes(100));
    const other = world.server.direct(ANA, CY);
    for (let i = 0; i < 2_000; i++) {
      world.server.say(other, CY, `elsewhere ${i}`);
      if (i % 50 === 0) await world.advance(50);
    }
    await world.advance(500);
    assert.ok((await bytesOf(ana.store)) <= BYTES_MAX);
    const held = await ana.store.readCache('messages', {
      from: [open.get().rows.length === 0 ? '' : ana.client.direct(BO).id, 0],
      through: [ana.client.direct(BO).id, '\uffff'],
    });
    const sequences = new Set(held.map((pair) => pair.key[1]));
    for (const sequence of shown) assert.ok(sequences.has(sequence), `${sequence} went`);
  });

  it('the outbox, drafts and marks are never dropped for it (S12)', async () => {
    const { world, ana } = await withHistory(500);
    const chat = ana.client.direct(BO);
    const timeline = chat.timeline();
    await world.advance(300);
    world.server.isUp = false;
    world.server.cut();
    await world.advance(100);
    chat.markRead(500);
    for (let i = 0; i < 30; i++) chat.send(say(`waiting ${i} ${'x'.repeat(2_000)}`));
    chat.draft.set({ text: 'half a thought' });
    await world.advance(1_000);
    const own = await Promise.all(
      (['outbox', 'drafts', 'marks'] as const).map((table) => ana.store.readOwn(table, ALL)),
    );
    assert.deepEqual(
      own.map((pairs) => pairs.length),
      [30, 1, 1],
    );
    timeline.close();
    ana.crash();
    const again = await world.started(ANA, { store: ana.store, cacheBytesMax: 2_000 });
    world.server.isUp = true;
    again.host.signal('online');
    await world.advance(5_000);
    const back = again.client.direct(BO);
    assert.equal(back.draft.get().text, 'half a thought');
    const talk = world.server.direct(ANA, BO);
    assert.equal(talk.rows.filter((row) => row.senderUserId === ANA).length, 30);
    assert.equal(talk.members.get(ANA)?.read, 500);
  });

  it('a later start knows what is there and goes on evicting (S12)', async () => {
    const { world, ana } = await withHistory(700);
    const timeline = ana.client.direct(BO).timeline();
    await world.advance(200);
    await older(ana, timeline, 13);
    ana.crash();
    const before = await bytesOf(ana.store);
    const again = await world.started(ANA, { store: ana.store, cacheBytesMax: 60_000 });
    world.server.say(world.server.direct(ANA, BO), BO, 'one more');
    await world.advance(500);
    const after = await bytesOf(ana.store);
    assert.ok(before > 100_000 && after <= 60_000 + 20_000, `${before} then ${after}`);
    const latest = again.client.direct(BO).timeline();
    await world.advance(200);
    assert.equal(texts(latest).at(-1), 'one more');
  });
});

/** Real IndexedDB takes turns of the event loop, not virtual time. */
async function settled(phone: Phone): Promise<void> {
  for (let i = 0; i < 20; i++) {
    await new Promise((done) => setImmediate(done));
    await phone.host.advance(5);
  }
}
