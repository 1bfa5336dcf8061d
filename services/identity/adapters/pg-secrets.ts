/** Wrapped keys, service tokens and keyed requests in PostgreSQL. */
import {
  SERVICE_SCOPES,
  type KeyedOutcome,
  type KeyedRequest,
  type ServiceToken,
} from '../contract.ts';
import type { KeyedRequestStore, KeyStore, ServiceTokenStore, StoredKey } from '../ports.ts';
import type { Database, Row, Statement } from './database.ts';
import { bytesIn, oneOfIn, optionalTimeIn, textIn, timeIn } from './rows.ts';

const LIST_KEYS: Statement = {
  name: 'identity_keys_list',
  text: `select key_id, kind, wrapped, public_key, created_at from identity_keys
    order by created_at, key_id`,
  isRead: true,
};
const INSERT_KEY: Statement = {
  name: 'identity_keys_insert',
  text: `insert into identity_keys (key_id, kind, wrapped, public_key, created_at)
    values ($1, $2, $3, $4, $5) on conflict (key_id) do nothing`,
};

export class PgKeys implements KeyStore {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  async listKeys(): Promise<readonly StoredKey[]> {
    const rows = await this.#database.query(LIST_KEYS, []);
    return rows.map((row) => ({
      keyId: textIn(row, 'key_id'),
      kind: oneOfIn(row, 'kind', ['sign', 'refresh']),
      wrapped: bytesIn(row, 'wrapped'),
      publicKey: textIn(row, 'public_key'),
      createTimeMs: timeIn(row, 'created_at'),
    }));
  }

  async insertKey(key: StoredKey): Promise<void> {
    const { keyId, kind, wrapped, publicKey, createTimeMs } = key;
    const values = [keyId, kind, Buffer.from(wrapped), publicKey, new Date(createTimeMs)];
    await this.#database.query(INSERT_KEY, values);
  }
}

const TOKEN_COLUMNS = 'token_id, name, scopes, created_at, revoked_at';
const INSERT_TOKEN: Statement = {
  name: 'service_tokens_insert',
  text: `insert into service_tokens (token_id, name, token_hash, scopes, created_at)
    values ($1, $2, $3, $4, $5)`,
};
const FIND_TOKEN: Statement = {
  name: 'service_tokens_find',
  text: `select ${TOKEN_COLUMNS} from service_tokens where token_hash = $1`,
  isRead: true,
};
const LIST_TOKENS: Statement = {
  name: 'service_tokens_list',
  text: `select ${TOKEN_COLUMNS} from service_tokens order by created_at, token_id`,
  isRead: true,
};
const REVOKE_TOKEN: Statement = {
  name: 'service_tokens_revoke',
  text: `update service_tokens set revoked_at = coalesce(revoked_at, $2)
    where token_id = $1 returning ${TOKEN_COLUMNS}`,
};

export class PgServiceTokens implements ServiceTokenStore {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  async insertServiceToken(token: ServiceToken, hash: Uint8Array): Promise<void> {
    const { tokenId, name, scopes, createTimeMs } = token;
    const values = [tokenId, name, Buffer.from(hash), scopes.join(' '), new Date(createTimeMs)];
    await this.#database.query(INSERT_TOKEN, values);
  }

  async findServiceToken(hash: Uint8Array): Promise<ServiceToken | undefined> {
    const [row] = await this.#database.query(FIND_TOKEN, [Buffer.from(hash)]);
    return row === undefined ? undefined : tokenOf(row);
  }

  async listServiceTokens(): Promise<readonly ServiceToken[]> {
    const rows = await this.#database.query(LIST_TOKENS, []);
    return rows.map(tokenOf);
  }

  async revokeServiceToken(tokenId: string, timeMs: number): Promise<ServiceToken | undefined> {
    const [row] = await this.#database.query(REVOKE_TOKEN, [tokenId, new Date(timeMs)]);
    return row === undefined ? undefined : tokenOf(row);
  }
}

function tokenOf(row: Row): ServiceToken {
  const scopes = textIn(row, 'scopes').split(' ');
  const revokeTimeMs = optionalTimeIn(row, 'revoked_at');
  return {
    tokenId: textIn(row, 'token_id'),
    name: textIn(row, 'name'),
    scopes: SERVICE_SCOPES.filter((scope) => scopes.includes(scope)),
    createTimeMs: timeIn(row, 'created_at'),
    ...(revokeTimeMs === undefined ? {} : { revokeTimeMs }),
  };
}

/** A claim that lapsed is taken over in the same statement, so that one of two takers wins. */
const CLAIM: Statement = {
  name: 'keyed_claim',
  text: `insert into keyed_requests (caller, method, request_key, request_hash, claimed_at)
    values ($1, $2, $3, $4, $5)
    on conflict (caller, method, request_key) do update
      set claimed_at = excluded.claimed_at, request_hash = excluded.request_hash
      where keyed_requests.result is null and keyed_requests.claimed_at < $6
    returning caller`,
};
const FIND_CLAIM: Statement = {
  name: 'keyed_find',
  text: `select request_hash, result from keyed_requests
    where caller = $1 and method = $2 and request_key = $3`,
  isRead: true,
};
const COMPLETE: Statement = {
  name: 'keyed_complete',
  text: `update keyed_requests set result = $5
    where caller = $1 and method = $2 and request_key = $3 and request_hash = $4`,
};
const ABANDON: Statement = {
  name: 'keyed_abandon',
  text: `delete from keyed_requests
    where caller = $1 and method = $2 and request_key = $3 and request_hash = $4 and result is null`,
};
const PRUNE: Statement = {
  name: 'keyed_prune',
  text: 'delete from keyed_requests where claimed_at < $1',
};

export class PgKeyedRequests implements KeyedRequestStore {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  async claim(
    request: KeyedRequest,
    times: { readonly nowMs: number; readonly claimLapsedBeforeMs: number },
  ): Promise<KeyedOutcome | { readonly kind: 'running' } | { readonly kind: 'other' }> {
    const { callerId, method, key, requestHash } = request;
    const claimed = await this.#database.query(CLAIM, [
      callerId,
      method,
      key,
      requestHash,
      new Date(times.nowMs),
      new Date(times.claimLapsedBeforeMs),
    ]);
    if (claimed.length === 1) return { kind: 'claimed' };
    const [row] = await this.#database.query(FIND_CLAIM, [callerId, method, key]);
    // Abandoned between the two statements: the caller asks again in a moment.
    if (row === undefined) return { kind: 'running' };
    if (textIn(row, 'request_hash') !== requestHash) return { kind: 'other' };
    return row['result'] === null
      ? { kind: 'running' }
      : { kind: 'replayed', result: resultOf(row) };
  }

  async complete(request: KeyedRequest, result: string): Promise<void> {
    const { callerId, method, key, requestHash } = request;
    await this.#database.query(COMPLETE, [callerId, method, key, requestHash, result]);
  }

  async abandon(request: KeyedRequest): Promise<void> {
    const { callerId, method, key, requestHash } = request;
    await this.#database.query(ABANDON, [callerId, method, key, requestHash]);
  }

  async prune(beforeMs: number): Promise<void> {
    await this.#database.query(PRUNE, [new Date(beforeMs)]);
  }
}

function resultOf(row: Row): string {
  return textIn(row, 'result');
}
