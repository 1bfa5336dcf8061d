/**
 * A data directory on a disk of its own that fills up. Root alone may mount one, so `npm test` leaves
 * these out elsewhere and says so.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  closeSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  statfsSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'mocha';
import { call, type Called } from '../../../bench/accounts.ts';
import { person, type Account } from '../conformance/accounts.ts';
import { isAlive, pause, refusedStart, until } from '../life-kit.ts';
import { ServerUnderTest } from '../server-under-test.ts';

const MIB = 1 << 20;
const DISK_BYTES = 192 * MIB;

describe('a disk that fills up (R144, R210, R224)', () => {
  const server = new ServerUnderTest();
  const filler = join(server.dataDir, 'filler');
  const acknowledged: string[] = [];
  let ana: Account;
  let count = 0;

  before(async () => {
    mkdirSync(server.dataDir);
    const size = `size=${DISK_BYTES},mode=700`;
    execFileSync('mount', ['-t', 'tmpfs', '-o', size, 'parley-test', server.dataDir]);
    await server.start();
    ana = await person(server.url, 'ana');
  });
  after(async () => {
    await server.stop();
    await server.killAll();
    execFileSync('umount', ['-l', server.dataDir]);
    await server.remove();
  });

  it('sends are refused with OVERLOADED while little is free, reads go on, and with room sends do', async () => {
    assert.equal(await send(), 'accepted');
    fill(4 * MIB);
    await until(async () => (await send()) === 'OVERLOADED', 'refused');
    assert.equal(await missing(), 0);
    assert.equal((await fetch(`${server.url}/livez`)).status, 200);
    assert.match(server.log, /disk is nearly full/);
    rmSync(filler);
    await until(async () => (await send()) === 'accepted', 'accepted again');
  });

  it('with little free, deletes, marks, settings and accounts go on; edits and new groups wait', async () => {
    const bo = await person(server.url, 'bo');
    const crew = { requestId: crypto.randomUUID(), name: 'crew', members: [bo.userId] };
    const made = await ask('POST', '/v1/conversations', crew);
    assert.equal(made.status, 201, JSON.stringify(made.body));
    const group = `/v1/conversations/${String(made.body['conversationId'])}`;
    const kept = await ask('POST', `${group}/messages`, message('to be deleted'));
    assert.equal(kept.status, 201, JSON.stringify(kept.body));
    const one = `${group}/messages/${String(kept.body['sequence'])}`;
    fill(4 * MIB);
    await until(async () => (await send()) === 'OVERLOADED', 'refused');
    const clientMessageId = crypto.randomUUID();
    const edit = { clientMessageId, message: { text: { body: 'longer than before' } } };
    for (const [verb, path, body] of [
      ['PATCH', one, edit],
      ['POST', '/v1/conversations', { ...crew, requestId: crypto.randomUUID() }],
      ['POST', `${group}/messages`, message('one more')],
    ] as const) {
      const refused = await ask(verb, path, body);
      assert.deepEqual([refused.status, refused.body['reason']], [503, 'OVERLOADED'], verb);
      assert.match(String(refused.body['message']), /disk is nearly full/);
    }
    const { conversationId } = made.body;
    const read = { read: [{ conversationId, epoch: epoch(), sequence: kept.body['sequence'] }] };
    const token = bo.accessToken;
    assert.equal(
      (await call(server.url, 'POST', '/v1/receipts', { body: read, token })).status,
      204,
    );
    const { body: seen } = await call(server.url, 'GET', group, { token });
    assert.equal((seen['me'] as { readThrough?: number }).readThrough, kept.body['sequence']);
    for (const [verb, path, body] of [
      ['DELETE', one, undefined],
      ['PATCH', `${group}/me`, { archived: true }],
      ['DELETE', `${group}/members/${bo.userId}`, undefined],
    ] as const) {
      const { status, body: said } = await ask(verb, path, body);
      assert.ok(status < 300, `${verb} ${path}: ${status} ${JSON.stringify(said)}`);
    }
    assert.ok((await person(server.url, 'late')).accessToken !== '', 'signs up');
    rmSync(filler);
    await until(async () => (await send()) === 'accepted', 'accepted again');
    const { body } = await ask('GET', `${group}/messages?limit=100`);
    assert.ok(!JSON.stringify(body).includes('to be deleted'));
  });

  it('a disk filled to the last byte under load: what was acknowledged is there once there is room', async () => {
    const load = Array.from({ length: 8 }, () => sendUntilRefused());
    await pause(100);
    fill(0);
    await Promise.all(load);
    assert.ok(acknowledged.length > 20);
    // It may have ended: what cannot be flushed or synced is not gone on with.
    await pause(2000);
    await server.killAll();
    fill(0);
    await refusedStart(server, [
      /no space left|ENOSPC|disk is full/i,
      /free some space|free space/,
    ]);
    assert.ok(!isAlive(server.postmasterPid() ?? 2 ** 22), 'no PostgreSQL is left');
    rmSync(filler);
    await server.start();
    assert.equal(await missing(), 0);
    assert.equal(await send(), 'accepted');
    assert.equal(await server.stop(), 0);
    await server.start();
    assert.equal(await missing(), 0);
  });

  it('a start with little room left serves what is there and refuses sends until there is more', async () => {
    await server.stop();
    fill(3 * MIB);
    await server.start();
    assert.equal(await missing(), 0);
    assert.equal(await send(), 'OVERLOADED', server.log.slice(-2000));
    rmSync(filler);
    await until(async () => (await send()) === 'accepted', 'accepted again');
  });

  it('a data directory that may only be read is named', async () => {
    assert.equal(await server.stop(), 0);
    const remount = (how: string): void =>
      void execFileSync('mount', ['-o', `remount,${how}`, server.dataDir]);
    remount('ro');
    try {
      await refusedStart(server, [/cannot be written to \(EROFS\)/, /check/]);
    } finally {
      remount('rw');
    }
    await server.start();
    assert.equal(await missing(), 0);
  });

  /** Leaves this much free; 0 = not a byte. */
  function fill(freeBytes: number): void {
    const file = openSync(filler, 'a');
    try {
      for (const step of [MIB, 4096, 512, 1])
        for (;;) {
          const { bavail, bsize } = statfsSync(server.dataDir);
          if (freeBytes > 0 && bavail * bsize - step < freeBytes) break;
          if (writeSync(file, Buffer.alloc(step)) < step) break;
        }
    } catch (error) {
      assert.equal((error as NodeJS.ErrnoException).code, 'ENOSPC');
    } finally {
      closeSync(file);
    }
  }

  async function sendUntilRefused(): Promise<void> {
    const end = performance.now() + 5000;
    while (performance.now() < end) if ((await send()) !== 'accepted') return;
  }

  function ask(verb: string, path: string, body?: object): Promise<Called> {
    const more = body === undefined ? {} : { body };
    return call(server.url, verb, path, { ...more, token: ana.accessToken });
  }

  function epoch(): number {
    const path = join(server.dataDir, 'cluster.json');
    return (JSON.parse(readFileSync(path, 'utf8')) as { epoch: number }).epoch;
  }

  function message(text: string): object {
    return { clientMessageId: crypto.randomUUID(), body: { message: { text: { body: text } } } };
  }

  /** 'accepted', the reason of a refusal, or 'gone'. */
  async function send(): Promise<string> {
    const text = `note ${++count}`;
    try {
      const answer = await ask('POST', `${conversation()}/messages`, message(text));
      if (answer.status !== 201) return String(answer.body['reason']);
      acknowledged.push(text);
      return 'accepted';
    } catch {
      return 'gone';
    }
  }

  /** How many acknowledged notes cannot be read. */
  async function missing(): Promise<number> {
    const found = new Set<string>();
    for (let before = Number.MAX_SAFE_INTEGER; ; ) {
      const at = before === Number.MAX_SAFE_INTEGER ? '' : `&before=${before}`;
      const path = `${conversation()}/messages?limit=100${at}`;
      const { status, body } = await call(server.url, 'GET', path, { token: ana.accessToken });
      assert.equal(status, 200, JSON.stringify(body));
      const messages = (body['messages'] ?? []) as Readonly<Record<string, unknown>>[];
      for (const message of messages) found.add(JSON.stringify(message['content']));
      const sequences = messages.map((message) => Number(message['sequence']));
      if (sequences.length === 0 || Math.min(...sequences) === 1) break;
      before = Math.min(...sequences);
    }
    return acknowledged.filter((text) => ![...found].some((one) => one.includes(`"${text}"`)))
      .length;
  }

  function conversation(): string {
    return `/v1/conversations/direct:${ana.userId}`;
  }
});
