/**
 * The data directory and who owns it. One process at a time: a lock file names the owner by pid and
 * start time, so a killed process never blocks the next one and a recycled pid is not taken for it.
 */
import {
  existsSync,
  linkSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { ParleyError } from '../core/errors.ts';

const LOCK = 'lock';
/** What may lie in a directory that nothing was stored in: a killed first start, a fresh volume. */
const NOT_DATA = /^(lock.*|cluster\.json\.tmp|lost\+found)$/;
const ATTEMPTS_MAX = 3;

export interface DataDirectory {
  readonly path: string;
  /** Nothing was stored here before. */
  readonly isNew: boolean;
  /** Gives the lock up. Idempotent. */
  release(): void;
}

interface Owner {
  readonly pid: number;
  readonly startedAt: string;
}

/** Makes the directory if need be and takes it. Refuses with BACKEND_UNAVAILABLE and says why. */
export function takeDataDirectory(path: string): DataDirectory {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
  } catch (error) {
    const why = codeOf(error) === 'EEXIST' ? 'a file has that name' : codeOf(error);
    throw refused(
      `the data directory ${path} cannot be made (${why}); choose another with PARLEY_DATA_DIR`,
      error,
    );
  }
  const me: Owner = { pid: process.pid, startedAt: startOf(process.pid) ?? '' };
  const mine = join(path, `${LOCK}.${me.pid}`);
  try {
    writeFileSync(mine, JSON.stringify(me));
  } catch (error) {
    throw refused(
      `the data directory ${path} cannot be written to (${codeOf(error)}); check its owner and the free space`,
      error,
    );
  }
  try {
    claim(path, mine);
  } finally {
    rmSync(mine, { force: true });
  }
  const isNew = readdirSync(path).every((name) => NOT_DATA.test(name));
  return { path, isNew, release: () => release(path, me) };
}

function claim(path: string, mine: string): void {
  const lock = join(path, LOCK);
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
    try {
      // A hard link is made or not made, whatever else happens at the same moment.
      linkSync(mine, lock);
      return;
    } catch (error) {
      if (codeOf(error) !== 'EEXIST')
        throw refused(`the data directory ${path} cannot be locked (${codeOf(error)})`, error);
    }
    const owner = readOwner(lock);
    if (owner !== undefined && isRunning(owner))
      throw refused(
        `the data directory ${path} is in use by process ${owner.pid}; stop that server, or give this one another PARLEY_DATA_DIR`,
      );
    // Moved away rather than removed: of two that see the same stale lock, one moves it.
    const stale = `${lock}.stale.${process.pid}`;
    try {
      renameSync(lock, stale);
      rmSync(stale, { force: true });
    } catch {
      // Another process was faster; the next attempt sees its lock.
    }
  }
  throw refused(
    `the data directory ${path} is being taken by another process; start one server at a time`,
  );
}

function readOwner(lock: string): Owner | undefined {
  try {
    const owner: unknown = JSON.parse(readFileSync(lock, 'utf8'));
    if (typeof owner !== 'object' || owner === null || !('pid' in owner) || !('startedAt' in owner))
      return undefined;
    return typeof owner.pid === 'number' && typeof owner.startedAt === 'string'
      ? { pid: owner.pid, startedAt: owner.startedAt }
      : undefined;
  } catch {
    return undefined;
  }
}

function isRunning(owner: Owner): boolean {
  try {
    process.kill(owner.pid, 0);
  } catch (error) {
    if (codeOf(error) === 'ESRCH') return false;
  }
  const startedAt = startOf(owner.pid);
  return startedAt === undefined || owner.startedAt === '' || startedAt === owner.startedAt;
}

/** Boot-relative start time of a process, where the system tells (proc(5), field 22). */
function startOf(pid: number): string | undefined {
  const stat = `/proc/${pid}/stat`;
  if (!existsSync(stat)) return undefined;
  try {
    const text = readFileSync(stat, 'utf8');
    return text.slice(text.lastIndexOf(')') + 2).split(' ')[19];
  } catch {
    return undefined;
  }
}

function release(path: string, me: Owner): void {
  const lock = join(path, LOCK);
  if (readOwner(lock)?.pid === me.pid) rmSync(lock, { force: true });
}

function refused(message: string, cause?: unknown): ParleyError {
  return new ParleyError('BACKEND_UNAVAILABLE', message, {}, { cause });
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : String(error);
}
