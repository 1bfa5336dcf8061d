/**
 * WebSockets over the library `ws`, on an HTTP server that others use too (`/v1/ws` of the edge
 * port). `ws` reads; what goes out was framed once for all connections and is written to the TCP
 * socket directly, which is in order with the few frames that `ws` writes itself (pongs, close).
 */
import type { IncomingMessage, Server } from 'node:http';
import type { Duplex } from 'node:stream';
import { WebSocketServer, type RawData, type WebSocket } from 'ws';
import type { ClientAddresses } from '../client-addresses.ts';
import { headerOf } from '../rest/request-input.ts';
import type { Batch, Format } from '../wire.ts';
import {
  CARRIER_BYTES_MAX,
  type Socket,
  type SocketAcceptor,
  type SocketEvents,
} from './socket.ts';

export const WEBSOCKET_PATH = '/v1/ws';
/** Time in which a peer answers a close before its socket is cut. */
const CLOSE_TIMEOUT_MS = 2000;
/** A peer that leaves this much unread gets no pong: it does not look for one. */
const PONG_BUFFER_BYTES_MAX = 64 * 1024;

/** Takes upgrades of `/v1/ws` on an HTTP server. */
export class WsCarrier {
  readonly #acceptor: SocketAcceptor;
  readonly #addresses: ClientAddresses;
  readonly #server: WebSocketServer;
  readonly #sockets = new Set<Duplex>();

  constructor(acceptor: SocketAcceptor, addresses: ClientAddresses) {
    this.#acceptor = acceptor;
    this.#addresses = addresses;
    this.#server = new WebSocketServer({
      noServer: true,
      maxPayload: CARRIER_BYTES_MAX,
      perMessageDeflate: false,
      clientTracking: false,
      // Pongs wait in memory for as long as the peer does not read: they are answered below, with a bound.
      autoPong: false,
      handleProtocols: (_offered, request) => this.#judge(request).protocol,
    });
  }

  /** Other paths are left to the server's other listeners; nobody's are cut off by the caller. */
  attach(http: Server): void {
    http.on('upgrade', (request: IncomingMessage, stream: Duplex, head: Buffer) => {
      if (!this.upgrade(request, stream, head)) stream.destroy();
    });
  }

  /** False = it is not our path. */
  upgrade(request: IncomingMessage, stream: Duplex, head: Buffer): boolean {
    const [path] = (request.url ?? '').split('?');
    if (path !== WEBSOCKET_PATH) return false;
    this.#server.handleUpgrade(request, stream, head, (websocket) =>
      this.#accept(websocket, request, stream),
    );
    return true;
  }

  /** Cuts what is still open. */
  stop(): void {
    for (const stream of this.#sockets) stream.destroy();
    this.#server.close();
  }

  #judge(request: IncomingMessage): ReturnType<SocketAcceptor['judge']> {
    const { origin = '', host = '' } = request.headers;
    const named = request.headers['sec-websocket-protocol'] ?? '';
    const protocols = named.split(',').map((name) => name.trim());
    return this.#acceptor.judge({ origin, host, protocols: protocols.filter(Boolean) });
  }

  #accept(websocket: WebSocket, request: IncomingMessage, stream: Duplex): void {
    const verdict = this.#judge(request);
    const forwardedFor = headerOf(request, 'x-forwarded-for');
    const address = this.#addresses.of(request.socket.remoteAddress ?? '', forwardedFor);
    const socket = new WsSocket({ websocket, stream, format: verdict.format, address });
    this.#sockets.add(stream);
    stream.on('close', () => this.#sockets.delete(stream));
    socket.listen(this.#acceptor.accept(socket, verdict.refusal));
  }
}

interface WsSocketParts {
  readonly websocket: WebSocket;
  readonly stream: Duplex;
  readonly format: Format;
  readonly address: string;
}

class WsSocket implements Socket {
  readonly format: Format;
  readonly address: string;
  readonly #websocket: WebSocket;
  readonly #stream: Duplex;
  #isClosing = false;

  constructor(parts: WsSocketParts) {
    this.format = parts.format;
    this.address = parts.address;
    this.#websocket = parts.websocket;
    this.#stream = parts.stream;
  }

  get bufferedBytes(): number {
    return this.#stream.writableLength;
  }

  send(batch: Batch): void {
    if (!this.#isClosing && this.#stream.writable) this.#stream.write(batch.framed());
  }

  close(code: number, reason: string): void {
    if (this.#isClosing) return;
    this.#isClosing = true;
    this.#websocket.close(code, reason);
    // A peer that reads nothing never answers the close: it is cut.
    const timer = setTimeout(() => this.#websocket.terminate(), CLOSE_TIMEOUT_MS);
    timer.unref();
    this.#stream.once('close', () => clearTimeout(timer));
  }

  listen(events: SocketEvents): void {
    this.#websocket.on('message', (data: RawData, isBinary: boolean) => {
      if (!this.#isClosing) events.message(bufferOf(data), !isBinary);
    });
    this.#websocket.on('ping', (data: Buffer) => {
      if (this.#stream.writableLength <= PONG_BUFFER_BYTES_MAX) this.#websocket.pong(data);
    });
    this.#stream.on('drain', () => events.drained());
    this.#websocket.on('close', () => events.closed());
    // Broken framing: `ws` closes with 1002, 1007 or 1009 by itself; `close` follows.
    this.#websocket.on('error', () => undefined);
  }
}

function bufferOf(data: RawData): Buffer {
  if (Buffer.isBuffer(data)) return data;
  return Array.isArray(data) ? Buffer.concat(data) : Buffer.from(data);
}
