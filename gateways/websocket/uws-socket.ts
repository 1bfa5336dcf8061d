/**
 * WebSockets over uWebSockets.js, on a port of their own: an idle connection costs a fraction of
 * one on `ws`. The library is optional; where it cannot be loaded, `ws` serves alone.
 */
import type * as uws from 'uWebSockets.js';
import type { ClientAddresses } from '../client-addresses.ts';
import { cannotListen } from '../listening.ts';
import type { Batch, Format } from '../wire.ts';
import {
  CARRIER_BYTES_MAX,
  type HandshakeVerdict,
  type Socket,
  type SocketAcceptor,
  type SocketEvents,
} from './socket.ts';
import { WEBSOCKET_PATH } from './ws-socket.ts';

export interface UwsOptions {
  readonly host: string;
  /** 0 = any free one. */
  readonly port: number;
  readonly addresses: ClientAddresses;
  /** Bytes a connection may hold before the library itself cuts it: above the sessions' own bound. */
  readonly socketBufferHardBytes: number;
}

interface SocketState {
  readonly verdict: HandshakeVerdict;
  readonly address: string;
  socket: UwsSocket | undefined;
  events: SocketEvents | undefined;
}

type Library = Pick<typeof uws, 'App' | 'us_listen_socket_close' | 'us_socket_local_port'>;

/** undefined = it is not installed, or not for this platform. */
export async function loadUws(): Promise<Library | undefined> {
  try {
    const loaded = (await import('uWebSockets.js')) as { default?: Library } & Library;
    return loaded.default ?? loaded;
  } catch {
    return undefined;
  }
}

export class UwsCarrier {
  readonly #library: Library;
  readonly #acceptor: SocketAcceptor;
  readonly #options: UwsOptions;
  readonly #open = new Set<UwsSocket>();
  #app: uws.TemplatedApp | undefined;
  #listening: uws.us_listen_socket | undefined;

  constructor(library: Library, acceptor: SocketAcceptor, options: UwsOptions) {
    this.#library = library;
    this.#acceptor = acceptor;
    this.#options = options;
  }

  /** The port it listens on. Refuses with BACKEND_UNAVAILABLE when it is taken. */
  start(): Promise<number> {
    const app = this.#library.App();
    this.#app = app;
    app.ws<SocketState>(WEBSOCKET_PATH, {
      maxPayloadLength: CARRIER_BYTES_MAX,
      maxBackpressure: this.#options.socketBufferHardBytes * 2,
      closeOnBackpressureLimit: 1,
      // Sessions ping by frames; the library's own timeout only reaps what they forgot.
      idleTimeout: 120,
      sendPingsAutomatically: false,
      upgrade: (response, request, context) => this.#upgrade(response, request, context),
      open: (websocket) => this.#accept(websocket),
      message: (websocket, message, isBinary) => {
        const { events, socket } = websocket.getUserData();
        if (socket?.isOpen === true) events?.message(Buffer.from(message), !isBinary);
      },
      drain: (websocket) => websocket.getUserData().events?.drained(),
      close: (websocket) => {
        const { events, socket } = websocket.getUserData();
        if (socket !== undefined) {
          socket.ended();
          this.#open.delete(socket);
        }
        events?.closed();
      },
    });
    app.any('/*', (response) => {
      response.writeStatus('404 Not Found').end();
    });
    return new Promise((resolve, reject) => {
      const { host, port } = this.#options;
      app.listen(host, port, (listening) => {
        if (!listening) {
          reject(
            cannotListen({
              what: 'WebSocket',
              host,
              port,
              hostSetting: 'PARLEY_HOST',
              portSetting: 'PARLEY_WS_PORT',
              // The library does not tell; the host was good for HTTP before.
              code: undefined,
            }),
          );
          return;
        }
        this.#listening = listening;
        resolve(this.#library.us_socket_local_port(listening));
      });
    });
  }

  stop(): void {
    if (this.#listening !== undefined) this.#library.us_listen_socket_close(this.#listening);
    this.#listening = undefined;
    for (const socket of this.#open) socket.cut();
    this.#app?.close();
    this.#app = undefined;
  }

  #upgrade(
    response: uws.HttpResponse,
    request: uws.HttpRequest,
    context: uws.us_socket_context_t,
  ): void {
    const named = request.getHeader('sec-websocket-protocol');
    const protocols = named.split(',').map((name) => name.trim());
    const verdict = this.#acceptor.judge({
      origin: request.getHeader('origin'),
      host: request.getHeader('host'),
      protocols: protocols.filter(Boolean),
    });
    const peer = Buffer.from(response.getRemoteAddressAsText()).toString();
    const address = this.#options.addresses.of(peer, forwardedForIn(request));
    response.upgrade<SocketState>(
      { verdict, address, socket: undefined, events: undefined },
      request.getHeader('sec-websocket-key'),
      verdict.protocol,
      request.getHeader('sec-websocket-extensions'),
      context,
    );
  }

  #accept(websocket: uws.WebSocket<SocketState>): void {
    const state = websocket.getUserData();
    const socket = new UwsSocket(websocket, state);
    state.socket = socket;
    this.#open.add(socket);
    state.events = this.#acceptor.accept(socket, state.verdict.refusal);
  }
}

/** `getHeader` knows one line of a name: the first, which is not the one that the proxy added. */
function forwardedForIn(request: uws.HttpRequest): string {
  const lines: string[] = [];
  request.forEach((name, value) => {
    if (name === 'x-forwarded-for') lines.push(value);
  });
  return lines.join(',');
}

class UwsSocket implements Socket {
  readonly format: Format;
  readonly address: string;
  readonly #websocket: uws.WebSocket<SocketState>;
  /** After `close` no call may reach the library: it throws on sockets that are gone. */
  #isOpen = true;

  constructor(websocket: uws.WebSocket<SocketState>, { verdict, address }: SocketState) {
    this.#websocket = websocket;
    this.format = verdict.format;
    this.address = address;
  }

  get isOpen(): boolean {
    return this.#isOpen;
  }

  get bufferedBytes(): number {
    return this.#isOpen ? this.#websocket.getBufferedAmount() : 0;
  }

  send(batch: Batch): void {
    if (!this.#isOpen) return;
    this.#websocket.send(batch.payload(), batch.format === 'proto');
  }

  close(code: number, reason: string): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    // It calls the close handler at once and cuts a peer that does not answer within seconds.
    this.#websocket.end(code, reason);
  }

  cut(): void {
    if (this.#isOpen) this.#websocket.close();
  }

  ended(): void {
    this.#isOpen = false;
  }
}
