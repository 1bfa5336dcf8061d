/**
 * The key-encryption key: 32 random bytes in a file of one line, outside the data directory. It
 * wraps the data keys and encrypts nothing else. Whoever loses it has lost the data; whoever has
 * it and the data directory can read everything.
 *
 *   parley-key-1:<32 bytes, base64url>:<crc32 of the text before it, 8 hex digits>
 */
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { crc32 } from 'node:zlib';
import type { Random } from '../core/clock.ts';
import type { ParleyError } from '../core/errors.ts';
import { invariant } from '../core/invariant.ts';
import { createFirst } from './first-file.ts';
import { storageError } from './storage-error.ts';

export const KEY_BYTES = 32;
export const FINGERPRINT_BYTES = 8;

/** The opened key. `created` is true when this call made it: tell the operator to save it. */
export interface KeyEncryptionKey {
  readonly path: string;
  readonly secret: Uint8Array;
  readonly created: boolean;
}

const LABEL = 'parley-key-1';
const LINE = /^(parley-key-1:([A-Za-z0-9_-]{43})):([0-9a-f]{8})\r?\n?$/;

/**
 * Reads the key file. If it is absent it is made (mode 0600), but only beside a new data directory:
 * beside an old one a fresh key could open nothing, so that is refused. Of two first starts at the same
 * moment both get the key of the one that was faster.
 */
export function openKeyFile(
  file: string,
  options: { readonly isDataDirectoryNew: boolean; readonly random: Random },
): KeyEncryptionKey {
  const text = readText(file);
  if (text !== undefined) return { path: file, secret: parse(file, text), created: false };
  if (!options.isDataDirectoryNew)
    throw storageError(
      'key_missing',
      `the key file ${file} is missing, but the data directory was encrypted with it; put the saved copy back there or point PARLEY_KEY_FILE at it`,
      { file },
    );
  const secret = options.random.bytes(KEY_BYTES);
  invariant(secret.length === KEY_BYTES, 'key-file.secret-length');
  if (create(file, formatKey(secret))) return { path: file, secret, created: true };
  return { path: file, secret: parse(file, readText(file) ?? ''), created: false };
}

/** The line that a key file holds. */
export function formatKey(secret: Uint8Array): string {
  const head = `${LABEL}:${Buffer.from(secret).toString('base64url')}`;
  return `${head}:${checksum(head)}\n`;
}

/** Names a key without giving anything of it away. */
export function fingerprintOf(secret: Uint8Array): Uint8Array {
  return createHash('sha256')
    .update('parley.key.fingerprint.v1\0')
    .update(secret)
    .digest()
    .subarray(0, FINGERPRINT_BYTES);
}

function parse(file: string, text: string): Uint8Array {
  const match = LINE.exec(text);
  const [, head, encoded, sum] = match ?? [];
  if (head === undefined || encoded === undefined || checksum(head) !== sum)
    throw storageError(
      'key_damaged',
      `the key file ${file} is damaged or not a key file; put the saved copy back`,
      { file },
    );
  return Uint8Array.from(Buffer.from(encoded, 'base64url'));
}

function checksum(text: string): string {
  return crc32(text).toString(16).padStart(8, '0');
}

function readText(file: string): string | undefined {
  try {
    return fs.readFileSync(file, 'latin1');
  } catch (thrown) {
    if (isErrno(thrown, 'ENOENT')) return undefined;
    throw unreadable(file, thrown);
  }
}

/**
 * Durable before it returns: data keys wrapped by it may be written the next moment. False: another
 * process made one at this moment.
 */
function create(file: string, text: string): boolean {
  try {
    fs.mkdirSync(path.dirname(file), { recursive: true });
    return createFirst(file, text);
  } catch (thrown) {
    throw unreadable(file, thrown);
  }
}

function unreadable(file: string, cause: unknown): ParleyError {
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'error';
  return storageError(
    'io',
    `the key file ${file} cannot be read or written (${code}); check the path and its permissions`,
    { file },
    cause,
  );
}

function isErrno(thrown: unknown, code: string): boolean {
  return thrown instanceof Error && 'code' in thrown && thrown.code === code;
}
