/**
 * Small files that are made once, perhaps by several processes at the same moment: of all only the
 * first is kept, and it is there whole or not at all.
 */
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { errnoOf } from './storage-error.ts';

/** What file systems without hard links answer (FAT, some network and user-space ones). */
const NO_HARD_LINKS = new Set(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS']);

/**
 * False: another process was first, and its file is the one that counts. Either way the file is durable
 * under its name when this returns. Readable by this account alone.
 */
export function createFirst(file: string, text: string): boolean {
  // Its own: processes of two containers may have the same number.
  const temporary = `${file}.${randomBytes(6).toString('hex')}.tmp`;
  writeNew(temporary, text);
  try {
    return link(temporary, file) ?? createInPlace(file, text);
  } finally {
    fs.rmSync(temporary, { force: true });
    syncDirectory(path.dirname(file));
  }
}

/** A hard link is made or not made, whatever else happens at the same moment. Undefined: there are none. */
function link(temporary: string, file: string): boolean | undefined {
  try {
    fs.linkSync(temporary, file);
    return true;
  } catch (thrown) {
    const code = errnoOf(thrown);
    if (code === 'EEXIST') return false;
    if (NO_HARD_LINKS.has(code)) return undefined;
    throw thrown;
  }
}

/**
 * LIMIT: in its first moment the file is not whole. Who comes second in that moment finds it damaged and
 * does not start; a power cut in it leaves an empty file that has to be removed by hand.
 */
function createInPlace(file: string, text: string): boolean {
  try {
    writeNew(file, text);
    return true;
  } catch (thrown) {
    if (errnoOf(thrown) === 'EEXIST') return false;
    throw thrown;
  }
}

function writeNew(file: string, text: string): void {
  const descriptor = fs.openSync(file, 'wx', 0o600);
  try {
    fs.writeSync(descriptor, text);
    fs.fsyncSync(descriptor);
  } catch (thrown) {
    fs.rmSync(file, { force: true });
    throw thrown;
  } finally {
    fs.closeSync(descriptor);
  }
}

function syncDirectory(directory: string): void {
  const descriptor = fs.openSync(directory, 'r');
  try {
    fs.fsyncSync(descriptor);
  } finally {
    fs.closeSync(descriptor);
  }
}
