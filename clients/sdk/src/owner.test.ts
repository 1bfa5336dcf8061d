import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { createClient } from './client.ts';
import type { Client } from './client-interface.ts';
import { ClientError } from './errors.ts';
import type { LockPort } from './locks.ts';
import { memoryStore } from './stores/memory.ts';
import { type StorePort, under } from './stores/store-port.ts';
import { FakeHost } from '../test/fake-host.ts';
import { ANA, BO, CY, say, texts, World } from '../test/world.ts';

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

  tab(o: { readonly withLocks?: boolean; readonly store?: StorePort } = {}): Client {
    const host = new FakeHost(this.hosts.length + 50);
    this.hosts.push(host);
    return createClient({
      url: 'http://fake',
      credential: async () => ({ token: 't', userId: ANA, deviceId: 'dev_ana' }),
      store: o.store ?? this.store,
      transports: [this.world.server.transport(ANA, 'dev_ana')],
      host,
      ...(o.withLocks === false ? {} : { locks: this.locks }),
    });
  }

  async open(o: Parameters<Tabs['tab']>[0] = {}): Promise<Client> {
    const client = this.tab(o);
    await client.start();
    await this.advance(300);
    return client;
  }

  /** A tab that was open before leaves a shelf and two conversations. */
  async closeOneBefore(): Promise<void> {
    const tab = await this.open();
    tab.direct(BO).send(say('before'));
    tab.direct(CY).send(say('before'));
    await this.advance(2_000);
    await tab.stop();
  }

  /** What the network has, in the order of writing. */
  sent(): (string | undefined)[] {
    return this.world.server.direct(ANA, BO).rows.map((row) => row.body?.message?.text?.body);
  }

  async advance(ms: number): Promise<void> {
    for (let done = 0; done < ms; done += 50) for (const host of this.hosts) await host.advance(50);
  }
}

/** The tabs' store, in which some calls of one tab wait until the test lets them go on. */
function slow(
  store: StorePort,
  waits: (method: string, ...args: unknown[]) => boolean,
): { readonly store: StorePort; goOn(): void } {
  let goOn = (): void => undefined;
  const gate = new Promise<void>((resolve) => {
    goOn = resolve;
  });
  const whenOpen = async <T>(call: readonly unknown[], act: () => Promise<T>): Promise<T> => {
    if (waits(...(call as [string, ...unknown[]]))) await gate;
    return act();
  };
  return {
    goOn,
    store: {
      open: () => store.open(),
      close: () => store.close(),
      claim: () => whenOpen(['claim'], () => store.claim()),
      wipe: (database) => store.wipe(database),
      readOwn: (table, range) => store.readOwn(table, range),
      readCache: (table, range) =>
        whenOpen(['readCache', table, range.from], () => store.readCache(table, range)),
      writeOwn: (puts, fence) =>
        whenOpen(['writeOwn', puts[0]?.key[0]], () => store.writeOwn(puts, fence)),
      writeCache: (puts, fence) => store.writeCache(puts, fence),
    },
  };
}

/** One owns the data and goes on, the other follows; whatever either tries to write. */
async function assertOneOwner(
  tabs: Tabs,
  { owner, follower }: { owner: Client; follower: Client },
): Promise<void> {
  assert.throws(
    () => follower.direct(BO).send(say('of the follower')),
    (error) => error instanceof ClientError && error.reason === 'REPLACED',
  );
  owner.direct(BO).send(say('of the owner'));
  await tabs.advance(5_000);
  assert.equal(owner.connection.get().phase, 'live');
  assert.equal(owner.connection.get().follower, false);
  const { phase, reason, ...state } = follower.connection.get();
  assert.deepEqual({ phase, reason }, { phase: 'stopped', reason: 'REPLACED' });
  assert.equal(state.follower, true);
  assert.equal(tabs.world.server.of(ANA).length, 1);
  assert.equal(tabs.sent().at(-1), 'of the owner');
}

/** A tab whose storage is held while it starts, and the one that starts meanwhile. */
async function overtaken(
  tabs: Tabs,
  held: ReturnType<typeof slow>,
): Promise<readonly [ReturnType<Tabs['tab']>, ReturnType<Tabs['tab']>]> {
  const first = tabs.tab({ store: held.store });
  const started = first.start();
  await tabs.advance(100);
  const second = await tabs.open();
  held.goOn();
  await started;
  await tabs.advance(2_000);
  return [first, second];
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

  it('a tab that loses the data before its first screen follows, and never connects (S11)', async () => {
    const tabs = new Tabs();
    await tabs.closeOneBefore();
    const held = slow(tabs.store, (method, table) => method === 'readCache' && table === 'meta');
    const first = tabs.tab({ store: held.store });
    const started = first.start();
    await tabs.advance(100);
    const second = await tabs.open();
    const { attempts } = tabs.world.server;
    held.goOn();
    await started;
    await tabs.advance(2_000);
    assert.equal(tabs.world.server.attempts, attempts);
    await assertOneOwner(tabs, { owner: second, follower: first });
  });

  it('a tab that loses the data while the rest loads shows all of it and never connects (S11)', async () => {
    const tabs = new Tabs();
    await tabs.closeOneBefore();
    const isRest = (method: string, table: unknown, from: unknown): boolean =>
      method === 'readCache' && table === 'conversations' && (from as unknown[]).length === 0;
    const held = slow(tabs.store, isRest);
    const first = tabs.tab({ store: held.store });
    await first.start();
    const second = await tabs.open();
    const { attempts } = tabs.world.server;
    held.goOn();
    await tabs.advance(2_000);
    assert.equal(tabs.world.server.attempts, attempts);
    assert.equal(first.conversations({ filter: 'all' }).get().total, 2);
    await assertOneOwner(tabs, { owner: second, follower: first });
  });

  it('a lock that is lost before the fence is here: one of the two owns both in the end (S11)', async () => {
    const tabs = new Tabs();
    await tabs.closeOneBefore();
    const held = slow(tabs.store, (method) => method === 'claim');
    const [first, second] = await overtaken(tabs, held);
    await assertOneOwner(tabs, { owner: first, follower: second });
  });

  it('a new device’s two tabs: the one that may not write its outbox’s id starts all the same', async () => {
    const tabs = new Tabs();
    const held = slow(tabs.store, (method, key) => method === 'writeOwn' && key === 'outbox');
    const [first, second] = await overtaken(tabs, held);
    await assertOneOwner(tabs, { owner: second, follower: first });
  });

  it('two calls of takeOver at once are one', async () => {
    const tabs = new Tabs();
    let claims = 0;
    const counted = slow(tabs.store, (method) => {
      if (method === 'claim') claims += 1;
      return false;
    });
    const first = await tabs.open({ store: counted.store });
    const second = await tabs.open();
    await Promise.all([first.takeOver(), first.takeOver()]);
    assert.equal(claims, 2);
    await tabs.advance(1_000);
    await assertOneOwner(tabs, { owner: first, follower: second });
  });

  it('a client stopped while it takes over holds nothing and does not connect (S18)', async () => {
    const tabs = new Tabs();
    const first = await tabs.open();
    await tabs.open();
    const { attempts } = tabs.world.server;
    const taking = first.takeOver();
    await first.stop();
    await taking;
    await tabs.advance(2_000);
    assert.equal(first.connection.get().phase, 'stopped');
    assert.equal(tabs.world.server.attempts, attempts);
  });

  it('a follower neither cancels nor retries what the owner sends (S6, S11)', async () => {
    const tabs = new Tabs();
    const first = await tabs.open();
    tabs.world.server.isUp = false;
    tabs.world.server.cut();
    await tabs.advance(300);
    const ref = first.direct(BO).send(say('regretted too late'));
    await tabs.advance(300);
    await tabs.open();
    assert.equal(ref.cancel(), false);
    ref.retry();
    const timeline = first.direct(BO).timeline();
    await tabs.advance(100);
    assert.deepEqual(texts(timeline), ['regretted too late']);
    tabs.world.server.isUp = true;
    await tabs.advance(60_000);
    assert.deepEqual(tabs.sent(), ['regretted too late']);
  });

  it('what waits while another tab owns the data and comes back is accepted for its sender too (S6)', async () => {
    const tabs = new Tabs();
    const first = await tabs.open();
    tabs.world.server.isUp = false;
    tabs.world.server.cut();
    await tabs.advance(300);
    const ref = first.direct(BO).send(say('waits'));
    await tabs.advance(300);
    await tabs.open();
    await first.takeOver();
    tabs.world.server.isUp = true;
    await tabs.advance(60_000);
    assert.equal((await ref.accepted).sequence, 1);
    assert.equal(ref.state.get().is, 'SENT');
  });

  it('what another tab sent meanwhile: its sender hears that this tab cannot tell (S6)', async () => {
    const tabs = new Tabs();
    const first = await tabs.open();
    tabs.world.server.isUp = false;
    tabs.world.server.cut();
    await tabs.advance(300);
    const ref = first.direct(BO).send(say('sent by the second'));
    await tabs.advance(300);
    await tabs.open();
    tabs.world.server.isUp = true;
    await tabs.advance(60_000);
    await first.takeOver();
    await assert.rejects(
      ref.accepted,
      (error) => error instanceof ClientError && error.reason === 'COMMIT_UNKNOWN',
    );
    assert.deepEqual(ref.state.get(), { is: 'FAILED', reason: 'COMMIT_UNKNOWN', retryable: false });
    ref.retry();
    assert.equal(ref.cancel(), false);
    await tabs.advance(2_000);
    assert.deepEqual(tabs.sent(), ['sent by the second']);
  });
});
