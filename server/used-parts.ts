/**
 * Which parts of a data directory have held anything. A start makes what is not there; without this
 * record a part that went (a volume not mounted, a directory moved away) would begin empty and look
 * well: nobody's messages, or no accounts. So whatever was used once must be there.
 *
 *   used.json {version, parts}: names of PARTS, written before anybody is served
 */
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { ParleyError } from '../core/errors.ts';
import { writeWhole } from './whole-file.ts';

const FILE = 'used.json';
const VERSION = 1;

/** By name: a file that the part cannot be without. */
const PARTS = {
  'store-0/keys': /\.state\.key$/,
  'store-0/wal': /\.wal$/,
  postgres: /^PG_VERSION$/,
} as const;
type Part = keyof typeof PARTS;

/** Refuses with CORRUPT_ENTRY if a part that was used is gone, before anything is made in its place. */
export function checkUsedParts(dataDir: string): void {
  for (const part of readUsed(dataDir))
    if (!isThere(dataDir, part))
      throw new ParleyError(
        'CORRUPT_ENTRY',
        `${join(dataDir, part)} is missing or not whole, but this data directory was used with it; mount it or put it back, or restore the whole directory from a backup`,
      );
}

/** Adds what is there now. Durable when it returns. */
export function recordUsedParts(dataDir: string): void {
  const before = readUsed(dataDir);
  const parts = partNames().filter((part) => before.includes(part) || isThere(dataDir, part));
  if (parts.length === before.length) return;
  writeWhole(join(dataDir, FILE), `${JSON.stringify({ version: VERSION, parts })}\n`);
}

function readUsed(dataDir: string): readonly Part[] {
  const path = join(dataDir, FILE);
  if (!existsSync(path)) return [];
  try {
    const file: unknown = JSON.parse(readFileSync(path, 'utf8'));
    if (typeof file === 'object' && file !== null && 'parts' in file && Array.isArray(file.parts)) {
      const named: readonly unknown[] = file.parts;
      return partNames().filter((part) => named.includes(part));
    }
  } catch (cause) {
    throw damaged(path, cause);
  }
  throw damaged(path);
}

function partNames(): Part[] {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion
  return Object.keys(PARTS) as Part[];
}

function isThere(dataDir: string, part: Part): boolean {
  try {
    return readdirSync(join(dataDir, part)).some((name) => PARTS[part].test(name));
  } catch (error) {
    // What cannot be read is there; who uses it says what is wrong with it.
    return !(error instanceof Error && 'code' in error && error.code === 'ENOENT');
  }
}

function damaged(path: string, cause?: unknown): ParleyError {
  return new ParleyError(
    'CORRUPT_ENTRY',
    `${path} is damaged; restore it from a backup`,
    {},
    { cause },
  );
}
