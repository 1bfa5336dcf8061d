import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { webSocketSuite } from './contract.ts';
import { WsCarrier } from './ws-socket.ts';

webSocketSuite('ws on the HTTP port', async ({ gateway }) => {
  const http = createServer();
  const carrier = new WsCarrier(gateway);
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
