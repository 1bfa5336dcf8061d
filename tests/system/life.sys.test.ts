/** From the first ready line to the last exit code: what an operator sees of a server's life. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { after, afterEach, before, describe, it } from 'mocha';
import pg from 'pg';
import { call } from '../../bench/accounts.ts';
import { processTree, residentBytes } from '../../bench/machine.ts';
import { SEEN_BATCH_MS } from '../../gateways/last-seen.ts';
import { TestClient } from '../../gateways/testing/test-client.ts';
import { EmbeddedPostgres, type PostgresConnection } from '../../server/embedded-postgres.ts';
import { formatKey, KEY_BYTES } from '../../storage-engine/key-file.ts';
import { person, type Account } from './conformance/accounts.ts';
import { closeAfterEach, online, type Speaker } from './conformance/carriers.ts';
import { isAlive, pause, refusedStart, until } from './life-kit.ts';
import { readyUrl } from '../../bench/server-process.ts';
import { ServerUnderTest } from './server-under-test.ts';
import { within } from '../within.ts';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const IDLE_BYTES_MAX = 350 * 1024 * 1024;
const EXIT_MS_MAX = 10_000;
const SENDS = 200;

describe('a server that lives', () => {
  const server = new ServerUnderTest();
  after(() => server.remove());
  closeAfterEach();

  it('says one line with the address to open, and is ready', async () => {
    await server.start({ PARLEY_NO_SUCH_THING: '1' });
    await pause(100);
    assert.match(
      server.readyLine,
      /^Parley is ready: open http:\/\/\S+ .*WebSocket ws:.*gRPC .*data .*\n$/,
    );
    assert.equal((await page('/livez')).status, 200);
    assert.equal((await page('/readyz')).status, 200);
    assert.match(server.log, /key file was made: .*data\.key[\s\S]*Save a copy/);
    assert.match(server.log, /PARLEY_NO_SUCH_THING is set but there is no such setting/);
  });

  it('its metrics are Prometheus text: every sample has a type and a number', async () => {
    const { status, type, text } = await page('/metrics');
    assert.equal(status, 200);
    assert.match(type, /^text\/plain; version=0\.0\.4/);
    const types = new Map<string, string>();
    let samples = 0;
    for (const line of text.split('\n').filter(Boolean)) {
      const [, what, name = '', value = ''] = /^# (HELP|TYPE) (\S+) (.*)$/.exec(line) ?? [];
      if (what === 'TYPE') types.set(name, value);
      if (what !== undefined) continue;
      const sample = /^([a-z_:][a-z0-9_:]*)(\{.*\})? (\S+)$/i.exec(line);
      assert.ok(sample !== null, line);
      const family = (sample[1] ?? '').replace(/_(bucket|sum|count)$/, '');
      assert.ok(types.has(sample[1] ?? '') || types.has(family), line);
      assert.ok(!Number.isNaN(Number(sample[3]?.replace('+Inf', 'Infinity'))), line);
      samples++;
    }
    for (const part of ['parley_store_', 'parley_gateway_', 'parley_process_'])
      assert.ok(
        [...types.keys()].some((name) => name.startsWith(part)),
        part,
      );
    assert.ok(samples > 30);
  });

  it('idle memory of everything, PostgreSQL included, and the start when installed', async () => {
    assert.equal(await server.stop(), 0);
    const began = performance.now();
    await server.start();
    const startMs = Math.round(performance.now() - began);
    await pause(1000);
    const bytes = residentBytes([...processTree(server.pid), ...postgres()]);
    process.stdout.write(
      `      start when installed ${startMs} ms, idle memory with PostgreSQL ${Math.round(bytes / 1048576)} MiB (PSS)\n`,
    );
    assert.ok(bytes < IDLE_BYTES_MAX, String(bytes));
  });

  it('case 32: a session signed out elsewhere is closed with 4502 within 2 s, its token gets 401', async () => {
    const phone = await person(server.url, 'revoked');
    const { socket } = await online(server.url, phone);
    const path = `/v1/auth/sessions/${phone.sessionId}`;
    const laptop = await call(server.url, 'POST', '/v1/auth/login', {
      body: {
        username: phone.username,
        password: 'correct horse battery',
        device: { name: 'laptop' },
      },
    });
    const { accessToken } = laptop.body['tokens'] as Account;
    await within(2000, async () => {
      assert.equal((await call(server.url, 'DELETE', path, { token: accessToken })).status, 204);
      assert.equal((await socket.ended).code, 4502);
    });
    const refused = await call(server.url, 'GET', '/v1/conversations', {
      token: phone.accessToken,
    });
    assert.equal(refused.status, 401);
    assert.equal(refused.body['reason'], 'SESSION_REVOKED');
  });

  it('behind a proxy it names the address that people see, and counts them by theirs', async () => {
    await server.stop();
    await server.start({
      PARLEY_PUBLIC_URL: 'https://chat.example.org',
      PARLEY_TRUSTED_PROXIES: '127.0.0.0/8',
      PARLEY_REQUEST_RATE: '2',
    });
    const { body } = await call(server.url, 'GET', '/v1/meta');
    assert.equal(body['webSocketUrl'], 'wss://chat.example.org/v1/ws');
    const statuses: number[] = [];
    for (const address of ['198.51.100.1', '198.51.100.1', '198.51.100.1', '198.51.100.2']) {
      const { status } = await fetch(`${server.url}/v1/auth/login`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'x-forwarded-for': `6.6.6.6, ${address}` },
        body: '{"username":"nobody","password":"irrelevant here"}',
      });
      statuses.push(status);
    }
    assert.deepEqual(statuses, [401, 401, 429, 401]);
  });

  function postgres(): number[] {
    const pid = server.postmasterPid();
    return pid === undefined ? [] : processTree(pid);
  }

  async function page(path: string): Promise<{ status: number; type: string; text: string }> {
    const response = await fetch(new URL(path, server.url));
    const type = response.headers.get('content-type') ?? '';
    return { status: response.status, type, text: await response.text() };
  }
});

describe('a server that is told to end (R144, R224; case 31)', () => {
  const server = new ServerUnderTest();
  before(() => server.start());
  after(() => server.remove());
  closeAfterEach();

  for (const signal of ['SIGTERM', 'SIGINT'] as const)
    it(`${signal} under load: not ready, clients are told, every send is answered or safely sent again, exit 0`, async () => {
      const ana = await person(server.url, 'ana');
      const bob = await person(server.url, 'bob');
      const sender = await online(server.url, ana);
      const stays = await edge(bob);
      const to = `direct:${bob.userId}`;
      const replies = Array.from({ length: SENDS }, (_, i) => pipelined(sender, to, i + 1));
      await replies[10];
      const began = performance.now();
      const ended = server.stop(signal);
      process.kill(server.pid, signal);
      await until(async () => (await readyStatus()) === 503, 'not ready');
      const told = await stays.until((frame) => frame.drain !== undefined);
      assert.ok((told.drain?.reconnectAfterMs ?? -1) >= 0);
      assert.equal(await ended, 0);
      assert.ok(performance.now() - began < EXIT_MS_MAX);
      assert.equal(server.postmasterPid(), undefined, 'PostgreSQL ended too');
      const { code } = await stays.ended;
      assert.ok(code === 1006 || code < 4500, `a device may come back after ${code}`);
      await server.start();
      await sendAgain(ana, to, await settled(replies));
    });

  it('who was connected was here last when it ended (R051)', async () => {
    const cyd = await person(server.url, 'cyd');
    const path = `/v1/users/${cyd.userId}`;
    await online(server.url, cyd);
    await pause(2 * SEEN_BATCH_MS);
    const toldToEndMs = Date.now();
    assert.equal(await server.stop(), 0);
    await server.start();
    const watcher = await person(server.url, 'dan');
    const { body } = await call(server.url, 'GET', path, { token: watcher.accessToken });
    const lastMs = Number(body['lastSeenTimeMs']);
    assert.ok(lastMs >= toldToEndMs, `${toldToEndMs - lastMs} ms before`);
  });

  it('npm start passes the signal on: the server ends in good order and npm with 0', async () => {
    await server.stop();
    const npm = spawn('npm', ['start'], {
      cwd: ROOT,
      env: { ...process.env, ...server.settings },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    server.url = await readyUrl(npm);
    npm.kill('SIGTERM');
    const [code] = (await once(npm, 'exit')) as [number | null];
    assert.equal(code, 0);
    assert.equal(await readyStatus(), 0, 'nobody listens any more');
  });

  it('while it starts: it ends as well, and the next start opens the data', async () => {
    await server.stop();
    for (const ms of [0, 250, 500]) {
      const child = server.spawn();
      await until(() => existsSync(join(server.dataDir, 'lock')), 'the lock');
      await pause(ms);
      assert.equal(await server.stop(), 0, `after ${ms} ms: ${server.log}`);
      assert.equal(child.signalCode, null);
    }
    await server.start();
  });

  /** A device on the HTTP port that reads what comes and does not leave by itself. */
  async function edge(account: Account): Promise<TestClient> {
    const url = `${server.url.replace('http', 'ws')}/v1/ws`;
    const client = new TestClient({ url, format: 'proto' });
    assert.ok((await client.hello(account.accessToken)).ready !== undefined);
    return client;
  }

  async function readyStatus(): Promise<number> {
    return fetch(`${server.url}/readyz`).then(
      (response) => response.status,
      () => 0,
    );
  }

  const outbox = crypto.randomUUID();
  const messageIds = Array.from({ length: SENDS }, () => crypto.randomUUID());

  function frame(to: string, clientSeq: number): object {
    return {
      to,
      outboxId: outbox,
      clientSeq,
      after: clientSeq - 1,
      clientMessageId: messageIds[clientSeq - 1],
      body: { message: { text: { body: `m${clientSeq}` } } },
    };
  }

  async function pipelined(from: Speaker, to: string, clientSeq: number): Promise<boolean> {
    // At most 32 are in flight in a conversation: the window is the sender's to keep.
    await pause(Math.floor(clientSeq / 16) * 25);
    const reply = await from.socket?.ask({ send: frame(to, clientSeq) });
    return reply?.commit !== undefined;
  }

  /** Which sends were committed, as far as the sender knows. */
  async function settled(replies: readonly Promise<boolean>[]): Promise<boolean[]> {
    return Promise.all(
      replies.map((reply) => Promise.race([reply, pause(1500).then(() => false)])),
    );
  }

  async function sendAgain(account: Account, to: string, known: readonly boolean[]): Promise<void> {
    const speaker = await online(server.url, account);
    const sequences: number[] = [];
    for (let clientSeq = 1; clientSeq <= SENDS; clientSeq++) {
      const { commit, error } = await speaker.socket.ask({ send: frame(to, clientSeq) });
      // Of what was committed only the newest 32 are remembered; anything older stands in the log.
      if (error?.reason === 'TOO_OLD' && known[clientSeq - 1]) continue;
      assert.ok(commit !== undefined, `${clientSeq}: ${JSON.stringify(error)}`);
      if (known[clientSeq - 1]) assert.equal(commit.replayed, true, `${clientSeq} was committed`);
      sequences.push(commit.sequence);
    }
    assert.equal(sequences.at(-1), SENDS, 'each once, none twice');
    const { messages } = await speaker.do('Messages.List', { conversationId: to, limit: 200 });
    assert.deepEqual(
      messages.map((message) => message.content?.message?.text?.body),
      Array.from({ length: SENDS }, (_, i) => `m${i + 1}`),
    );
  }
});

describe('a server that is killed while it starts', () => {
  const server = new ServerUnderTest();
  afterEach(() => server.remove());

  it('at any moment of the first start and of later ones: the next start opens the data by itself', async () => {
    for (const ms of [60, 200, 350, 500, 800, 1200, 1800, 600, 900]) {
      const child = server.spawn();
      await Promise.race([pause(ms), once(child, 'exit')]);
      assert.equal(child.exitCode, null, `a start refused after a kill: ${server.log}`);
      if (ms % 200 === 0) await server.killAll();
      else await server.kill();
    }
    await server.start();
    const ana = await person(server.url, 'ana');
    assert.equal(await server.stop(), 0);
    await server.start();
    const { status } = await call(server.url, 'GET', '/v1/users/me', { token: ana.accessToken });
    assert.equal(status, 200);
  });
});

describe('accounts on a PostgreSQL that somebody else runs', () => {
  const server = new ServerUnderTest();
  const directory = mkdtempSync(join(tmpdir(), 'parley-pg-'));
  const postgres = new EmbeddedPostgres({ dataDir: directory });
  let target: PostgresConnection;
  before(async () => {
    target = await postgres.start();
  });
  after(async () => {
    await server.remove();
    await postgres.stop();
    rmSync(directory, { recursive: true, force: true });
  });

  it('PARLEY_POSTGRES_URL: everything works and none of our own is started', async () => {
    await server.start({ PARLEY_POSTGRES_URL: urlOf(target) });
    assert.equal(server.postmasterPid(), undefined);
    const ana = await person(server.url, 'ana');
    const speaker = await online(server.url, ana);
    assert.equal((await speaker.say(`direct:${ana.userId}`, 'noted')).sequence, 1);
    speaker.socket.close();
    assert.equal(await server.stop(), 0);
    assert.ok(isAlive(postgres.pid ?? 0), 'it is not ours to end');
    assert.ok(!server.log.includes(target.password.reveal()), 'the password is in no log');
  });

  it('two nodes that start at once on an empty one both come up: who signed up at one signs in at the other', async () => {
    const name = 'shared';
    const empty = new pg.Client({ ...connectionOf(target), database: 'postgres' });
    await empty.connect();
    await empty.query(`create database ${name}`);
    await empty.end();
    const keyFile = join(directory, 'shared.key');
    writeFileSync(keyFile, formatKey(randomBytes(KEY_BYTES)), { mode: 0o600 });
    const nodes = [new ServerUnderTest(), new ServerUnderTest()];
    try {
      const shared = { PARLEY_POSTGRES_URL: urlOf({ ...target, database: name }) };
      await Promise.all(nodes.map((node) => node.start({ ...shared, PARLEY_KEY_FILE: keyFile })));
      const [one, two] = nodes;
      assert.ok(one !== undefined && two !== undefined);
      const ana = await person(one.url, 'ana');
      const body = { username: ana.username, password: 'correct horse battery' };
      const again = await call(two.url, 'POST', '/v1/auth/login', { body });
      assert.equal(again.status, 200, JSON.stringify(again.body));
      const me = await call(two.url, 'GET', '/v1/users/me', { token: ana.accessToken });
      assert.equal(me.status, 200, 'a token of one is good at the other');
    } finally {
      for (const node of nodes) await node.remove();
    }
  });

  it('one that does not answer, or not to this password, is named without it', async () => {
    const { host, port, user, database } = target;
    const socket = `host=${encodeURIComponent(host)}&port=${port}`;
    for (const [url, what] of [
      ['postgresql://parley:top-secret@127.0.0.1:9/parley', /ECONNREFUSED/],
      [`postgresql://${user}:top-secret@/${database}?${socket}`, /28P01/],
    ] as const) {
      const { stderr } = await refusedStart(server, [what, /PARLEY_POSTGRES_URL/], {
        PARLEY_POSTGRES_URL: url,
      });
      assert.ok(!stderr.includes('top-secret'), stderr);
    }
  });
});

function connectionOf({ host, port, user, password }: PostgresConnection): pg.ClientConfig {
  return { host, port, user, password: password.reveal() };
}

function urlOf({ host, port, user, password, database }: PostgresConnection): string {
  const secret = encodeURIComponent(password.reveal());
  return `postgresql://${user}:${secret}@/${database}?host=${encodeURIComponent(host)}&port=${port}`;
}
