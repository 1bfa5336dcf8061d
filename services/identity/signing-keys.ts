/**
 * The service's own keys: Ed25519 pairs that sign access tokens and the key of the refresh tokens.
 * They lie in the store, private parts wrapped by the key-encryption key, and are made when absent.
 */
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import type { Clock } from '../../core/clock.ts';
import { ParleyError } from '../../core/errors.ts';
import type { SigningKey } from './access-tokens.ts';
import type { VerificationKey } from './contract.ts';
import type { KeyStore, KeyWrap, StoredKey } from './ports.ts';

export interface IdentityKeys {
  /** The newest: signs. */
  readonly signing: SigningKey;
  readonly refresh: Uint8Array;
}

/** One id for all nodes: of two that make the first key at once, one wins and both read it. */
const FIRST_SIGNING_KEY = 'sign-1';
const REFRESH_KEY = 'refresh-1';

/** Reads the keys, making the first ones in an empty store. */
export async function openKeys(
  store: KeyStore,
  wrap: KeyWrap,
  clock: Clock,
): Promise<IdentityKeys> {
  const stored = await store.listKeys();
  if (!stored.some((key) => key.kind === 'sign'))
    await store.insertKey(newSigningKey(FIRST_SIGNING_KEY, wrap, clock.nowMs()));
  if (!stored.some((key) => key.kind === 'refresh'))
    await store.insertKey({
      keyId: REFRESH_KEY,
      kind: 'refresh',
      wrapped: wrap.wrap(randomBytes(32)),
      publicKey: '',
      createTimeMs: clock.nowMs(),
    });
  const keys = await store.listKeys();
  const newest = (kind: StoredKey['kind']): StoredKey => {
    const key = keys.findLast((each) => each.kind === kind);
    if (key !== undefined) return key;
    throw new ParleyError('BACKEND_UNAVAILABLE', `the ${kind} key vanished from the database`);
  };
  const signing = newest('sign');
  return {
    signing: { keyId: signing.keyId, privateKey: open(wrap, signing) },
    refresh: open(wrap, newest('refresh')),
  };
}

export async function verificationKeysOf(store: KeyStore): Promise<readonly VerificationKey[]> {
  const keys = await store.listKeys();
  return keys
    .filter((key) => key.kind === 'sign')
    .map(({ keyId, publicKey }) => ({ keyId, publicKey }));
}

function newSigningKey(keyId: string, wrap: KeyWrap, createTimeMs: number): StoredKey {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const { x } = publicKey.export({ format: 'jwk' });
  const secret = privateKey.export({ format: 'der', type: 'pkcs8' });
  return { keyId, kind: 'sign', wrapped: wrap.wrap(secret), publicKey: x ?? '', createTimeMs };
}

function open(wrap: KeyWrap, key: StoredKey): Uint8Array {
  try {
    return wrap.unwrap(key.wrapped);
  } catch (cause) {
    throw new ParleyError(
      'BACKEND_UNAVAILABLE',
      `the key ${key.keyId} in the accounts' database was sealed with another key file: put the right one at PARLEY_KEY_FILE`,
      {},
      { cause },
    );
  }
}
