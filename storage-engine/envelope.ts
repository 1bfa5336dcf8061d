/**
 * The envelope around every value of the state store: AES-256-GCM under this process's data key,
 * the entry's key bound in as additional data, so that a value under another key fails too.
 *
 *   0 u8 version · 1 u32 number of the data key · 5 u56 counter · 12 tag (16) · 28 ciphertext
 *
 * The first 12 bytes are the nonce. A data key lives in one process and its counter only rises, so
 * no (key, nonce) is ever used twice, whatever crashes.
 */
import { createCipheriv, createDecipheriv, createSecretKey, type KeyObject } from 'node:crypto';
import { viewOf } from '../core/bytes.ts';
import { invariant } from '../core/invariant.ts';
import type { DataKey, DataKeys } from './key-ring.ts';

export const ENVELOPE_VERSION = 1;
export const ENVELOPE_BYTES = 28;

const NONCE_BYTES = 12;
const CIPHER = 'aes-256-gcm';
const SPACE_BYTES = 65_536;
const COUNTER_MAX = 2 ** 53 - 1;

/** Seals values under one data key. The only owner of that key's counter. */
export class Sealer {
  readonly #key: KeyObject;
  readonly #head = Buffer.alloc(NONCE_BYTES);
  /** Where values are sealed, one after the other: a buffer each would cost as much as the cipher. */
  #space = Buffer.allocUnsafeSlow(SPACE_BYTES);
  #counter = 0;

  constructor(key: DataKey) {
    this.#key = createSecretKey(key.secret);
    this.#head[0] = ENVELOPE_VERSION;
    this.#head.writeUInt32LE(key.number, 1);
  }

  /** A new envelope around `value`, bound to `key`. Valid until the next one. */
  seal(key: Uint8Array, value: Uint8Array): Uint8Array {
    invariant(this.#counter < COUNTER_MAX, 'envelope.counter-left');
    const counter = this.#counter++;
    const head = this.#head;
    head.writeUInt32LE(counter >>> 0, 5);
    head.writeUIntLE(Math.floor(counter / 2 ** 32), 9, 3);
    const cipher = createCipheriv(CIPHER, this.#key, head);
    cipher.setAAD(key);
    const length = ENVELOPE_BYTES + value.length;
    if (length > this.#space.length) this.#space = Buffer.allocUnsafeSlow(2 * length);
    const sealed = this.#space.subarray(0, length);
    sealed.set(head);
    sealed.set(cipher.update(value), ENVELOPE_BYTES);
    cipher.final();
    sealed.set(cipher.getAuthTag(), NONCE_BYTES);
    return sealed;
  }
}

/** Opens envelopes of all data keys of a ring. */
export class Opener {
  readonly #keys: DataKeys;
  readonly #objects = new Map<number, KeyObject>();

  constructor(keys: DataKeys) {
    this.#keys = keys;
  }

  /** The value, or undefined if any bit of the envelope or its key is not what was sealed. */
  open(key: Uint8Array, sealed: Uint8Array): Uint8Array | undefined {
    if (sealed.length < ENVELOPE_BYTES || sealed[0] !== ENVELOPE_VERSION) return undefined;
    const secret = this.#keyOf(viewOf(sealed).getUint32(1, true));
    if (secret === undefined) return undefined;
    const decipher = createDecipheriv(CIPHER, secret, sealed.subarray(0, NONCE_BYTES));
    decipher.setAAD(key);
    decipher.setAuthTag(sealed.subarray(NONCE_BYTES, ENVELOPE_BYTES));
    const value = decipher.update(sealed.subarray(ENVELOPE_BYTES));
    try {
      decipher.final();
    } catch {
      return undefined;
    }
    return value;
  }

  /** Number of the data key that this envelope names and the ring does not hold; else undefined. */
  missingKey(sealed: Uint8Array): number | undefined {
    if (sealed.length < ENVELOPE_BYTES || sealed[0] !== ENVELOPE_VERSION) return undefined;
    const number = viewOf(sealed).getUint32(1, true);
    return this.#keyOf(number) === undefined ? number : undefined;
  }

  #keyOf(number: number): KeyObject | undefined {
    const known = this.#objects.get(number);
    if (known !== undefined) return known;
    const key = this.#keys.find('state', number);
    if (key === undefined) return undefined;
    const object = createSecretKey(key.secret);
    this.#objects.set(number, object);
    return object;
  }
}
