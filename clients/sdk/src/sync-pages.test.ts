import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { memoryStore } from './stores/memory.ts';
import { methodsOf } from '../test/store-methods.ts';
import { ANA, BO, type Phone, type PhoneOptions, texts, World } from '../test/world.ts';

const SYNC = 'Sync.SyncConversation';
const LIST = 'Sync.ListConversations';

/** A phone that was away while all it holds was edited: a page of the sync has one of these edits. */
async function away(edits: number, o: PhoneOptions = {}): Promise<{ world: World; ana: Phone }> {
  const world = new World();
  const talk = world.server.direct(ANA, BO);
  for (let i = 1; i <= edits; i++) world.server.say(talk, BO, `m${i}`);
  const ana = await world.started(ANA, o);
  const timeline = ana.client.direct(BO).timeline();
  await world.advance(300);
  timeline.close();
  world.server.isUp = false;
  world.server.cut();
  await world.advance(100);
  for (let n = 1; n <= edits; n++)
    world.server.append(talk, BO, {
      edit: { target: { sequence: n }, message: { text: { body: `e${n}` } } },
    });
  // More than a resume brings.
  for (let i = 0; i < 260; i++) world.server.say(talk, BO, `away ${i}`);
  world.server.pageMessagesMax = 1;
  world.server.calls.length = 0;
  world.server.isUp = true;
  ana.host.signal('online');
  return { world, ana };
}

function count(world: World, method: string): number {
  return world.server.calls.filter((each) => each === method).length;
}

describe('sync, page by page', () => {
  it('more pages of changes than anybody counts on are read once, and the sync is done', async () => {
    const { world, ana } = await away(450);
    await world.advance(20_000);
    assert.equal(count(world, SYNC), 450);
    const timeline = ana.client.direct(BO).timeline({ sequence: 450 });
    await world.advance(1_000);
    assert.ok(texts(timeline).includes('e450'));
    assert.equal(count(world, SYNC), 450);
  });

  it('a sync that fails behind its first pages is tried again after a while, not at once', async () => {
    const { world, ana } = await away(20);
    let tries = 0;
    world.server.onRequest = (frame) => {
      const request = frame.call?.request as { pageToken?: string } | undefined;
      if (frame.call?.method !== SYNC || request?.pageToken === undefined) return undefined;
      tries += 1;
      return { error: { reason: 'OVERLOADED', retryAfterMs: 10_000 } };
    };
    // While it is looked at, too: that somebody wants it is no reason to ask an overloaded server.
    ana.client.direct(BO).timeline();
    await world.advance(9_000);
    assert.equal(tries, 1);
    await world.advance(3_000);
    assert.equal(tries, 2);
    world.server.onRequest = () => undefined;
    await world.advance(11_000);
    const timeline = ana.client.direct(BO).timeline({ sequence: 10 });
    await world.advance(1_000);
    assert.ok(texts(timeline).includes('e10'));
  });

  it('a failure that names no time waits for two seconds, though pages and rows came before it', async () => {
    const { world, ana } = await away(20);
    const talk = world.server.direct(ANA, BO);
    let tries = 0;
    world.server.onRequest = (frame) => {
      const request = frame.call?.request as { pageToken?: string } | undefined;
      if (frame.call?.method !== SYNC || request?.pageToken === undefined) return undefined;
      tries += 1;
      // What is pushed while it runs asks for no other sync.
      world.server.say(talk, BO, `pushed ${tries}`);
      return { error: { reason: 'BACKEND_UNAVAILABLE' } };
    };
    world.server.onFrame = (frame, connection) => {
      if (frame.error === undefined) return [frame];
      ana.host.after(500, () => connection.pushRaw(frame));
      return [];
    };
    await world.advance(20_000);
    assert.ok(tries >= 6 && tries <= 9, `${tries} tries`);
  });

  it('a page that is named again ends the sync, which is tried again every two seconds', async () => {
    const { world } = await away(20);
    world.server.onRequest = (frame) => {
      const request = frame.call?.request as { pageToken?: string } | undefined;
      if (frame.call?.method !== SYNC || request?.pageToken === undefined) return undefined;
      world.server.calls.push(SYNC);
      return { result: { nextPageToken: request.pageToken } };
    };
    await world.advance(20_000);
    const calls = count(world, SYNC);
    assert.ok(calls >= 16 && calls <= 22, `${calls} calls`);
  });

  it('pages wait for storage that is slower than the network: they do not pile up', async () => {
    const inner = memoryStore();
    let isSlow = false;
    const waiting: (() => void)[] = [];
    const store = {
      ...methodsOf(inner),
      writeCache: async (...args: Parameters<typeof inner.writeCache>) => {
        if (isSlow) await new Promise<void>((resolve) => waiting.push(resolve));
        return inner.writeCache(...args);
      },
    };
    const { world, ana } = await away(100, { store });
    world.server.onRequest = (frame) => {
      if (frame.call?.method === SYNC) isSlow = true;
      return undefined;
    };
    await world.advance(10_000);
    const pages = count(world, SYNC);
    assert.ok(pages > 1 && pages < 20, `${pages} pages`);
    world.server.onRequest = () => undefined;
    isSlow = false;
    for (const release of waiting) release();
    await world.advance(10_000);
    assert.equal(count(world, SYNC), 100);
    const timeline = ana.client.direct(BO).timeline({ sequence: 100 });
    await world.advance(1_000);
    assert.ok(texts(timeline).includes('e100'));
  });

  it('a list of more pages than anybody counts on is read to its end, once', async () => {
    const world = new World();
    world.server.say(world.server.direct(ANA, BO), BO, 'hello');
    let pages = 0;
    world.server.onRequest = (frame) => {
      if (frame.call?.method !== LIST) return undefined;
      pages += 1;
      const { pageToken = '-450' } = frame.call.request as { pageToken?: string };
      if (pageToken === '0' || pages > 1_000) return undefined;
      return { result: { conversations: [], nextPageToken: String(Number(pageToken) + 1) } };
    };
    const ana = await world.started(ANA);
    await world.advance(5_000);
    assert.equal(pages, 451);
    assert.equal(ana.client.connection.get().phase, 'live');
  });
});
