/**
 * What stands in the way of a start is said in words that tell what to do, nothing is served, and
 * nothing is left running or changed by the attempt: put right, the same data starts again.
 */
import assert from 'node:assert/strict';
import {
  closeSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { execFileSync, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { after, afterEach, before, describe, it } from 'mocha';
import { call } from '../../bench/accounts.ts';
import { formatKey, KEY_BYTES } from '../../storage-engine/key-file.ts';
import { person, type Account } from './conformance/accounts.ts';
import { refusedStart, runToEnd, stranger, until } from './life-kit.ts';
import { ServerUnderTest } from './server-under-test.ts';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));

describe('settings that cannot be', () => {
  it('all problems are said at once and the exit code is 78', async () => {
    const { code, stdout, stderr } = await runToEnd(
      { PARLEY_HTTP_PORT: 'eighty', PARLEY_SHARDS: '0', PARLEY_LOG_LEVEL: 'loud' },
      ['--flush-interval-ms', '1', '--no-such-flag'],
    );
    assert.equal(code, 78, stderr);
    assert.equal(stdout, '');
    for (const word of [
      /PARLEY_HTTP_PORT: "eighty"/,
      /PARLEY_SHARDS: "0"/,
      /PARLEY_LOG_LEVEL: "loud" is none of/,
      /--flush-interval-ms: "1"/,
      /--no-such-flag/,
    ])
      assert.match(stderr, word);
  });

  it('--help names every flag with its variable and starts nothing', async () => {
    const { code, stdout } = await runToEnd({ PARLEY_DATA_DIR: '/nowhere/data' }, ['--help']);
    assert.equal(code, 0);
    assert.match(stdout, /--http-port <port>[\s\S]*PARLEY_HTTP_PORT/);
    assert.match(stdout, /--data-dir/);
  });

  it('a data directory that cannot be made is named, with the way out', async () => {
    const { code, stderr } = await runToEnd({ PARLEY_DATA_DIR: '/dev/null/data' });
    assert.equal(code, 1, stderr);
    assert.match(stderr, /\/dev\/null\/data cannot be made.*PARLEY_DATA_DIR/);
  });
});

describe('a first start without a network', () => {
  const place = mkdtempSync(join(tmpdir(), 'parley-offline-'));
  after(() => rmSync(place, { recursive: true, force: true }));

  it('says that the registry does not answer and what to do, instead of waiting in silence', async () => {
    for (const path of [
      'package.json',
      'package-lock.json',
      'clients/sdk/package.json',
      'clients/web/package.json',
      'tools/setup.mjs',
      'tools/start.mjs',
    ])
      cpSync(join(ROOT, path), join(place, path));
    const env = { ...process.env, npm_config_registry: 'http://127.0.0.1:9' };
    const start = spawn(process.execPath, ['tools/start.mjs'], {
      cwd: place,
      env: { ...env, npm_config_cache: join(place, 'cache') },
      stdio: ['ignore', 'ignore', 'pipe'],
      detached: true,
    });
    let said = '';
    start.stderr.on('data', (bytes: Buffer) => (said += bytes.toString()));
    try {
      await until(() => said.includes('npm config set proxy'), 'the warning', 30_000);
      assert.match(said, /http:\/\/127\.0\.0\.1:9 does not answer \(ECONNREFUSED\)/);
    } finally {
      const exited = once(start, 'exit');
      process.kill(-(start.pid ?? assert.fail()), 'SIGKILL');
      await exited;
    }
  });
});

describe('a start that must not be (R224)', () => {
  const server = new ServerUnderTest();
  let ana: Account;
  let saved = '';

  before(async () => {
    await server.start();
    ana = await person(server.url, 'ana');
    for (let i = 0; i < 40; i++) await say(ana, `before ${i}`);
    await server.stop();
    // Opening writes what RocksDB's log holds into table files.
    await server.start();
    await server.stop();
    saved = join(server.root, 'saved');
    mkdirSync(saved);
    for (const part of ['store-0', 'cluster.json'])
      copy(join(server.dataDir, part), join(saved, part));
    copy(`${server.dataDir}.key`, join(saved, 'data.key'));
  });
  after(() => server.remove());

  async function say(account: Account, text: string): Promise<void> {
    const body = {
      to: `direct:${account.userId}`,
      clientMessageId: crypto.randomUUID(),
      body: { message: { text: { body: text } } },
    };
    const path = `/v1/conversations/direct:${account.userId}/messages`;
    const answer = await call(server.url, 'POST', path, { body, token: account.accessToken });
    assert.equal(answer.status, 201, JSON.stringify(answer.body));
  }

  async function messageCount(): Promise<number> {
    const path = `/v1/conversations/direct:${ana.userId}/messages?limit=100`;
    const { status, body } = await call(server.url, 'GET', path, { token: ana.accessToken });
    assert.equal(status, 200, JSON.stringify(body));
    return (body['messages'] as unknown[]).length;
  }

  /** Whatever a test damaged is as it was; nobody touches PostgreSQL's files. */
  function restore(): void {
    for (const part of ['store-0', 'cluster.json']) {
      rmSync(join(server.dataDir, part), { recursive: true, force: true });
      copy(join(saved, part), join(server.dataDir, part));
    }
    copy(join(saved, 'data.key'), `${server.dataDir}.key`);
  }

  afterEach(async () => {
    const left = server.postmasterPid();
    await server.killAll();
    restore();
    assert.equal(left, undefined, 'no PostgreSQL is left by a refused start');
  });

  it('a second start on the same data names the process and what to do; the first goes on', async () => {
    await server.start();
    const ended = await runToEnd({ ...server.settings, PARLEY_HTTP_PORT: '0' });
    assert.equal(ended.code, 1);
    assert.match(
      ended.stderr,
      new RegExp(`in use by process ${server.pid}; stop that server, or .*PARLEY_DATA_DIR`),
    );
    assert.equal((await fetch(`${server.url}/readyz`)).status, 200);
    await say(ana, 'still here');
    await server.stop();
  });

  it('a second start from another container, which sees no process of the first, harms nothing', async () => {
    await server.start();
    const postmaster = server.postmasterPid();
    // As it looks from there: an owner whose number is nobody's.
    const lock = join(server.dataDir, 'lock');
    const owner = '{"pid":1,"startedAt":"1","pidNamespace":"pid:[1]"}';
    writeFileSync(lock, owner);
    const keys = readdirSync(join(server.dataDir, 'store-0', 'keys'));
    const ended = await runToEnd({ ...server.settings, PARLEY_HTTP_PORT: '0' });
    assert.equal(ended.code, 1);
    assert.match(ended.stderr, /state is in use by another process; stop that server/);
    assert.equal(readFileSync(lock, 'utf8'), owner, 'the lock of the first is as it was');
    assert.deepEqual(readdirSync(join(server.dataDir, 'store-0', 'keys')), keys);
    assert.equal(server.postmasterPid(), postmaster);
    assert.ok(existsSync(join(server.dataDir, 'postgres', 'postmaster.pid')));
    await say(ana, 'still here too');
    await server.kill();
    await server.start();
    assert.match(readFileSync(lock, 'utf8'), new RegExp(`"pid":${server.pid},`));
    await server.stop();
  });

  for (const [what, variable] of [
    ['HTTP', 'PARLEY_HTTP_PORT'],
    ['WebSocket', 'PARLEY_WS_PORT'],
    ['gRPC', 'PARLEY_GRPC_PORT'],
  ] as const)
    it(`a ${what} port in use is named, and the setting that moves it`, async () => {
      const other = await stranger();
      try {
        await refusedStart(server, [new RegExp(`:${other.port}\\b`), new RegExp(variable)], {
          [variable]: String(other.port),
        });
      } finally {
        other.close();
      }
    });

  it('an address that is not of this machine is named, with the setting that says it', async () => {
    for (const variable of ['PARLEY_HOST', 'PARLEY_GRPC_HOST'])
      await refusedStart(server, [/no such address/, new RegExp(`check ${variable} `)], {
        [variable]: '192.0.2.1',
      });
  });

  it('another key file is not the one: nothing is opened or changed', async () => {
    writeFileSync(`${server.dataDir}.key`, formatKey(randomBytes(KEY_BYTES)));
    await refusedStart(server, [/key file is not the one/, /put the right one back/]);
  });

  it('a missing key file beside old data is refused, never replaced', async () => {
    rmSync(`${server.dataDir}.key`);
    await refusedStart(server, [/data\.key is missing/, /PARLEY_KEY_FILE/]);
    assert.ok(!readdirSync(server.root).includes('data.key'));
  });

  it('a damaged key file is named', async () => {
    const text = readFileSync(`${server.dataDir}.key`, 'latin1');
    writeFileSync(`${server.dataDir}.key`, text.replace(/.(?=:[0-9a-f]{8})/, '!'));
    await refusedStart(server, [/data\.key is damaged/, /put the saved copy back/]);
  });

  it('a missing cluster.json is not made anew beside old data', async () => {
    rmSync(join(server.dataDir, 'cluster.json'));
    await refusedStart(server, [/cluster\.json is missing/, /restore it from a backup/]);
  });

  it('a flipped bit in the log below what was synced is not served, without it nothing is lost', async () => {
    await server.start({ PARLEY_FLUSH_INTERVAL_MS: '60000' });
    for (let i = 0; i < 40; i++) await say(ana, `only in the log ${i}`);
    await server.killAll();
    const wal = join(server.dataDir, 'store-0', 'wal');
    const name = readdirSync(wal).findLast((one) => one.endsWith('.wal')) ?? '';
    const bytes = readFileSync(join(wal, name));
    const middle = Math.floor(bytes.findLastIndex((byte) => byte !== 0) / 2);
    flip(join(wal, name), middle);
    await refusedStart(server, [new RegExp(`wal/${name}`), /offset \d+/, /restore .*backup/]);
    flip(join(wal, name), middle);
    await server.start();
    assert.equal(await messageCount(), 80);
    await server.stop();
  });

  it('a missing log beside its state is not served', async () => {
    const wal = join(server.dataDir, 'store-0', 'wal');
    for (const name of readdirSync(wal)) if (name.endsWith('.wal')) rmSync(join(wal, name));
    await refusedStart(server, [/store-0\/wal is missing or not whole/, /backup/]);
  });

  for (const part of ['store-0', 'store-0/keys', 'postgres'])
    it(`${part} gone (a volume not mounted) does not begin empty beside old data`, async () => {
      const away = join(server.root, 'away');
      renameSync(join(server.dataDir, part), away);
      try {
        const words = new RegExp(`data/${part}\\S* is missing or not whole`);
        await refusedStart(server, [words, /put it back/, /backup/]);
        assert.ok(!existsSync(join(server.dataDir, part)), 'nothing was made in its place');
      } finally {
        renameSync(away, join(server.dataDir, part));
      }
      await server.start();
      assert.equal(await messageCount(), 40);
      await server.stop();
    });

  it('a missing file of the state store is named', async () => {
    const file = tableFile();
    rmSync(file);
    await refusedStart(server, [
      new RegExp(file.split('/').at(-1) ?? ''),
      /is missing|damaged/,
      /restore|remove/,
    ]);
  });

  it('a state store whose files rotted is not served', async () => {
    const file = tableFile();
    for (let at = 64; at < statSync(file).size; at += 512) flip(file, at);
    await refusedStart(server, [
      /state store .*(damaged|fails its check)/,
      /remove that directory/,
    ]);
  });

  it('a state store that was removed as told is rebuilt from the log, nothing is lost', async () => {
    renameSync(join(server.dataDir, 'store-0', 'state'), join(server.root, 'state.old'));
    await server.start();
    assert.equal(await messageCount(), 40);
    await server.stop();
    rmSync(join(server.root, 'state.old'), { recursive: true });
  });

  it('a copy that lost the owners of its files starts all the same', async () => {
    const kept = join(server.root, 'kept');
    renameSync(server.dataDir, kept);
    cpSync(kept, server.dataDir, { recursive: true });
    rmSync(kept, { recursive: true });
    await server.start();
    await server.stop();
  });

  it('another number of shards than at creation is not obeyed, and said', async () => {
    await server.start({ PARLEY_SHARDS: '32' });
    assert.equal(await messageCount(), 40);
    assert.match(server.log, /PARLEY_SHARDS/);
    await server.stop();
  });

  function tableFile(): string {
    const state = join(server.dataDir, 'store-0', 'state');
    const name = readdirSync(state).find((one) => one.endsWith('.sst'));
    assert.ok(name !== undefined, readdirSync(state).join(' '));
    return join(state, name);
  }
});

/** As an operator does it: owners, modes and times are kept. */
function copy(from: string, to: string): void {
  execFileSync('cp', ['-aT', from, to]);
}

function flip(file: string, at: number): void {
  const descriptor = openSync(file, 'r+');
  const byte = Buffer.alloc(1);
  readSync(descriptor, byte, 0, 1, at);
  byte[0] = (byte[0] ?? 0) ^ 0xff;
  writeSync(descriptor, byte, 0, 1, at);
  closeSync(descriptor);
}
