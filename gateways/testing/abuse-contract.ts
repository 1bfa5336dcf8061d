/** What no client does to a server over any WebSocket: frames too large, too many, read too slowly, rubbish. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { connect as connectTcp } from 'node:net';
import { it } from 'mocha';
import { encodeId } from '../../core/ids.ts';
import { newConversationRaw } from './new-conversation.ts';
import type { Format } from '../wire.ts';
import type { CarrierHouse } from './carrier-house.ts';

export function abuses(house: CarrierHouse): void {
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
