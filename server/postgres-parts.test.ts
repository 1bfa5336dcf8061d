import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, describe, it } from 'mocha';
import { ParleyError } from '../core/errors.ts';
import { accountFor, canReach, chooseAccount, parseAccounts } from './postgres-account.ts';
import { installedBinaries, runnableBinaries } from './postgres-binaries.ts';
import { cannotRun, explain, serverArguments } from './postgres-cluster.ts';
import { isPostgresOn, readPostmaster } from './postmaster.ts';

const isRoot = process.getuid?.() === 0;
const places: string[] = [];

function newPlace(): string {
  const place = mkdtempSync(join(tmpdir(), 'pgparts-'));
  places.push(place);
  return place;
}

/** The package as `npm ci --ignore-scripts` leaves it: without its links. */
function packageWithoutLinks(place: string): string {
  const native = join(place, 'native');
  cpSync(installedBinaries(), native, { recursive: true, verbatimSymlinks: true });
  const list = readFileSync(join(native, 'pg-symlinks.json'), 'utf8');
  const links = [...list.matchAll(/"target":"([^"]+)"/g)].map(([, target = '']) => target);
  assert.ok(links.length > 10);
  for (const target of links) rmSync(join(place, target));
  return native;
}

function reasonOf(run: () => unknown): ParleyError {
  try {
    run();
  } catch (thrown) {
    if (thrown instanceof ParleyError) return thrown;
  }
  assert.fail('no ParleyError');
}

describe('PostgreSQL’s binaries and account', () => {
  afterEach(() => {
    for (const place of places.splice(0)) rmSync(place, { recursive: true, force: true });
  });

  it('links that an install without scripts left out are made', () => {
    const native = packageWithoutLinks(newPlace());
    const { initdb } = runnableBinaries(native, undefined, newPlace());
    assert.equal(dirname(dirname(initdb)), native);
    assert.match(execFileSync(initdb, ['--version'], { encoding: 'utf8' }), /PostgreSQL/);
  });

  it('binaries below a closed directory are placed where the account reaches them, once', () => {
    if (!isRoot) return assert.equal(canReach(newPlace(), undefined), true);
    const closed = newPlace();
    const native = packageWithoutLinks(closed);
    chmodSync(closed, 0o700);
    const account = accountFor(undefined) ?? assert.fail('root has an account for it');
    const { postgres } = runnableBinaries(native, account, newPlace());
    const copy = dirname(dirname(postgres));
    places.push(copy);
    assert.ok(!copy.startsWith(closed) && canReach(postgres, account));
    assert.equal(lstatSync(copy).uid, 0, 'the account cannot change what it runs');
    assert.equal(lstatSync(copy).mode & 0o022, 0);
    const { uid, gid } = account;
    const version = execFileSync(postgres, ['--version'], { encoding: 'utf8', uid, gid, cwd: '/' });
    assert.match(version, /PostgreSQL/);
    assert.deepEqual(runnableBinaries(native, account, newPlace()).postgres, postgres);
    assert.ok(!existsSync(join(copy, 'lib', 'pkgconfig')));
  });

  it('a platform without binaries is told to bring its own server', () => {
    const { reason, message } = reasonOf(() => installedBinaries('sunos-sparc'));
    assert.equal(reason, 'BACKEND_UNAVAILABLE');
    assert.match(message, /no embedded PostgreSQL binaries for sunos-sparc.*PARLEY_POSTGRES_URL/);
  });

  it('root’s choice: the owner of the files, then postgres, then nobody, then anybody but root', () => {
    const passwd =
      'root:x:0:0::/:/bin/sh\nann:x:1000:1000::/:/bin/sh\nnobody:x:65534:65534::/:/x\n';
    const accounts = parseAccounts(`${passwd}broken line\n`);
    assert.equal(accounts.length, 3);
    assert.equal(chooseAccount(accounts, undefined).name, 'nobody');
    assert.equal(chooseAccount(accounts, 1000).name, 'ann');
    assert.equal(chooseAccount(accounts, 77).uid, 77);
    assert.equal(chooseAccount(accounts.slice(0, 2), undefined).name, 'ann');
    const withPostgres = [...accounts, { name: 'postgres', uid: 5, gid: 5 }];
    assert.equal(chooseAccount(withPostgres, undefined).uid, 5);
    assert.match(reasonOf(() => chooseAccount([], undefined)).message, /adduser/);
  });

  it('reachability is judged at every directory on the way', () => {
    const place = newPlace();
    const account = { name: 'other', uid: 4_000_000, gid: 4_000_000 };
    chmodSync(place, 0o755);
    mkdirSync(join(place, 'a', 'b'), { recursive: true, mode: 0o755 });
    assert.equal(canReach(join(place, 'a', 'b'), account), true);
    chmodSync(join(place, 'a'), 0o700);
    assert.equal(canReach(join(place, 'a', 'b'), account), false);
    assert.equal(canReach(join(place, 'absent'), account), false);
  });

  it('what PostgreSQL says before it gives up becomes advice', () => {
    const cases: [string, RegExp][] = [
      ['initdb: error: could not write: No space left on device', /disk is full/],
      [
        'FATAL:  could not create any TCP/IP sockets\nLOG: could not bind IPv4 address',
        /port is taken/,
      ],
      ['FATAL:  lock file "postmaster.pid" already exists', /another PostgreSQL/],
      ['PANIC:  could not locate a valid checkpoint record', /damaged.*backup/],
      [
        'could not open file "/x/global/pg_control": No such file',
        /files of it are missing.*backup/,
      ],
      ['FATAL:  database files are incompatible with server', /another version, or .*backup/],
      ['error: invalid page in block 0 of relation "base/5/1259"', /damaged.*backup/],
      ['FATAL:  could not resize shared memory segment: x', /memory/],
      ['initdb: error: could not look up effective user ID 7', /passwd/],
      ['FATAL:  data directory "/x" has invalid permissions', /it said: FATAL/],
    ];
    for (const [said, meaning] of cases) assert.match(explain(said, 'It failed').message, meaning);
    const musl = Object.assign(new Error('spawn'), { code: 'ENOENT' });
    assert.match(cannotRun(process.execPath, musl).message, /musl.*PARLEY_POSTGRES_URL/);
  });

  it('it listens in its own directory or on loopback, never elsewhere', () => {
    const socket = serverArguments('/d', { kind: 'socket' }).join(' ');
    assert.match(socket, /listen_addresses= -c port=5432$/);
    const tcp = serverArguments('/d', { kind: 'tcp', port: 7 }).join(' ');
    for (const each of [socket, tcp]) assert.match(each, /unix_socket_directories=\. /);
    assert.match(tcp, /listen_addresses=127\.0\.0\.1 .*port=7/);
    assert.match(tcp, /fsync=on/);
  });

  it('no pid file, or one half written, is no postmaster', () => {
    assert.equal(readPostmaster(newPlace()), undefined);
    assert.equal(isPostgresOn(process.pid, newPlace()), false);
  });
});
