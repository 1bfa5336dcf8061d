/** The SDK against a real server: what CLIENT §1 promises, over kills and restarts. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'mocha';
import { type Client, createClient, memoryStore, type StorePort, type Timeline } from '@parley/sdk';
import { type Auth, createAuth } from '@parley/sdk/auth';
import { nodeWebSocket } from '@parley/sdk/node';
import { ServerUnderTest } from './server-under-test.ts';
import { within } from '../within.ts';

interface Person {
  readonly auth: Auth;
  readonly client: Client;
  readonly store: StorePort;
  readonly id: string;
}

const PASSWORD = 'correct horse battery';

describe('SDK', function () {
  this.timeout(120_000);
  const server = new ServerUnderTest();
  const running: Client[] = [];
  let count = 0;

  before(() => server.start());
  after(async () => {
    await Promise.all(running.map((client) => client.stop()));
    await server.remove();
  });

  async function person(name: string): Promise<Person> {
    const auth = createAuth({ url: server.url });
    const username = `${name}${++count}`;
    const user = await auth.signUp({ username, password: PASSWORD, displayName: name });
    const store = memoryStore();
    return { auth, store, id: user.userId, client: await connected(auth, store) };
  }

  async function connected(auth: Auth, store: StorePort): Promise<Client> {
    const client = createClient({
      url: server.url,
      credential: auth.credential,
      store,
      transports: [await nodeWebSocket()],
    });
    running.push(client);
    await client.start();
    await until(() => client.connection.get().phase === 'live', 'live');
    return client;
  }

  it('two talk: SENT, DELIVERED, READ, exact unread, names, one key everywhere', async () => {
    const [ana, bo] = [await person('ana'), await person('bo')];
    const mine = ana.client.direct(bo.id).timeline();
    const theirs = bo.client.direct(ana.id).timeline();
    const ref = ana.client.direct(bo.id).send({ text: { body: 'Sails up?' } });
    assert.equal((await ref.accepted).sequence, 1);
    await until(() => ref.state.get().is === 'DELIVERED', 'DELIVERED');
    assert.deepEqual(texts(theirs), ['Sails up?']);
    assert.deepEqual(keys(theirs), [ref.key]);
    assert.deepEqual(keys(mine), [ref.key]);
    const list = bo.client.conversations({ filter: 'all' });
    await until(() => list.get().rows[0]?.name === 'ana', 'the name');
    assert.equal(list.get().rows[0]?.last?.text, 'Sails up?');
    assert.equal(bo.client.unread.get().messages, 1);
    bo.client.direct(ana.id).markRead(1);
    await until(() => ref.state.get().is === 'READ', 'READ');
    assert.equal(bo.client.unread.get().messages, 0);
    ana.client.direct(bo.id).edit(ref.key, { text: { body: 'Sails down?' } });
    await until(() => texts(theirs)[0] === 'Sails down?', 'the edit');
    ana.client.direct(bo.id).remove(ref.key, 'all');
    await until(() => texts(theirs)[0] === '(deleted)', 'the removal');
    assert.deepEqual(texts(mine), ['(deleted)']);
  });

  it('a group of three made at once with its first messages: in order for all (CONTRACT §9 3)', async () => {
    const [ana, bo, cy] = [await person('ana'), await person('bo'), await person('cy')];
    const crew = ana.client.createGroup({ name: 'Crew', members: [bo.id, cy.id] });
    const refs = Array.from({ length: 20 }, (_, i) => crew.send({ text: { body: `m${i}` } }));
    await Promise.all(refs.map((ref) => ref.accepted));
    const timeline = cy.client.conversation(crew.id).timeline();
    await until(() => texts(timeline).length === 20, 'all rows');
    assert.deepEqual(
      texts(timeline),
      Array.from({ length: 20 }, (_, i) => `m${i}`),
    );
    await crew.members.load();
    assert.deepEqual(
      crew.members
        .get()
        .items.map((member) => member.userId)
        .sort(),
      [ana.id, bo.id, cy.id].sort(),
    );
    for (const one of [bo, cy]) one.client.conversation(crew.id).markRead(21);
    await until(() => refs[19]?.state.get().is === 'READ', 'READ by all');
    await crew.members.remove(cy.id);
    await until(() => !cy.client.conversation(crew.id).info.get().canSend, 'removal');
    crew.send({ text: { body: 'not for cy' } });
    const ofBo = bo.client.conversation(crew.id).timeline();
    await until(() => texts(ofBo).at(-1) === 'not for cy', 'the others');
    assert.ok(!texts(timeline).includes('not for cy'));
  });

  it('kill -9 amid 300 sends: all there once, in order, none FAILED (CLIENT §4 5)', async () => {
    const [ana, bo] = [await person('ana'), await person('bo')];
    const chat = ana.client.direct(bo.id);
    const refs = Array.from({ length: 150 }, (_, i) => chat.send({ text: { body: `m${i}` } }));
    await refs[20]?.accepted;
    await server.kill();
    for (let i = 150; i < 300; i++) refs.push(chat.send({ text: { body: `m${i}` } }));
    await server.start();
    const accepted = await Promise.all(refs.map((ref) => ref.accepted));
    assert.deepEqual(
      accepted.map((each) => each.sequence),
      Array.from({ length: 300 }, (_, i) => i + 1),
    );
    const theirs = bo.client.direct(ana.id).timeline();
    await until(() => texts(theirs).at(-1) === 'm299', 'the last row');
    await until(() => bo.client.unread.get().messages === 300, 'exact unread');
    // A fresh device reads all of it by pages.
    await bo.auth.logIn({ username: `bo${count}`, password: PASSWORD });
    const fresh = await connected(bo.auth, memoryStore());
    const paged = fresh.direct(ana.id).timeline();
    await until(() => texts(paged).length >= 50, 'a page');
    const seen = new Set<string>();
    // A call while the timeline loads by itself is over at once, so it may take more than eight.
    for (let i = 0; i < 200 && seen.size < 300; i++) {
      for (const text of texts(paged)) seen.add(text);
      await paged.more('older');
      await new Promise((done) => setTimeout(done, 10));
    }
    assert.equal(seen.size, 300);
  });

  it('a client that comes back finds what it missed, and its own queue goes out (S4, S7)', async () => {
    const [ana, bo] = [await person('ana'), await person('bo')];
    const timeline = bo.client.direct(ana.id).timeline();
    await ana.client.direct(bo.id).send({ text: { body: 'one' } }).accepted;
    await until(() => texts(timeline).length === 1, 'the first');
    await bo.client.stop();
    for (let i = 0; i < 400; i++) ana.client.direct(bo.id).send({ text: { body: `away ${i}` } });
    await ana.client.direct(bo.id).send({ text: { body: 'last' } }).accepted;
    const again = await connected(bo.auth, bo.store);
    const reopened = again.direct(ana.id).timeline();
    await until(() => texts(reopened).at(-1) === 'last', 'the newest');
    assert.equal(again.direct(ana.id).info.get().unread, 402);
  });

  it('a restored phone repeats its numbers: nothing twice, nothing lost (CONTRACT §9 11)', async () => {
    const [ana, bo] = [await person('ana'), await person('bo')];
    await ana.client.direct(bo.id).send({ text: { body: '1' } }).accepted;
    await ana.client.stop();
    const backup = await copyOf(ana.store);
    const later = await connected(ana.auth, ana.store);
    await later.direct(bo.id).send({ text: { body: '2' } }).accepted;
    await later.stop();
    const restored = await connected(ana.auth, backup);
    await restored.direct(bo.id).send({ text: { body: '3' } }).accepted;
    const theirs = bo.client.direct(ana.id).timeline();
    await until(() => texts(theirs).length === 3, 'three');
    assert.deepEqual(texts(theirs), ['1', '2', '3']);
  });

  it('the same device connects twice: the first says REPLACED and follows (CONTRACT §9 23)', async () => {
    const ana = await person('ana');
    await connected(ana.auth, memoryStore());
    await until(() => ana.client.connection.get().follower, 'REPLACED');
    assert.equal(ana.client.connection.get().reason, 'REPLACED');
  });

  it('a session revoked elsewhere signs this device out within 2 s (CONTRACT §9 32)', async () => {
    const ana = await person('ana');
    const other = createAuth({ url: server.url });
    await other.logIn({ username: `ana${count}`, password: PASSWORD });
    const laptop = await connected(other, memoryStore());
    const sessions = await laptop.devices.sessions();
    const mine = sessions.find((session) => session.current !== true);
    assert.ok(mine);
    await within(2000, async () => {
      await laptop.devices.revoke(mine.sessionId);
      await until(() => ana.client.connection.get().phase === 'stopped', 'sign-out');
    });
    assert.equal(ana.client.connection.get().reason, 'SESSION_REVOKED');
  });

  it('people are found by name, and a profile change reaches who asks', async () => {
    const [ana, bo] = [await person('ana'), await person('zebedee')];
    const found = await ana.client.people.search('zebed');
    assert.ok(found.some((user) => user.userId === bo.id));
    await bo.client.me.update({ displayName: 'Zeb' });
    assert.equal(bo.client.me.get().displayName, 'Zeb');
  });
});

describe('SDK with short tokens', function () {
  this.timeout(60_000);
  const server = new ServerUnderTest({ env: { PARLEY_ACCESS_TOKEN_TTL_MS: '3000' } });
  let client: Client | undefined;

  before(() => server.start());
  after(async () => {
    await client?.stop();
    await server.remove();
  });

  it('lives through expiries in one connection, with one refresh each (S17, CLIENT §4 10)', async () => {
    let refreshes = 0;
    const counting: typeof fetch = (input, init) => {
      if (input === `${server.url}/v1/auth/refresh`) refreshes += 1;
      return fetch(input, init);
    };
    const auth = createAuth({ url: server.url, fetch: counting });
    const user = await auth.signUp({ username: 'ana', password: PASSWORD });
    const made = createClient({
      url: server.url,
      credential: auth.credential,
      transports: [await nodeWebSocket()],
    });
    client = made;
    await made.start();
    await until(() => made.connection.get().phase === 'live', 'live');
    const phases = new Set<string>();
    made.connection.subscribe(() => phases.add(made.connection.get().phase));
    await until(() => refreshes >= 4, 'four refreshes');
    assert.ok(!phases.has('offline') && !phases.has('stopped'), [...phases].join());
    const sent = await made.direct(user.userId).send({ text: { body: 'note' } }).accepted;
    assert.equal(sent.sequence, 1);
    assert.ok(refreshes <= 5);
  });
});

function texts(timeline: Timeline): string[] {
  return timeline
    .get()
    .rows.flatMap((row) =>
      row.is !== 'message' ? [] : [row.deleted ? '(deleted)' : (row.content?.text?.body ?? '')],
    );
}

function keys(timeline: Timeline): string[] {
  return timeline.get().rows.map((row) => row.key);
}

async function copyOf(store: StorePort): Promise<StorePort> {
  const copy = memoryStore();
  const fence = await copy.claim();
  const all = { from: [], through: ['\uffff'] };
  for (const table of ['meta', 'outbox', 'lanes', 'drafts'] as const)
    await copy.writeOwn(
      (await store.readOwn(table, all)).map((pair) => ({ table, ...pair })),
      fence,
    );
  for (const table of ['meta', 'conversations', 'messages', 'users'] as const)
    await copy.writeCache(
      (await store.readCache(table, all)).map((pair) => ({ table, ...pair })),
      fence,
    );
  return copy;
}

/** A system test waits for facts, not for time; 30 s without one is a failure. */
async function until(isTrue: () => boolean, what: string): Promise<void> {
  const endMs = Date.now() + 30_000;
  while (!isTrue()) {
    if (Date.now() > endMs) assert.fail(`never came: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
