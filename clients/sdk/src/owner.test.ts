import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { createClient } from './client.ts';
import { ClientError } from './errors.ts';
import type { LockPort } from './locks.ts';
import { memoryStore } from './stores/memory.ts';
import { under } from './stores/store-port.ts';
import { FakeHost } from '../test/fake-host.ts';
import { ANA, BO, say, texts, World } from '../test/world.ts';

/** Locks of one browser profile. */
function profileLocks(): LockPort {
  let loseHeld: (() => void) | undefined;
  return {
    take: async () => {
      loseHeld?.();
      let lose = (): void => undefined;
      const lost = new Promise<void>((resolve) => {
        lose = resolve;
      });
      loseHeld = lose;
      return {
        lost,
        release: () => {
          if (loseHeld === lose) loseHeld = undefined;
        },
      };
    },
  };
}

class Tabs {
  readonly world = new World();
  readonly store = memoryStore();
  readonly locks = profileLocks();
  readonly hosts: FakeHost[] = [];

  async open(
    o: { withLocks: boolean } = { withLocks: true },
  ): Promise<ReturnType<typeof createClient>> {
    const host = new FakeHost(this.hosts.length + 50);
    this.hosts.push(host);
    const client = createClient({
      url: 'http://fake',
      credential: async () => ({ token: 't', userId: ANA, deviceId: 'dev_ana' }),
      store: this.store,
      transports: [this.world.server.transport(ANA, 'dev_ana')],
      host,
      ...(o.withLocks ? { locks: this.locks } : {}),
    });
    await client.start();
    await this.advance(300);
    return client;
  }

  async advance(ms: number): Promise<void> {
    for (let done = 0; done < ms; done += 50) for (const host of this.hosts) await host.advance(50);
  }
}

describe('owner', () => {
  it('a second tab takes over and the first says so; one connection (S11, CLIENT §4 16)', async () => {
    const tabs = new Tabs();
    const first = await tabs.open();
    const replaced: unknown[] = [];
    first.on('replaced', (x) => replaced.push(x));
    first.direct(BO).send(say('from the first'));
    await tabs.advance(300);
    const second = await tabs.open();
    assert.equal(second.connection.get().phase, 'live');
    const state = first.connection.get();
    assert.equal(state.follower, true);
    assert.equal(state.readOnly, true);
    assert.equal(state.phase, 'stopped');
    assert.equal(state.reason, 'REPLACED');
    assert.equal(replaced.length, 1);
    assert.equal(tabs.world.server.of(ANA).length, 1);
    assert.throws(
      () => first.direct(BO).send(say('too late')),
      (error) => error instanceof ClientError && error.reason === 'REPLACED',
    );
    const timeline = second.direct(BO).timeline();
    await tabs.advance(100);
    assert.deepEqual(texts(timeline), ['from the first']);
  });

  it('a page that comes when another has taken over loads no longer', async () => {
    const world = new World();
    const direct = world.server.direct(ANA, BO);
    for (let i = 1; i <= 200; i++) world.server.say(direct, BO, `m${i}`);
    const ana = await world.started(ANA);
    const timeline = ana.client.direct(BO).timeline();
    await world.advance(500);
    world.server.onRequest = (frame) => {
      if (frame.call?.method === 'Messages.List') ana.store.claim().catch(() => undefined);
      return undefined;
    };
    const more = timeline.more('older');
    await world.advance(1_000);
    await more;
    assert.equal(timeline.get().loading, undefined);
  });

  it('the follower takes over again, with everything that happened since', async () => {
    const tabs = new Tabs();
    const first = await tabs.open();
    const timeline = first.direct(BO).timeline();
    const second = await tabs.open();
    second.direct(BO).send(say('from the second'));
    await tabs.advance(300);
    await first.takeOver();
    await tabs.advance(1_000);
    assert.equal(first.connection.get().phase, 'live');
    assert.equal(first.connection.get().follower, false);
    assert.equal(second.connection.get().follower, true);
    await timeline.moveTo('latest');
    assert.deepEqual(texts(timeline), ['from the second']);
    first.direct(BO).send(say('from the first'));
    await tabs.advance(300);
    assert.deepEqual(texts(timeline), ['from the second', 'from the first']);
    assert.equal(tabs.world.server.direct(ANA, BO).head, 2);
  });

  it('20 alternating sends of two tabs that take turns arrive in order, once each (CLIENT §4 16)', async () => {
    const tabs = new Tabs();
    const both = [await tabs.open(), await tabs.open()];
    const expected: string[] = [];
    for (let i = 0; i < 20; i++) {
      const tab = both[i % 2];
      if (tab === undefined) return;
      await tab.takeOver();
      await tabs.advance(100);
      expected.push(`m${i}`);
      tab.direct(BO).send(say(`m${i}`));
      await tabs.advance(150);
    }
    await tabs.advance(2_000);
    const rows = tabs.world.server.direct(ANA, BO).rows;
    assert.deepEqual(
      rows.map((row) => row.body?.message?.text?.body),
      expected,
    );
  });

  it('a write of the former owner changes nothing, though it was already under way (S11)', async () => {
    const tabs = new Tabs();
    const first = await tabs.open();
    const chat = first.direct(BO);
    chat.draft.set({ text: 'typed in the first' });
    const second = await tabs.open();
    second.direct(BO).draft.set({ text: 'typed in the second' });
    await tabs.advance(1_000);
    const [draft] = await tabs.store.readOwn('drafts', under());
    assert.deepEqual(draft?.value, { text: 'typed in the second' });
  });

  it('without locks and with another device the fence alone makes a follower (S11)', async () => {
    const world = new World();
    const first = await world.started(ANA, { deviceId: 'dev_1' });
    const second = await world.started(ANA, { deviceId: 'dev_2', store: first.store });
    first.client.direct(BO).draft.set({ text: 'from the first' });
    await world.advance(1_000);
    assert.equal(first.client.connection.get().follower, true);
    assert.equal(second.client.connection.get().phase, 'live');
    assert.deepEqual(await first.store.readOwn('drafts', under()), []);
  });

  it('without locks the server’s REPLACED makes a follower (CONTRACT §9 23)', async () => {
    const tabs = new Tabs();
    const first = await tabs.open({ withLocks: false });
    await tabs.open({ withLocks: false });
    await tabs.advance(500);
    assert.equal(first.connection.get().follower, true);
    assert.equal(tabs.world.server.of(ANA).length, 1);
    const { attempts } = tabs.world.server;
    await tabs.advance(60_000);
    assert.equal(tabs.world.server.attempts, attempts);
  });
});
