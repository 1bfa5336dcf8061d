/** The life of a connection and of a session: hello, close codes, devices, tokens. */
import assert from 'node:assert/strict';
import { before, describe, it } from 'mocha';
import type { Ended, TestClient } from '../../../gateways/testing/test-client.ts';
import { call } from '../../../bench/accounts.ts';
import { device, PASSWORD, people, person, refresh, type Account } from './accounts.ts';
import { closeAfterEach, connect, online, restCall, SOCKETS, speaker, text } from './carriers.ts';
import { ownServer, sharedServer } from './house.ts';
import { within } from '../../within.ts';

const HELLO_TIMEOUT_MS = 5000;
const ACCESS_TTL_MS = 3000;

/** Connections that say nothing, opened first and judged last: their five seconds cost nobody time. */
const silent: { readonly ended: Promise<Ended>; readonly sinceMs: number }[] = [];

for (const format of SOCKETS) {
  describe(`conformance of a connection over ${format}`, () => {
    const server = sharedServer();
    before(async () => {
      const { ended } = await connect(server().url, format);
      silent.push({ ended, sinceMs: performance.now() });
    });

    it('what is no frame, an early frame, a second hello and one of two kinds end it with 4500 (case 21)', async () => {
      const { url } = server();
      const anna = await person(url);
      const early = await connect(url, format);
      early.tell({ id: 1, send: { to: `direct:${anna.userId}`, body: text('early') } });
      const pinged = await connect(url, format);
      pinged.tell({ id: 1, ping: {} });
      const broken = await connect(url, format);
      broken.raw(format === 'json' ? '{"id":1,' : Buffer.from([5, 0xff, 0xff]));
      const empty = await connect(url, format);
      empty.tell({ id: 1 });
      const twice = await connect(url, format);
      await twice.hello(anna.accessToken);
      twice.tell({ id: 9, hello: { token: anna.accessToken } });
      const ended = await Promise.all(
        [early, pinged, broken, empty, twice].map((one) => one.ended),
      );
      assert.deepEqual(
        ended.map(({ code, reason }) => [code, reason]),
        ended.map(() => [4500, 'MALFORMED']),
      );
      const reader = await speaker(url, anna, 'rest');
      const { rows } = await reader.do('Messages.ListRows', {
        conversationId: `direct:${anna.userId}`,
      });
      assert.deepEqual(rows, []);
    });

    it('what is no token is TOKEN_INVALID and ends it with 4501', async () => {
      const client = await connect(server().url, format);
      const answer = await client.ask({ hello: { token: 'nobody' } });
      assert.equal(answer.error?.reason, 'TOKEN_INVALID');
      assert.equal((await client.ended).code, 4501);
    });

    it('a device that connects twice keeps the newer one, the first ends with 4505 (case 23)', async () => {
      const { url } = server();
      const [anna, ben] = await people(url, 2);
      assert.ok(anna !== undefined && ben !== undefined);
      const first = await connect(url, format);
      await first.hello(anna.accessToken);
      const second = await connect(url, format);
      await second.hello(anna.accessToken);
      assert.deepEqual(await first.ended, { code: 4505, reason: 'REPLACED' });
      const { commit } = await second.say(`direct:${ben.userId}`, 'still here');
      assert.equal(commit?.sequence, 1);
      second.close();
    });

    it('the own other device gets the body, the sender a stub, both dense (case 24, R041, R232)', async () => {
      const { url } = server();
      const [anna, ben] = await people(url, 2);
      assert.ok(anna !== undefined && ben !== undefined);
      const laptop = await device(url, anna, 'laptop');
      assert.equal(laptop.userId, anna.userId);
      assert.notEqual(laptop.deviceId, anna.deviceId);
      const [a, l, b] = await Promise.all(
        [anna, laptop, ben].map(async (one) => {
          const client = await connect(url, format);
          await client.hello(one.accessToken);
          return client;
        }),
      );
      assert.ok(a !== undefined && l !== undefined && b !== undefined);
      let id = '';
      for (const n of [1, 2, 3]) {
        const said = await a.say(`direct:${ben.userId}`, `from the phone ${n}`);
        id = said.commit?.conversationId ?? '';
      }
      await b.say(`direct:${anna.userId}`, 'from ben');
      const devices = [a, l, b];
      await Promise.all(devices.map((one) => one.row(id, 4)));
      const phone = (n: number): string => `from the phone ${n}`;
      const whole = [phone(1), phone(2), phone(3), 'from ben'];
      for (const one of devices)
        assert.deepEqual(
          one.rows(id).map(({ sequence }) => sequence),
          [1, 2, 3, 4],
        );
      const bodies = (one: TestClient): unknown[] => one.rows(id).map((row) => row.body);
      assert.deepEqual(bodies(l), whole);
      assert.deepEqual(bodies(a), [undefined, undefined, undefined, 'from ben']);
      assert.deepEqual(bodies(b), [...whole.slice(0, 3), undefined]);
      for (const one of devices) one.close();
    });

    it('a revoked session loses its connection with 4502 within 2 s, and its tokens (case 32)', async () => {
      const { url } = server();
      const anna = await person(url);
      const laptop = await device(url, anna, 'laptop');
      const kept = await online(url, anna);
      const lost = await connect(url, format);
      await lost.hello(laptop.accessToken);
      await within(2000, async () => {
        await kept.do('Auth.RevokeSession', { sessionId: laptop.sessionId });
        assert.deepEqual(await lost.ended, { code: 4502, reason: 'SESSION_REVOKED' });
      });
      const answer = await restCall(url, {
        method: 'Users.Get',
        fields: { userId: 'me' },
        token: laptop.accessToken,
      });
      assert.deepEqual([answer.status, answer.body['reason']], [401, 'SESSION_REVOKED']);
      const again = await connect(url, format);
      const refused = await again.ask({ hello: { token: laptop.accessToken } });
      assert.equal(refused.error?.reason, 'SESSION_REVOKED');
      assert.equal((await again.ended).code, 4502);
      const body = { refreshToken: laptop.refreshToken };
      assert.equal((await call(url, 'POST', '/v1/auth/refresh', { body })).status, 401);
      assert.equal((await kept.do('Users.Get', { userId: 'me' })).userId, anna.userId);
      kept.socket.close();
    });

    it('a removed device and a changed password end the connections of those sessions within 2 s (case 32)', async () => {
      const { url } = server();
      const anna = await person(url);
      const [laptop, tablet] = [await device(url, anna, 'l'), await device(url, anna, 't')];
      const kept = await online(url, anna, format);
      const [first, second] = [await connect(url, format), await connect(url, format)];
      await first.hello(laptop.accessToken);
      await second.hello(tablet.accessToken);
      await within(2000, async () => {
        await kept.socket.call('Devices.Remove', { deviceId: laptop.deviceId });
        assert.deepEqual(await first.ended, { code: 4502, reason: 'SESSION_REVOKED' });
      });
      await within(2000, async () => {
        const change = { oldPassword: PASSWORD, newPassword: 'something else' };
        const { error } = await kept.socket.call('Auth.ChangePassword', change);
        assert.equal(error, undefined);
        assert.deepEqual(await second.ended, { code: 4502, reason: 'SESSION_REVOKED' });
      });
      for (const { accessToken: token } of [laptop, tablet]) {
        const asked = { method: 'Users.Get' as const, fields: { userId: 'me' }, token };
        assert.equal((await restCall(url, asked)).status, 401);
      }
      assert.ok((await kept.socket.ask({ ping: {} })).pong !== undefined, 'who changed it stays');
      kept.socket.close();
    });
  });
}

describe('conformance of tokens that run out', () => {
  const server = ownServer({
    PARLEY_ACCESS_TOKEN_TTL_MS: String(ACCESS_TTL_MS),
    PARLEY_REFRESH_GRACE_MS: '500',
  });
  closeAfterEach();

  it('an expired token ends with 4005, a refreshed one resumes and has all that was missed (case 22, R034)', async () => {
    const { url } = server();
    const [anna, ben] = await people(url, 2);
    assert.ok(anna !== undefined && ben !== undefined);
    const clients = await Promise.all(SOCKETS.map((format) => connect(url, format)));
    const [phone, tablet] = [anna, await device(url, anna, 'tablet')];
    const accounts = [phone, tablet];
    for (const [i, client] of clients.entries()) await client.hello(accounts[i]?.accessToken ?? '');
    const writer = await speaker(url, ben, 'rest');
    const { conversationId, sequence } = await writer.say(`direct:${anna.userId}`, 'first');
    await Promise.all(clients.map((client) => client.row(conversationId, sequence)));
    const ended = await Promise.all(clients.map((client) => client.ended));
    for (const [i, client] of clients.entries()) {
      assert.deepEqual(ended[i], { code: 4005, reason: 'TOKEN_EXPIRED' });
      assert.ok(
        client.frames.some(({ auth }) => auth !== undefined),
        'it was warned',
      );
    }
    const asked = { method: 'Users.Get' as const, fields: { userId: 'me' } };
    const expired = await restCall(url, { ...asked, token: phone.accessToken });
    assert.deepEqual([expired.status, expired.body['reason']], [401, 'TOKEN_EXPIRED']);
    for (const format of SOCKETS) {
      const late = await connect(url, format);
      const refused = await late.ask({ hello: { token: phone.accessToken } });
      assert.equal(refused.error?.reason, 'TOKEN_EXPIRED');
      assert.deepEqual(await late.ended, { code: 4005, reason: 'TOKEN_EXPIRED' });
    }

    const fresh = await refresh(url, ben);
    writer.token = fresh.accessToken;
    await writer.say(conversationId, 'missed');
    for (const [i, client] of clients.entries()) {
      const account = accounts[i] as Account;
      const { accessToken } = await refresh(url, account);
      const next = await connect(url, SOCKETS[i] ?? 'json');
      const epoch = client.frames.find(({ ready }) => ready !== undefined)?.ready?.epoch ?? 0;
      const cursors = [{ conversationId, epoch, sequence }];
      const resume = { syncToken: syncTokenOf(client), cursors };
      const ready = await next.hello(accessToken, { resume });
      assert.equal(ready.ready?.resumed, true);
      assert.deepEqual(next.rows(conversationId), [{ sequence: 2, body: 'missed' }]);
    }
  }).timeout(30_000);

  it('a token that is renewed in time keeps its connection (case 22)', async () => {
    const { url } = server();
    const anna = await person(url);
    const client = await connect(url, 'json');
    await client.hello(anna.accessToken);
    await client.until(({ auth }) => auth !== undefined);
    const fresh = await refresh(url, anna);
    const answer = await client.ask({ auth: { token: fresh.accessToken } });
    assert.equal(answer.error, undefined);
    await new Promise((done) => setTimeout(done, ACCESS_TTL_MS / 2 + 300));
    assert.ok((await client.ask({ ping: {} })).pong !== undefined);
  }).timeout(30_000);

  it('an old refresh token after the time of grace revokes its whole family (case 58)', async () => {
    const { url } = server();
    const anna = await person(url);
    const first = await refresh(url, anna);
    const within = await refresh(url, anna);
    assert.equal(within.refreshToken, first.refreshToken, 'the same successor for lost answers');
    const client = await connect(url, 'json');
    await client.hello(first.accessToken);
    await new Promise((done) => setTimeout(done, 700));
    const body = { refreshToken: anna.refreshToken };
    const reused = await call(url, 'POST', '/v1/auth/refresh', { body });
    assert.deepEqual([reused.status, reused.body['reason']], [401, 'REFRESH_REUSED']);
    assert.equal((await client.ended).code, 4502);
    const next = { refreshToken: first.refreshToken };
    const dead = await call(url, 'POST', '/v1/auth/refresh', { body: next });
    assert.equal(dead.status, 401);
    const me = await call(url, 'GET', '/v1/users/me', { token: first.accessToken });
    assert.equal(me.status, 401);
  }).timeout(20_000);
});

describe('conformance of silence', () => {
  sharedServer();

  it('without a hello a connection ends with 4007 after 5 s, on both ports (case 20)', async () => {
    assert.equal(silent.length, SOCKETS.length);
    for (const { ended, sinceMs } of silent) {
      assert.deepEqual(await ended, { code: 4007, reason: 'HELLO_TIMEOUT' });
      assert.ok(performance.now() - sinceMs >= HELLO_TIMEOUT_MS - 50);
    }
  }).timeout(HELLO_TIMEOUT_MS + 10_000);
});

function syncTokenOf(client: TestClient): string {
  const given = client.frames.findLast(
    ({ token, caughtUp }) => token !== undefined || caughtUp !== undefined,
  );
  const { syncToken = '' } = given?.token ?? given?.caughtUp ?? {};
  assert.notEqual(syncToken, '');
  return syncToken;
}
