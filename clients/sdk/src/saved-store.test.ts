import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { memoryStore } from './stores/memory.ts';
import { type StorePort, under } from './stores/store-port.ts';
import { ANA, BO, say, texts, World } from '../test/world.ts';

/** A store whose platform fails as the test says. */
class Flaky {
  readonly inner = memoryStore();
  opens = 0;
  refusesOpen = false;
  /** How many operations still fail. */
  failures = 0;
  isClosed = false;

  port(): StorePort {
    const use = <T>(fn: () => Promise<T>): Promise<T> => {
      if (this.failures > 0) {
        this.failures -= 1;
        this.isClosed = true;
      }
      if (this.isClosed) return Promise.reject(new DOMException('closed', 'InvalidStateError'));
      return fn();
    };
    const { inner } = this;
    return {
      open: async () => {
        this.opens += 1;
        if (this.refusesOpen) throw new DOMException('refused', 'SecurityError');
        this.isClosed = false;
      },
      close: () => inner.close(),
      claim: () => use(() => inner.claim()),
      wipe: (database) => use(() => inner.wipe(database)),
      readOwn: (table, range) => use(() => inner.readOwn(table, range)),
      readCache: (table, range) => use(() => inner.readCache(table, range)),
      writeOwn: (puts, fence) => use(() => inner.writeOwn(puts, fence)),
      writeCache: (puts, fence) => use(() => inner.writeCache(puts, fence)),
    };
  }
}

describe('saved store', () => {
  it('closed by the browser: opened again once, and nothing is lost (S12)', async () => {
    const world = new World();
    const flaky = new Flaky();
    const ana = await world.started(ANA, { store: flaky.port() });
    const { opens } = flaky;
    flaky.isClosed = true;
    ana.client.direct(BO).send(say('through a closed database'));
    await world.advance(300);
    assert.ok(flaky.opens > opens);
    assert.equal(ana.client.connection.get().saved, true);
    assert.equal(world.server.direct(ANA, BO).head, 1);
    const stored = await flaky.inner.readCache('messages', under());
    assert.equal(stored.length, 1);
  });

  it('refused for good: it says saved: false, and chat works in memory (S12, CLIENT §4 50)', async () => {
    const world = new World();
    const flaky = new Flaky();
    const ana = await world.started(ANA, { store: flaky.port() });
    const timeline = ana.client.direct(BO).timeline();
    ana.client.direct(BO).send(say('before'));
    await world.advance(300);
    flaky.refusesOpen = true;
    flaky.isClosed = true;
    ana.client.direct(BO).send(say('after'));
    world.server.say(world.server.direct(ANA, BO), BO, 'theirs');
    await world.advance(1_000);
    assert.equal(ana.client.connection.get().saved, false);
    assert.equal(ana.client.connection.get().phase, 'live');
    assert.deepEqual(texts(timeline).sort(), ['after', 'before', 'theirs']);
    await timeline.moveTo('latest');
    await world.advance(500);
    assert.deepEqual(texts(timeline).sort(), ['after', 'before', 'theirs']);
  });

  it('refused from the start: the same (CLIENT §4 50)', async () => {
    const world = new World();
    world.server.say(world.server.direct(ANA, BO), BO, 'hi');
    const flaky = new Flaky();
    flaky.refusesOpen = true;
    flaky.isClosed = true;
    const ana = await world.started(ANA, { store: flaky.port() });
    assert.equal(ana.client.connection.get().saved, false);
    assert.equal(ana.client.conversations({ filter: 'all' }).get().total, 1);
  });

  it('a corrupt or vanished cache is rebuilt, the outbox and drafts stay (S12, CLIENT §4 51)', async () => {
    const world = new World();
    const ana = await world.started(ANA);
    world.server.say(world.server.direct(ANA, BO), BO, 'hi');
    await world.advance(300);
    world.server.isUp = false;
    world.server.cut();
    await world.advance(100);
    ana.client.direct(BO).send(say('queued'));
    ana.client.direct(BO).draft.set({ text: 'half' });
    await world.advance(500);
    await ana.client.stop();
    const [record] = await ana.store.readCache('conversations', under());
    assert.ok(record);
    const damage = { table: 'conversations' as const, key: record.key, value: { ranges: 7 } };
    await ana.store.writeCache([damage], await ana.store.claim());
    world.server.isUp = true;
    const again = await world.started(ANA, { store: ana.store });
    await world.advance(1_000);
    const timeline = again.client.direct(BO).timeline();
    await world.advance(500);
    assert.deepEqual(texts(timeline), ['hi', 'queued']);
    assert.equal(again.client.direct(BO).draft.get().text, 'half');
  });

  it('a draft is saved 300 ms after the last key, not before, and survives a kill (S19, CLIENT §4 20)', async () => {
    const world = new World();
    const ana = await world.started(ANA);
    const { draft } = ana.client.direct(BO);
    for (const text of ['h', 'ha', 'hal', 'half']) {
      draft.set({ text, replyTo: 'some-key' });
      await ana.host.advance(200);
    }
    assert.deepEqual(await ana.store.readOwn('drafts', under()), []);
    await ana.host.advance(100);
    ana.crash();
    const again = await world.started(ANA, { store: ana.store });
    assert.deepEqual(again.client.direct(BO).draft.get(), { text: 'half', replyTo: 'some-key' });
  });

  it('no value is larger than the store allows, with the largest content there is (S12)', async () => {
    const world = new World();
    const ana = await world.started(ANA);
    ana.client.direct(BO).send(say('€'.repeat(8_000)));
    await world.advance(300);
    assert.equal(world.server.direct(ANA, BO).head, 1);
    assert.equal(ana.client.connection.get().saved, true);
  });
});
