/**
 * Migrations: numbered SQL, each applied once and in order, under a lock of the database, so that
 * nodes may start at the same moment. An applied migration never changes; its checksum says so.
 */
import { createHash } from 'node:crypto';
import { ParleyError } from '../../../core/errors.ts';
import { invariant } from '../../../core/invariant.ts';
import type { Database, DatabaseSession } from './database.ts';

export interface Migration {
  readonly number: number;
  readonly name: string;
  readonly sql: string;
}

/** Any number, the same in all nodes and versions. */
const LOCK = 7_237_041_502;

/** Answers the numbers that this call applied. A database that is further on is left as it is. */
export async function migrate(
  database: Database,
  migrations: readonly Migration[],
): Promise<readonly number[]> {
  migrations.forEach((migration, i) =>
    invariant(migration.number === i + 1, 'migrate.dense-numbers', { number: migration.number }),
  );
  return database.session(async (session) => {
    await session.run('select pg_advisory_lock($1)', [LOCK]);
    try {
      return await applyMissing(session, migrations);
    } finally {
      await session.run('select pg_advisory_unlock($1)', [LOCK]);
    }
  });
}

async function applyMissing(
  session: DatabaseSession,
  migrations: readonly Migration[],
): Promise<readonly number[]> {
  await session.run(`create table if not exists parley_migrations (
    number integer primary key, name varchar(100) not null, checksum varchar(64) not null,
    applied_at timestamptz not null default now())`);
  const rows = await session.run('select number, checksum from parley_migrations');
  const applied = new Map(rows.map((row) => [Number(row['number']), String(row['checksum'])]));
  const done: number[] = [];
  for (const migration of migrations) {
    const known = applied.get(migration.number);
    if (known === undefined) {
      await applyOne(session, migration);
      done.push(migration.number);
    } else if (known !== checksumOf(migration)) throw changed(migration);
  }
  return done;
}

async function applyOne(session: DatabaseSession, migration: Migration): Promise<void> {
  await session.run('begin');
  try {
    await session.run(migration.sql);
    await session.run(
      'insert into parley_migrations (number, name, checksum) values ($1, $2, $3)',
      [migration.number, migration.name, checksumOf(migration)],
    );
    await session.run('commit');
  } catch (cause) {
    await session.run('rollback');
    throw cause;
  }
}

function checksumOf(migration: Migration): string {
  return createHash('sha256').update(migration.sql.replaceAll(/\s+/g, ' ').trim()).digest('hex');
}

function changed(migration: Migration): ParleyError {
  return new ParleyError(
    'BACKEND_UNAVAILABLE',
    `the database was migrated by another version of migration ${migration.number} (${migration.name}): use the version of Parley that made it, or another database`,
  );
}
