import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { connect, type AddressInfo, type Socket } from 'node:net';
import { describe, it } from 'mocha';
import { runGateway } from '../testing/running-gateway.ts';
import { handshakeOf } from '../testing/abuse-contract.ts';
import { webSocketSuite } from './contract.ts';
import { WsCarrier } from './ws-socket.ts';

webSocketSuite('ws on the HTTP port', async ({ gateway, addresses }) => {
  const http = createServer();
  const carrier = new WsCarrier(gateway, addresses);
  carrier.attach(http);
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
  return {
    port: (http.address() as AddressInfo).port,
    stop: () => {
      carrier.stop();
      return new Promise<void>((resolve) => void http.close(() => resolve()));
    },
  };
});

describe('WebSocket over ws', () => {
  it('pongs for a peer that reads none do not pile up, and one that reads gets his', async () => {
    const { gateway, addresses } = runGateway();
    const http = createServer();
    const carrier = new WsCarrier(gateway, addresses);
    carrier.attach(http);
    await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
    const { port } = http.address() as AddressInfo;
    const upgraded = once(http, 'upgrade') as Promise<[unknown, Socket]>;
    const peer = connect(port, '127.0.0.1');
    peer.on('error', () => undefined);
    peer.write(handshakeOf(port, 'json'));
    await once(peer, 'data');
    const [, stream] = await upgraded;
    peer.write(Buffer.from([0x89, 0x81, 0, 0, 0, 0, 7]));
    const [pong] = (await once(peer, 'data')) as [Buffer];
    assert.deepEqual([...pong], [0x8a, 1, 7]);
    peer.pause();
    const ping = Buffer.concat([Buffer.from([0x89, 0xfd, 0, 0, 0, 0]), Buffer.alloc(125)]);
    const pings = Buffer.concat(Array.from({ length: 500 }, () => ping));
    let worst = 0;
    for (let sent = 0; sent < 20 * 1024 * 1024; sent += pings.length) {
      if (!peer.write(pings)) await once(peer, 'drain');
      worst = Math.max(worst, stream.writableLength);
    }
    peer.destroy();
    await gateway.stop();
    carrier.stop();
    await new Promise<void>((resolve) => void http.close(() => resolve()));
    assert.ok(worst < 1024 * 1024, `${worst} bytes of pongs waited in memory`);
  }).timeout(20_000);
});
