import { ParleyError } from '../../core/errors.ts';
import { webSocketSuite } from './contract.ts';
import { loadUws, UwsCarrier } from './uws-socket.ts';

webSocketSuite('uWebSockets.js', async ({ gateway, addresses }) => {
  const library = await loadUws();
  if (library === undefined) throw new ParleyError('FEATURE_DISABLED', 'uWebSockets.js is absent');
  const carrier = new UwsCarrier(library, gateway, {
    host: '127.0.0.1',
    port: 0,
    addresses,
    socketBufferHardBytes: 4 * 1024 * 1024,
  });
  return { port: await carrier.start(), stop: () => carrier.stop() };
});
