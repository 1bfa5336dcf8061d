/**
 * The data directory and who owns it. One process at a time: a lock file names the owner by pid and
 * start time, so a killed process never blocks the next one and a recycled pid is not taken for it.
 * Pids mean nothing across containers: of an owner from another pid namespace the lock cannot tell
 * whether it lives. A server leaves that lock where it is and goes on, because the kernel's lock on its
 * store will tell; only who holds that replaces it.
 */
import {
  existsSync,
  linkSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { ParleyError } from '../core/errors.ts';

const LOCK = 'lock';
/** What may lie in a directory that nothing was stored in: a killed first start, a fresh volume. */
const NOT_DATA = /^(lock.*|cluster\.json\.(\w+\.)?tmp|lost\+found)$/;
const ATTEMPTS_MAX = 3;

export interface DataDirectory {
  readonly path: string;
  /** Nothing was stored here before. */
  readonly isNew: boolean;
  /**
   * Puts this process's lock in the place of one that was left. Only for who holds a lock of the
   * kernel's on what lies here: who left it is then surely gone.
   */
  claim(): void;
  /** Gives the lock up, if it is this process's. Idempotent. */
  release(): void;
}

export interface TakeOptions {
  /**
   * What becomes of an owner from another pid namespace (another container): its lock is `left` by
   * who takes a lock of the kernel's before touching anything and claims the directory then; for
   * everybody else it is `running`.
   */
  readonly unseenOwner: 'left' | 'running';
}

interface Owner {
  readonly pid: number;
  readonly startedAt: string;
  /** Where the pid is one; '' where the system does not tell. */
  readonly pidNamespace: string;
}

interface Claim {
  readonly path: string;
  readonly me: Owner;
  readonly unseenOwner: 'gone' | 'left' | 'running';
}

/** Makes the directory if need be and takes it. Refuses with BACKEND_UNAVAILABLE and says why. */
export function takeDataDirectory(
  path: string,
  options: TakeOptions = { unseenOwner: 'running' },
): DataDirectory {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
  } catch (error) {
    const why = codeOf(error) === 'EEXIST' ? 'a file has that name' : codeOf(error);
    throw refused(
      `the data directory ${path} cannot be made (${why}); choose another with PARLEY_DATA_DIR`,
      error,
    );
  }
  const me: Owner = {
    pid: process.pid,
    startedAt: startOf(process.pid) ?? '',
    pidNamespace: pidNamespace(),
  };
  lockFor({ path, me, ...options });
  const isNew = readdirSync(path).every((name) => NOT_DATA.test(name));
  return {
    path,
    isNew,
    claim: () => {
      if (!isMine(path, me)) lockFor({ path, me, unseenOwner: 'gone' });
    },
    release: () => release(path, me),
  };
}

function lockFor(claim: Claim): void {
  const { path, me } = claim;
  const mine = ownName(path, LOCK, me);
  try {
    writeFileSync(mine, JSON.stringify(me));
  } catch (error) {
    throw refused(
      `the data directory ${path} cannot be written to (${codeOf(error)}); check its owner and the free space`,
      error,
    );
  }
  try {
    link(mine, claim);
  } finally {
    rmSync(mine, { force: true });
  }
}

function link(mine: string, claim: Claim): void {
  const { path, me } = claim;
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
    const judged = textOf(lock);
    const owner = ownerIn(judged);
    if (owner !== undefined && isUnseen(owner, me)) {
      if (claim.unseenOwner === 'left') return;
      if (claim.unseenOwner === 'running') throw elsewhere(path, owner);
    } else if (owner !== undefined && isRunning(owner)) throw inUse(path, owner);
    if (judged !== undefined) remove(path, judged, me);
  }
  throw refused(
    `the data directory ${path} is being taken by another process; start one server at a time`,
  );
}

/**
 * Moved away rather than removed: of two that see the same stale lock, one moves it. What was moved
 * may by then be the lock of one that was faster: that is put back.
 */
function remove(path: string, judged: string, me: Owner): void {
  const lock = join(path, LOCK);
  const stale = ownName(path, `${LOCK}.stale`, me);
  try {
    renameSync(lock, stale);
    if (textOf(stale) !== judged) linkSync(stale, lock);
  } catch {
    // Another process was faster; the next attempt sees its lock.
  } finally {
    rmSync(stale, { force: true });
  }
}

/** A name of this process's alone: in another container another may have the same pid. */
function ownName(path: string, name: string, me: Owner): string {
  return join(path, `${name}.${me.pid}.${me.pidNamespace.replaceAll(/\D/g, '')}`);
}

function isUnseen(owner: Owner, me: Owner): boolean {
  return owner.pidNamespace !== me.pidNamespace && owner.pidNamespace !== '';
}

function elsewhere(path: string, owner: Owner): ParleyError {
  return refused(
    `the data directory ${path} was taken by process ${owner.pid} of another container, which cannot be seen from here; run this where that server runs, or, if it is surely gone, start a server here or remove ${join(path, LOCK)}`,
  );
}

function inUse(path: string, owner: Owner): ParleyError {
  return refused(
    `the data directory ${path} is in use by process ${owner.pid}; stop that server, or give this one another PARLEY_DATA_DIR`,
  );
}

function textOf(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

/** Undefined: the lock is gone or torn, which a living owner's never is. */
function ownerIn(text: string | undefined): Owner | undefined {
  try {
    const owner: unknown = JSON.parse(text ?? '');
    if (typeof owner !== 'object' || owner === null || !('pid' in owner) || !('startedAt' in owner))
      return undefined;
    // Locks of versions before name no namespace.
    const space: unknown = 'pidNamespace' in owner ? owner.pidNamespace : '';
    if (typeof owner.pid !== 'number' || typeof owner.startedAt !== 'string') return undefined;
    return {
      pid: owner.pid,
      startedAt: owner.startedAt,
      pidNamespace: typeof space === 'string' ? space : '',
    };
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

function pidNamespace(): string {
  try {
    return readlinkSync('/proc/self/ns/pid');
  } catch {
    return '';
  }
}

/** Only its own: another's may be there since, of a process that holds the kernel's lock. */
function release(path: string, me: Owner): void {
  if (isMine(path, me)) remove(path, JSON.stringify(me), me);
}

function isMine(path: string, me: Owner): boolean {
  return textOf(join(path, LOCK)) === JSON.stringify(me);
}

function refused(message: string, cause?: unknown): ParleyError {
  return new ParleyError('BACKEND_UNAVAILABLE', message, {}, { cause });
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : String(error);
}
