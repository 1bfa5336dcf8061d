/**
 * PostgreSQL behind a few verbs: a small pool, named prepared statements, every failure converted
 * once. The server may go away and come back: broken connections are dropped and made anew, reads
 * are tried once more, writes answer BACKEND_UNAVAILABLE (their outcome is then unknown).
 */
import pg from 'pg';
import { ParleyError } from '../../../core/errors.ts';

export interface DatabaseOptions {
  readonly target: DatabaseTarget;
  /** Connections at most; idle ones close by themselves. */
  readonly poolMax: number;
  /** Of one query outside a session. The default is 10 s. */
  readonly queryDeadlineMs?: number;
}

/** A URL, or the parts of one. The password stays inside. */
export type DatabaseTarget =
  | { readonly url: string }
  | {
      readonly host: string;
      readonly port: number;
      readonly user: string;
      readonly password: string;
      readonly database: string;
    };

/** Prepared once per connection under its name. `isRead`: running it twice changes nothing. */
export interface Statement {
  readonly name: string;
  readonly text: string;
  readonly isRead?: boolean;
}

export type Value = string | number | boolean | Date | Uint8Array | null | readonly Value[];
export type Row = Readonly<Record<string, unknown>>;

/** One connection for the length of a `session`: for locks and transactions. */
export interface DatabaseSession {
  run(text: string, values?: readonly Value[]): Promise<readonly Row[]>;
}

const CONNECT_DEADLINE_MS = 5_000;
const QUERY_DEADLINE_MS = 10_000;
/** The longest that a timer knows, 24 days. pg takes 0 for "not said" and goes by the pool's deadline. */
const UNLIMITED_MS = 2 ** 31 - 1;
const IDLE_MS = 10_000;
/** Waiting for a connection beyond this many is refused: the database is slower than its callers. */
const WAITING_MAX = 1_000;

export class Database {
  readonly #pool: pg.Pool;

  constructor(options: DatabaseOptions) {
    const { target, poolMax } = options;
    this.#pool = new pg.Pool({
      ...('url' in target ? { connectionString: target.url } : target),
      max: poolMax,
      idleTimeoutMillis: IDLE_MS,
      connectionTimeoutMillis: CONNECT_DEADLINE_MS,
      query_timeout: options.queryDeadlineMs ?? QUERY_DEADLINE_MS,
      keepAlive: true,
      allowExitOnIdle: true,
      application_name: 'parley',
    });
    // An idle connection that breaks leaves the pool; whoever queries next gets a new one.
    this.#pool.on('error', () => undefined);
  }

  /** All rows. Throws a UniqueViolation for a taken key, else a ParleyError. */
  async query(statement: Statement, values: readonly Value[]): Promise<readonly Row[]> {
    // A straggler of a stop, such as who was seen last: no fault of anybody's.
    if (this.#pool.ending) throw new ParleyError('DRAINING', 'the server is stopping');
    if (this.#pool.waitingCount >= WAITING_MAX)
      throw new ParleyError(
        'OVERLOADED',
        'the database has too many requests waiting',
        {},
        {
          retryAfterMs: 1_000,
        },
      );
    const { name, text } = statement;
    const run = async (): Promise<readonly Row[]> => {
      const result = await this.#pool.query<Row>({ name, text, values: [...values] });
      return result.rows;
    };
    try {
      return await run();
    } catch (cause) {
      if (statement.isRead !== true || !isConnectionLoss(cause)) throw converted(cause);
    }
    return run().catch((cause: unknown) => {
      throw converted(cause);
    });
  }

  /** Lends one connection, without the query deadline: a migration or a lock may take its time. */
  async session<T>(work: (session: DatabaseSession) => Promise<T>): Promise<T> {
    const client = await this.#pool.connect().catch((cause: unknown) => {
      throw converted(cause);
    });
    let failure: Error | undefined;
    try {
      return await work({
        run: async (text, values = []) => {
          const config = { text, values: [...values], query_timeout: UNLIMITED_MS };
          const result = await client.query<Row>(config);
          return result.rows;
        },
      });
    } catch (cause) {
      failure = converted(cause);
      throw failure;
    } finally {
      // After a failure the connection may hold a lock or half a transaction: it is closed.
      client.release(failure);
    }
  }

  /** Closes all connections once what runs has ended. Idempotent. */
  async stop(): Promise<void> {
    if (!this.#pool.ending) await this.#pool.end();
  }
}

/** A unique key was taken. The store that knows which turns it into its answer. */
export class UniqueViolation extends Error {
  constructor(cause: unknown) {
    super('a unique key was taken', { cause });
    this.name = 'UniqueViolation';
  }
}

function converted(cause: unknown): Error {
  if (cause instanceof ParleyError || cause instanceof UniqueViolation) return cause;
  const code = codeOf(cause);
  if (code === '23505') return new UniqueViolation(cause);
  if (isConnectionLoss(cause) || isPassing(code))
    return new ParleyError(
      'BACKEND_UNAVAILABLE',
      `the accounts' database cannot be used right now (${code === '' ? 'connection lost' : code})`,
      {},
      { cause, retryAfterMs: 1_000 },
    );
  return new ParleyError(
    'INVARIANT',
    `the accounts' database refused a statement (${code})`,
    {},
    { cause },
  );
}

function codeOf(cause: unknown): string {
  return cause instanceof Error && 'code' in cause ? String(cause.code) : '';
}

/**
 * Classes of SQLSTATE that pass: 08 connection, 25006 read-only (a standby), 28 and 3D while it is
 * being set up, 40 conflicts, 53 resources, 55 object in use, 57 operator, 58 system.
 */
function isPassing(code: string): boolean {
  return /^(08|28|3D|40|53|55|57|58)...$|^25006$/.test(code);
}

function isConnectionLoss(cause: unknown): boolean {
  const code = codeOf(cause);
  if (/^(ECONN|ENOENT$|EPIPE$|ETIMEDOUT$|EHOSTUNREACH$|ENETUNREACH$|ENOTFOUND$|EAI_)/.test(code))
    return true;
  if (/^57P0[123]$|^08/.test(code)) return true;
  // pg has no codes for these.
  return (
    cause instanceof Error &&
    /Connection terminated|timeout exceeded when trying to connect|Query read timeout|Client has encountered a connection error/.test(
      cause.message,
    )
  );
}
