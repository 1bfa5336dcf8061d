/**
 * Power cuts: builds the interposer (power-cut.c), and after the processes are dead undoes what no
 * sync had covered: each such write is lost, kept, or torn at a sector, as the seed decides.
 */
import { execFileSync } from 'node:child_process';
import {
  closeSync,
  existsSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const SOURCE = fileURLToPath(new URL('../../../tests/system/power-cut.c', import.meta.url));
const COMPILERS = ['/usr/bin/gcc', '/usr/bin/cc', '/usr/bin/clang'];
const RECORD_BYTES = 56;
const MAGIC = 0x54554350;
const SECTOR_BYTES = 512;

/** undefined = this machine cannot compile it; the caller says so. */
export function compilerPath(): string | undefined {
  return COMPILERS.find((path) => existsSync(path));
}

export interface Interposer {
  /** Environment for the server: everything that it starts is watched too. */
  readonly env: Readonly<Record<string, string>>;
  /** From now until the cut no sync returns: whatever is written meanwhile is not synced. */
  holdSyncs(): void;
  /** To be called when no watched process lives any more. Empties the journal. */
  cut(random: () => number): CutReport;
}

export interface CutReport {
  readonly writes: number;
  readonly unsynced: number;
  readonly lost: number;
  readonly torn: number;
}

interface Write {
  readonly time: bigint;
  readonly file: string;
  readonly offset: number;
  readonly oldSize: number;
  readonly old: Buffer;
  readonly next: Buffer;
}

/** Watches everything below `root`; keeps its journal and library in `workDir`. */
export function buildInterposer(root: string, workDir: string): Interposer {
  const compiler = compilerPath();
  if (compiler === undefined) throw new TypeError('no C compiler on this machine');
  const library = join(workDir, 'power-cut.so');
  const journal = join(workDir, 'journal');
  const hold = join(workDir, 'hold');
  mkdirSync(journal, { recursive: true, mode: 0o777 });
  execFileSync(compiler, ['-shared', '-fPIC', '-O1', '-o', library, SOURCE, '-ldl', '-lpthread']);
  return {
    env: {
      LD_PRELOAD: library,
      POWER_CUT_ROOT: root,
      POWER_CUT_JOURNAL: journal,
      POWER_CUT_HOLD: hold,
    },
    holdSyncs: () => writeFileSync(hold, ''),
    cut: (random) => {
      rmSync(hold, { force: true });
      return cut(root, journal, random);
    },
  };
}

function cut(root: string, journal: string, random: () => number): CutReport {
  const { writes, syncs } = readJournals(journal);
  const files = filesByIdentity(root);
  const unsynced = writes.filter(
    ({ time, file }) => time > (syncs.get(file) ?? 0n) && files.has(file),
  );
  const report = { writes: writes.length, unsynced: unsynced.length, lost: 0, torn: 0 };
  // All of them are undone, newest first; then those that reached the disk are written again, oldest first.
  for (const write of unsynced.toReversed()) undo(files.get(write.file) ?? '', write);
  for (const [i, write] of unsynced.entries()) {
    const fate = random();
    // A cut that keeps everything is a kill: the newest is lost if nothing else is.
    const mustBeLost = i === unsynced.length - 1 && report.lost === 0;
    if (fate < 0.4 || mustBeLost) report.lost++;
    else if (fate < 0.6) {
      const sectors = Math.floor((random() * write.next.length) / SECTOR_BYTES);
      put(
        files.get(write.file) ?? '',
        write.offset,
        write.next.subarray(0, sectors * SECTOR_BYTES),
      );
      report.torn++;
    } else put(files.get(write.file) ?? '', write.offset, write.next);
  }
  for (const name of readdirSync(journal)) rmSync(join(journal, name));
  return report;
}

function undo(path: string, write: Write): void {
  const file = openSync(path, 'r+');
  try {
    if (write.old.length > 0) writeSync(file, write.old, 0, write.old.length, write.offset);
    if (statSync(path).size > write.oldSize && write.offset + write.next.length > write.oldSize)
      ftruncateSync(file, write.oldSize);
  } finally {
    closeSync(file);
  }
}

function put(path: string, offset: number, bytes: Buffer): void {
  if (bytes.length === 0) return;
  const file = openSync(path, 'r+');
  try {
    writeSync(file, bytes, 0, bytes.length, offset);
  } finally {
    closeSync(file);
  }
}

/** Inode and time of birth: an inode number alone may have belonged to a file that was removed. */
function filesByIdentity(root: string): Map<string, string> {
  const files = new Map<string, string>();
  const walk = (folder: string): void => {
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
      const path = join(folder, entry.name);
      if (entry.isDirectory()) walk(path);
      else if (entry.isFile()) {
        const { ino, birthtimeNs } = statSync(path, { bigint: true });
        files.set(`${ino}:${birthtimeNs}`, path);
      }
    }
  };
  walk(root);
  return files;
}

function readJournals(journal: string): {
  readonly writes: Write[];
  readonly syncs: Map<string, bigint>;
} {
  const writes: Write[] = [];
  const syncs = new Map<string, bigint>();
  for (const name of readdirSync(journal)) {
    const bytes = readFileSync(join(journal, name));
    for (let at = 0; at + RECORD_BYTES <= bytes.length; ) {
      if (bytes.readUInt32LE(at) !== MAGIC)
        throw new TypeError(`the journal ${name} is damaged at ${at}`);
      const kind = bytes.readUInt32LE(at + 4);
      const time = bytes.readBigUInt64LE(at + 8);
      const file = `${bytes.readBigUInt64LE(at + 16)}:${bytes.readBigUInt64LE(at + 24)}`;
      const oldLength = bytes.readUInt32LE(at + 48);
      const newLength = bytes.readUInt32LE(at + 52);
      const body = at + RECORD_BYTES;
      const end = body + oldLength + newLength;
      if (end > bytes.length) break;
      if (kind === 2) {
        if (time > (syncs.get(file) ?? 0n)) syncs.set(file, time);
      } else {
        const offset = Number(bytes.readBigUInt64LE(at + 32));
        const oldSize = Number(bytes.readBigUInt64LE(at + 40));
        writes.push({
          time,
          file,
          offset,
          oldSize,
          old: bytes.subarray(body, body + oldLength),
          next: bytes.subarray(body + oldLength, end),
        });
      }
      at = end;
    }
  }
  writes.sort((a, b) => (a.time < b.time ? -1 : a.time > b.time ? 1 : 0));
  return { writes, syncs };
}
