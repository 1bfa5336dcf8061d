/** Where a client that reached this server under some name finds its WebSockets. */
import { WEBSOCKET_PATH } from '../gateways/websocket/ws-socket.ts';

export interface EdgeAddress {
  /** What is listened on. */
  readonly host: string;
  readonly httpPort: number;
  /** 0 = WebSockets are on the HTTP port. */
  readonly wsPort: number;
  /** As configured; '' = what is listened on. */
  readonly publicUrl: string;
  readonly webSocketUrl: string;
}

/** As configured; else, for who reached it as `host` (a Host header), the fast port under that name. */
export function webSocketUrlFor(host: string, edge: EdgeAddress): string {
  const { publicUrl, webSocketUrl, wsPort, httpPort } = edge;
  if (webSocketUrl !== '') return webSocketUrl;
  if (publicUrl !== '')
    return `${publicUrl.replace(/^http/, 'ws').replace(/\/$/, '')}${WEBSOCKET_PATH}`;
  // A header may say anything.
  const named = URL.canParse(`http://${host}`)
    ? `http://${host}`
    : `http://${edge.host}:${httpPort}`;
  const { host: origin, hostname } = new URL(named);
  return `ws://${wsPort === 0 ? origin : `${hostname}:${wsPort}`}${WEBSOCKET_PATH}`;
}
