/**
 * The account that PostgreSQL runs under. It refuses to run as root, so a server started as root
 * (a container, a small VPS) gives it an unprivileged account; otherwise it runs as the server does.
 */
import { lchownSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { ParleyError } from '../core/errors.ts';

/** An account other than the process's own. */
export interface RunAs {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
}

const PREFERRED = ['postgres', 'parley', 'nobody'];

/**
 * Undefined unless the process is root. An existing cluster keeps its owner: its files belong to it.
 * `owner` is the uid of that cluster, if there is one.
 */
export function accountFor(owner: number | undefined): RunAs | undefined {
  const self = process.getuid?.();
  if (self !== 0) {
    if (owner !== undefined && self !== undefined && owner !== self)
      throw new ParleyError(
        'BACKEND_UNAVAILABLE',
        `the PostgreSQL files in the data directory belong to user id ${owner}, not to this one (${self}): start the server as that user or as root, or change their owner`,
      );
    return undefined;
  }
  return chooseAccount(readAccounts(), owner);
}

export function chooseAccount(accounts: readonly RunAs[], owner: number | undefined): RunAs {
  const candidates = accounts.filter((account) => account.uid !== 0);
  if (owner !== undefined && owner !== 0) {
    const known = candidates.find((account) => account.uid === owner);
    return known ?? { name: `user id ${owner}`, uid: owner, gid: owner };
  }
  for (const name of PREFERRED) {
    const found = candidates.find((account) => account.name === name);
    if (found !== undefined) return found;
  }
  const [any] = candidates;
  if (any !== undefined) return any;
  throw new ParleyError(
    'BACKEND_UNAVAILABLE',
    'PostgreSQL does not run as root and /etc/passwd has no other account: add one (adduser --system postgres), or set PARLEY_POSTGRES_URL',
  );
}

function readAccounts(): RunAs[] {
  let text: string;
  try {
    text = readFileSync('/etc/passwd', 'utf8');
  } catch {
    return [];
  }
  return parseAccounts(text);
}

export function parseAccounts(passwd: string): RunAs[] {
  const accounts: RunAs[] = [];
  for (const line of passwd.split('\n')) {
    const [name = '', , uid = '', gid = ''] = line.split(':');
    if (name !== '' && /^\d+$/.test(uid) && /^\d+$/.test(gid))
      accounts.push({ name, uid: Number(uid), gid: Number(gid) });
  }
  return accounts;
}

/**
 * Gives a cluster that root copied without its owners (a backup brought back by `cp -r`) to its
 * account. The directory itself comes last: until then the next start sees that it is not done.
 */
export function giveTo(path: string, runAs: RunAs): void {
  for (const entry of readdirSync(path, { withFileTypes: true })) {
    const inside = join(path, entry.name);
    if (entry.isDirectory()) giveTo(inside, runAs);
    else lchownSync(inside, runAs.uid, runAs.gid);
  }
  lchownSync(path, runAs.uid, runAs.gid);
}

/**
 * Whether the account may enter every directory above `path` and read and run `path` itself, by mode
 * bits. Access lists are not looked at: they can only make the answer wrong in the direction that
 * the start itself then reports.
 */
export function canReach(path: string, runAs: RunAs | undefined): boolean {
  if (runAs === undefined) return true;
  try {
    if (!mayEnter(path, runAs)) return false;
    for (let at = dirname(path); ; at = dirname(at)) {
      if (!mayEnter(at, runAs)) return false;
      if (at === dirname(at)) return true;
    }
  } catch {
    return false;
  }
}

function mayEnter(path: string, runAs: RunAs): boolean {
  const { mode, uid, gid } = statSync(path);
  if (uid === runAs.uid) return (mode & 0o100) !== 0;
  if (gid === runAs.gid) return (mode & 0o010) !== 0;
  return (mode & 0o001) !== 0;
}
