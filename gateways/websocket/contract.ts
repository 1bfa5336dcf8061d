/**
 * What every WebSocket carrier promises, as a suite that each of them runs in both subprotocols
 * (CONTRACT §3, §9).
 */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { connect as connectTcp } from 'node:net';
import { afterEach, describe, it } from 'mocha';
import { encodeId } from '../../core/ids.ts';
import { codecOf } from '../../proto/codec.ts';
import { ListConversationsResponseSchema } from '../../proto/gen/parley/client/v1/sync_pb.ts';
import type { SessionLimits } from '../session/limits.ts';
import { newConversationRaw } from '../testing/new-conversation.ts';
import { ALLOWED_ORIGIN, runGateway, type RunningGateway } from '../testing/running-gateway.ts';
import { TestClient, type TestClientOptions } from '../testing/test-client.ts';
import type { Format } from '../wire.ts';

/** Starts a carrier on a free port and returns it with the way to end it. */
export type StartCarrier = (
  running: RunningGateway,
) => Promise<{ readonly port: number; stop(): Promise<void> | void }>;

class House {
  running!: RunningGateway;
  url = '';
  port = 0;
  readonly format: Format;
  readonly #start: StartCarrier;
  readonly #clients: TestClient[] = [];
  #stop: (() => Promise<void> | void) | undefined;

  constructor(start: StartCarrier, format: Format) {
    this.#start = start;
    this.format = format;
  }

  async open(limits: Partial<SessionLimits> = {}): Promise<void> {
    this.running = runGateway(limits);
    const carrier = await this.#start(this.running);
    this.port = carrier.port;
    this.url = `ws://127.0.0.1:${carrier.port}/v1/ws`;
    this.#stop = () => carrier.stop();
  }

  client(options: Partial<TestClientOptions> = {}): TestClient {
    const client = new TestClient({ url: this.url, format: this.format, ...options });
    this.#clients.push(client);
    return client;
  }

  async end(): Promise<void> {
    for (const client of this.#clients.splice(0)) client.close();
    this.running.gateway.stop();
    await this.#stop?.();
  }
}

export function webSocketSuite(name: string, start: StartCarrier): void {
  for (const format of ['json', 'proto'] as const) {
    describe(`WebSocket over ${name}, parley.v1.${format}`, function () {
      // Real sockets and timers: a busy machine may take its time.
      this.timeout(10_000);
      const house = new House(start, format);
      afterEach(() => house.end());
      conversations(house);
      endings(house);
      handshakes(house);
      abuses(house);
    });
  }
}

function conversations(house: House): void {
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

function endings(house: House): void {
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

function handshakes(house: House): void {
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
  it('an unknown subprotocol is ended with 4506', async () => {
    await house.open();
    const client = house.client({ protocols: ['parley.v9.xml'] });
    assert.deepEqual(await client.ended, { code: 4506, reason: 'PROTOCOL_UNSUPPORTED' });
  });
}

function abuses(house: House): void {
  it('a frame above 256 KiB ends it with 4509', async () => {
    await house.open();
    const client = house.client();
    await client.hello(house.running.identity.person('ann').token);
    const size = 257 * 1024;
    client.raw(house.format === 'json' ? 'x'.repeat(size) : Buffer.alloc(size));
    assert.deepEqual(await client.ended, { code: 4509, reason: 'FRAME_TOO_LARGE' });
  });
  it('a message that no carrier takes is cut off', async () => {
    await house.open();
    const client = house.client();
    await client.hello(house.running.identity.person('ann').token);
    client.raw(Buffer.alloc(2 * 1024 * 1024));
    assert.ok([1006, 1009].includes((await client.ended).code));
  });
  it('broken framing ends the socket, and only it', async () => {
    await house.open();
    const { token } = house.running.identity.person('ann');
    const client = house.client();
    await client.hello(token);
    const ended = await brokenFraming(house.port, house.format);
    assert.ok(ended === 'closed' || ended === 1002 || ended === 1007, String(ended));
    assert.notEqual((await client.ask({ ping: {} })).pong, undefined);
  });
  it('a flood is refused with RATE_LIMITED and then ended with 4008; others go on', async () => {
    await house.open({ frameRate: 10, frameBurst: 50 });
    const { identity } = house.running;
    const [flooder, calm] = [house.client(), house.client()];
    await flooder.hello(identity.person('ann').token);
    await calm.hello(identity.person('bob').token);
    for (let i = 0; i < 60; i++) flooder.tell({ id: 1000 + i, ping: {} });
    const refused = await flooder.until((frame) => frame.error !== undefined);
    assert.equal(refused.error?.reason, 'RATE_LIMITED');
    assert.ok((refused.error?.retryAfterMs ?? 0) > 0);
    for (let i = 0; i < 1400; i++) flooder.tell({ ping: {} });
    assert.deepEqual(await flooder.ended, { code: 4008, reason: 'RATE_LIMITED' });
    assert.ok(flooder.frames.some((frame) => frame.flow !== undefined));
    assert.notEqual((await calm.ask({ ping: {} })).pong, undefined);
  });
  it('a reader that stands still gets gaps or 4002, others get everything (case 30)', async () => {
    await house.open({
      socketBufferSoftBytes: 64 * 1024,
      socketBufferHardBytes: 512 * 1024,
      frameRate: 1e6,
      frameBurst: 1e6,
    });
    const { identity, broker } = house.running;
    const [ann, bob, cid] = [
      identity.person('ann'),
      identity.person('bob'),
      identity.person('cid'),
    ];
    const group = newConversationRaw();
    broker.seedGroup(group, [ann.user, bob.user, cid.user]);
    const id = encodeId('cnv', group);
    const [a, b, c] = [house.client(), house.client(), house.client()];
    for (const [client, person] of [
      [a, ann],
      [b, bob],
      [c, cid],
    ] as const)
      await client.hello(person.token);
    b.socket.pause();
    const text = 'x'.repeat(7000);
    const count = 900;
    for (let sent = 0; sent < count; sent += 30)
      await Promise.all(Array.from({ length: 30 }, () => a.say(id, text)));
    await c.row(id, count);
    assert.deepEqual(
      c.rows(id).map((row) => row.sequence),
      Array.from({ length: count }, (_, i) => i + 1),
    );
    b.socket.resume();
    const told = await Promise.race([
      b.until((frame) => frame.gap?.conversationId === id || frame.close?.code === 4002),
      b.ended,
    ]);
    assert.notEqual(told, undefined);
    const seen = b.rows(id).map((row) => row.sequence);
    assert.deepEqual(seen.slice(0, 5), [1, 2, 3, 4, 5]);
    assert.ok(seen.length < count);
  });
  it('frames that come with the hello wait for its token, whole', async () => {
    await house.open();
    const { identity } = house.running;
    const ann = identity.person('ann');
    const bob = identity.person('bob');
    const verify = identity.verify.bind(identity);
    identity.verify = async (token) => {
      await new Promise((resolve) => setTimeout(resolve, 20));
      return verify(token);
    };
    const data = Uint8Array.from({ length: 64 }, (_, i) => 200 + (i % 50));
    const [client, reader] = [await house.client().opened(), house.client()];
    await reader.hello(bob.token);
    const message = { custom: { schema: 'org.example/1', data } };
    client.tell({ id: 1, hello: { token: ann.token } });
    client.tell({
      id: 2,
      send: { to: `direct:${bob.userId}`, clientMessageId: randomUUID(), body: { message } },
    });
    const { commit } = await client.until((frame) => frame.id === 2);
    const pushed = await reader.row(commit?.conversationId ?? '', 1);
    const custom = pushed.rows?.items[0]?.rows[0]?.body?.message?.custom;
    assert.deepEqual([...(custom?.data ?? [])], [...data]);
  });
  it('ten thousand random frames neither end the server nor other connections', async () => {
    await house.open({ frameRate: 1e6, frameBurst: 1e6 });
    const { identity } = house.running;
    const calm = house.client();
    await calm.hello(identity.person('bob').token);
    let seed = 42;
    const random = (): number =>
      (seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0) / 2 ** 32;
    for (let round = 0; round < 20; round++) {
      const client = await house.client().opened();
      client.tell({ id: 1, hello: { token: identity.person(`u${round}`).token } });
      for (let i = 0; i < 500 && client.socket.readyState === 1; i++)
        client.raw(house.format === 'json' ? randomJson(random) : randomBytes(random));
      client.close();
    }
    assert.notEqual((await calm.ask({ ping: {} })).pong, undefined);
    await new Promise((resolve) => setTimeout(resolve, 50));
    assert.equal(house.running.gateway.connectionCount, 1);
  });
}

function syncTokenOf(response: unknown): string {
  if (!(response instanceof Uint8Array)) return (response as { syncToken: string }).syncToken;
  return codecOf(ListConversationsResponseSchema).decode(response).syncToken;
}

/** The request that opens a WebSocket by hand. */
export function handshakeOf(port: number, format: Format): string {
  return (
    `GET /v1/ws HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
    `Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: parley.v1.${format}\r\n\r\n`
  );
}

/** Opens a socket by hand and sends a frame with reserved bits. */
function brokenFraming(port: number, format: Format): Promise<number | 'closed'> {
  return new Promise((resolve) => {
    const socket = connectTcp(port, '127.0.0.1');
    socket.on('error', () => resolve('closed'));
    socket.on('close', () => resolve('closed'));
    socket.write(handshakeOf(port, format));
    let isOpen = false;
    socket.on('data', (data) => {
      if (!isOpen) {
        isOpen = true;
        socket.write(Buffer.from([0xf1, 0x80, 0, 0, 0, 0]));
        return;
      }
      const at = data.indexOf(0x88);
      if (at >= 0) resolve(data.readUInt16BE(at + 2));
      socket.destroy();
    });
  });
}

const PIECES = [
  '{',
  '}',
  '"id":',
  '1',
  '"send":',
  '[',
  ']',
  '"hello":',
  'null',
  '"to":"x"',
  ',',
  '\\u0000',
  '"call":{"method":"Messages.List"}',
  '1e99',
  '-1',
  '"body":{"message":{}}',
];

function randomJson(random: () => number): string {
  if (random() < 0.5) {
    const kinds = ['send', 'call', 'receipt', 'typing', 'focus', 'auth', 'ping', 'nothing'];
    const kind = kinds[Math.floor(random() * kinds.length)] ?? '';
    const value =
      random() < 0.5 ? '{}' : `{"conversationId":${Math.floor(random() * 9)},"to":"cnv_"}`;
    return `{"id":${Math.floor(random() * 5)},"${kind}":${value}}`;
  }
  return Array.from(
    { length: 1 + Math.floor(random() * 12) },
    () => PIECES[Math.floor(random() * PIECES.length)],
  ).join('');
}

function randomBytes(random: () => number): Buffer {
  const body = Buffer.from(
    Array.from({ length: Math.floor(random() * 40) }, () => Math.floor(random() * 256)),
  );
  return random() < 0.5 ? Buffer.concat([Buffer.from([body.length]), body]) : body;
}
