/**
 * The embedded PostgreSQL: a real server from npm's binaries, kept in `<data dir>/postgres` and
 * reached through a socket inside it. It starts with ours and stops with ours. When ours is killed it
 * lives on for a while: the next start adopts it, else a guard ends it, so none is left for ever.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  chownSync,
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  realpathSync,
  renameSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createServer, Socket } from 'node:net';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { ParleyError } from '../core/errors.ts';
import { accountFor, giveTo, type RunAs } from './postgres-account.ts';
import { installedBinaries, runnableBinaries } from './postgres-binaries.ts';
import {
  cannotRun,
  clusterSpawn,
  explain,
  makeCluster,
  POSTGRES_DATABASE,
  POSTGRES_USER,
  serverArguments,
  SOCKET_PORT,
  type Listen,
} from './postgres-cluster.ts';
import {
  isAlive,
  isPostgresOn,
  postgresProcessesOn,
  programOf,
  readPostmaster,
  removeTraces,
  stopPostmaster,
  untilNobodyListens,
  waitUntil,
} from './postmaster.ts';
import { Secret } from './secret.ts';

/** What a client needs to connect. `host` is a directory (unix socket) or 127.0.0.1. */
export interface PostgresConnection {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: Secret;
  readonly database: string;
}

export interface EmbeddedPostgresOptions {
  /** The server's data directory; it exists. */
  readonly dataDir: string;
  /** How long it may outlive a killed server. The default gives a restart a minute. */
  readonly orphanLingerMs?: number;
  /** How long a start waits for one that another container runs on the same data. */
  readonly othersWaitMs?: number;
  /** Told when it died and is being started again, and why that failed. */
  readonly onTrouble?: (trouble: ParleyError) => void;
}

const ORPHAN_LINGER_MS = 60_000;
/** Crash recovery of at most 64 MB of log takes seconds; a slow disk gets its time. */
const READY_DEADLINE_MS = 60_000;
const ADOPT_DEADLINE_MS = 5_000;
const STOP_DEADLINE_MS = 6_000;
const WATCH_PERIOD_MS = 1_000;
const REVIVE_WAIT_MAX_MS = 10_000;
const PORT_ATTEMPTS_MAX = 5;
const LOG_BYTES_MAX = 4 * 1024 * 1024;
/** sun_path holds 104 bytes on the strictest platform, the last a zero. */
const SOCKET_PATH_BYTES_MAX = 103;

/** Runs beside PostgreSQL: ends it some time after our end of the pipe is gone, unless adopted. */
const GUARD = `read -r _; sleep "$1"
[ "$(cat parley.owner)" = "$2" ] || exit 0
read -r pid < postmaster.pid && [ "$pid" = "$3" ] || exit 0
[ ! -d /proc/self ] || [ "/proc/$3/cwd" -ef . ] || exit 0
kill -INT "$3"`;

export class EmbeddedPostgres {
  readonly #options: EmbeddedPostgresOptions;
  readonly #clusterDir: string;
  #runAs: RunAs | undefined;
  #listen: Listen | undefined;
  #pid: number | undefined;
  #guard: ChildProcess | undefined;
  #watch: NodeJS.Timeout | undefined;
  #reviving: Promise<void> | undefined;
  #isStopping = false;

  constructor(options: EmbeddedPostgresOptions) {
    this.#options = options;
    this.#clusterDir = join(resolve(options.dataDir), 'postgres');
  }

  /** Process id of the postmaster while it runs. */
  get pid(): number | undefined {
    return this.#pid;
  }

  /**
   * Makes, adopts or starts the cluster. After it, connections are accepted and the database exists.
   * The caller holds the data directory's lock: two servers never start one cluster at once. One that
   * runs in another container is waited for, then the start is refused: it is not ours to end.
   */
  async start(): Promise<PostgresConnection> {
    this.#isStopping = false;
    try {
      return await this.#open();
    } catch (thrown) {
      throw refusalOf(this.#clusterDir, thrown);
    }
  }

  async #open(): Promise<PostgresConnection> {
    const clusterDir = this.#clusterDir;
    const { dataDir } = this.#options;
    const owner = existsSync(clusterDir) ? statSync(clusterDir).uid : undefined;
    this.#runAs = accountFor(owner);
    if (owner === 0 && this.#runAs !== undefined) giveTo(clusterDir, this.#runAs);
    const isNew = !existsSync(join(clusterDir, 'PG_VERSION'));
    const password = isNew ? newPassword(dataDir) : readPassword(dataDir);
    const { initdb } = this.#binaries();
    await makeCluster({ initdb, clusterDir, password: password.reveal(), runAs: this.#runAs });
    const connection = await this.#run(password);
    await ensureDatabase(connection);
    this.#watch = setInterval(() => this.#check(), WATCH_PERIOD_MS);
    this.#watch.unref();
    return connection;
  }

  /** Ends it within the deadline. Idempotent. Clients should have left before. */
  async stop(deadlineMs: number = STOP_DEADLINE_MS): Promise<void> {
    this.#isStopping = true;
    clearInterval(this.#watch);
    await this.#reviving;
    const pid = this.#pid;
    this.#pid = undefined;
    const isGone = pid === undefined || (await stopPostmaster(pid, deadlineMs));
    this.#guard?.removeAllListeners().kill('SIGKILL');
    this.#guard = undefined;
    if (!isGone)
      throw new ParleyError(
        'DEADLINE',
        `PostgreSQL (process ${pid}) did not stop in ${deadlineMs} ms`,
      );
  }

  async #run(password: Secret): Promise<PostgresConnection> {
    return (await this.#adopt(password)) ?? (await this.#launch(password));
  }

  /** Connects to a PostgreSQL that a killed server left behind, if it is ours and well. */
  async #adopt(password: Secret): Promise<PostgresConnection | undefined> {
    const found = readPostmaster(this.#clusterDir);
    if (found === undefined || !isPostgresOn(found.pid, this.#clusterDir)) return undefined;
    const wanted = realpathSync(this.#binaries().postgres);
    const program = programOf(found.pid);
    const deadline = performance.now() + ADOPT_DEADLINE_MS;
    if (program === undefined || program === wanted) {
      const isOver = (): boolean =>
        !isAlive(found.pid) || readPostmaster(this.#clusterDir)?.isReady === true;
      await waitUntil(isOver, deadline);
      const connection = connectionTo(this.#clusterDir, password);
      if (connection !== undefined && isAlive(found.pid) && (await answers(connection))) {
        this.#pid = found.pid;
        this.#listen = listenOf(connection);
        this.#startGuard(found.pid, this.#sign());
        return connection;
      }
    }
    // It is stopping, replaced by an update, or hangs: its end is waited for, then ours starts.
    if (!(await stopPostmaster(found.pid, STOP_DEADLINE_MS)))
      throw new ParleyError(
        'BACKEND_UNAVAILABLE',
        `PostgreSQL (process ${found.pid}) still runs on ${this.#clusterDir}, does not answer and does not stop: end it with kill -9 ${found.pid}, then start again`,
      );
    return undefined;
  }

  async #launch(password: Secret): Promise<PostgresConnection> {
    await this.#clearRemains();
    for (let attempt = 1; ; attempt++) {
      this.#listen ??= await chooseListen(this.#clusterDir);
      try {
        await this.#spawnPostmaster(this.#listen);
        break;
      } catch (thrown) {
        const isTaken = thrown instanceof ParleyError && /port is taken/.test(thrown.message);
        if (!isTaken || attempt === PORT_ATTEMPTS_MAX) throw thrown;
        this.#listen = undefined;
      }
    }
    return connectionVia(this.#listen, this.#clusterDir, password);
  }

  /** After a crash: waits for orphaned backends, then removes a pid file that names nobody of ours. */
  async #clearRemains(): Promise<void> {
    await this.#othersGone();
    const remains = (): number[] => postgresProcessesOn(this.#clusterDir);
    const areGone = (): boolean => remains().length === 0;
    if (!(await waitUntil(areGone, performance.now() + STOP_DEADLINE_MS))) {
      for (const pid of remains()) process.kill(pid, 'SIGKILL');
      await waitUntil(areGone, performance.now() + STOP_DEADLINE_MS);
    }
    // The number in these may by now belong to a stranger, which PostgreSQL would take for itself.
    removeTraces(this.#clusterDir);
  }

  /**
   * What was found by its number has been adopted or ended: whoever listens still is of another pid
   * namespace. A second PostgreSQL beside it would write over what it acknowledged.
   */
  async #othersGone(): Promise<void> {
    const waitMs = this.#options.othersWaitMs ?? STOP_DEADLINE_MS;
    if (!(await untilNobodyListens(this.#clusterDir, waitMs)))
      throw new ParleyError(
        'BACKEND_UNAVAILABLE',
        `another container runs a PostgreSQL on ${this.#clusterDir}: stop the server or the operator's command there that uses it, then start again; if that was killed, its PostgreSQL ends by itself within a minute or two`,
      );
  }

  async #spawnPostmaster(listen: Listen): Promise<void> {
    const logPath = join(this.#options.dataDir, 'postgres.log');
    const log = openLog(logPath);
    const logStart = statSync(logPath).size;
    const program = this.#binaries().postgres;
    // Before the spawn: what can fail fails while there is nothing to end.
    const nonce = this.#sign();
    // Detached: a Ctrl-C in the terminal is for the server, which ends PostgreSQL after draining.
    const child = spawn(program, serverArguments(this.#clusterDir, listen), {
      ...clusterSpawn(this.#clusterDir, this.#runAs),
      stdio: ['ignore', log, log],
      detached: true,
    });
    closeSync(log);
    let failure: Error | undefined;
    child.on('error', (cause) => (failure = cannotRun(program, cause)));
    child.on('exit', () => {
      failure ??= new ParleyError('BACKEND_UNAVAILABLE', 'PostgreSQL ended');
      this.#check();
    });
    child.unref();
    // At once: a server killed before PostgreSQL is ready leaves an orphan as well.
    if (child.pid !== undefined) this.#startGuard(child.pid, nonce);
    const isSettled = (): boolean => {
      const found = readPostmaster(this.#clusterDir);
      return failure !== undefined || (found?.isReady === true && found.pid === child.pid);
    };
    const isInTime = await waitUntil(isSettled, performance.now() + READY_DEADLINE_MS);
    if (failure === undefined && isInTime) {
      this.#pid = child.pid;
      return;
    }
    if (child.pid === undefined) throw failure ?? cannotRun(program, new Error('no process'));
    await stopPostmaster(child.pid, STOP_DEADLINE_MS);
    const said = readFileSync(logPath).subarray(logStart).toString();
    throw explain(
      said,
      isInTime ? 'PostgreSQL did not start' : 'PostgreSQL did not become ready in time',
    );
  }

  /** Puts our sign on the cluster, which ends the rights of every guard before, and returns it. */
  #sign(): string {
    const nonce = randomBytes(12).toString('hex');
    const ownerFile = join(this.#clusterDir, 'parley.owner');
    writeFileSync(ownerFile, nonce, { mode: 0o600 });
    if (this.#runAs !== undefined) chownSync(ownerFile, this.#runAs.uid, this.#runAs.gid);
    return nonce;
  }

  #startGuard(pid: number, nonce: string): void {
    this.#guard?.removeAllListeners().kill('SIGKILL');
    const lingerMs = this.#options.orphanLingerMs ?? ORPHAN_LINGER_MS;
    const args = [
      '-c',
      GUARD,
      'parley-postgres-guard',
      String(lingerMs / 1000),
      nonce,
      String(pid),
    ];
    const guard = spawn('/bin/sh', args, {
      ...clusterSpawn(this.#clusterDir, this.#runAs),
      stdio: ['pipe', 'ignore', 'ignore'],
      detached: true,
    });
    // LIMIT: without /bin/sh an orphan lives until the next start adopts it.
    guard.on('error', () => undefined);
    guard.stdin.on('error', () => undefined);
    guard.unref();
    if (guard.stdin instanceof Socket) guard.stdin.unref();
    this.#guard = guard;
  }

  /** Starts it again when it died (out of memory, a stray kill): clients reconnect by themselves. */
  #check(): void {
    if (this.#isStopping || this.#reviving !== undefined || this.#pid === undefined) return;
    if (isAlive(this.#pid)) return;
    this.#reviving = this.#revive().finally(() => {
      this.#reviving = undefined;
    });
  }

  async #revive(): Promise<void> {
    this.#options.onTrouble?.(
      new ParleyError('BACKEND_UNAVAILABLE', 'PostgreSQL ended by itself and is started again'),
    );
    for (let waitMs = 100; !this.#isStopping; waitMs = Math.min(2 * waitMs, REVIVE_WAIT_MAX_MS)) {
      try {
        await this.#run(readPassword(this.#options.dataDir));
        return;
      } catch (thrown) {
        // Whatever it is (a full disk, a lost file), chats go on without it and it may pass.
        this.#options.onTrouble?.(refusalOf(this.#clusterDir, thrown));
      }
      await sleep(waitMs, undefined, { ref: false });
    }
  }

  #binaries(): ReturnType<typeof runnableBinaries> {
    return runnableBinaries(installedBinaries(), this.#runAs, this.#options.dataDir);
  }
}

/**
 * Connection to the embedded PostgreSQL of a data directory if it runs (under a server, or left by
 * one), for the operator's tools. It is neither adopted nor stopped.
 */
export function runningPostgres(dataDir: string): PostgresConnection | undefined {
  const clusterDir = join(resolve(dataDir), 'postgres');
  const found = readPostmaster(clusterDir);
  if (found === undefined || !isPostgresOn(found.pid, clusterDir)) return undefined;
  return connectionTo(clusterDir, readPassword(dataDir));
}

function connectionTo(clusterDir: string, password: Secret): PostgresConnection | undefined {
  const found = readPostmaster(clusterDir);
  if (found?.isReady !== true) return undefined;
  const listen: Listen =
    found.address === '' ? { kind: 'socket' } : { kind: 'tcp', port: found.port };
  return connectionVia(listen, clusterDir, password);
}

function connectionVia(listen: Listen, clusterDir: string, password: Secret): PostgresConnection {
  const place =
    listen.kind === 'socket'
      ? { host: clusterDir, port: SOCKET_PORT }
      : { host: '127.0.0.1', port: listen.port };
  return { ...place, user: POSTGRES_USER, password, database: POSTGRES_DATABASE };
}

function listenOf(connection: PostgresConnection): Listen {
  return connection.host === '127.0.0.1'
    ? { kind: 'tcp', port: connection.port }
    : { kind: 'socket' };
}

async function chooseListen(clusterDir: string): Promise<Listen> {
  const socket = join(clusterDir, `.s.PGSQL.${SOCKET_PORT}`);
  if (Buffer.byteLength(socket) <= SOCKET_PATH_BYTES_MAX) return { kind: 'socket' };
  const probe = createServer();
  const port = await new Promise<number>((found, reject) => {
    probe.on('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address();
      found(typeof address === 'object' && address !== null ? address.port : 0);
    });
  });
  await new Promise((closed) => probe.close(closed));
  return { kind: 'tcp', port };
}

/** Whether it lets us in: proves that it is awake and that the password is its own. */
async function answers(connection: PostgresConnection): Promise<boolean> {
  const client = clientOf(connection, 'postgres');
  try {
    await client.connect();
    return true;
  } catch {
    return false;
  } finally {
    await client.end().catch(() => undefined);
  }
}

async function ensureDatabase(connection: PostgresConnection): Promise<void> {
  const client = clientOf(connection, 'postgres');
  try {
    await client.connect();
    const found = await client.query('select 1 from pg_database where datname = $1', [
      connection.database,
    ]);
    if (found.rowCount === 0) await client.query(`create database ${POSTGRES_DATABASE}`);
  } catch (cause) {
    throw explain(
      `error: ${cause instanceof Error ? cause.message : ''}`,
      'PostgreSQL runs but cannot be used',
    );
  } finally {
    await client.end().catch(() => undefined);
  }
}

function clientOf(connection: PostgresConnection, database: string): pg.Client {
  const { host, port, user, password } = connection;
  const deadlines = {
    connectionTimeoutMillis: ADOPT_DEADLINE_MS,
    query_timeout: READY_DEADLINE_MS,
  };
  const client = new pg.Client({
    host,
    port,
    user,
    password: password.reveal(),
    database,
    ...deadlines,
  });
  client.on('error', () => undefined);
  return client;
}

/** Files could not be made, owned or read: the file system says why in its code. */
function refusalOf(clusterDir: string, cause: unknown): ParleyError {
  if (cause instanceof ParleyError) return cause;
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'error';
  const advice =
    code === 'ENOSPC' || code === 'EDQUOT'
      ? 'the disk is full: free some space and start again'
      : 'check the owner and the kind of the file system of the data directory (it must allow changing owners when the server runs as root), or set PARLEY_POSTGRES_URL';
  return new ParleyError(
    'BACKEND_UNAVAILABLE',
    `PostgreSQL cannot use ${clusterDir} (${code}): ${advice}`,
    {},
    { cause },
  );
}

/** Kept over the making: a crash between writing it and the finished cluster reuses it. */
function newPassword(dataDir: string): Secret {
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  const path = passwordPath(dataDir);
  if (!existsSync(path)) {
    const text = JSON.stringify({ password: randomBytes(24).toString('base64url') });
    writeFileSync(`${path}.new`, `${text}\n`, { mode: 0o600, flush: true });
    renameSync(`${path}.new`, path);
  }
  return readPassword(dataDir);
}

function readPassword(dataDir: string): Secret {
  const path = passwordPath(dataDir);
  try {
    const kept: unknown = JSON.parse(readFileSync(path, 'utf8'));
    if (typeof kept === 'object' && kept !== null && 'password' in kept) {
      const { password } = kept;
      if (typeof password === 'string') return new Secret(password);
    }
  } catch (cause) {
    throw new ParleyError(
      'BACKEND_UNAVAILABLE',
      `${path} (the password of the embedded PostgreSQL) cannot be read: restore it from a backup of the data directory`,
      {},
      { cause },
    );
  }
  throw new ParleyError(
    'BACKEND_UNAVAILABLE',
    `${path} holds no password: restore it from a backup of the data directory`,
  );
}

function passwordPath(dataDir: string): string {
  return join(dataDir, 'postgres.json');
}

/** Its log goes to a file, not through us: a pipe would break when we are killed. */
function openLog(path: string): number {
  if (existsSync(path) && statSync(path).size > LOG_BYTES_MAX) renameSync(path, `${path}.old`);
  return openSync(path, 'a', 0o600);
}
