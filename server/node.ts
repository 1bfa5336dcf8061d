/**
 * A node: one process that carries all roles, on embedded parts unless told otherwise. Starts the
 * parts in the order in which they need each other and ends them in the reverse.
 *
 *   main      lifecycle, accounts (PostgreSQL), broker.v1, metrics
 *   store-0   shards, state (RocksDB)      store-0-sync  its log
 *   gateway   WebSockets, REST, the web client
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { MessageChannel, Worker, type MessagePort, type Transferable } from 'node:worker_threads';
import { COMMAND_KIND, NO_ID } from '../core/command.ts';
import { encodeCommand } from '../core/command-codec.ts';
import { ParleyError } from '../core/errors.ts';
import { decodeId } from '../core/ids.ts';
import { invariant } from '../core/invariant.ts';
import type { Logger, MetricSample } from '../core/observe.ts';
import { addressOf } from '../gateways/listening.ts';
import type { StoreLink } from '../gateways/store-link.ts';
import { LAN_TICKS } from '../broker/runtime/store-options.ts';
import type { IdentityService, Revocation } from '../services/identity/contract.ts';
import { openKeyFile, type KeyEncryptionKey } from '../storage-engine/key-file.ts';
import { loadRocksBinding } from '../storage-engine/rocks-binding.ts';
import { WAL_OPTIONS } from '../storage-engine/wal/wal-writer.ts';
import { startAccounts, type Accounts } from './accounts.ts';
import { openCluster, type Cluster } from './cluster.ts';
import { sessionSlice } from './config-slices.ts';
import type { Config } from './config-table.ts';
import { takeDataDirectory, type DataDirectory } from './data-directory.ts';
import { secretWrap } from './key-wrap.ts';
import { MetricsPage } from './metrics.ts';
import { REAL_CLOCK, REAL_RANDOM } from './real-time.ts';
import { Revocations } from './revocations.ts';
import { callsTo, serveCalls, transferred } from './rpc.ts';
import { grpcFront, type GrpcFront } from './grpc-front.ts';
import type {
  GatewayCalls,
  GatewayPorts,
  GatewayThreadOptions,
  MainCalls,
} from './threads/gateway-thread.ts';
import type { StoreCalls, StoreThreadOptions } from './threads/store-thread.ts';
import { checkUsedParts, recordUsedParts } from './used-parts.ts';

export interface Addresses {
  readonly url: string;
  readonly webSocketUrl: string;
  readonly grpc: string;
}

export interface NodeParts {
  readonly config: Config;
  readonly log: Logger;
  /** A part of the node failed for good: the process ends with this code. */
  readonly fatal: (code: number) => void;
}

interface Thread<Calls> {
  readonly worker: Worker;
  readonly calls: Calls;
}

export const FEATURE_LEVEL = 1;
export const FEATURES: readonly string[] = ['edit', 'delete', 'groups', 'receipts', 'typing'];
const EDITS_MAX = 100;
const SWEEP_MS = 1000;
const METRICS_DEADLINE_MS = 1000;
const HOT_TAIL_BYTES = 64 * 1024 * 1024;
const BLOCK_CACHE_BYTES = 128 * 1024 * 1024;
const DRAIN_MS = 3000;
/** Of the time that a stop has, accounts get this part: clients may have taken half of it before. */
const ACCOUNTS_SHARE = 3;
const EXIT_THREAD_FAILED = 72;
/** Objects of a send live for a few milliseconds: in a larger nursery hardly any is ever copied. */
const YOUNG_GENERATION_MB = 64;

export class ParleyNode {
  readonly #parts: NodeParts;
  readonly #revocations: Revocations;
  #data: DataDirectory | undefined;
  #accounts: Accounts | undefined;
  #store: Thread<StoreCalls> | undefined;
  #gateway: Thread<GatewayCalls> | undefined;
  #grpc: GrpcFront | undefined;
  #sweep: NodeJS.Timeout | undefined;
  #starting: Promise<void> | undefined;
  #isStopping = false;

  constructor(parts: NodeParts) {
    this.#parts = parts;
    this.#revocations = new Revocations({
      pending: (limit) => this.#accountsStarted().identity.pendingRevocations(limit),
      markAnnounced: (sessionIds) => this.#accountsStarted().identity.markAnnounced(sessionIds),
      refuse: async (revocations) => this.#gateway?.calls.revoked(revocations),
      append: (revocation) => append(this.#grpc?.link, revocation),
      log: parts.log,
    });
  }

  /** The key file that this start made; undefined if it was there. To be shown to the operator. */
  newKeyFile: string | undefined;

  start(): Promise<Addresses> {
    const starting = this.#start();
    this.#starting = starting.then(
      () => undefined,
      () => undefined,
    );
    return starting;
  }

  async #start(): Promise<Addresses> {
    const { config, log } = this.#parts;
    // The binding must be loaded on the main thread before any worker loads it.
    loadRocksBinding();
    const data = takeDataDirectory(config.dataDir, { unseenOwner: 'left' });
    this.#data = data;
    const keyFile = openKeyFile(config.keyFile, {
      isDataDirectoryNew: data.isNew,
      random: REAL_RANDOM,
    });
    if (keyFile.created) this.newKeyFile = keyFile.path;
    const wrap = secretWrap(keyFile.secret);
    const cluster = openCluster({
      dataDir: data.path,
      isNew: data.isNew,
      shards: config.shards,
      wrap,
      clock: REAL_CLOCK,
      random: REAL_RANDOM,
    });
    checkUsedParts(data.path);
    if (cluster.shards !== config.shards)
      log.warn(
        `PARLEY_SHARDS is ${config.shards}, but this data directory was made with ${cluster.shards} shards, which it keeps`,
      );
    // The lock file judges by process numbers, which another container does not see; the kernel's lock
    // on the store does not err. So nothing beside the store is touched before that is held, and no
    // lock file of an owner that cannot be seen replaced.
    const store = this.#spawnStore(keyFile, cluster);
    await store.open();
    data.claim();
    const accounts = startAccounts({
      config,
      keyWrap: wrap,
      clock: REAL_CLOCK,
      log,
      onRevoked: (revocations) => this.#revocations.ended(revocations),
    }).then((started) => {
      this.#accounts = started;
    });
    // Both end before a failure goes on: `stop` then finds all that runs.
    await both(accounts, store.start());
    recordUsedParts(data.path);
    const gateway = await this.#startGateway(cluster);
    this.#gateway = gateway;
    const ports = await gateway.calls.start();
    this.#grpc = await this.#startGrpc(cluster);
    this.#sweep = setInterval(() => this.#revocations.sweep(), SWEEP_MS).unref();
    this.#revocations.sweep();
    return this.#addresses(ports, this.#grpc.port);
  }

  /** Drains and ends everything; what is still starting is awaited first. Idempotent. */
  async stop(): Promise<void> {
    if (this.#isStopping) return;
    this.#isStopping = true;
    await this.#starting;
    clearInterval(this.#sweep);
    await this.#gateway?.calls.drain(Math.min(DRAIN_MS, this.#parts.config.drainDeadlineMs / 2));
    await Promise.all([this.#grpc?.stop(), this.#gateway?.calls.stop()]);
    try {
      await this.#endAccounts(Math.floor(this.#parts.config.drainDeadlineMs / ACCOUNTS_SHARE));
    } finally {
      // Last: who gets the kernel's lock on the store may start a PostgreSQL on the same files.
      await this.#store?.calls.stop();
      await Promise.all([this.#store?.worker.terminate(), this.#endGateway()]);
    }
    this.#data?.release();
  }

  /** Bounded by a part of the stop's time: the store wants to flush as well, within the rest. */
  async #endAccounts(deadlineMs: number): Promise<void> {
    const ended = this.#revocations.stop().then(() => this.#accounts?.stop(deadlineMs));
    const late = sleep(deadlineMs, undefined, { ref: false }).then(() => {
      throw new ParleyError('DEADLINE', `the accounts did not end in ${deadlineMs} ms`);
    });
    await Promise.race([ended, late]);
  }

  // uWebSockets.js aborts the process when its thread ends while it still holds a handle; the
  // process ends right after this, and its threads with it.
  #endGateway(): Promise<void> {
    this.#gateway?.worker.unref();
    return Promise.resolve();
  }

  readonly #page: MetricsPage = new MetricsPage(() => this.#collect());

  async #collect(): Promise<readonly MetricSample[]> {
    const asked = [this.#store?.calls.metrics(), this.#gateway?.calls.metrics()];
    const late = new Promise<readonly MetricSample[]>((done) =>
      setTimeout(() => done([]), METRICS_DEADLINE_MS).unref(),
    );
    const samples = await Promise.all(
      asked.map((one) => Promise.race([one ?? Promise.resolve([]), late])),
    );
    return [...samples.flat(), ...(this.#grpc?.metrics() ?? [])];
  }

  #spawnStore(keyFile: KeyEncryptionKey, cluster: Cluster): StoreCalls {
    const { config } = this.#parts;
    const directory = join(config.dataDir, 'store-0');
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    const { port1, port2 } = new MessageChannel();
    const options: StoreThreadOptions = {
      name: 'store-0',
      control: port2,
      directory,
      keyFile,
      logLevel: config.logLevel,
      stateCacheBytes: config.stateCacheBytes,
      settings: {
        clusterId: cluster.clusterId,
        epoch: cluster.epoch,
        hashKey: cluster.hashKey,
        membersMax: config.groupMembersMax,
        editWindowMs: config.editWindowMs,
        editsMax: EDITS_MAX,
        featureLevel: FEATURE_LEVEL,
      },
      limits: {
        shards: cluster.shards,
        flushIntervalMs: config.flushIntervalMs,
        flushBytesMax: config.flushBytesMax,
        residentBytesMax: config.residentBytesMax,
        hotTailBytesMax: HOT_TAIL_BYTES,
        blockCacheBytesMax: BLOCK_CACHE_BYTES,
        uncommittedShardBytesMax: config.uncommittedShardBytesMax,
        uncommittedStoreBytesMax: config.uncommittedStoreBytesMax,
        groupHeadsMembersMin: config.groupHeadsMembersMin,
        ...LAN_TICKS,
      },
      wal: {
        ...WAL_OPTIONS,
        segmentBytes: config.walSegmentBytes,
        retentionBytes: config.walBytesMax,
        reserveBytes: config.walReserveBytes,
        freeShareMin: config.diskFreePercentMin / 100,
      },
    };
    const worker = this.#spawn('store-thread', options, [port2]);
    const calls = callsTo<StoreCalls>(port1, {
      // A recovery takes what it takes; a stop has the drain's own bound (main ends the process).
      unbounded: ['open', 'start', 'stop'],
    });
    this.#store = { worker, calls };
    return calls;
  }

  async #startGateway(cluster: Cluster): Promise<Thread<GatewayCalls>> {
    const { config, log } = this.#parts;
    const { identity } = this.#accountsStarted();
    const control = new MessageChannel();
    const main = new MessageChannel();
    serveCalls(
      main.port1,
      mainCalls(identity, {
        metricsPage: () => this.#page.text(),
        connectStore: (port) => this.#connectStore(port),
      }),
      log,
    );
    const options: GatewayThreadOptions = {
      name: 'gateway',
      control: control.port2,
      main: main.port2,
      link: await this.#newLink(),
      host: config.host,
      httpPort: config.httpPort,
      wsPort: config.wsPort,
      allowedOrigins: config.allowedOrigins,
      trustedProxies: config.trustedProxies,
      publicUrl: config.publicUrl,
      webSocketUrl: config.webSocketUrl,
      limits: sessionSlice(config),
      epoch: cluster.epoch,
      shardCount: cluster.shards,
      hashKey: cluster.hashKey,
      featureLevel: FEATURE_LEVEL,
      features: FEATURES,
      keys: await identity.verificationKeys(),
      revoked: await identity.revokedSince(REAL_CLOCK.nowMs() - config.accessTokenTtlMs),
      accessTokenTtlMs: config.accessTokenTtlMs,
      webDir: fileURLToPath(new URL('../../clients/web/dist', import.meta.url)),
      logLevel: config.logLevel,
    };
    const worker = this.#spawn('gateway-thread', options, [
      options.control,
      options.main,
      options.link,
    ]);
    return { worker, calls: callsTo<GatewayCalls>(control.port1) };
  }

  async #startGrpc(cluster: Cluster): Promise<GrpcFront> {
    const { config, log } = this.#parts;
    const { identity } = this.#accountsStarted();
    return grpcFront({
      config,
      log,
      cluster,
      identity,
      port: await this.#newLink(),
      connectStore: (port) => this.#connectStore(port),
    });
  }

  #addresses(ports: GatewayPorts, grpcPort: number): Addresses {
    const { host, grpcHost } = this.#parts.config;
    const wsPort = ports.wsPort === 0 ? ports.httpPort : ports.wsPort;
    return {
      url: `http://${reachable(host, ports.httpPort)}`,
      webSocketUrl: `ws://${reachable(host, wsPort)}/v1/ws`,
      grpc: reachable(grpcHost, grpcPort),
    };
  }

  /** A fresh Link to the store: the end that the caller keeps. */
  async #newLink(): Promise<MessagePort> {
    const { port1, port2 } = new MessageChannel();
    await this.#connectStore(port2);
    return port1;
  }

  async #connectStore(port: MessagePort): Promise<void> {
    await this.#store?.calls.connect(transferred(port));
  }

  #spawn(name: string, workerData: object, transferList: Transferable[]): Worker {
    const { log, fatal } = this.#parts;
    const worker = new Worker(new URL(`./threads/${name}.js`, import.meta.url), {
      workerData,
      transferList,
      resourceLimits: { maxYoungGenerationSizeMb: YOUNG_GENERATION_MB },
    });
    worker.on('error', (error) => {
      log.error('a thread failed', { thread: name, cause: String(error) });
      fatal(EXIT_THREAD_FAILED);
    });
    worker.on('exit', (code) => {
      if (!this.#isStopping) fatal(code === 0 ? EXIT_THREAD_FAILED : code);
    });
    return worker;
  }

  #accountsStarted(): Accounts {
    const accounts = this.#accounts;
    invariant(accounts !== undefined, 'node.accounts-started');
    return accounts;
  }
}

/** Whether its account log holds the revocation: connections end by it too (DESIGN §5). */
function append(link: StoreLink | undefined, { userId, sessionId }: Revocation): Promise<boolean> {
  if (link === undefined) return Promise.resolve(false);
  const user = decodeId('usr', userId);
  const session = decodeId('ses', sessionId);
  invariant(user !== undefined && session !== undefined, 'node.revocation-has-ids');
  const command = encodeCommand({
    kind: COMMAND_KIND.accountSessionRevoked,
    timeMs: 0,
    key: user,
    caller: NO_ID,
    session,
  });
  return new Promise((done) =>
    link.command(command, (outcome) => done(!(outcome instanceof ParleyError))),
  );
}

/** What gateways call on the main thread: the accounts, and what the node itself has for them. */
function mainCalls(identity: IdentityService, own: Omit<MainCalls, keyof IdentityService>): object {
  return new Proxy(identity, {
    get: (target, name) => {
      if (Object.hasOwn(own, name)) return Reflect.get(own, name) as unknown;
      const member: unknown = Reflect.get(target, name);
      return typeof member === 'function'
        ? (...args: unknown[]) => Reflect.apply(member, target, args) as unknown
        : undefined;
    },
  });
}

/** Where this machine reaches what listens there. */
function reachable(host: string, port: number): string {
  return addressOf(host === '0.0.0.0' || host === '::' ? 'localhost' : host, port);
}

/** Both, or the first failure once both have ended: nothing goes on behind a failed start. */
async function both(a: Promise<void>, b: Promise<void>): Promise<void> {
  for (const ended of await Promise.allSettled([a, b]))
    if (ended.status === 'rejected') throw ended.reason;
}
