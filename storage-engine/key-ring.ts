/**
 * Data keys. Every process start makes one for the WAL and one for the state store; older ones stay
 * readable until nothing is sealed under them. Each lies, wrapped by the key-encryption key, in a
 * file of its own in `keys/`, written whole (temporary name, sync, rename, directory sync) before
 * anything is sealed with it.
 *
 * File, little-endian: 0 'PKY1' · 4 u8 version · 5 u8 purpose · 6 u16 zero · 8 u32 number ·
 * 12 u64 created ms · 20 fingerprint of the key-encryption key (8) · 28 nonce (12) ·
 * 40 wrapped key (32) · 72 tag (16) · 88 u32 crc32 of all before. Bytes 0–27 are bound in.
 */
import { createCipheriv, createDecipheriv } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { readU53, sameBytes, viewOf, writeU53 } from '../core/bytes.ts';
import type { Random } from '../core/clock.ts';
import { invariant } from '../core/invariant.ts';
import type { Disk } from './contract.ts';
import { FINGERPRINT_BYTES, KEY_BYTES, fingerprintOf, type KeyEncryptionKey } from './key-file.ts';
import { storageError } from './storage-error.ts';

export type KeyPurpose = 'wal' | 'state';

/** A data key in the clear: memory of this process only. Plain, so that it can be posted to a thread. */
export interface DataKey {
  readonly purpose: KeyPurpose;
  readonly number: number;
  readonly secret: Uint8Array;
}

/** Looks data keys up; what readers of sealed bytes need of a ring. */
export interface DataKeys {
  find(purpose: KeyPurpose, number: number): DataKey | undefined;
}

export const KEY_DIRECTORY = 'keys';
export const WRAPPED_KEY_BYTES = 92;

const MAGIC = 0x31594b50;
const VERSION = 1;
const BOUND_BYTES = 28;
const NONCE_BYTES = 12;
const CIPHER = 'aes-256-gcm';
const PURPOSE_CODE: Readonly<Record<KeyPurpose, number>> = { wal: 1, state: 2 };
const NAME = /^([0-9a-f]{8})\.(wal|state)\.key$/;

export class KeyRing implements DataKeys {
  readonly #disk: Disk;
  readonly #kek: KeyEncryptionKey;
  readonly #random: Random;
  readonly #keys = new Map<string, DataKey>();

  constructor(disk: Disk, kek: KeyEncryptionKey, random: Random) {
    this.#disk = disk;
    this.#kek = kek;
    this.#random = random;
  }

  /** Reads and unwraps all keys. A wrong key-encryption key or a damaged file is refused by name. */
  open(): void {
    for (const name of this.#disk.list(KEY_DIRECTORY)) {
      const match = NAME.exec(name);
      if (match === null) continue;
      const key = unwrapKey(readWhole(this.#disk, `${KEY_DIRECTORY}/${name}`), this.#kek, name);
      const named = keyFileName(key) === name;
      if (!named) throw damaged(name);
      this.#keys.set(name, key);
    }
  }

  /** Makes the data key of this process start; durable when it returns. */
  create(purpose: KeyPurpose, nowMs: number): DataKey {
    let number = 1;
    for (const key of this.#keys.values())
      if (key.purpose === purpose) number = Math.max(number, key.number + 1);
    const key: DataKey = { purpose, number, secret: this.#random.bytes(KEY_BYTES) };
    const name = keyFileName(key);
    invariant(!this.#keys.has(name), 'key-ring.number-new', { number });
    const wrapped = wrapKey(key, this.#kek, nowMs, this.#random.bytes(NONCE_BYTES));
    writeWhole(this.#disk, KEY_DIRECTORY, name, wrapped);
    this.#keys.set(name, key);
    return key;
  }

  find(purpose: KeyPurpose, number: number): DataKey | undefined {
    return this.#keys.get(keyFileName({ purpose, number }));
  }

  /** Removes the keys of a purpose that seal nothing any more, so what they sealed is gone for good. */
  retain(purpose: KeyPurpose, numbers: ReadonlySet<number>): void {
    let removed = 0;
    for (const [name, key] of this.#keys) {
      if (key.purpose !== purpose || numbers.has(key.number)) continue;
      this.#disk.remove(`${KEY_DIRECTORY}/${name}`);
      this.#keys.delete(name);
      removed++;
    }
    if (removed > 0) this.#disk.syncDirectory(KEY_DIRECTORY);
  }
}

/** True if nothing has ever been stored here, so that a key file may be made beside it. */
export function isNewDataDirectory(disk: Disk): boolean {
  return disk.list(KEY_DIRECTORY).every((name) => !NAME.test(name));
}

export function wrapKey(
  key: DataKey,
  kek: KeyEncryptionKey,
  nowMs: number,
  nonce: Uint8Array,
): Uint8Array {
  invariant(key.secret.length === KEY_BYTES, 'key-ring.secret-length');
  invariant(nonce.length === NONCE_BYTES, 'key-ring.nonce-length');
  const file = new Uint8Array(WRAPPED_KEY_BYTES);
  const view = viewOf(file);
  view.setUint32(0, MAGIC, true);
  file[4] = VERSION;
  file[5] = PURPOSE_CODE[key.purpose];
  view.setUint32(8, key.number, true);
  writeU53(view, 12, nowMs);
  file.set(fingerprintOf(kek.secret), 20);
  file.set(nonce, BOUND_BYTES);
  const cipher = createCipheriv(CIPHER, kek.secret, nonce);
  cipher.setAAD(file.subarray(0, BOUND_BYTES));
  file.set(cipher.update(key.secret), 40);
  cipher.final();
  file.set(cipher.getAuthTag(), 72);
  view.setUint32(88, crc32(file.subarray(0, 88)), true);
  return file;
}

export function unwrapKey(file: Uint8Array, kek: KeyEncryptionKey, name: string): DataKey {
  if (file.length !== WRAPPED_KEY_BYTES) throw damaged(name);
  const view = viewOf(file);
  const isWhole = view.getUint32(88, true) === crc32(file.subarray(0, 88));
  if (!isWhole || view.getUint32(0, true) !== MAGIC || file[4] !== VERSION) throw damaged(name);
  invariant(readU53(view, 12) >= 0, 'key-ring.created-known');
  const fingerprint = file.subarray(20, 20 + FINGERPRINT_BYTES);
  if (!sameBytes(fingerprint, fingerprintOf(kek.secret)))
    throw storageError(
      'key_wrong',
      `the key in ${kek.path} is not the one this data directory was encrypted with (${KEY_DIRECTORY}/${name} was wrapped by another); put the right key file there`,
      { file: kek.path },
    );
  const decipher = createDecipheriv(CIPHER, kek.secret, file.subarray(BOUND_BYTES, 40));
  decipher.setAAD(file.subarray(0, BOUND_BYTES));
  decipher.setAuthTag(file.subarray(72, 88));
  const secret = decipher.update(file.subarray(40, 72));
  try {
    decipher.final();
  } catch (thrown) {
    throw damaged(name, thrown);
  }
  const purpose: KeyPurpose = file[5] === PURPOSE_CODE.wal ? 'wal' : 'state';
  return { purpose, number: view.getUint32(8, true), secret: Uint8Array.from(secret) };
}

/** Name in `keys/` of the file that holds this data key. */
export function keyFileName(key: {
  readonly purpose: KeyPurpose;
  readonly number: number;
}): string {
  return `${key.number.toString(16).padStart(8, '0')}.${key.purpose}.key`;
}

function damaged(name: string, cause?: unknown): Error {
  return storageError(
    'key_damaged',
    `the wrapped key ${KEY_DIRECTORY}/${name} is damaged; restore it from a backup of the data directory`,
    { file: `${KEY_DIRECTORY}/${name}` },
    cause,
  );
}

function readWhole(disk: Disk, path: string): Uint8Array {
  const file = disk.open(path);
  try {
    // One byte more than a whole file has: a longer file is then seen as damaged.
    const bytes = new Uint8Array(WRAPPED_KEY_BYTES + 1);
    return bytes.subarray(0, file.read(0, bytes));
  } finally {
    file.close();
  }
}

function writeWhole(disk: Disk, directory: string, name: string, bytes: Uint8Array): void {
  disk.makeDirectory(directory);
  const temporary = `${directory}/${name}.tmp`;
  disk.remove(temporary);
  const file = disk.open(temporary, { create: true });
  file.write(0, [bytes]);
  file.sync();
  file.close();
  disk.rename(temporary, `${directory}/${name}`);
  disk.syncDirectory(directory);
}
