/**
 * The accounts part of a node: PostgreSQL (embedded, or the one that PARLEY_POSTGRES_URL names), its
 * schema, the password threads and the identity service on top; started and stopped as one.
 */
import { availableParallelism } from 'node:os';
import type { Clock } from '../core/clock.ts';
import { ParleyError, toParleyError } from '../core/errors.ts';
import type { Logger } from '../core/observe.ts';
import { ArgonPasswords } from '../services/identity/adapters/argon-passwords.ts';
import type { DatabaseTarget } from '../services/identity/adapters/database.ts';
import { PgStores } from '../services/identity/adapters/pg-stores.ts';
import type { Revocation } from '../services/identity/contract.ts';
import { Identity } from '../services/identity/identity.ts';
import type { KeyWrap } from '../services/identity/ports.ts';
import { identitySlice } from './config-slices.ts';
import type { Config } from './config-table.ts';
import { takeDataDirectory } from './data-directory.ts';
import { EmbeddedPostgres, runningPostgres, type PostgresConnection } from './embedded-postgres.ts';

export interface AccountsOptions {
  readonly config: Config;
  readonly keyWrap: KeyWrap;
  readonly clock: Clock;
  readonly log: Logger;
  /** Told of each revocation once its row is durable; what it misses, pendingRevocations holds. */
  readonly onRevoked?: (revocations: readonly Revocation[]) => void;
}

export interface Accounts {
  readonly identity: Identity;
  /** Ends it, PostgreSQL last and within the deadline (without one, a few seconds). Idempotent. */
  stop(postgresDeadlineMs?: number): Promise<void>;
}

const MAINTAIN_PERIOD_MS = 3_600_000;

export async function startAccounts(options: AccountsOptions): Promise<Accounts> {
  const { config, log } = options;
  const postgres = config.postgresUrl.isEmpty() ? embedded(config, log) : undefined;
  const settings = identitySlice(config);
  let stores: PgStores | undefined;
  let passwords: ArgonPasswords | undefined;
  let maintenance: NodeJS.Timeout | undefined;
  const stop = async (postgresDeadlineMs?: number): Promise<void> => {
    clearInterval(maintenance);
    await passwords?.stop();
    await stores?.stop();
    await postgres?.stop(postgresDeadlineMs);
  };
  try {
    const target = postgres === undefined ? external(config) : targetOf(await postgres.start());
    stores = new PgStores({ target, poolMax: config.postgresPoolMax });
    await stores.start();
    const threads = Math.max(1, Math.floor(availableParallelism() / 2));
    passwords = new ArgonPasswords({
      threads,
      passwordQueueMax: settings.passwordQueueMax,
      memoryKib: config.passwordMemoryKib,
    });
    const identity = await Identity.open({ ...options, stores, passwords, settings });
    maintenance = setInterval(() => maintain(identity, log), MAINTAIN_PERIOD_MS).unref();
    return { identity, stop };
  } catch (thrown) {
    await stop();
    throw postgres === undefined ? withAdvice(toParleyError(thrown)) : thrown;
  }
}

/**
 * The stores alone, for the operator's tools: of a running server or, when none runs, of an embedded
 * PostgreSQL that is started for the length of `work`.
 */
export async function withStores<T>(
  config: Config,
  work: (stores: PgStores) => Promise<T>,
): Promise<T> {
  if (!config.postgresUrl.isEmpty()) return workOn(external(config), work, withAdvice);
  const connection = runningPostgres(config.dataDir);
  if (connection !== undefined) return workOn(targetOf(connection), work);
  // As a server does: one that starts meanwhile must not find its PostgreSQL ended under it.
  const data = takeDataDirectory(config.dataDir);
  const started = new EmbeddedPostgres({ dataDir: config.dataDir });
  try {
    return await workOn(targetOf(await started.start()), work);
  } finally {
    await started.stop();
    data.release();
  }
}

async function workOn<T>(
  target: DatabaseTarget,
  work: (stores: PgStores) => Promise<T>,
  explained: (error: ParleyError) => ParleyError = (error) => error,
): Promise<T> {
  const stores = new PgStores({ target, poolMax: 1 });
  try {
    await stores.start().catch((thrown: unknown) => {
      throw explained(toParleyError(thrown));
    });
    return await work(stores);
  } finally {
    await stores.stop();
  }
}

/** A start must say which PostgreSQL it could not use; the URL itself holds a password. */
function withAdvice(error: ParleyError): ParleyError {
  if (error.reason === 'CORRUPT_ENTRY') return error;
  return new ParleyError(
    error.reason,
    `${error.message}: it is the PostgreSQL that PARLEY_POSTGRES_URL names; check that it runs and that host, user, password and database are right`,
    error.details,
    { cause: error },
  );
}

function embedded(config: Config, log: Logger): EmbeddedPostgres {
  return new EmbeddedPostgres({
    dataDir: config.dataDir,
    onTrouble: (trouble) => log.error(trouble.message, { part: 'postgres' }),
  });
}

function external(config: Config): DatabaseTarget {
  return { url: config.postgresUrl.reveal() };
}

function targetOf(connection: PostgresConnection): DatabaseTarget {
  return { ...connection, password: connection.password.reveal() };
}

function maintain(identity: Identity, log: Logger): void {
  identity.maintain().catch((thrown: unknown) => {
    log.warn('accounts were not tidied up', { reason: toParleyError(thrown).reason });
  });
}
