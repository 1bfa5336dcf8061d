/**
 * Verifies access tokens where connections live, without asking anybody: public keys and the list of
 * revoked sessions are pushed to it. A verified token is remembered, so that a request costs a map
 * look-up; revocation and expiry are judged every time.
 */
import { createPublicKey, verify, type KeyObject } from 'node:crypto';
import { decodeJwt, decodeProtectedHeader } from 'jose';
import { ParleyError } from '../../core/errors.ts';
import { decodeId, type DeviceId, type SessionId, type UserId } from '../../core/ids.ts';
import { ACCESS_TOKEN_TYPE, type AccessClaims } from './access-tokens.ts';
import type { VerificationKeys } from './contract.ts';

export interface VerifierOptions {
  readonly keys: VerificationKeys;
  /** A token was signed with a key that is not known here: ask for the keys anew (once a second at most). */
  readonly onUnknownKey?: () => void;
}

const REMEMBERED_MAX = 20_000;
const TOKEN_CHARACTERS_MAX = 2_000;
/** More revoked sessions than this are kept only until the oldest fall out with their tokens' life. */
const REVOKED_MAX = 1_000_000;
/** Anybody can name a key that nobody has. */
const KEYS_ASKED_MS = 1_000;

export class AccessTokenVerifier {
  readonly #onUnknownKey: () => void;
  #keys: VerificationKeys;
  #publicKeys: ReadonlyMap<string, KeyObject>;
  #askedAtMs = -Infinity;
  readonly #remembered = new Map<string, AccessClaims>();
  /** Session → time from which none of its tokens can still be alive. */
  readonly #revoked = new Map<string, number>();

  constructor(options: VerifierOptions) {
    this.#onUnknownKey = options.onUnknownKey ?? ((): void => undefined);
    this.#keys = options.keys;
    this.#publicKeys = importKeys(options.keys);
  }

  /** Takes over another set of keys, after a rotation. */
  setKeys(keys: VerificationKeys): void {
    this.#keys = keys;
    this.#publicKeys = importKeys(keys);
    this.#remembered.clear();
  }

  /** From now on the session's tokens are refused; forgotten at `untilMs`, when all have expired. */
  revoke(sessionId: SessionId, untilMs: number): void {
    const [oldest] = this.#revoked.keys();
    if (this.#revoked.size >= REVOKED_MAX && oldest !== undefined) this.#revoked.delete(oldest);
    this.#revoked.set(sessionId, untilMs);
  }

  isRevoked(sessionId: SessionId): boolean {
    return this.#revoked.has(sessionId);
  }

  /** Forgets revocations whose tokens have all expired. Call it now and then. */
  prune(nowMs: number): void {
    for (const [sessionId, untilMs] of this.#revoked)
      if (untilMs <= nowMs) this.#revoked.delete(sessionId);
  }

  /** The claims. Throws TOKEN_INVALID, TOKEN_EXPIRED or SESSION_REVOKED. */
  verify(token: string, nowMs: number): AccessClaims {
    const claims = this.#remembered.get(token) ?? this.#open(token, nowMs);
    if (claims.expireTimeMs <= nowMs) {
      this.#remembered.delete(token);
      throw new ParleyError('TOKEN_EXPIRED', 'the access token has expired: refresh it');
    }
    if (this.#revoked.has(claims.sessionId))
      throw new ParleyError('SESSION_REVOKED', 'this session was signed out: sign in anew');
    return claims;
  }

  #open(token: string, nowMs: number): AccessClaims {
    const claims = this.#checked(token, nowMs);
    const [oldest] = this.#remembered.keys();
    if (this.#remembered.size >= REMEMBERED_MAX && oldest !== undefined)
      this.#remembered.delete(oldest);
    this.#remembered.set(token, claims);
    return claims;
  }

  #checked(token: string, nowMs: number): AccessClaims {
    if (token.length === 0 || token.length > TOKEN_CHARACTERS_MAX) throw invalid();
    const end = token.lastIndexOf('.');
    const { keyId, claims } = parse(token);
    const key = this.#publicKeys.get(keyId);
    if (key === undefined) {
      this.#askForKeys(nowMs);
      throw invalid();
    }
    const signature = Buffer.from(token.slice(end + 1), 'base64url');
    if (!verify(null, Buffer.from(token.slice(0, end)), key, signature)) throw invalid();
    if (claims['iss'] !== this.#keys.issuer || claims['aud'] !== this.#keys.audience)
      throw invalid();
    return claimsOf(claims);
  }

  #askForKeys(nowMs: number): void {
    // A clock that was set back must not keep the new keys away.
    if (Math.abs(nowMs - this.#askedAtMs) < KEYS_ASKED_MS) return;
    this.#askedAtMs = nowMs;
    this.#onUnknownKey();
  }
}

function parse(token: string): { keyId: string; claims: Readonly<Record<string, unknown>> } {
  try {
    const header = decodeProtectedHeader(token);
    const isOurs = header.alg === 'EdDSA' && header.typ === ACCESS_TOKEN_TYPE;
    if (isOurs && header.crit === undefined && typeof header.kid === 'string')
      return { keyId: header.kid, claims: decodeJwt(token) };
  } catch {
    // Not a JWT at all: the same answer.
  }
  throw invalid();
}

/** Decode boundary: ids take their types here, once their form is proven. */
function claimsOf(claims: Readonly<Record<string, unknown>>): AccessClaims {
  const text = (name: string): string => {
    const value = claims[name];
    return typeof value === 'string' ? value : '';
  };
  const { iat, exp } = claims;
  const areIds =
    decodeId('usr', text('sub')) !== undefined &&
    decodeId('dev', text('did')) !== undefined &&
    decodeId('ses', text('sid')) !== undefined;
  if (!areIds || typeof iat !== 'number' || typeof exp !== 'number') throw invalid();
  return {
    // oxlint-disable typescript/no-unsafe-type-assertion
    userId: text('sub') as UserId,
    deviceId: text('did') as DeviceId,
    sessionId: text('sid') as SessionId,
    // oxlint-enable typescript/no-unsafe-type-assertion
    scope: text('scope'),
    tokenId: text('jti'),
    issueTimeMs: iat * 1000,
    expireTimeMs: exp * 1000,
  };
}

function importKeys(keys: VerificationKeys): ReadonlyMap<string, KeyObject> {
  return new Map(
    keys.keys.map(({ keyId, publicKey }) => [
      keyId,
      createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: publicKey }, format: 'jwk' }),
    ]),
  );
}

function invalid(): ParleyError {
  return new ParleyError('TOKEN_INVALID', 'this is not an access token of this server');
}
