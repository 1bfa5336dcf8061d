/**
 * Makes access tokens: EdDSA JWTs of type `at+jwt` (RFC 9068), a few minutes long. Signing is
 * synchronous (50 µs): the libuv pool belongs to the state store.
 */
import { createPrivateKey, randomBytes, sign, type KeyObject } from 'node:crypto';
import { invariant } from '../../core/invariant.ts';
import type { Caller } from './contract.ts';

export const ACCESS_TOKEN_TYPE = 'at+jwt';
export const ACCESS_TOKEN_AUDIENCE = 'parley';

/** What a verified access token says. */
export interface AccessClaims extends Caller {
  /** Scopes, separated by spaces. */
  readonly scope: string;
  readonly tokenId: string;
  readonly issueTimeMs: number;
  readonly expireTimeMs: number;
}

export interface SigningKey {
  readonly keyId: string;
  /** PKCS#8. */
  readonly privateKey: Uint8Array;
}

export interface AccessTokenRequest extends Caller {
  readonly scope: string;
  readonly nowMs: number;
  readonly ttlMs: number;
}

export class AccessTokenIssuer {
  readonly #issuer: string;
  readonly #header: string;
  readonly #key: KeyObject;

  constructor(issuer: string, key: SigningKey) {
    this.#issuer = issuer;
    this.#header = encode({ alg: 'EdDSA', typ: ACCESS_TOKEN_TYPE, kid: key.keyId });
    this.#key = createPrivateKey({
      key: Buffer.from(key.privateKey),
      format: 'der',
      type: 'pkcs8',
    });
    invariant(this.#key.asymmetricKeyType === 'ed25519', 'access-tokens.key-type');
  }

  /** Times in a token are whole seconds (RFC 7519 §2): its life is rounded down, at least to one. */
  issue(request: AccessTokenRequest): string {
    const issued = Math.floor(request.nowMs / 1000);
    const claims = {
      iss: this.#issuer,
      aud: ACCESS_TOKEN_AUDIENCE,
      sub: request.userId,
      did: request.deviceId,
      sid: request.sessionId,
      scope: request.scope,
      iat: issued,
      exp: issued + Math.max(1, Math.floor(request.ttlMs / 1000)),
      jti: randomBytes(12).toString('base64url'),
    };
    const signed = `${this.#header}.${encode(claims)}`;
    return `${signed}.${sign(null, Buffer.from(signed), this.#key).toString('base64url')}`;
  }
}

function encode(part: Readonly<Record<string, string | number>>): string {
  return Buffer.from(JSON.stringify(part)).toString('base64url');
}
