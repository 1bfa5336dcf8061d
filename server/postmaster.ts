/**
 * A running PostgreSQL (its first process is the postmaster) seen from outside: what its pid file
 * says, whether that process really is PostgreSQL on this directory, and how it is stopped.
 * A postmaster outlives a killed server, so whoever starts next meets one (and may adopt it).
 */
import {
  closeSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  rmSync,
} from 'node:fs';
import { execFileSync } from 'node:child_process';
import { connect } from 'node:net';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

export interface Postmaster {
  readonly pid: number;
  readonly port: number;
  /** Where it listens besides its socket; '' = nowhere. */
  readonly address: string;
  /** It has its socket. What wrote this file a moment ago may be about to. */
  readonly isBound: boolean;
  /** It accepts connections (or will at once); false while it starts, recovers or stops. */
  readonly isReady: boolean;
}

const POLL_MS = 5;
/** Between a postmaster's pid file and its socket lie about 20 ms. */
const BIND_MS = 1_000;
const LOOK_PERIOD_MS = 50;
const PID_FILE = 'postmaster.pid';
const SOCKET = '.s.PGSQL.';
/** Nobody listens. A path can be too long only outside Linux, where no process is hidden. */
const NOBODY = new Set(['ENOENT', 'ECONNREFUSED', 'ENOTSOCK', 'ENAMETOOLONG']);

/** What postmaster.pid says, or undefined if it is absent or not complete yet. */
export function readPostmaster(clusterDir: string): Postmaster | undefined {
  let lines: string[];
  try {
    lines = readFileSync(join(clusterDir, PID_FILE), 'utf8').split('\n');
  } catch {
    return undefined;
  }
  const pid = Number(lines[0]);
  if (!Number.isInteger(pid) || pid <= 0) return undefined;
  const [, , , port = '', socket = '', address = '', , status = ''] = lines;
  const isReady = status.trim() === 'ready';
  return { pid, port: Number(port), address, isBound: socket !== '', isReady };
}

/**
 * Whether a PostgreSQL listens at the socket in its directory. The kernel connects by the file, so this
 * sees into every container that shares the volume, where process numbers mean nothing. It
 * listens from before the first to after the last byte that it writes, also while it recovers and while
 * it shuts down.
 *
 * LIMIT: a socket connects only within one kernel; of another machine on a network volume it tells
 * nothing. Nor does it tell of a backend that outlives a killed postmaster, which ends by itself.
 */
export async function isListening(clusterDir: string): Promise<boolean> {
  const directory = openSync(clusterDir, 'r');
  // The path of a socket has room for about a hundred bytes; this is the same place in few.
  const place = process.platform === 'linux' ? `/proc/self/fd/${directory}` : clusterDir;
  try {
    for (const name of socketFiles(clusterDir)) if (await connects(join(place, name))) return true;
    return false;
  } finally {
    closeSync(directory);
  }
}

/** Waits for whoever listens there, or is about to, to go. False if somebody stays. */
export async function untilNobodyListens(clusterDir: string, waitMs: number): Promise<boolean> {
  const isBound = (): boolean => readPostmaster(clusterDir)?.isBound !== false;
  await waitUntil(isBound, performance.now() + BIND_MS);
  const untilMs = performance.now() + waitMs;
  while (await isListening(clusterDir)) {
    if (performance.now() >= untilMs) return false;
    await sleep(LOOK_PERIOD_MS);
  }
  return true;
}

/** What a postmaster that was killed left to say that it runs. */
export function removeTraces(clusterDir: string): void {
  for (const name of [PID_FILE, ...socketFiles(clusterDir)])
    rmSync(join(clusterDir, name), { force: true });
}

/**
 * Whether `pid` is a PostgreSQL process working in `clusterDir`. PostgreSQL always works in its data
 * directory, so the kernel's word for the working directory is proof; the file's text is not.
 */
export function isPostgresOn(pid: number, clusterDir: string): boolean {
  if (process.platform !== 'linux') return isPostgresByCommand(pid, clusterDir);
  try {
    const program = basename(readlinkSync(`/proc/${pid}/exe`).replace(/ \(deleted\)$/, ''));
    return (
      program === 'postgres' &&
      readlinkSync(`/proc/${pid}/cwd`) === realpathSync(clusterDir) &&
      !isZombie(pid)
    );
  } catch {
    return false;
  }
}

/** Path of the program that `pid` runs, or undefined where that cannot be known. */
export function programOf(pid: number): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/exe`);
  } catch {
    return undefined;
  }
}

/**
 * Every PostgreSQL process on the directory, postmaster or orphaned backend. Starting beside one
 * would corrupt the cluster; PostgreSQL's own check is lost once its pid file is removed.
 */
export function postgresProcessesOn(clusterDir: string): number[] {
  if (process.platform !== 'linux') return [];
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => isPostgresOn(pid, clusterDir));
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch (thrown) {
    return thrown instanceof Error && 'code' in thrown && thrown.code === 'EPERM';
  }
  return !isZombie(pid);
}

/**
 * Ends a postmaster within the deadline: smart (clients leave by themselves), then fast (they are
 * disconnected), then immediate (the next start recovers from the log). True once it is gone.
 */
export async function stopPostmaster(pid: number, deadlineMs: number): Promise<boolean> {
  const started = performance.now();
  const steps: readonly (readonly [NodeJS.Signals, number])[] = [
    ['SIGTERM', 0.1],
    ['SIGINT', 0.7],
    ['SIGQUIT', 1],
  ];
  for (const [signal, until] of steps) {
    if (!send(pid, signal)) return true;
    if (await waitUntil(() => !isAlive(pid), started + deadlineMs * until)) return true;
  }
  return false;
}

/** Polls until the condition holds or `performance.now()` passes `untilMs`. */
export async function waitUntil(holds: () => boolean, untilMs: number): Promise<boolean> {
  while (!holds()) {
    if (performance.now() >= untilMs) return false;
    await sleep(POLL_MS);
  }
  return true;
}

/** Sockets, and the files beside them that say whose they are. */
function socketFiles(clusterDir: string): string[] {
  return readdirSync(clusterDir).filter((name) => name.startsWith(SOCKET));
}

function connects(path: string): Promise<boolean> {
  return new Promise((done) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      done(true);
    });
    socket.once('error', (error: NodeJS.ErrnoException) => done(!NOBODY.has(error.code ?? '')));
  });
}

function send(pid: number, signal: NodeJS.Signals): boolean {
  try {
    process.kill(pid, signal);
    return true;
  } catch {
    return false;
  }
}

/** A dead child that nobody has waited for still has its number, for ever under a careless init. */
function isZombie(pid: number): boolean {
  if (process.platform !== 'linux') return false;
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2, stat.lastIndexOf(')') + 3) === 'Z';
  } catch {
    return false;
  }
}

function isPostgresByCommand(pid: number, clusterDir: string): boolean {
  try {
    const command = execFileSync('ps', ['-o', 'command=', '-p', String(pid)], { encoding: 'utf8' });
    return /\bpostgres\b/.test(command) && command.includes(clusterDir);
  } catch {
    return false;
  }
}
