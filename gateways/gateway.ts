/**
 * The gateway loop: sockets on one side, the Link to the store on the other. It owns no state that
 * a restart would lose: connections resume with their sync tokens, commands are retried by their
 * senders.
 *
 * Order of a turn: records of a slab are handled one after another, each row encoded at most once a
 * format and put into the batches of its connections; when the turn ends every connection with
 * something due gets it in one WebSocket message.
 */
import { hex } from '../core/bytes.ts';
import type { Clock, Random, Timer, Timers } from '../core/clock.ts';
import { ParleyError, toParleyError, type Reason } from '../core/errors.ts';
import { encodeId, newRawId } from '../core/ids.ts';
import type { Link } from '../core/link.ts';
import type { Logger, Metered, MetricSample } from '../core/observe.ts';
import { payloadHash } from '../core/payload-hash.ts';
import { Connection, type ConnectionHost } from './connection.ts';
import { FanOut } from './fan-out.ts';
import { Feed } from './feed.ts';
import { KnownUsers } from './known-users.ts';
import { LastSeen } from './last-seen.ts';
import type { Origins } from './origins.ts';
import type { IdentityPort, TokenVerifier } from './ports.ts';
import { contentBytes, readRequest } from './request-codecs.ts';
import { RoutineRunner } from './routine-runner.ts';
import { Routes } from './routes.ts';
import type { SessionLimits } from './session/limits.ts';
import { Session } from './session/session.ts';
import type { Effect, Surroundings } from './session/session-contract.ts';
import { StoreLink } from './store-link.ts';
import {
  SUBPROTOCOLS,
  type Handshake,
  type HandshakeVerdict,
  type Socket,
  type SocketAcceptor,
  type SocketEvents,
} from './websocket/socket.ts';
import { Batch, type Format } from './wire.ts';
import { Wheel } from './wheel.ts';

export interface GatewayOptions {
  /** Makes a fresh Link to the store. May throw: it is tried again. */
  readonly connectStore: () => Link;
  readonly identity: IdentityPort;
  readonly verifier: TokenVerifier;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly log: Logger;
  readonly epoch: number;
  readonly shardCount: number;
  /** Key of payload hashes, the cluster's. */
  readonly hashKey: Uint8Array;
  readonly limits: SessionLimits;
  readonly featureLevel: number;
  readonly features: readonly string[];
  readonly origins: Origins;
}

const VERIFICATIONS_MAX = 10_000;
const DRAIN_SPREAD_MS = 2000;

export class Gateway implements SocketAcceptor, ConnectionHost, Metered {
  readonly surroundings: Surroundings;
  readonly runner: RoutineRunner;
  readonly users: KnownUsers;
  readonly seen: LastSeen;
  readonly #options: GatewayOptions;
  readonly #link: StoreLink;
  readonly #routes = new Routes();
  readonly #feed: Feed;
  readonly #connections = new Set<Connection>();
  readonly #fanOut: FanOut;
  readonly #wheel: Wheel<Connection>;
  #dirty: Connection[] = [];
  #roots: Partial<Record<Format, Batch>> = {};
  #isFlushArmed = false;
  #wheelTimer: Timer | undefined;
  #verifying = 0;
  #isDraining = false;
  readonly #closes = new Map<string, number>();

  constructor(options: GatewayOptions) {
    this.#options = options;
    this.#feed = new Feed(options.shardCount);
    this.#wheel = new Wheel(options.clock.monotonicMs());
    this.users = new KnownUsers(options.identity, options.timers);
    this.seen = new LastSeen(options);
    this.#fanOut = new FanOut({
      routes: this.#routes,
      feed: this.#feed,
      log: options.log,
      nowMs: () => this.nowMs(),
      resync: () => this.#resync(),
      revoke: (user, session) => this.revoke(user, session),
    });
    this.#link = new StoreLink({
      connect: options.connectStore,
      clock: options.clock,
      timers: options.timers,
      log: options.log,
      pushed: (kind, at, slab) => this.#fanOut.record(kind, at, slab),
      slabDone: () => this.#armFlush(),
      connected: (isFirst) => this.#connected(isFirst),
    });
    this.runner = new RoutineRunner({
      link: this.#link,
      users: this.users,
      identity: options.identity,
      log: options.log,
      clock: options.clock,
      authRate: options.limits.requestRate,
    });
    this.surroundings = this.#surroundings();
  }

  start(): void {
    this.#link.start();
    this.#wheelTimer ??= this.#options.timers.every(Wheel.periodMs, () => this.#advance());
  }

  /** Tells every connection to move; new ones are refused with DRAINING. */
  drain(): void {
    this.#isDraining = true;
    const nowMs = this.nowMs();
    for (const connection of this.#connections) {
      const delayMs = Math.floor(this.#options.random.unit() * DRAIN_SPREAD_MS);
      connection.session.drain(delayMs, nowMs);
      connection.perform();
    }
  }

  /** Ends what is left. Idempotent. */
  async stop(): Promise<void> {
    this.#isDraining = true;
    for (const connection of this.#connections) {
      connection.session.close('DRAINING');
      connection.perform();
    }
    this.#wheelTimer?.cancel();
    this.#wheelTimer = undefined;
    this.#link.stop();
    await this.seen.settled();
  }

  get connectionCount(): number {
    return this.#connections.size;
  }

  /** Whether requests can be served now. */
  get isReady(): boolean {
    return this.#link.isUp && !this.#isDraining;
  }

  get verifier(): TokenVerifier {
    return this.#options.verifier;
  }

  /** Ends the connections of a session that was signed out. */
  revoke(user: Uint8Array, session: Uint8Array): void {
    const key = hex(session);
    for (const connection of this.#routes.connectionsOfUser(user)) {
      const { caller } = connection.session;
      if (caller === undefined || hex(caller.session) !== key) continue;
      connection.session.close('SESSION_REVOKED');
      connection.perform();
    }
  }

  // ---- sockets (SocketAcceptor)

  judge(handshake: Handshake): HandshakeVerdict {
    const [first] = handshake.protocols;
    const protocol = handshake.protocols.find((name) => Object.hasOwn(SUBPROTOCOLS, name));
    const format = SUBPROTOCOLS[protocol ?? ''] ?? 'json';
    // Who names no subprotocol speaks JSON; who names only others is told so by name.
    const isUnknown = protocol === undefined && first !== undefined;
    const isForeign = !this.#options.origins.mayConnect(handshake.origin, handshake.host);
    return {
      format,
      protocol: protocol ?? first ?? '',
      refusal: isForeign ? 'ORIGIN_DENIED' : isUnknown ? 'PROTOCOL_UNSUPPORTED' : undefined,
    };
  }

  accept(socket: Socket, refusal: Reason | undefined): SocketEvents {
    const nowMs = this.nowMs();
    const session = new Session({
      surroundings: this.surroundings,
      connectionId: encodeId(
        'con',
        newRawId(this.#options.clock.nowMs(), (count) => this.#options.random.bytes(count)),
      ),
      nowMs,
    });
    const connection = new Connection(session, socket, this);
    const isFull = this.#connections.size >= this.#options.limits.connectionsMax;
    this.#connections.add(connection);
    const reason =
      refusal ?? (this.#isDraining ? 'DRAINING' : isFull ? 'TOO_MANY_CONNECTIONS' : undefined);
    if (reason !== undefined) session.close(reason);
    connection.perform();
    return connection;
  }

  // ---- connections (ConnectionHost)

  nowMs(): number {
    return this.#options.clock.monotonicMs();
  }

  root(format: Format): Batch {
    return (this.#roots[format] ??= Batch.root(format));
  }

  spent(part: Uint8Array): void {
    this.#link.spent(part);
  }

  dirty(connection: Connection): void {
    this.#dirty.push(connection);
    this.#armFlush();
  }

  wake(connection: Connection): void {
    this.#wheel.schedule(connection, connection.wakeAtMs);
  }

  failed(error: ParleyError): void {
    this.#options.log.error('a request failed', { cause: String(error.cause) });
  }

  gone(connection: Connection, reason: string): void {
    this.#connections.delete(connection);
    const why = reason === '' ? 'left' : reason;
    this.#closes.set(why, (this.#closes.get(why) ?? 0) + 1);
    this.#wheel.cancel(connection);
    const { caller } = connection.session;
    if (caller === undefined) return;
    this.seen.left(caller);
    const handle = this.#routes.remove(caller, connection);
    if (handle > 0) this.#link.unroutes([handle]);
  }

  perform(connection: Connection, effect: Effect): void {
    switch (effect.is) {
      case 'verify':
        return this.#verify(connection, effect);
      case 'admit':
        return this.#admit(connection, effect);
      case 'run':
        return this.runner.run(
          effect.routine,
          (outcome) => this.#answer(connection, effect.done, outcome),
          {
            address: connection.socket.address,
            caller: connection.session.caller?.userId ?? '',
            stepped: () => connection.perform(),
            room: (go) => connection.room(go),
          },
        );
      case 'send':
        return this.#link.command(effect.command, (outcome) =>
          this.#answer(connection, effect.done, outcome),
        );
      case 'unknown-users':
        return this.users.unknown(effect.users, (outcome) =>
          this.#answer(connection, effect.done, outcome),
        );
      case 'mark':
        return this.#link.tell(effect.command);
      case 'typing': {
        const { caller } = connection.session;
        if (caller !== undefined)
          this.#link.typing(effect.conversation, caller.user, effect.isTyping);
        return;
      }
      default:
    }
  }

  metrics(): readonly MetricSample[] {
    const gauge = (name: string, help: string, value: number): MetricSample => ({
      name: `parley_gateway_${name}`,
      kind: 'gauge',
      help,
      value,
    });
    const counter = (name: string, help: string, value: number): MetricSample => ({
      name: `parley_gateway_${name}_total`,
      kind: 'counter',
      help,
      value,
    });
    const closes = [...this.#closes].map(
      ([reason, value]): MetricSample => ({
        ...counter('closes', 'Connections that ended, by reason', value),
        labels: { reason },
      }),
    );
    return [
      gauge('connections', 'Live WebSocket connections', this.#connections.size),
      gauge('users', 'Users with a live connection', this.#routes.userCount),
      gauge('routines', 'Calls and resumes under way', this.runner.runningCount),
      ...this.#fanOut.metrics(),
      ...closes,
      ...this.#link.metrics(),
    ];
  }

  // ---- effects

  #answer<T>(
    connection: Connection,
    done: (outcome: T, nowMs: number) => void,
    outcome: unknown,
  ): void {
    // The loop performs what the effect describes; its outcome has the effect's type.
    done(outcome as T, this.nowMs());
    connection.perform();
  }

  #verify(connection: Connection, effect: Extract<Effect, { is: 'verify' }>): void {
    if (this.#verifying >= VERIFICATIONS_MAX) {
      const error = new ParleyError(
        'OVERLOADED',
        'too many sign-ins at once',
        {},
        { retryAfterMs: 1000 },
      );
      return this.#answer(connection, effect.done, error);
    }
    this.#verifying++;
    const settle = (outcome: unknown): void => {
      this.#verifying--;
      this.#answer(connection, effect.done, outcome);
    };
    this.#options.verifier
      .verify(effect.token)
      .then(settle, (error: unknown) => settle(toParleyError(error)));
  }

  #admit(connection: Connection, effect: Extract<Effect, { is: 'admit' }>): void {
    const { route, isNew, replaced } = this.#routes.add(effect.caller, connection);
    this.users.add(effect.caller.user);
    this.seen.saw(effect.caller);
    if (isNew) this.#link.routes([route], false);
    if (replaced === undefined) return;
    replaced.session.close('REPLACED');
    replaced.perform();
  }

  #surroundings(): Surroundings {
    const { clock, random, epoch, hashKey, limits } = this.#options;
    const { featureLevel, features, shardCount } = this.#options;
    return {
      limits,
      featureLevel,
      features,
      shardCount,
      epoch: () => epoch,
      wallMs: () => clock.nowMs(),
      feedPositions: () => this.#feed.positions,
      contentBytes: (content) => contentBytes(content),
      payloadHash: (clientMessageId, body) => payloadHash(hashKey, clientMessageId, body),
      newUuid: () => newRawId(clock.nowMs(), (count) => random.bytes(count)),
      readRequest: (method, request) => readRequest(method, request),
      isLargeGroup: (conversation) => this.#feed.isLargeGroup(conversation),
      lastSeenMs: (conversation) => this.#feed.lastSeenMs(conversation),
    };
  }

  // ---- the Link

  #connected(isFirst: boolean): void {
    this.#link.routes(this.#routes.all(), true);
    if (isFirst) return;
    this.#resync();
  }

  #resync(): void {
    const nowMs = this.nowMs();
    for (const connection of this.#connections) {
      connection.session.resync(nowMs);
      connection.perform();
    }
  }

  // ---- the turn

  #armFlush(): void {
    if (this.#isFlushArmed) return;
    this.#isFlushArmed = true;
    this.#options.timers.soon(() => this.#flush());
  }

  #flush(): void {
    this.#isFlushArmed = false;
    const dirty = this.#dirty;
    this.#dirty = [];
    this.#roots = {};
    for (const connection of dirty) connection.flush();
    this.#link.flush();
  }

  #advance(): void {
    const nowMs = this.nowMs();
    this.#wheel.advance(nowMs, (connection) => {
      connection.session.tick(nowMs);
      // A socket that neither drains nor closes is looked at here too.
      connection.drained();
    });
  }
}
