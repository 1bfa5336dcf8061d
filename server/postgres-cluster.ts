/**
 * The embedded cluster on disk: making it once, its settings, and what its complaints mean.
 * PostgreSQL is started with its directory as the working directory and addresses it as
 * /proc/self/cwd on Linux: so its account needs no right to enter the directories above (a data
 * directory below /root, mode 0700, is the usual case on a small server).
 */
import { spawn } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { randomBytes } from 'node:crypto';
import { basename, dirname, join } from 'node:path';
import { ParleyError } from '../core/errors.ts';
import type { RunAs } from './postgres-account.ts';

/** Major version of the pinned binaries; a cluster of another one is refused, never touched. */
export const POSTGRES_MAJOR = '18';
export const POSTGRES_USER = 'parley';
export const POSTGRES_DATABASE = 'parley';
/** The number in the socket's name; no port is taken. */
export const SOCKET_PORT = 5432;

const ADVICE =
  'restore the data directory from a backup, or set PARLEY_POSTGRES_URL to another server';

/** Small memory, few processes, full durability. Given on the command line: a start applies them. */
const SETTINGS: Readonly<Record<string, string>> = {
  shared_buffers: '32MB',
  huge_pages: 'off',
  max_connections: '40',
  superuser_reserved_connections: '2',
  work_mem: '4MB',
  maintenance_work_mem: '16MB',
  wal_buffers: '1MB',
  min_wal_size: '16MB',
  max_wal_size: '64MB',
  wal_level: 'minimal',
  max_wal_senders: '0',
  io_method: 'sync',
  jit: 'off',
  max_worker_processes: '1',
  max_parallel_workers: '0',
  max_logical_replication_workers: '0',
  autovacuum_max_workers: '1',
  autovacuum_worker_slots: '2',
  fsync: 'on',
  synchronous_commit: 'on',
  full_page_writes: 'on',
  log_checkpoints: 'off',
  log_statement: 'none',
  log_min_error_statement: 'panic',
  log_parameter_max_length_on_error: '0',
  password_encryption: 'scram-sha-256',
};

/**
 * Where clients connect: to a socket in its own directory, or to a loopback port where that path is
 * too long. The socket is there in both cases: by it another start sees that somebody runs.
 */
export type Listen = { readonly kind: 'socket' } | { readonly kind: 'tcp'; readonly port: number };

export interface ClusterMaking {
  readonly initdb: string;
  /** Directory that the cluster gets once it is complete. */
  readonly clusterDir: string;
  readonly password: string;
  readonly runAs: RunAs | undefined;
}

/** How a program is run in the cluster's directory under its account. */
export interface ClusterSpawn {
  readonly cwd: string;
  readonly env: Record<string, string>;
  readonly uid?: number;
  readonly gid?: number;
}

export function clusterSpawn(cwd: string, runAs: RunAs | undefined): ClusterSpawn {
  const env = { PATH: process.env['PATH'] ?? '/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC' };
  return runAs === undefined ? { cwd, env } : { cwd, env, uid: runAs.uid, gid: runAs.gid };
}

/** The name by which PostgreSQL addresses its working directory. */
export function ownDirectory(cwd: string): string {
  return process.platform === 'linux' ? '/proc/self/cwd' : cwd;
}

export function serverArguments(clusterDir: string, listen: Listen): string[] {
  const place: Record<string, string> =
    listen.kind === 'socket'
      ? { listen_addresses: '', port: String(SOCKET_PORT) }
      : { listen_addresses: '127.0.0.1', port: String(listen.port) };
  const settings = Object.entries({ ...SETTINGS, unix_socket_directories: '.', ...place });
  return ['-D', ownDirectory(clusterDir), ...settings.flatMap(([k, v]) => ['-c', `${k}=${v}`])];
}

const UNFINISHED = '.new-';

/**
 * Makes the cluster if it is absent. It is made under another name and renamed once complete and
 * synced, so that a crash half-way leaves nothing that a later start would take for a cluster.
 */
export async function makeCluster(making: ClusterMaking): Promise<void> {
  const { clusterDir } = making;
  if (existsSync(join(clusterDir, 'PG_VERSION'))) return checkVersion(clusterDir);
  if (existsSync(clusterDir))
    throw new ParleyError(
      'BACKEND_UNAVAILABLE',
      `${clusterDir} exists but is not a PostgreSQL cluster (PG_VERSION is missing): ${ADVICE}; if it holds nothing of worth, remove it`,
    );
  // A name of its own: the initdb of a start that was killed may live on and fill the last one.
  removeUnfinished(clusterDir);
  const filling = `${clusterDir}${UNFINISHED}${randomBytes(4).toString('hex')}`;
  mkdirSync(filling, { mode: 0o700 });
  chmodSync(filling, 0o700);
  if (making.runAs !== undefined) chownSync(filling, making.runAs.uid, making.runAs.gid);
  await runInitdb(making, filling);
  renameSync(filling, clusterDir);
}

/** What killed starts left. One that is being filled still is left to the next start. */
function removeUnfinished(clusterDir: string): void {
  const names = readdirSync(dirname(clusterDir));
  for (const name of names.filter((one) => one.startsWith(`${basename(clusterDir)}${UNFINISHED}`)))
    try {
      rmSync(join(dirname(clusterDir), name), { recursive: true, force: true });
    } catch {
      // ENOTEMPTY: an orphaned initdb is faster; it ends by itself.
    }
}

async function runInitdb(making: ClusterMaking, filling: string): Promise<void> {
  const where = ['-D', ownDirectory(filling), '-U', POSTGRES_USER, '--wal-segsize=4'];
  const language = ['--encoding=UTF8', '--locale=C', '--locale-provider=builtin'];
  const access = ['--auth=scram-sha-256', '--pwfile=/dev/stdin', '--no-instructions'];
  const args = [...where, ...language, '--builtin-locale=C.UTF-8', ...access];
  const password = passwordInput(making);
  const { status, output } = await new Promise<{ status: number | null; output: string }>(
    (resolve, reject) => {
      const child = spawn(making.initdb, args, {
        ...clusterSpawn(filling, making.runAs),
        stdio: [password, 'pipe', 'pipe'],
      });
      let output = '';
      const keep = (chunk: Buffer): void => {
        output = (output + chunk.toString()).slice(-8_000);
      };
      child.stdout?.on('data', keep);
      child.stderr?.on('data', keep);
      child.on('error', (cause) => reject(cannotRun(making.initdb, cause)));
      child.on('close', (status) => resolve({ status, output }));
    },
  ).finally(() => closeSync(password));
  if (status === 0) return;
  rmSync(filling, { recursive: true, force: true });
  throw explain(output, 'PostgreSQL could not make its cluster');
}

/**
 * An open, already unlinked file with the password: initdb re-opens it through /dev/stdin, so it must
 * belong to the account, and neither an argument nor a lasting file ever holds it.
 */
function passwordInput(making: ClusterMaking): number {
  const path = `${making.clusterDir}.pw-${randomBytes(8).toString('hex')}`;
  const writing = openSync(path, 'wx', 0o600);
  writeSync(writing, `${making.password}\n`);
  closeSync(writing);
  if (making.runAs !== undefined) chownSync(path, making.runAs.uid, making.runAs.gid);
  const reading = openSync(path, 'r');
  unlinkSync(path);
  return reading;
}

function checkVersion(clusterDir: string): void {
  const found = readFileSync(join(clusterDir, 'PG_VERSION'), 'utf8').trim();
  if (found !== POSTGRES_MAJOR)
    throw new ParleyError(
      'BACKEND_UNAVAILABLE',
      `${clusterDir} was written by PostgreSQL ${found}, the binaries here are ${POSTGRES_MAJOR}: install the version of Parley that wrote it, dump and restore, or set PARLEY_POSTGRES_URL`,
    );
}

/** A program that could not even be started. */
export function cannotRun(program: string, cause: Error): ParleyError {
  const code = 'code' in cause ? String(cause.code) : '';
  let why = cause.message;
  if (code === 'ENOENT' && existsSync(program))
    why = 'the system lacks the C library that it was built for (glibc; Alpine has musl)';
  if (code === 'EACCES') why = 'its account may not run it (mode bits, noexec or an access list)';
  return new ParleyError(
    'BACKEND_UNAVAILABLE',
    `${program} cannot be started: ${why}; set PARLEY_POSTGRES_URL to a PostgreSQL server of your own`,
    {},
    { cause },
  );
}

const MEANINGS: readonly (readonly [RegExp, string])[] = [
  [
    /No space left on device|Disk quota exceeded/,
    'the disk is full: free some space and start again',
  ],
  [
    /could not resize shared memory|could not map anonymous shared memory|Cannot allocate memory/,
    'there is not enough memory (or /dev/shm is too small)',
  ],
  [/Read-only file system/, 'the data directory is on a read-only file system'],
  [
    /could not look up effective user ID/,
    'its user id has no entry in /etc/passwd: run the server as a user that exists',
  ],
  [
    /database files are incompatible with server|incompatible with this (?:version|server)/,
    `the files were written by another version, or are damaged: ${ADVICE}`,
  ],
  [/Address already in use|could not bind/, 'its port is taken by another program'],
  [
    /lock file "postmaster\.pid" already exists|pre-existing shared memory block/,
    'another PostgreSQL still uses the directory',
  ],
  [
    /could not find the database system|could not open file "[^"]*pg_control"/,
    `files of it are missing: ${ADVICE}`,
  ],
  [/Permission denied/, 'its account may not use the data directory: check the owner of its files'],
  [
    /could not locate a valid checkpoint record|could not locate required checkpoint|invalid (?:primary )?checkpoint|incorrect checksum in control file|could not open file "global\/pg_control"|is not a (?:valid )?database cluster|invalid (?:data|page) |PANIC:/,
    `its files are damaged: ${ADVICE}`,
  ],
];

/** One operating error from what PostgreSQL wrote before it gave up. */
export function explain(output: string, what: string): ParleyError {
  const meaning = MEANINGS.find(([pattern]) => pattern.test(output))?.[1];
  const lines = output
    .split('\n')
    .filter((line) => /\b(FATAL|PANIC|ERROR|HINT)\b|error:/.test(line));
  const said = (lines.length > 0 ? lines : output.trim().split('\n')).slice(-3).join(' | ').trim();
  return new ParleyError(
    'BACKEND_UNAVAILABLE',
    `${what}${meaning === undefined ? '' : `: ${meaning}`}${said === '' ? '' : ` (it said: ${said})`}`,
  );
}
