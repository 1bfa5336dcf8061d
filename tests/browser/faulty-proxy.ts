/**
 * What stands between one browser and the server, and breaks as told. Pages and their files always
 * pass, so that a reload works without a service worker; the API and the live connection may not.
 */
import {
  Agent,
  createServer,
  type IncomingMessage,
  request,
  type Server,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo } from 'node:net';
import { connect, type Socket } from 'node:net';

export class FaultyProxy {
  readonly #target: () => string;
  readonly #server: Server;
  readonly #agent = new Agent({ keepAlive: false });
  readonly #sockets = new Set<Socket>();
  #isCut = false;
  #isDeaf = false;
  #calls = new Map<string, number>();

  /** `target` is asked at each request: a server that restarts may move. */
  constructor(target: () => string) {
    this.#target = target;
    this.#server = createServer((req, res) => this.#forward(req, res));
    this.#server.on('upgrade', (req: IncomingMessage, socket: Socket, head: Buffer) =>
      this.#upgrade(req, socket, head),
    );
  }

  get url(): string {
    const { port } = this.#server.address() as AddressInfo;
    return `http://127.0.0.1:${port}`;
  }

  async start(): Promise<void> {
    await new Promise<void>((done) => this.#server.listen(0, '127.0.0.1', done));
  }

  async stop(): Promise<void> {
    this.#closeSockets();
    this.#server.closeAllConnections();
    await new Promise<void>((done) => this.#server.close(() => done()));
  }

  /** The API and live connections end and no new ones come through. */
  cut(): void {
    this.#isCut = true;
    this.#closeSockets();
  }

  mend(): void {
    this.#isCut = false;
    this.#isDeaf = false;
  }

  /** What the client says still reaches the server; nothing comes back. */
  deafen(): void {
    this.#isDeaf = true;
  }

  /** How often a path was asked for. */
  calls(path: string): number {
    return this.#calls.get(path) ?? 0;
  }

  get liveConnections(): number {
    return this.#sockets.size;
  }

  #forward(req: IncomingMessage, res: ServerResponse): void {
    const path = new URL(req.url ?? '/', 'http://x').pathname;
    this.#calls.set(path, this.calls(path) + 1);
    if (this.#isCut && path.startsWith('/v1/')) {
      res.destroy();
      return;
    }
    const to = new URL(this.#target());
    const onward = request(
      {
        host: to.hostname,
        port: to.port,
        method: req.method,
        path: req.url,
        headers: req.headers,
        agent: this.#agent,
      },
      (answer) => {
        res.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.pipe(res);
      },
    );
    onward.on('error', () => res.destroy());
    req.pipe(onward);
  }

  #upgrade(req: IncomingMessage, client: Socket, head: Buffer): void {
    if (this.#isCut) {
      client.destroy();
      return;
    }
    const to = new URL(this.#target());
    const server = connect(Number(to.port), to.hostname, () => {
      const lines = [`${req.method} ${req.url} HTTP/1.1`];
      for (let i = 0; i < req.rawHeaders.length; i += 2)
        lines.push(`${req.rawHeaders[i]}: ${req.rawHeaders[i + 1]}`);
      server.write(`${lines.join('\r\n')}\r\n\r\n`);
      server.write(head);
      client.pipe(server);
      server.on('data', (bytes: Buffer) => {
        if (!this.#isDeaf) client.write(bytes);
      });
    });
    this.#sockets.add(client);
    const end = (): void => {
      this.#sockets.delete(client);
      client.destroy();
      server.destroy();
    };
    for (const socket of [client, server]) socket.on('error', end).on('close', end);
  }

  #closeSockets(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#sockets.clear();
  }
}
