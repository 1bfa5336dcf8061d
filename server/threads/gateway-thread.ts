/**
 * The thread of a gateway: WebSockets on a fast port of their own and on the HTTP port, REST and the
 * web client. It knows the store by its Link and the accounts by calls to the main thread.
 */
import { existsSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { join } from 'node:path';
import { workerData, type MessagePort } from 'node:worker_threads';
import { parseId } from '../../core/ids.ts';
import type { Logger, MetricSample } from '../../core/observe.ts';
import { ClientAddresses } from '../../gateways/client-addresses.ts';
import { Gateway } from '../../gateways/gateway.ts';
import { cannotListen } from '../../gateways/listening.ts';
import { Origins } from '../../gateways/origins.ts';
import { Rest } from '../../gateways/rest/rest.ts';
import { StaticFiles } from '../../gateways/rest/static-files.ts';
import type { SessionLimits } from '../../gateways/session/limits.ts';
import { loadUws, UwsCarrier } from '../../gateways/websocket/uws-socket.ts';
import { WsCarrier } from '../../gateways/websocket/ws-socket.ts';
import { AccessTokenVerifier } from '../../services/identity/access-token-verifier.ts';
import type {
  IdentityService,
  Revocation,
  VerificationKeys,
} from '../../services/identity/contract.ts';
import { IdentityGateway } from '../identity-port.ts';
import { linkSource } from '../links/link-source.ts';
import { createLogger, type LogLevel } from '../log.ts';
import { answerOps } from '../ops-page.ts';
import { REAL_CLOCK, REAL_RANDOM, REAL_TIMERS } from '../real-time.ts';
import { callsTo, serveCalls, transferred } from '../rpc.ts';
import { LocalVerifier } from '../token-verifier.ts';
import { webSocketUrlFor } from '../web-socket-url.ts';

export interface GatewayThreadOptions {
  readonly name: string;
  /** Calls from the main thread: GatewayCalls. */
  readonly control: MessagePort;
  /** Calls to the main thread: MainCalls. */
  readonly main: MessagePort;
  readonly link: MessagePort;
  readonly host: string;
  readonly httpPort: number;
  readonly wsPort: number;
  readonly allowedOrigins: readonly string[];
  readonly trustedProxies: readonly string[];
  /** What people see when something stands in front; '' = the addresses that are listened on. */
  readonly publicUrl: string;
  readonly webSocketUrl: string;
  readonly limits: SessionLimits;
  readonly epoch: number;
  readonly shardCount: number;
  readonly hashKey: Uint8Array;
  readonly featureLevel: number;
  readonly features: readonly string[];
  readonly keys: VerificationKeys;
  readonly revoked: readonly Revocation[];
  readonly accessTokenTtlMs: number;
  readonly webDir: string;
  readonly logLevel: LogLevel;
}

/** What a gateway asks of the main thread: accounts, and the page of metrics. */
export interface MainCalls extends IdentityService {
  metricsPage(): Promise<string>;
  /** Hands the end of a new Link to the store. */
  connectStore(port: MessagePort): Promise<void>;
}

export interface GatewayPorts {
  readonly httpPort: number;
  /** 0 = there is no port of its own: WebSockets are on the HTTP port. */
  readonly wsPort: number;
}

/** What the main thread may ask of a gateway. */
export interface GatewayCalls {
  start(): Promise<GatewayPorts>;
  revoked(revocations: readonly Revocation[]): Promise<void>;
  metrics(): Promise<readonly MetricSample[]>;
  /** Not ready any more; clients are told to move. Resolves when they have gone or the time is up. */
  drain(deadlineMs: number): Promise<void>;
  stop(): Promise<void>;
}

const DRAIN_LOOK_MS = 50;
const SOCKETS_FREED_MS = 50;

class GatewayThread implements GatewayCalls {
  readonly #options: GatewayThreadOptions;
  readonly #log: Logger;
  readonly #main: MainCalls;
  readonly #verifier: LocalVerifier;
  readonly #gateway: Gateway;
  readonly #addresses: ClientAddresses;
  readonly #http: Server;
  readonly #ws: WsCarrier;
  readonly #rest: Rest;
  #uws: UwsCarrier | undefined;
  #ports: GatewayPorts = { httpPort: 0, wsPort: 0 };
  #isDraining = false;

  constructor(options: GatewayThreadOptions) {
    this.#options = options;
    this.#log = createLogger(options.logLevel, options.name);
    this.#main = callsTo<MainCalls>(options.main);
    this.#verifier = this.#newVerifier();
    this.#addresses = new ClientAddresses(options.trustedProxies);
    const origins = new Origins({
      allowed: [...options.allowedOrigins, ...originsOf(options.publicUrl)],
      httpPort: () => this.#ports.httpPort,
    });
    const identity = new IdentityGateway(this.#main);
    this.#gateway = new Gateway({
      connectStore: linkSource(options.link, (port) => this.#main.connectStore(transferred(port))),
      identity,
      verifier: this.#verifier,
      clock: REAL_CLOCK,
      timers: REAL_TIMERS,
      random: REAL_RANDOM,
      log: this.#log,
      origins,
      epoch: options.epoch,
      shardCount: options.shardCount,
      hashKey: options.hashKey,
      limits: options.limits,
      featureLevel: options.featureLevel,
      features: options.features,
    });
    this.#ws = new WsCarrier(this.#gateway, this.#addresses);
    this.#rest = new Rest({
      runner: this.#gateway.runner,
      surroundings: this.#gateway.surroundings,
      verifier: this.#verifier,
      identity,
      clock: REAL_CLOCK,
      origins,
      addresses: this.#addresses,
      log: this.#log,
      files: existsSync(join(options.webDir, 'index.html'))
        ? new StaticFiles({ dir: options.webDir, connectSources: () => this.#connectSources() })
        : undefined,
      webSocketUrl: (host) => webSocketUrlFor(host, { ...options, ...this.#ports }),
      seen: (caller) => this.#gateway.seen.saw(caller),
      gateways: () => [
        {
          url: options.publicUrl || `http://${options.host}:${this.#ports.httpPort}`,
          region: '',
          load: this.#gateway.connectionCount / options.limits.connectionsMax,
        },
      ],
    });
    this.#http = createServer((request, response) => {
      if (
        !answerOps(request, response, {
          notReady: () => this.#notReady(),
          metrics: () => this.#main.metricsPage(),
        })
      )
        this.#rest.handle(request, response);
    });
    this.#ws.attach(this.#http);
  }

  get log(): Logger {
    return this.#log;
  }

  async start(): Promise<GatewayPorts> {
    const { host, limits, revoked } = this.#options;
    await this.revoked(revoked);
    this.#gateway.start();
    const httpPort = await this.#listen();
    const library = await loadUws();
    if (library !== undefined) {
      this.#uws = new UwsCarrier(library, this.#gateway, {
        host,
        port: this.#options.wsPort,
        addresses: this.#addresses,
        socketBufferHardBytes: limits.socketBufferHardBytes,
      });
      this.#ports = { httpPort, wsPort: await this.#uws.start() };
    } else {
      this.#log.info(
        'the faster WebSocket library is not installed; WebSockets are on the HTTP port alone',
      );
      this.#ports = { httpPort, wsPort: 0 };
    }
    return this.#ports;
  }

  revoked(revocations: readonly Revocation[]): Promise<void> {
    for (const revocation of revocations) {
      this.#verifier.revoke(revocation);
      const { userId, sessionId } = revocation;
      this.#gateway.revoke(
        parseId('usr', userId, 'userId'),
        parseId('ses', sessionId, 'sessionId'),
      );
    }
    return Promise.resolve();
  }

  metrics(): Promise<readonly MetricSample[]> {
    return Promise.resolve([...this.#gateway.metrics(), ...this.#rest.metrics()]);
  }

  async drain(deadlineMs: number): Promise<void> {
    this.#isDraining = true;
    this.#gateway.drain();
    const until = REAL_CLOCK.monotonicMs() + deadlineMs;
    while (this.#gateway.connectionCount > 0 && REAL_CLOCK.monotonicMs() < until)
      await new Promise((done) => setTimeout(done, DRAIN_LOOK_MS));
  }

  async stop(): Promise<void> {
    const told = this.#gateway.stop();
    this.#uws?.stop();
    this.#ws.stop();
    const closed = new Promise<void>((done) => this.#http.close(() => done()));
    this.#http.closeIdleConnections();
    const late = setTimeout(() => this.#http.closeAllConnections(), DRAIN_LOOK_MS * 10);
    await closed;
    clearTimeout(late);
    await told;
    // uWebSockets.js frees closed sockets in later turns; a process that ends before that aborts.
    await new Promise((done) => setTimeout(done, SOCKETS_FREED_MS));
  }

  #notReady(): readonly string[] {
    if (this.#isDraining) return ['draining'];
    return this.#gateway.isReady ? [] : ['the store cannot be reached'];
  }

  #listen(): Promise<number> {
    const { host, httpPort } = this.#options;
    return new Promise((done, fail) => {
      this.#http.once('error', (error: NodeJS.ErrnoException) => {
        const settings = { hostSetting: 'PARLEY_HOST', portSetting: 'PARLEY_HTTP_PORT' };
        const code = error.code ?? error.message;
        fail(cannotListen({ what: 'HTTP', host, port: httpPort, ...settings, code }));
      });
      this.#http.listen(httpPort, host, () => {
        const address = this.#http.address();
        done(typeof address === 'object' && address !== null ? address.port : httpPort);
      });
    });
  }

  /** What the page may connect to beside its own origin: the fast port, under whatever name it was reached. */
  #connectSources(): readonly string[] {
    const { webSocketUrl } = this.#options;
    if (webSocketUrl !== '') return originsOf(webSocketUrl);
    return this.#ports.wsPort === 0 ? [] : [`ws://*:${this.#ports.wsPort}`];
  }

  #newVerifier(): LocalVerifier {
    const { keys, accessTokenTtlMs } = this.#options;
    const verifier = new AccessTokenVerifier({
      keys,
      onUnknownKey: () => {
        this.#main.verificationKeys().then(
          (fresh) => verifier.setKeys(fresh),
          (error: unknown) =>
            this.#log.warn('verification keys could not be read', { cause: String(error) }),
        );
      },
    });
    return new LocalVerifier({
      verifier,
      clock: REAL_CLOCK,
      timers: REAL_TIMERS,
      accessTokenTtlMs,
    });
  }
}

/** Scheme, host and port of a configured URL; none of an empty one. */
function originsOf(url: string): readonly string[] {
  if (!URL.canParse(url)) return [];
  const { protocol, host } = new URL(url);
  return [`${protocol}//${host}`];
}

// The options are what the main thread put there; a worker has no other caller.
// oxlint-disable-next-line typescript/no-unsafe-type-assertion
const options = workerData as GatewayThreadOptions;
const thread = new GatewayThread(options);
serveCalls(options.control, thread, thread.log);
