/** All stores of the identity service on one PostgreSQL: opened, migrated, closed together. */
import type { IdentityStores } from '../ports.ts';
import { Database, type DatabaseOptions } from './database.ts';
import { migrate, type Migration } from './migrate.ts';
import { ACCOUNTS } from './migrations/0001-accounts.ts';
import { USER_WORDS } from './migrations/0002-user-words.ts';
import { PgAccounts } from './pg-accounts.ts';
import { PgDevices } from './pg-devices.ts';
import { PgKeyedRequests, PgKeys, PgServiceTokens } from './pg-secrets.ts';
import { PgSessions } from './pg-sessions.ts';

export const MIGRATIONS: readonly Migration[] = [ACCOUNTS, USER_WORDS];

export class PgStores implements IdentityStores {
  readonly accounts: PgAccounts;
  readonly devices: PgDevices;
  readonly sessions: PgSessions;
  readonly keys: PgKeys;
  readonly serviceTokens: PgServiceTokens;
  readonly keyedRequests: PgKeyedRequests;
  readonly #database: Database;

  constructor(options: DatabaseOptions) {
    const database = new Database(options);
    this.#database = database;
    this.accounts = new PgAccounts(database);
    this.devices = new PgDevices(database);
    this.sessions = new PgSessions(database);
    this.keys = new PgKeys(database);
    this.serviceTokens = new PgServiceTokens(database);
    this.keyedRequests = new PgKeyedRequests(database);
  }

  /** Brings the schema up to this version. Safe when several nodes start at once. */
  async start(): Promise<void> {
    await migrate(this.#database, MIGRATIONS);
  }

  async stop(): Promise<void> {
    await this.#database.stop();
  }
}
