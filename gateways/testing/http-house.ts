/** For tests: the HTTP edge over a running gateway, and requests to it. */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { SILENT } from '../../core/observe.ts';
import { Rest } from '../rest/rest.ts';
import { StaticFiles } from '../rest/static-files.ts';
import type { SessionLimits } from '../session/limits.ts';
import { REAL_CLOCK } from './real-time.ts';
import { runGateway, type RunningGateway } from './running-gateway.ts';
import type { Person } from './tiny-identity.ts';

export interface Reply {
  readonly status: number;
  readonly headers: Headers;
  readonly json: Record<string, unknown>;
  readonly text: string;
}

export interface RequestOptions {
  readonly token?: string;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

export class HttpHouse {
  running!: RunningGateway;
  rest!: Rest;
  url: string = '';
  #server: Server | undefined;

  async open(limits: Partial<SessionLimits> = {}, dir?: string): Promise<void> {
    this.running = runGateway(limits);
    const { gateway, identity, origins, addresses } = this.running;
    this.rest = new Rest({
      seen: () => undefined,
      runner: gateway.runner,
      surroundings: gateway.surroundings,
      verifier: identity,
      identity,
      clock: REAL_CLOCK,
      origins,
      addresses,
      log: SILENT,
      files:
        dir === undefined
          ? undefined
          : new StaticFiles({ dir, connectSources: () => ['ws://127.0.0.1:9001'] }),
      webSocketUrl: () => 'ws://127.0.0.1:9001/v1/ws',
      gateways: () => [{ url: this.url, region: 'local', load: 0 }],
    });
    const server = createServer((request, response) => this.rest.handle(request, response));
    this.#server = server;
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  /** A fresh edge, and people with accounts on it. */
  async people(count: number): Promise<Person[]> {
    await this.open();
    return Array.from({ length: count }, (_, i) => this.running.identity.person(`user${i}`));
  }

  /** One says this to the other. The conversation's id. */
  async direct(from: Person, to: Person, body: string): Promise<string> {
    const { json } = await this.ask(`POST /v1/conversations/direct:${to.userId}/messages`, {
      token: from.token,
      body: { body: { message: { text: { body } } } },
    });
    return String(json['conversationId']);
  }

  async ask(line: string, options: RequestOptions = {}): Promise<Reply> {
    const [method = 'GET', path = '/'] = line.split(' ');
    const { token, body } = options;
    const response = await fetch(`${this.url}${path}`, {
      method,
      headers: {
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...options.headers,
      },
      ...(body === undefined
        ? {}
        : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    const text = await response.text();
    const isJson = (response.headers.get('content-type') ?? '').includes('json');
    const json = isJson && text !== '' ? (JSON.parse(text) as Record<string, unknown>) : {};
    return { status: response.status, headers: response.headers, json, text };
  }

  async end(): Promise<void> {
    await this.running.gateway.stop();
    this.#server?.closeAllConnections();
    await new Promise<void>((resolve) => {
      if (this.#server === undefined) resolve();
      else this.#server.close(() => resolve());
    });
  }
}
