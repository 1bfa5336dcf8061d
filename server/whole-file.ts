/** Small files that are there whole or not at all, whatever happens while they are written. */
import { closeSync, fsyncSync, openSync, renameSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';

/** Durable under its name when it returns. Readable by this account alone. */
export function writeWhole(path: string, text: string): void {
  const file = openSync(`${path}.tmp`, 'w', 0o600);
  try {
    writeSync(file, text);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  renameSync(`${path}.tmp`, path);
  const directory = openSync(dirname(path), 'r');
  try {
    fsyncSync(directory);
  } finally {
    closeSync(directory);
  }
}
