import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { after, before, describe, it } from 'mocha';
import { ParleyError } from '../../core/errors.ts';
import { SILENT } from '../../core/observe.ts';
import { startAccounts, type Accounts } from '../../server/accounts.ts';
import { defaultConfig } from '../../server/config.ts';
import type { Config } from '../../server/config-table.ts';
import { takeDataDirectory } from '../../server/data-directory.ts';
import { runningPostgres } from '../../server/embedded-postgres.ts';
import { secretWrap } from '../../server/key-wrap.ts';
import { Secret } from '../../server/secret.ts';

const CLI = fileURLToPath(new URL('../../tools/parley.js', import.meta.url));
const HERE = { address: '127.0.0.1' };

interface Ran {
  readonly status: number | null;
  readonly out: string;
  readonly said: string;
}

describe('the accounts part and the operator’s commands', function () {
  this.timeout(20_000);
  const place = mkdtempSync(join(tmpdir(), 'accounts-'));
  const dataDir = join(place, 'data');
  const config = defaultConfig({ dataDir });
  let running: Accounts | undefined;

  const start = (with_: Config = config): Promise<Accounts> =>
    startAccounts({
      config: with_,
      keyWrap: secretWrap(new Uint8Array(32).fill(1)),
      clock: { nowMs: () => Date.now(), monotonicMs: () => performance.now() },
      log: SILENT,
    });

  const parley = (...args: string[]): Ran => parleyWith({}, ...args);

  function parleyWith(more: Readonly<Record<string, string>>, ...args: string[]): Ran {
    const env = { PATH: process.env['PATH'] ?? '', PARLEY_DATA_DIR: dataDir, ...more };
    const { status, stdout, stderr } = spawnSync(process.execPath, [CLI, ...args], {
      encoding: 'utf8',
      env,
      cwd: place,
    });
    return { status, out: stdout, said: stderr };
  }

  before(() => mkdirSync(dataDir));
  after(async () => {
    await running?.stop();
    rmSync(place, { recursive: true, force: true });
  });

  it('a directory in which no server has run is refused to the commands', () => {
    const { status, said } = parley('token', 'create', '--scope', 'broker', '--name', 'x');
    assert.equal(status, 1);
    assert.match(said, /start the server once.*--data-dir/);
  });

  it('starts with nothing configured, and a token made beside it is good at once', async () => {
    running = await start();
    const made = parley('token', 'create', '--scope', 'broker', 'act_as', '--name', 'billing');
    assert.equal(made.status, 0, made.said);
    const token = made.out.trim();
    assert.match(token, /^pst_[\w-]{43}$/);
    const { name, scopes, tokenId } = await running.identity.verifyServiceToken(token);
    assert.deepEqual([name, ...scopes], ['billing', 'act_as', 'broker']);
    assert.match(parley('token', 'list').out, new RegExp(`^${tokenId}  \\d{4}-.*live.*billing`));

    const revoked = parley('token', 'revoke', tokenId);
    assert.equal(revoked.status, 0);
    await assert.rejects(running.identity.verifyServiceToken(token), ParleyError);
    assert.match(parley('token', 'list', '--json').out, /"revokeTimeMs":\d+/);
  });

  it('the same commands work while no server runs, and leave nothing running', async () => {
    await running?.stop();
    assert.equal(runningPostgres(dataDir), undefined);
    const made = parley('--data-dir', dataDir, 'token', 'create', '--scope', 'chat', '--name', 'b');
    assert.equal(made.status, 0, made.said);
    assert.equal(runningPostgres(dataDir), undefined);
    assert.ok(!existsSync(join(dataDir, 'lock')), 'and the directory is given up');
    running = await start();
    assert.equal((await running.identity.verifyServiceToken(made.out.trim())).name, 'b');
  });

  it('an invite code from the commands admits a new account', async () => {
    const { out, status } = parley('invite', 'create', '--uses', '2');
    assert.equal(status, 0);
    const connection = runningPostgres(dataDir);
    assert.ok(connection !== undefined);
    const { user, database, password, host } = connection;
    const path = encodeURIComponent(host);
    const url = `postgresql://${user}:${password.reveal()}@${path}:5432/${database}`;
    // A second node on the same database, named by its URL as an external one would be.
    const second = await start({ ...config, signup: 'invite', postgresUrl: new Secret(url) });
    try {
      const request = { username: 'guest.one', password: '12345678', inviteCode: out.trim() };
      assert.equal((await second.identity.signUp(request, HERE)).created, true);
    } finally {
      await second.stop();
    }
    assert.ok(runningPostgres(dataDir) !== undefined, 'an external database is not stopped');
  });

  it('beside a server that is just starting they wait for nothing and say who has the directory', async () => {
    await running?.stop();
    const server = takeDataDirectory(dataDir);
    const { status, said } = parley('token', 'list');
    server.release();
    running = await start();
    assert.equal(status, 1);
    assert.match(said, new RegExp(`in use by process ${process.pid}`));
  });

  it('a database that PARLEY_POSTGRES_URL names and that does not answer is named without its password', () => {
    const env = { PARLEY_POSTGRES_URL: 'postgresql://parley:top-secret@127.0.0.1:9/parley' };
    const { status, said } = parleyWith(env, 'token', 'list');
    assert.equal(status, 1);
    assert.match(said, /ECONNREFUSED.*PARLEY_POSTGRES_URL/);
    assert.ok(!said.includes('top-secret'));
  });

  it('wrong usage exits with 2, a refusal with 1 and its reason, help with 0', () => {
    const short = parley('token', 'create', '--name', 'x');
    assert.equal(short.status, 2);
    assert.match(
      short.said,
      /'--scope <scope\.\.\.>' not specified[\s\S]*Usage: parley token create/,
    );
    assert.equal(parley('tokn').status, 2);
    assert.equal(parley('--help').status, 0);
    const refused = parley('token', 'create', '--scope', 'root', '--name', 'x');
    assert.equal(refused.status, 1);
    assert.match(refused.said, /a scope is one of chat,.*BAD_FIELD/);
    assert.equal(parley('token', 'revoke', '0190aaaa-0000-7000-8000-000000000000').status, 1);
    assert.equal(refused.out, '');
  });
});
