/**
 * Seals small secrets (the identity service's keys) under the key-encryption key: AES-256-GCM with a
 * key derived from it, so that this use and the storage engine's never share one.
 *
 *   0 version (1) · 1 nonce (12) · 13 ciphertext · tag (16)
 */
import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto';
import { ParleyError } from '../core/errors.ts';

/** By structure the KeyWrap of services/identity/ports.ts. */
export interface SecretWrap {
  readonly wrap: (bytes: Uint8Array) => Uint8Array;
  readonly unwrap: (bytes: Uint8Array) => Uint8Array;
}

const VERSION = 1;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const HEAD_BYTES = 1 + NONCE_BYTES;

/** `secret`: 32 bytes of the key file. Random nonces are safe: a cluster seals a handful of keys. */
export function secretWrap(secret: Uint8Array): SecretWrap {
  const key = Buffer.from(hkdfSync('sha256', secret, '', 'parley.identity.wrap.v1', 32));
  return {
    wrap: (bytes) => {
      const nonce = randomBytes(NONCE_BYTES);
      const cipher = createCipheriv('aes-256-gcm', key, nonce);
      const sealed = [cipher.update(bytes), cipher.final()];
      return Buffer.concat([Buffer.of(VERSION), nonce, ...sealed, cipher.getAuthTag()]);
    },
    unwrap: (bytes) => {
      const end = bytes.length - TAG_BYTES;
      if (bytes[0] !== VERSION || end < HEAD_BYTES) throw notOurs();
      try {
        const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(1, HEAD_BYTES));
        decipher.setAuthTag(bytes.subarray(end));
        return Buffer.concat([decipher.update(bytes.subarray(HEAD_BYTES, end)), decipher.final()]);
      } catch (cause) {
        throw notOurs(cause);
      }
    },
  };
}

function notOurs(cause?: unknown): ParleyError {
  return new ParleyError(
    'CORRUPT_ENTRY',
    'a wrapped key is damaged or of another key file',
    {},
    { cause },
  );
}
