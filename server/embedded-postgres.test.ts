import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { after, afterEach, before, describe, it } from 'mocha';
import pg from 'pg';
import { ParleyError } from '../core/errors.ts';
import {
  EmbeddedPostgres,
  runningPostgres,
  type EmbeddedPostgresOptions,
  type PostgresConnection,
} from './embedded-postgres.ts';
import { isAlive, isListening, readPostmaster, waitUntil } from './postmaster.ts';

/** Above what Linux numbers. */
const NOBODY = 5_000_000;
const isRoot = process.getuid?.() === 0;
const places: string[] = [];
const running: EmbeddedPostgres[] = [];
const children: ChildProcess[] = [];

/** A data directory under a closed parent, as below /root. */
function newDataDir(name = 'data'): string {
  const place = mkdtempSync(join(tmpdir(), 'pg-'));
  places.push(place);
  const dataDir = join(place, name);
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  return dataDir;
}

async function start(
  dataDir: string,
  options: Partial<EmbeddedPostgresOptions> = {},
): Promise<{ postgres: EmbeddedPostgres; connection: PostgresConnection }> {
  const postgres = new EmbeddedPostgres({ dataDir, orphanLingerMs: 2_000, ...options });
  running.push(postgres);
  return { postgres, connection: await postgres.start() };
}

async function query(connection: PostgresConnection, text: string): Promise<unknown[]> {
  const client = new pg.Client({ ...connection, password: connection.password.reveal() });
  client.on('error', () => undefined);
  await client.connect();
  try {
    const result = await client.query<Record<string, unknown>>(text);
    return result.rows;
  } finally {
    await client.end();
  }
}

/** Another process that starts the cluster, says so, and waits to be killed. */
async function startElsewhere(
  dataDir: string,
  lingerMs: number,
  uid?: number,
): Promise<ChildProcess> {
  const child = spawnElsewhere(dataDir, lingerMs, uid);
  await Promise.race([
    once(child.stdout ?? assert.fail(), 'data'),
    once(child, 'exit').then(([code]) => assert.fail(`it ended with ${String(code)}`)),
  ]);
  return child;
}

function spawnElsewhere(dataDir: string, lingerMs: number, uid?: number): ChildProcess {
  const module = new URL('./embedded-postgres.js', import.meta.url).href;
  const script = `
    import { EmbeddedPostgres } from ${JSON.stringify(module)};
    const postgres = new EmbeddedPostgres({ dataDir: ${JSON.stringify(dataDir)}, orphanLingerMs: ${lingerMs} });
    await postgres.start();
    process.on('SIGTERM', async () => { await postgres.stop(); process.exit(0); });
    console.log('up');
    setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
    cwd: '/',
    ...(uid === undefined ? {} : { uid, gid: uid }),
  });
  children.push(child);
  return child;
}

async function kill(child: ChildProcess, signal: NodeJS.Signals): Promise<unknown> {
  const gone = once(child, 'exit');
  child.kill(signal);
  return (await gone)[0];
}

function pidOf(dataDir: string): number {
  return readPostmaster(join(dataDir, 'postgres'))?.pid ?? assert.fail('no postmaster');
}

/** As a postmaster of another container looks from here: its number is nobody's. */
function asSeenElsewhere(dataDir: string): { undo(): void } {
  const pidFile = join(dataDir, 'postgres', 'postmaster.pid');
  const text = readFileSync(pidFile, 'utf8');
  writeFileSync(pidFile, text.replace(/^\d+/, String(NOBODY)));
  return { undo: () => writeFileSync(pidFile, text) };
}

async function failure(promise: Promise<unknown>): Promise<ParleyError> {
  const thrown = await promise.then(
    () => assert.fail('it started'),
    (cause: unknown) => cause,
  );
  assert.ok(thrown instanceof ParleyError, String(thrown));
  assert.equal(thrown.reason, 'BACKEND_UNAVAILABLE');
  return thrown;
}

describe('embedded PostgreSQL', function () {
  this.timeout(20_000);
  // Made once and handed from test to test, each of which leaves it stopped.
  let dataDir: string;
  const made: string[] = [];

  before(async () => {
    dataDir = newDataDir();
    made.push(...places.splice(0));
    const { postgres } = await start(dataDir);
    await postgres.stop();
  });

  after(() => {
    for (const place of made) rmSync(place, { recursive: true, force: true });
  });

  afterEach(async () => {
    for (const child of children.splice(0)) child.kill('SIGKILL');
    for (const postgres of running.splice(0)) await postgres.stop().catch(() => undefined);
    for (const place of places.splice(0)) rmSync(place, { recursive: true, force: true });
  });

  it('is made, stopped and started again in a moment, also below a directory closed to its account', async () => {
    const first = await start(dataDir);
    assert.deepEqual(await query(first.connection, 'select 1 as one'), [{ one: 1 }]);
    assert.deepEqual(
      await query(
        first.connection,
        "select setting from pg_settings where name in ('fsync', 'synchronous_commit', 'data_checksums')",
      ),
      [{ setting: 'on' }, { setting: 'on' }, { setting: 'on' }],
    );
    await query(first.connection, 'create table kept as select 42 as n');
    const pid = pidOf(dataDir);
    await first.postgres.stop();
    assert.ok(!isAlive(pid));
    assert.equal(runningPostgres(dataDir), undefined);
    const before = performance.now();
    const second = await start(dataDir);
    assert.ok(performance.now() - before < 1_500, 'a start takes about 50 ms');
    assert.deepEqual(await query(second.connection, 'select n from kept'), [{ n: 42 }]);
    assert.ok(runningPostgres(dataDir)?.host === second.connection.host);
    for (const file of ['postgres.json', 'postgres.log'])
      assert.equal(statSync(join(dataDir, file)).mode & 0o077, 0, `${file} is for the owner only`);
    assert.equal(statSync(join(dataDir, 'postgres')).uid !== 0, true, 'never root');
  });

  it('what a server killed with SIGKILL left running is adopted, and then ends with its adopter', async () => {
    const server = await startElsewhere(dataDir, 800);
    const pid = pidOf(dataDir);
    const there = runningPostgres(dataDir) ?? assert.fail('not running');
    await query(there, 'create table kept_7 as select 7 as n');
    await kill(server, 'SIGKILL');
    assert.ok(isAlive(pid));
    const { postgres, connection } = await start(dataDir, { orphanLingerMs: 60_000 });
    assert.equal(postgres.pid, pid);
    assert.deepEqual(await query(connection, 'select n from kept_7'), [{ n: 7 }]);
    // The first guard's time passes; it sees that another owner came.
    assert.ok(!(await waitUntil(() => !isAlive(pid), performance.now() + 1_200)));
    await postgres.stop();
    assert.ok(!isAlive(pid));
  });

  it('server and PostgreSQL both killed with SIGKILL: the next start recovers every committed row', async () => {
    const server = await startElsewhere(dataDir, 60_000);
    const pid = pidOf(dataDir);
    const there = runningPostgres(dataDir) ?? assert.fail('not running');
    await query(there, 'create table many as select generate_series(1, 5000) as n');
    await kill(server, 'SIGKILL');
    process.kill(pid, 'SIGKILL');
    const { postgres, connection } = await start(dataDir);
    assert.notEqual(postgres.pid, pid);
    assert.deepEqual(await query(connection, 'select count(*)::int as n from many'), [{ n: 5000 }]);
  });

  it('an orphan that nobody adopts ends by itself', async () => {
    const server = await startElsewhere(dataDir, 200);
    const pid = pidOf(dataDir);
    await kill(server, 'SIGKILL');
    assert.ok(await waitUntil(() => !isAlive(pid), performance.now() + 5_000));
    assert.ok(!existsSync(join(dataDir, 'postgres', 'postmaster.pid')), 'it shut down cleanly');
  });

  it('a server killed before PostgreSQL was ready leaves none for ever either', async () => {
    const server = spawnElsewhere(dataDir, 200);
    const clusterDir = join(dataDir, 'postgres');
    const isSpawned = (): boolean => readPostmaster(clusterDir) !== undefined;
    assert.ok(await waitUntil(isSpawned, performance.now() + 8_000));
    const pid = pidOf(dataDir);
    await kill(server, 'SIGKILL');
    assert.ok(await waitUntil(() => !isAlive(pid), performance.now() + 5_000));
  });

  it('what keeps it from being started again is told and tried again, and ends nothing', async () => {
    const troubles: string[] = [];
    const { postgres } = await start(dataDir, { onTrouble: (e) => troubles.push(e.message) });
    const isTold = (what: RegExp) => (): boolean => troubles.some((each) => what.test(each));
    const pid = postgres.pid ?? assert.fail('no pid');
    const password = join(dataDir, 'postgres.json');
    const owner = join(dataDir, 'postgres', 'parley.owner');
    renameSync(password, `${password}.away`);
    // Stands for a full disk: the file cannot be written.
    rmSync(owner);
    mkdirSync(owner);
    process.kill(pid, 'SIGKILL');
    assert.ok(await waitUntil(isTold(/postgres\.json.*cannot be read/), performance.now() + 5_000));
    renameSync(`${password}.away`, password);
    assert.ok(await waitUntil(isTold(/cannot use .*EISDIR/), performance.now() + 5_000));
    rmSync(owner, { recursive: true });
    const isBack = (): boolean => postgres.pid !== pid && isAlive(postgres.pid ?? 0);
    assert.ok(await waitUntil(isBack, performance.now() + 8_000));
  });

  it('it is started again when it dies under a running server', async () => {
    const troubles: ParleyError[] = [];
    const { postgres, connection } = await start(dataDir, { onTrouble: (e) => troubles.push(e) });
    const pid = postgres.pid ?? assert.fail('no pid');
    process.kill(pid, 'SIGKILL');
    const isBack = (): boolean => postgres.pid !== pid && postgres.pid !== undefined;
    assert.ok(await waitUntil(isBack, performance.now() + 8_000));
    assert.deepEqual(await query(connection, 'select 1 as one'), [{ one: 1 }]);
    assert.match(troubles[0]?.message ?? '', /started again/);
  });

  it('a pid file whose number now belongs to a stranger does not stop a start', async () => {
    const first = await start(dataDir);
    await first.postgres.stop();
    const owner = statSync(join(dataDir, 'postgres'));
    const stranger = spawn('sleep', ['30'], isRoot ? { uid: owner.uid } : {});
    children.push(stranger);
    const pidFile = join(dataDir, 'postgres', 'postmaster.pid');
    writeFileSync(pidFile, `${stranger.pid}\n/elsewhere\n1\n5432\n.\n\n  1  1\nready   \n`);
    chownSync(pidFile, owner.uid, owner.gid);
    assert.equal(runningPostgres(dataDir), undefined);
    const { connection } = await start(dataDir);
    assert.deepEqual(await query(connection, 'select 1 as one'), [{ one: 1 }]);
    assert.equal(stranger.exitCode, null, 'the stranger was left alone');
  });

  it('a path too long for a socket gets a loopback port instead', async () => {
    const own = newDataDir(`${'long-'.repeat(20)}/data`);
    const { connection } = await start(own);
    assert.equal(connection.host, '127.0.0.1');
    assert.deepEqual(await query(connection, 'select 1 as one'), [{ one: 1 }]);
    assert.equal(runningPostgres(own)?.port, connection.port);
    assert.ok(await isListening(join(own, 'postgres')), 'seen from other containers all the same');
  });

  it('one that another container runs on the same data is refused, named and left alone', async () => {
    const first = await start(dataDir);
    await query(first.connection, 'create table acknowledged as select 1 as n');
    const owner = readFileSync(join(dataDir, 'postgres', 'parley.owner'), 'utf8');
    const other = asSeenElsewhere(dataDir);
    const refusal = await failure(start(dataDir, { othersWaitMs: 200 }));
    assert.match(refusal.message, /another container runs a PostgreSQL on .*start again/);
    other.undo();
    await query(first.connection, 'insert into acknowledged values (2)');
    assert.equal(readFileSync(join(dataDir, 'postgres', 'parley.owner'), 'utf8'), owner);
    assert.ok(isAlive(first.postgres.pid ?? 0));
  });

  it('one of another container that is ending is waited for', async () => {
    const first = await start(dataDir);
    await query(first.connection, 'create table before_it_ended as select 1 as n');
    asSeenElsewhere(dataDir);
    const second = start(dataDir, { othersWaitMs: 10_000 });
    await sleep(200);
    await first.postgres.stop();
    assert.deepEqual(await query((await second).connection, 'select n from before_it_ended'), [
      { n: 1 },
    ]);
  });

  it('one of another container that is about to listen is refused too', async () => {
    const clusterDir = join(dataDir, 'postgres');
    const pidFile = join(clusterDir, 'postmaster.pid');
    writeFileSync(pidFile, `${NOBODY}\n/elsewhere\n1\n5432\n`);
    const starting = failure(start(dataDir, { othersWaitMs: 200 }));
    await sleep(200);
    const other = createServer().listen(join(clusterDir, '.s.PGSQL.5432'));
    writeFileSync(pidFile, `${NOBODY}\n/elsewhere\n1\n5432\n.\n\n\nstarting\n`);
    assert.match((await starting).message, /another container runs a PostgreSQL/);
    other.close();
    await once(other, 'close');
  });

  it('a plain user runs it too, and one user’s cluster is refused to another with the reason', async () => {
    const own = newDataDir();
    if (!isRoot) {
      const { postgres } = await start(own);
      assert.ok(postgres.pid !== undefined);
      return;
    }
    const place = places.at(-1) ?? assert.fail();
    chmodSync(place, 0o755);
    chownSync(own, 65_534, 65_534);
    const server = await startElsewhere(own, 1_000, 65_534);
    assert.equal(statSync(join(own, 'postgres')).uid, 65_534);
    assert.equal(await kill(server, 'SIGTERM'), 0);
    // Root takes it over under its owner's account.
    const { connection } = await start(own);
    assert.deepEqual(await query(connection, 'select 1 as one'), [{ one: 1 }]);
    assert.equal(statSync(join(own, 'postgres')).uid, 65_534);
  });

  it('a damaged cluster is named as such, and what to do', async () => {
    const { postgres } = await start(dataDir);
    await postgres.stop();
    truncateSync(join(dataDir, 'postgres', 'global', 'pg_control'), 100);
    assert.match((await failure(start(dataDir))).message, /damaged: restore the data directory/);
    writeFileSync(join(dataDir, 'postgres', 'PG_VERSION'), '15\n');
    assert.match((await failure(start(dataDir))).message, /written by PostgreSQL 15/);
    rmSync(join(dataDir, 'postgres', 'PG_VERSION'));
    assert.match((await failure(start(dataDir))).message, /is not a PostgreSQL cluster/);
  });
});
