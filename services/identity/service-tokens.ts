/** Tokens of bots and internal services: opaque, revocable, scoped; only their hash is kept. */
import { createHash, randomBytes } from 'node:crypto';
import type { Clock } from '../../core/clock.ts';
import { ParleyError } from '../../core/errors.ts';
import { encodeUuid, newRawId, decodeUuid } from '../../core/ids.ts';
import { SERVICE_SCOPES, type ServiceScope, type ServiceToken } from './contract.ts';
import type { ServiceTokenStore } from './ports.ts';
import { checkName } from './text-rules.ts';

const PREFIX = 'pst_';
const TEXT = /^pst_[A-Za-z0-9_-]{43}$/;

export class ServiceTokens {
  readonly #store: ServiceTokenStore;
  readonly #clock: Clock;

  constructor(store: ServiceTokenStore, clock: Clock) {
    this.#store = store;
    this.#clock = clock;
  }

  async create(request: {
    readonly name: string;
    readonly scopes: readonly string[];
  }): Promise<{ readonly token: string; readonly serviceToken: ServiceToken }> {
    const name = checkName(request.name, 'name');
    if (name.trim() === '') throw new ParleyError('BAD_FIELD', 'name is empty', { field: 'name' });
    const scopes = [...new Set(request.scopes.map(scopeOf))];
    if (scopes.length === 0)
      throw new ParleyError('BAD_FIELD', 'a token needs at least one scope', { field: 'scopes' });
    const nowMs = this.#clock.nowMs();
    const tokenId = encodeUuid(newRawId(nowMs));
    const token = PREFIX + randomBytes(32).toString('base64url');
    const serviceToken: ServiceToken = { tokenId, name, scopes, createTimeMs: nowMs };
    await this.#store.insertServiceToken(serviceToken, hashOf(token));
    return { token, serviceToken };
  }

  async list(): Promise<readonly ServiceToken[]> {
    return this.#store.listServiceTokens();
  }

  async revoke(tokenId: string): Promise<ServiceToken> {
    const found =
      decodeUuid(tokenId) === undefined
        ? undefined
        : await this.#store.revokeServiceToken(tokenId, this.#clock.nowMs());
    if (found !== undefined) return found;
    throw new ParleyError('BAD_FIELD', 'there is no service token with this id', {
      field: 'tokenId',
    });
  }

  async verify(token: string): Promise<ServiceToken> {
    const found = TEXT.test(token) ? await this.#store.findServiceToken(hashOf(token)) : undefined;
    if (found === undefined || found.revokeTimeMs !== undefined)
      throw new ParleyError('TOKEN_INVALID', 'this service token is unknown or revoked');
    return found;
  }
}

/** 256 random bits need no slow hash. */
function hashOf(token: string): Uint8Array {
  return createHash('sha256').update(token).digest();
}

function scopeOf(text: string): ServiceScope {
  const scope = SERVICE_SCOPES.find((each) => each === text);
  if (scope !== undefined) return scope;
  throw new ParleyError('BAD_FIELD', `a scope is one of ${SERVICE_SCOPES.join(', ')}`, {
    field: 'scopes',
  });
}
