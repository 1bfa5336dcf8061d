/**
 * What every WebSocket carrier promises, as a suite that each of them runs in both subprotocols
 * (CONTRACT §3, §9).
 */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { afterEach, describe, it } from 'mocha';
import { codecOf } from '../../proto/codec.ts';
import { ListConversationsResponseSchema } from '../../proto/gen/parley/client/v1/sync_pb.ts';
import { ALLOWED_ORIGIN } from '../testing/running-gateway.ts';
import { abuses } from '../testing/abuse-contract.ts';
import { CarrierHouse, type StartCarrier } from '../testing/carrier-house.ts';

export function webSocketSuite(name: string, start: StartCarrier): void {
  for (const format of ['json', 'proto'] as const) {
    describe(`WebSocket over ${name}, parley.v1.${format}`, function () {
      // Real sockets and timers: a busy machine may take its time.
      this.timeout(10_000);
      const house = new CarrierHouse(start, format);
      afterEach(() => house.end());
      conversations(house);
      endings(house);
      handshakes(house);
      abuses(house);
    });
  }
}

function conversations(house: CarrierHouse): void {
  it('two users talk: commits to the sender, rows to both, the sender’s own without a body (case 24)', async () => {
    await house.open();
    const { identity } = house.running;
    const ann = identity.person('ann');
    const laptop = identity.deviceOf(ann.user);
    const bob = identity.person('bob');
    const [a, l, b] = [house.client(), house.client(), house.client()];
    const ready = await a.hello(ann.token);
    assert.equal(ready.ready?.userId, ann.userId);
    assert.equal(ready.ready?.resumed, false);
    await l.hello(laptop.token);
    await b.hello(bob.token);
    const first = a.say(`direct:${bob.userId}`, 'hi ✓');
    const second = a.say(`direct:${bob.userId}`, 'there');
    const { commit } = await first;
    assert.equal(commit?.sequence, 1);
    assert.equal((await second).commit?.sequence, 2);
    assert.match(commit?.messageId ?? '', /^msg_[0-9a-z]{26}$/);
    const id = commit?.conversationId ?? '';
    for (const client of [a, l, b]) await client.row(id, 2);
    assert.deepEqual(b.rows(id), [
      { sequence: 1, body: 'hi ✓' },
      { sequence: 2, body: 'there' },
    ]);
    assert.deepEqual(l.rows(id), b.rows(id));
    assert.deepEqual(a.rows(id), [
      { sequence: 1, body: undefined },
      { sequence: 2, body: undefined },
    ]);
  });

  it('delivered and read come to the sender live, an older mark never takes them back (cases 44, 45)', async () => {
    await house.open();
    const { identity } = house.running;
    const [ann, bob] = [identity.person('ann'), identity.person('bob')];
    const a = house.client();
    await a.hello(ann.token);
    const sent = (await a.say(`direct:${bob.userId}`, 'hi')).commit;
    assert.equal(sent?.queued, 1);
    const conversationId = sent?.conversationId ?? '';
    const b = house.client();
    await b.hello(bob.token);
    const mark = { conversationId, epoch: 1_700_000_000, sequence: 1 };
    b.tell({ receipt: { delivered: [mark] } });
    const delivered = await a.until((frame) => frame.receipts?.peer !== undefined);
    assert.equal(delivered.receipts?.peer?.deliveredThrough, 1);
    b.tell({ receipt: { read: [{ ...mark, sequence: 999 }] } });
    const read = await a.until((frame) => (frame.receipts?.peer?.readThrough ?? 0) > 0);
    assert.equal(read.receipts?.peer?.readThrough, 1);
    b.tell({ receipt: { read: [{ ...mark, sequence: 0 }] } });
    const own = await b.until((frame) => frame.receipts?.me?.readThrough === 1);
    assert.equal(own.receipts?.me?.unreadCount, 0);
  });

  it('unary calls ride along, unknown methods are PROTOCOL_UNSUPPORTED', async () => {
    await house.open();
    const { identity } = house.running;
    const [ann, bob] = [identity.person('ann'), identity.person('bob')];
    const a = house.client();
    await a.hello(ann.token);
    const made = await a.call('Conversations.Create', {
      requestId: randomUUID(),
      name: 'Crew',
      members: [bob.userId],
    });
    assert.notEqual(made.result, undefined);
    const refused = await a.call('Messages.List', { conversationId: 'cnv_bad' });
    assert.equal(refused.error?.reason, 'BAD_ID');
    const unknown = await a.ask({ call: { method: 'Messages.Nothing' } });
    assert.equal(unknown.error?.reason, 'PROTOCOL_UNSUPPORTED');
  });

  it('a device resumes with its token and gets what it missed, in order', async () => {
    await house.open();
    const { identity } = house.running;
    const [ann, bob] = [identity.person('ann'), identity.person('bob')];
    const [a, b] = [house.client(), house.client()];
    await a.hello(ann.token);
    await b.hello(bob.token);
    const id = (await a.say(`direct:${bob.userId}`, '1')).commit?.conversationId ?? '';
    await b.row(id, 1);
    const listed = await b.call('Sync.ListConversations', {});
    assert.notEqual(listed.result, undefined);
    b.tell({ bye: {} });
    assert.equal((await b.ended).code, 1000);
    for (const body of ['2', '3']) await a.say(`direct:${bob.userId}`, body);
    const token = syncTokenOf(listed.result?.response);
    const again = house.client();
    const ready = await again.hello(bob.token, {
      resume: {
        syncToken: token,
        cursors: [{ conversationId: id, epoch: 1_700_000_000, sequence: 1 }],
      },
    });
    assert.equal(ready.ready?.resumed, true);
    assert.deepEqual(
      again.rows(id).map((row) => row.sequence),
      [2, 3],
    );
    const order = again.frames.map((frame) =>
      Object.keys(frame).find((key) => key !== 'id' && frame[key as 'rows'] !== undefined),
    );
    assert.deepEqual(order, ['ready', 'conversations', 'rows', 'caughtUp']);
  });

  it('after the store was away, sends that waited are committed once and connections are told (case 25)', async () => {
    await house.open();
    const { identity, broker } = house.running;
    const [ann, bob] = [identity.person('ann'), identity.person('bob')];
    const [a, b] = [house.client(), house.client()];
    await a.hello(ann.token);
    await b.hello(bob.token);
    const id = (await a.say(`direct:${bob.userId}`, '1')).commit?.conversationId ?? '';
    broker.isSilent = true;
    const second = a.say(`direct:${bob.userId}`, '2');
    const third = a.say(`direct:${bob.userId}`, '3');
    await new Promise((resolve) => setTimeout(resolve, 30));
    broker.cut();
    broker.isSilent = false;
    assert.equal((await second).commit?.sequence, 2);
    assert.equal((await third).commit?.sequence, 3);
    await b.until((frame) => frame.gap?.scope === 'all');
    assert.equal([...broker.conversations.values()][0]?.rows.length, 3);
    assert.equal((await a.say(id, '4')).commit?.sequence, 4);
    await b.row(id, 4);
  });
}

function endings(house: CarrierHouse): void {
  it('without a hello the connection ends with 4007 (case 20)', async () => {
    await house.open({ helloTimeoutMs: 150 });
    const client = await house.client().opened();
    assert.deepEqual(await client.ended, { code: 4007, reason: 'HELLO_TIMEOUT' });
    assert.equal(client.frames.at(-1)?.close?.reason, 'HELLO_TIMEOUT');
  });
  it('what is no frame, and a frame before hello, end it with 4500 (case 21)', async () => {
    await house.open();
    const bad = await house.client().opened();
    bad.raw(house.format === 'json' ? '{' : Buffer.from([5, 1, 2]));
    assert.equal((await bad.ended).code, 4500);
    const early = await house.client().opened();
    early.tell({ id: 1, ping: {} });
    assert.equal((await early.ended).code, 4500);
    const other = await house.client().opened();
    other.raw(house.format === 'json' ? Buffer.from('{}') : '{}');
    assert.equal((await other.ended).code, 4500);
  });
  it('an expired token ends it with 4005, an unknown one with 4501, a fresh one resumes (case 22)', async () => {
    await house.open();
    const { identity } = house.running;
    const ann = identity.person('ann', -1);
    const client = await house.client().opened();
    const refused = await client.ask({ hello: { token: ann.token } });
    assert.equal(refused.error?.reason, 'TOKEN_EXPIRED');
    assert.equal((await client.ended).code, 4005);
    const stranger = await house.client().opened();
    stranger.tell({ id: 1, hello: { token: 'x' } });
    assert.equal((await stranger.ended).code, 4501);
    const fresh = identity.tokenOf(ann);
    assert.notEqual((await house.client().hello(fresh.token)).ready, undefined);
  });
  it('a token that runs out is warned about and ends the connection unless renewed (case 22)', async () => {
    await house.open();
    const { identity } = house.running;
    const short = identity.person('ann', 500);
    const client = house.client();
    await client.hello(short.token);
    await client.until((frame) => frame.auth !== undefined);
    const renewed = await client.ask({ auth: { token: identity.tokenOf(short, 600).token } });
    assert.notEqual(renewed.result, undefined);
    const started = Date.now();
    assert.equal((await client.ended).code, 4005);
    assert.ok(Date.now() - started > 350);
  });
  it('a device that connects twice keeps the newer connection, the first ends with 4505 (case 23)', async () => {
    await house.open();
    const ann = house.running.identity.person('ann');
    const [first, second] = [house.client(), house.client()];
    await first.hello(ann.token);
    await second.hello(ann.token);
    assert.deepEqual(await first.ended, { code: 4505, reason: 'REPLACED' });
    assert.notEqual((await second.ask({ ping: {} })).pong, undefined);
    assert.equal(house.running.gateway.connectionCount, 1);
  });
  it('a session that was signed out loses its connection with 4502 (case 32)', async () => {
    await house.open();
    const { identity, broker } = house.running;
    const ann = identity.person('ann');
    const other = identity.deviceOf(ann.user);
    const [client, kept] = [house.client(), house.client()];
    await client.hello(ann.token);
    await kept.hello(other.token);
    broker.revoke(ann.user, ann.session);
    assert.deepEqual(await client.ended, { code: 4502, reason: 'SESSION_REVOKED' });
    assert.notEqual((await kept.ask({ ping: {} })).pong, undefined);
  });
  it('who does not answer a ping is ended with 4003', async () => {
    await house.open({ pingIntervalMs: 100, pingTimeoutMs: 150 });
    const ann = house.running.identity.person('ann');
    const client = house.client();
    await client.hello(ann.token);
    client.tell = () => undefined;
    assert.deepEqual(await client.ended, { code: 4003, reason: 'PING_TIMEOUT' });
  });
  it('a draining server tells clients to move and refuses new ones with 4001 (case 31)', async () => {
    await house.open();
    const { identity, gateway } = house.running;
    const client = house.client();
    await client.hello(identity.person('ann').token);
    gateway.drain();
    await client.until((frame) => frame.drain !== undefined);
    assert.deepEqual(await house.client().ended, { code: 4001, reason: 'DRAINING' });
    client.tell({ bye: {} });
    assert.equal((await client.ended).code, 1000);
  });
  it('a full server refuses with 4009', async () => {
    await house.open({ connectionsMax: 1 });
    await house.client().hello(house.running.identity.person('ann').token);
    assert.deepEqual(await house.client().ended, { code: 4009, reason: 'TOO_MANY_CONNECTIONS' });
  });
}

function handshakes(house: CarrierHouse): void {
  it('a page of another origin is ended with 4508, own and allowed ones connect', async () => {
    await house.open();
    const refused = house.client({ headers: { origin: 'https://evil.example' } });
    assert.deepEqual(await refused.ended, { code: 4508, reason: 'ORIGIN_DENIED' });
    const { token } = house.running.identity.person('ann');
    const own = house.client({ headers: { origin: `http://127.0.0.1:${house.port}` } });
    assert.notEqual((await own.hello(token)).ready, undefined);
    const page = house.client({ headers: { origin: 'http://127.0.0.1:8080' } });
    assert.notEqual((await page.hello(token)).ready, undefined);
    const allowed = house.client({ headers: { origin: ALLOWED_ORIGIN } });
    assert.notEqual((await allowed.hello(token)).ready, undefined);
    const neighbour = house.client({ headers: { origin: 'http://127.0.0.1:9999' } });
    assert.equal((await neighbour.ended).code, 4508);
  });
  it('behind a trusted proxy the address is the one that it added, on a line of its own or not', async () => {
    await house.open();
    const { identity } = house.running;
    const { token } = identity.person('ann');
    for (const [lines, address] of [
      [['203.0.113.9'], '203.0.113.9'],
      [['6.6.6.6, 203.0.113.9'], '203.0.113.9'],
      [['6.6.6.6', '2001:db8:1:2::3'], '2001:db8:1:2::/64'],
      [[], '127.0.0.1'],
    ] as const) {
      const client = house.client({ headers: { 'x-forwarded-for': [...lines] } });
      await client.hello(token);
      await client.call('Auth.ListSessions', {});
      assert.equal(identity.addresses.at(-1), address);
    }
  });
  it('an unknown subprotocol is ended with 4506', async () => {
    await house.open();
    const client = house.client({ protocols: ['parley.v9.xml'] });
    assert.deepEqual(await client.ended, { code: 4506, reason: 'PROTOCOL_UNSUPPORTED' });
  });
}

function syncTokenOf(response: unknown): string {
  if (!(response instanceof Uint8Array)) return (response as { syncToken: string }).syncToken;
  return codecOf(ListConversationsResponseSchema).decode(response).syncToken;
}

/** The request that opens a WebSocket by hand. */
