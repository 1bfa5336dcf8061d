/** An identity service on a real, embedded PostgreSQL for tests: one cluster and one pool a suite. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import type { Clock } from '../../core/clock.ts';
import { identitySlice, type IdentitySlice } from '../../server/config-slices.ts';
import { defaultConfig } from '../../server/config.ts';
import { EmbeddedPostgres, type PostgresConnection } from '../../server/embedded-postgres.ts';
import { secretWrap } from '../../server/key-wrap.ts';
import { ArgonPasswords } from '../../services/identity/adapters/argon-passwords.ts';
import type { DatabaseTarget } from '../../services/identity/adapters/database.ts';
import { PgStores } from '../../services/identity/adapters/pg-stores.ts';
import type { Caller, Revocation, Tokens } from '../../services/identity/contract.ts';
import { Identity } from '../../services/identity/identity.ts';

/** A clock that moves when told. */
export class HandClock implements Clock {
  #nowMs = 1_790_000_000_000;
  nowMs(): number {
    return this.#nowMs;
  }
  monotonicMs(): number {
    return this.#nowMs;
  }
  advance(ms: number): void {
    this.#nowMs += ms;
  }
}

export interface Node {
  readonly identity: Identity;
  readonly stores: PgStores;
  readonly clock: HandClock;
  readonly revoked: Revocation[];
}

export class IdentityBench {
  readonly dataDir: string = mkdtempSync(join(tmpdir(), 'identity-'));
  readonly passwords: ArgonPasswords = new ArgonPasswords({ threads: 1, passwordQueueMax: 64 });
  readonly postgres: EmbeddedPostgres = new EmbeddedPostgres({
    dataDir: this.dataDir,
    orphanLingerMs: 5_000,
  });
  #connection: PostgresConnection | undefined;
  readonly #open: PgStores[] = [];
  #databases = 0;

  async start(): Promise<void> {
    this.#connection = await this.postgres.start();
  }

  async stop(): Promise<void> {
    await this.closeNodes();
    await this.passwords.stop();
    await this.postgres.stop();
    rmSync(this.dataDir, { recursive: true, force: true });
  }

  async closeNodes(): Promise<void> {
    await Promise.all(this.#open.splice(0).map((stores) => stores.stop()));
  }

  /** An empty database of its own. */
  async newDatabase(): Promise<DatabaseTarget & { readonly database: string }> {
    const database = `test_${++this.#databases}`;
    await this.sql(this.target('postgres'), `create database ${database}`);
    return { ...this.target(database), database };
  }

  /** Forgets all accounts, so that the next test finds an empty house. Keys stay. */
  async empty(target: DatabaseTarget): Promise<void> {
    const tables = ['users', 'service_tokens', 'signup_codes', 'keyed_requests'];
    await this.sql(target, tables.map((table) => `delete from ${table};`).join(' '));
  }

  target(database: string): DatabaseTarget & { readonly host: string } {
    const connection = this.#connection;
    if (connection === undefined) throw new TypeError('the bench is not started');
    return { ...connection, password: connection.password.reveal(), database };
  }

  async sql(target: DatabaseTarget, text: string): Promise<Record<string, unknown>[]> {
    const client = new pg.Client('url' in target ? target.url : target);
    client.on('error', () => undefined);
    await client.connect();
    try {
      const result = await client.query<Record<string, unknown>>(text);
      return result.rows;
    } finally {
      await client.end();
    }
  }

  async node(
    target: DatabaseTarget,
    settings: Partial<IdentitySlice> = {},
    secret: Uint8Array = new Uint8Array(32).fill(7),
  ): Promise<Node> {
    const stores = new PgStores({ target, poolMax: 4 });
    this.#open.push(stores);
    await stores.start();
    return this.nodeOn(stores, settings, secret);
  }

  /** Another node on a pool that is open. */
  async nodeOn(
    stores: PgStores,
    settings: Partial<IdentitySlice> = {},
    secret: Uint8Array = new Uint8Array(32).fill(7),
  ): Promise<Node> {
    const clock = new HandClock();
    const revoked: Revocation[] = [];
    const identity = await Identity.open({
      stores,
      passwords: this.passwords,
      keyWrap: secretWrap(secret),
      clock,
      settings: { ...identitySlice(defaultConfig()), ...settings },
      onRevoked: (each) => revoked.push(...each),
    });
    return { identity, stores, clock, revoked };
  }
}

export function callerOf(tokens: Tokens): Caller {
  const { userId, deviceId, sessionId } = tokens;
  return { userId, deviceId, sessionId };
}
