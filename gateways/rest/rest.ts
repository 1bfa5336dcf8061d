/**
 * The HTTP side of the edge: the API under /v1 (CONTRACT §2, §4), the seeds' own names at the root,
 * the web client's files. It shares dispatcher and validation with the live sessions, so a request
 * is judged the same on both.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { ParleyError, toParleyError } from '../../core/errors.ts';
import { newId } from '../../core/ids.ts';
import type { Logger, Metered, MetricSample } from '../../core/observe.ts';
import type { Clock } from '../../core/clock.ts';
import type { ClientAddresses } from '../client-addresses.ts';
import type { Origins } from '../origins.ts';
import type { IdentityPort, TokenVerifier } from '../ports.ts';
import type { RoutineRunner } from '../routine-runner.ts';
import type { Caller } from '../session/caller.ts';
import { limitsOf } from '../session/frames-out.ts';
import { PUBLIC_METHODS } from '../session/method-names.ts';
import type { Surroundings } from '../session/session-contract.ts';
import { errorAnswer, writeAnswer, type Answer } from './answer.ts';
import { Calls, type CallerContext, type CallResult } from './calls.ts';
import { rateHeaders, RequestRate } from './rate.ts';
import * as input from './request-input.ts';
import { RouteTable, type RouteMatch } from './routes.ts';
import { SeedNames, type SeedRoute } from './seed-names.ts';
import type { StaticFiles } from './static-files.ts';

export interface GatewayAddress {
  readonly url: string;
  readonly region: string;
  /** 0 idle to 1 full. */
  readonly load: number;
}

export interface RestOptions {
  readonly runner: RoutineRunner;
  readonly surroundings: Surroundings;
  readonly verifier: TokenVerifier;
  readonly identity: IdentityPort;
  readonly clock: Clock;
  readonly origins: Origins;
  readonly addresses: ClientAddresses;
  readonly log: Logger;
  /** undefined = this server has no web client. */
  readonly files: StaticFiles | undefined;
  /** For a client that reached this server as `host` (a Host header). */
  readonly webSocketUrl: (host: string) => string;
  readonly gateways: () => readonly GatewayAddress[];
  /** Told of everybody who asks for something. */
  readonly seen: (caller: Caller) => void;
}

const CORS_EXPOSED =
  'ETag, RateLimit, RateLimit-Policy, Retry-After, X-Request-Id, Idempotent-Replayed';
const CORS_METHODS = 'GET, POST, PUT, PATCH, DELETE';
const CORS_HEADERS =
  'Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, X-Request-Id';

/** Requests of one HTTP exchange, once it is known who asks. */
interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly url: URL;
  /** What it is counted under while nobody is known. */
  readonly address: string;
}

export class Rest implements Metered {
  readonly #options: RestOptions;
  readonly #routes = new RouteTable();
  readonly #rate: RequestRate;
  readonly #calls: Calls;
  readonly #seeds: SeedNames;
  readonly #answered = new Map<number, number>();

  constructor(options: RestOptions) {
    this.#options = options;
    this.#rate = new RequestRate(options.surroundings.limits.requestRate);
    this.#calls = new Calls(options.runner, options.surroundings);
    this.#seeds = new SeedNames(this.#calls, options.identity, options.surroundings);
  }

  /** Answers every request. Never throws, never leaves one unanswered. */
  handle(request: IncomingMessage, response: ServerResponse): void {
    const requestId = input.requestIdOf(request, () => newId('req', this.#options.clock.nowMs()));
    response.setHeader('x-request-id', requestId);
    this.#respond(request, response).catch((thrown: unknown) => {
      const error = toParleyError(thrown);
      if (error.reason === 'INVARIANT')
        this.#options.log.error('a request failed', { requestId, cause: String(error.cause) });
      if (response.headersSent) response.destroy();
      else this.#write(request, response, errorAnswer(error, requestId));
    });
  }

  metrics(): readonly MetricSample[] {
    return [...this.#answered].map(([status, value]) => ({
      name: 'parley_gateway_http_requests_total',
      kind: 'counter' as const,
      help: 'HTTP requests answered, by status',
      value,
      labels: { status: String(status) },
    }));
  }

  async #respond(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = urlOf(request);
    const verb = request.method ?? 'GET';
    const seed = this.#seeds.match(verb, url.pathname);
    const isAsked = verb === 'OPTIONS' && this.#seeds.has(url.pathname);
    const isApi = seed !== undefined || isAsked || /^\/v1(\/|$)/.test(url.pathname);
    if (isApi && this.#isPreflight(request, response)) return;
    const forwardedFor = input.headerOf(request, 'x-forwarded-for');
    const peer = request.socket.remoteAddress ?? '';
    const address = this.#options.addresses.of(peer, forwardedFor);
    const exchange: Exchange = { request, response, url, address };
    if (!isApi && (verb === 'GET' || verb === 'HEAD')) {
      const isServed = await this.#options.files?.serve(request, response, url.pathname);
      if (isServed === true) return;
    }
    if (!isApi) throw unsupported(verb, url.pathname);
    this.#write(request, response, await this.#api(exchange, verb, seed));
  }

  async #api(exchange: Exchange, verb: string, seed: SeedRoute | undefined): Promise<Answer> {
    const { pathname } = exchange.url;
    if (verb === 'GET' && pathname === '/v1/meta') return this.#meta(exchange.request);
    if (verb === 'GET' && pathname === '/v1/gateways')
      return { status: 200, json: this.#options.gateways() };
    const match = seed === undefined ? this.#routes.match(verb, pathname) : undefined;
    if (seed === undefined && match === undefined) throw unsupported(verb, pathname);
    const isPublic =
      seed?.isPublic ?? (match !== undefined && PUBLIC_METHODS.has(match.route.method));
    const caller = isPublic ? undefined : await this.#caller(exchange.request);
    this.#charge(exchange, caller);
    const context: CallerContext = { caller, address: exchange.address };
    if (seed !== undefined) return this.#seed(exchange, seed, context);
    if (match === undefined) throw unsupported(verb, pathname);
    return this.#call(exchange, match, context);
  }

  async #call(exchange: Exchange, match: RouteMatch, context: CallerContext): Promise<Answer> {
    const { request, url } = exchange;
    const { route } = match;
    const { method, verb } = route;
    const given = verb === 'GET' || verb === 'DELETE' ? input.readQuery(url.searchParams) : {};
    const body = verb === 'GET' ? {} : await input.readBody(request);
    let fields = route.shape(input.withPath({ ...given, ...body }, match.path));
    const key = input.idempotencyKeyOf(request);
    if (key !== '' && method === 'Messages.Send') fields = keyed(fields, 'clientMessageId', key);
    if (key !== '' && method === 'Conversations.Create') fields = keyed(fields, 'requestId', key);
    const result = await this.#calls.call(method, input.withCondition(fields, request), context);
    if (method === 'Messages.List' && match.path['sequence'] !== undefined)
      needMessage(result, Number(match.path['sequence']));
    return this.#answer(exchange, match, result);
  }

  #answer(exchange: Exchange, match: RouteMatch, result: CallResult): Answer {
    const { route } = match;
    const headers: Record<string, string> = {};
    if (result.replayed) headers['idempotent-replayed'] = 'true';
    const etag = result.json['etag'];
    if (typeof etag === 'string') {
      headers['etag'] = `"${etag}"`;
      const isKnown = input.etagIn(exchange.request, 'if-none-match') === etag;
      // Never for conversations: their etag leaves out what changes most.
      if (isKnown && route.verb === 'GET' && route.method === 'Users.Get')
        return { status: 304, headers };
    }
    if (route.status === 204) return { status: 204, headers };
    return { status: route.status, json: result.json, headers };
  }

  async #seed(exchange: Exchange, seed: SeedRoute, context: CallerContext): Promise<Answer> {
    const { request, url } = exchange;
    const isRead = request.method === 'GET';
    const fields = isRead ? input.readQuery(url.searchParams) : await input.readBody(request);
    const key = input.idempotencyKeyOf(request);
    return seed.answer(input.withCondition(fields, request), { ...context, key });
  }

  async #caller(request: IncomingMessage): Promise<Caller> {
    const caller = await this.#options.verifier.verify(input.bearerOf(request));
    this.#options.seen(caller);
    return caller;
  }

  #charge(exchange: Exchange, caller: Caller | undefined): void {
    const nowMs = this.#options.clock.monotonicMs();
    const granted = this.#rate.take(caller?.userId ?? `@${exchange.address}`, nowMs);
    for (const [name, value] of Object.entries(rateHeaders(this.#rate.quota, granted)))
      exchange.response.setHeader(name, value);
    if (!granted.isGranted)
      throw new ParleyError(
        'RATE_LIMITED',
        'too many requests a minute',
        {},
        { retryAfterMs: Math.ceil(granted.resetMs) },
      );
  }

  #meta(request: IncomingMessage): Answer {
    const { surroundings, webSocketUrl } = this.#options;
    return {
      status: 200,
      json: {
        featureLevel: surroundings.featureLevel,
        features: surroundings.features,
        webSocketUrl: webSocketUrl(input.headerOf(request, 'host')),
        limits: limitsOf(surroundings),
      },
    };
  }

  /** Pages of other origins: allowed ones get their headers, the rest ORIGIN_DENIED. True = answered. */
  #isPreflight(request: IncomingMessage, response: ServerResponse): boolean {
    const { origins } = this.#options;
    const origin = input.headerOf(request, 'origin');
    if (origin === '') return false;
    if (!origins.mayConnect(origin, input.headerOf(request, 'host')))
      throw new ParleyError('ORIGIN_DENIED', 'pages of this origin may not connect');
    response.setHeader('vary', 'Origin');
    if (origins.isListed(origin)) {
      response.setHeader('access-control-allow-origin', origin);
      response.setHeader('access-control-expose-headers', CORS_EXPOSED);
    }
    if (request.method !== 'OPTIONS') return false;
    const headers = {
      'access-control-allow-methods': CORS_METHODS,
      'access-control-allow-headers': CORS_HEADERS,
      'access-control-max-age': '600',
    };
    this.#write(request, response, { status: 204, headers });
    return true;
  }

  #write(request: IncomingMessage, response: ServerResponse, answer: Answer): void {
    this.#answered.set(answer.status, (this.#answered.get(answer.status) ?? 0) + 1);
    writeAnswer(request, response, answer);
  }
}

function urlOf(request: IncomingMessage): URL {
  const target = request.url ?? '/';
  if (!URL.canParse(target, 'http://parley')) throw unsupported(request.method ?? 'GET', '');
  return new URL(target, 'http://parley');
}

function unsupported(verb: string, path: string): ParleyError {
  return new ParleyError('PROTOCOL_UNSUPPORTED', 'there is no such method or path', {
    method: verb,
    path: path.slice(0, 200),
  });
}

/** The key is the caller's own name for what he makes; both given must be the same. */
function keyed(fields: input.Fields, name: string, key: string): input.Fields {
  return input.withPath(fields, { [name]: key });
}

/** One message was asked for: sequence 0 asks the method for a page, which it must not become. */
function needMessage(result: CallResult, sequence: number): void {
  if (sequence === 0 || !Array.isArray(result.json['messages']))
    throw new ParleyError('MESSAGE_UNKNOWN', 'there is no such message');
}
