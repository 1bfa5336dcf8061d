import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { describe, it } from 'mocha';
import { VirtualTime } from '../gateways/testing/virtual-time.ts';
import { AccessTokenVerifier } from '../services/identity/access-token-verifier.ts';
import { AccessTokenIssuer } from '../services/identity/access-tokens.ts';
import { newDeviceId, newSessionId, newUserId } from '../services/identity/new-ids.ts';
import { LocalVerifier } from './token-verifier.ts';

const MINUTE_MS = 60_000;

describe('the gateways’ verifier', () => {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const { x = '' } = publicKey.export({ format: 'jwk' });
  const keys = { issuer: 'parley', audience: 'parley', keys: [{ keyId: 'k', publicKey: x }] };
  const issuer = new AccessTokenIssuer('parley', {
    keyId: 'k',
    privateKey: privateKey.export({ format: 'der', type: 'pkcs8' }),
  });

  function opened(accessTokenTtlMs: number): { time: VirtualTime; verifier: LocalVerifier } {
    const time = new VirtualTime();
    const verifier = new AccessTokenVerifier({ keys });
    return {
      time,
      verifier: new LocalVerifier({ verifier, clock: time, timers: time, accessTokenTtlMs }),
    };
  }

  function tokenOf(nowMs: number, ttlMs: number): string {
    return issuer.issue({
      userId: newUserId(nowMs),
      deviceId: newDeviceId(nowMs),
      sessionId: newSessionId(nowMs),
      scope: 'chat',
      nowMs,
      ttlMs,
    });
  }

  it('takes a token of a start with a longer life no longer than one of its own', async () => {
    const { time, verifier } = opened(MINUTE_MS);
    const issuedMs = time.nowMs();
    const token = tokenOf(issuedMs, 10 * MINUTE_MS);
    assert.equal((await verifier.verify(token)).expiresAtMs, issuedMs + MINUTE_MS);
    time.pass(MINUTE_MS - 1);
    await verifier.verify(token);
    time.pass(1);
    await assert.rejects(verifier.verify(token), { reason: 'TOKEN_EXPIRED' });
  });

  it('takes none for longer than it says', async () => {
    const { time, verifier } = opened(10 * MINUTE_MS);
    const issuedMs = time.nowMs();
    const token = tokenOf(issuedMs, MINUTE_MS);
    assert.equal((await verifier.verify(token)).expiresAtMs, issuedMs + MINUTE_MS);
    time.pass(MINUTE_MS);
    await assert.rejects(verifier.verify(token), { reason: 'TOKEN_EXPIRED' });
  });
});
