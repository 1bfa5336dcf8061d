/** Node: its own WebSocket where there is one (22 and later), else that of the package `ws`. */
import type { Transport } from './transport.ts';
import { type SocketConstructor, webSocketTransport } from './transports/websocket.ts';

/** A variable, so that bundlers for browsers leave the package alone. */
const PACKAGE: string = 'ws';

export async function nodeWebSocket(): Promise<Transport> {
  const own = (globalThis as { WebSocket?: SocketConstructor }).WebSocket;
  if (own !== undefined) return webSocketTransport(own);
  const loaded = (await import(PACKAGE)) as { WebSocket: SocketConstructor };
  return webSocketTransport(loaded.WebSocket);
}
