import assert from 'node:assert/strict';
import { createPrivateKey, generateKeyPairSync } from 'node:crypto';
import { decodeJwt, importJWK, jwtVerify, SignJWT } from 'jose';
import { describe, it } from 'mocha';
import { ParleyError, type Reason } from '../../core/errors.ts';
import { AccessTokenIssuer, type SigningKey } from './access-tokens.ts';
import { AccessTokenVerifier } from './access-token-verifier.ts';
import type { VerificationKeys } from './contract.ts';
import { newDeviceId, newSessionId, newUserId } from './new-ids.ts';

const NOW = 1_790_000_000_000;
const CALLER = {
  userId: newUserId(NOW),
  deviceId: newDeviceId(NOW),
  sessionId: newSessionId(NOW),
};

interface Pair {
  readonly signing: SigningKey;
  readonly keys: VerificationKeys;
}

function newPair(keyId: string): Pair {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const der = privateKey.export({ format: 'der', type: 'pkcs8' });
  const { x = '' } = publicKey.export({ format: 'jwk' });
  return {
    signing: { keyId, privateKey: der },
    keys: { issuer: 'parley', audience: 'parley', keys: [{ keyId, publicKey: x }] },
  };
}

const PAIR = newPair('k1');
const PRIVATE_KEY = Buffer.from(PAIR.signing.privateKey);
const ISSUER = new AccessTokenIssuer('parley', PAIR.signing);
const REQUEST = { ...CALLER, scope: 'chat', nowMs: NOW, ttlMs: 600_000 };

function refused(run: () => unknown, reason: Reason): void {
  assert.throws(run, (thrown) => thrown instanceof ParleyError && thrown.reason === reason);
}

describe('access tokens', () => {
  it('R092 are EdDSA JWTs of type at+jwt that any JWT library verifies', async () => {
    const [key] = PAIR.keys.keys;
    const jwk = await importJWK({ kty: 'OKP', crv: 'Ed25519', x: key?.publicKey ?? '' }, 'EdDSA');
    const { payload, protectedHeader } = await jwtVerify(ISSUER.issue(REQUEST), jwk, {
      issuer: 'parley',
      audience: 'parley',
      typ: 'at+jwt',
      currentDate: new Date(NOW),
    });
    assert.equal(protectedHeader.kid, 'k1');
    assert.equal(payload.sub, CALLER.userId);
    assert.equal(payload['did'], CALLER.deviceId);
    assert.equal(payload['sid'], CALLER.sessionId);
    assert.equal((payload.exp ?? 0) - (payload.iat ?? 0), 600);
    assert.ok((payload.jti ?? '').length >= 16);
  });

  it('tell the gateway who calls until they expire', () => {
    const verifier = new AccessTokenVerifier({ keys: PAIR.keys });
    const token = ISSUER.issue(REQUEST);
    for (const nowMs of [NOW, NOW, NOW + 599_999]) {
      const claims = verifier.verify(token, nowMs);
      assert.deepEqual(
        [claims.userId, claims.deviceId, claims.sessionId, claims.scope, claims.expireTimeMs],
        [CALLER.userId, CALLER.deviceId, CALLER.sessionId, 'chat', NOW + 600_000],
      );
    }
    refused(() => verifier.verify(token, NOW + 600_000), 'TOKEN_EXPIRED');
  });

  it('R097 altered, foreign, unsigned or of another kind are invalid', async () => {
    const verifier = new AccessTokenVerifier({ keys: PAIR.keys });
    const token = ISSUER.issue(REQUEST);
    const [head = '', body = '', signature = ''] = token.split('.');
    const part = (value: object): string =>
      Buffer.from(JSON.stringify(value)).toString('base64url');
    const claims = decodeJwt(token);
    const sign = (
      header: { typ?: string },
      issuer: string,
      sub: string = CALLER.userId,
    ): Promise<string> =>
      new SignJWT({ ...claims, iss: issuer, sub })
        .setProtectedHeader({ alg: 'EdDSA', kid: 'k1', ...header })
        .sign(createPrivateKey({ key: PRIVATE_KEY, format: 'der', type: 'pkcs8' }));
    const wrong = [
      `${head}.${part({ ...claims, sub: newUserId(1) })}.${signature}`,
      `${part({ alg: 'none', typ: 'at+jwt', kid: 'k1' })}.${body}.`,
      `${part({ alg: 'HS256', typ: 'at+jwt', kid: 'k1' })}.${body}.${signature}`,
      `${head}.${body}`,
      `${head}.${body}.`,
      '',
      'x'.repeat(5_000),
      '{}',
      await sign({ typ: 'JWT' }, 'parley'),
      await sign({}, 'parley'),
      await sign({ typ: 'at+jwt' }, 'elsewhere'),
      await sign({ typ: 'at+jwt' }, 'parley', CALLER.sessionId),
      new AccessTokenIssuer('parley', newPair('k1').signing).issue(REQUEST),
    ];
    for (const text of wrong) refused(() => verifier.verify(text, NOW), 'TOKEN_INVALID');
    assert.ok(verifier.verify(await sign({ typ: 'at+jwt' }, 'parley'), NOW).userId);
  });

  it('of a revoked session are refused at once, also when they were just good', () => {
    const verifier = new AccessTokenVerifier({ keys: PAIR.keys });
    const token = ISSUER.issue(REQUEST);
    verifier.verify(token, NOW);
    verifier.revoke(CALLER.sessionId, NOW + 600_000);
    assert.ok(verifier.isRevoked(CALLER.sessionId));
    refused(() => verifier.verify(token, NOW), 'SESSION_REVOKED');
    verifier.prune(NOW + 599_999);
    refused(() => verifier.verify(token, NOW), 'SESSION_REVOKED');
    verifier.prune(NOW + 600_000);
    assert.ok(!verifier.isRevoked(CALLER.sessionId));
    refused(() => verifier.verify(token, NOW + 600_000), 'TOKEN_EXPIRED');
  });

  it('signed with a key that came later are good once the keys are asked for anew', () => {
    const next = newPair('k2');
    let asked = 0;
    const verifier = new AccessTokenVerifier({ keys: PAIR.keys, onUnknownKey: () => (asked += 1) });
    const token = new AccessTokenIssuer('parley', next.signing).issue(REQUEST);
    refused(() => verifier.verify(token, NOW), 'TOKEN_INVALID');
    assert.equal(asked, 1);
    for (let ms = 0; ms < 2000; ms++)
      refused(() => verifier.verify(token, NOW + ms), 'TOKEN_INVALID');
    assert.equal(asked, 2, 'anybody may name a key: who knows it is asked once a second');
    verifier.setKeys({ ...PAIR.keys, keys: [...PAIR.keys.keys, ...next.keys.keys] });
    assert.equal(verifier.verify(token, NOW).userId, CALLER.userId);
    assert.equal(verifier.verify(ISSUER.issue(REQUEST), NOW).userId, CALLER.userId);
  });

  it('a life below a second is a second: times in a token are whole seconds', () => {
    const verifier = new AccessTokenVerifier({ keys: PAIR.keys });
    assert.ok(verifier.verify(ISSUER.issue({ ...REQUEST, ttlMs: 10 }), NOW + 999));
  });
});
