import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { createAuth, memorySessions } from './auth.ts';
import { ClientError } from './errors.ts';

interface Asked {
  readonly method: string;
  readonly path: string;
  readonly body: Record<string, unknown>;
}

/** A server of tokens: each refresh token works once. */
class TokenServer {
  readonly asked: Asked[] = [];
  isUp = true;
  refusal: string | undefined;
  #count = 0;

  readonly fetch = (async (url: string, init: RequestInit) => {
    if (!this.isUp) throw new TypeError('fetch failed');
    const text = typeof init.body === 'string' ? init.body : '{}';
    const body = JSON.parse(text) as Record<string, unknown>;
    this.asked.push({ method: init.method ?? 'GET', path: new URL(url).pathname, body });
    await Promise.resolve();
    if (this.refusal !== undefined)
      return new Response(
        JSON.stringify({ code: 'unauthenticated', reason: this.refusal, message: 'no' }),
        { status: 401 },
      );
    if (init.method === 'DELETE') return new Response(null, { status: 204 });
    this.#count += 1;
    return new Response(
      JSON.stringify({
        tokens: {
          accessToken: `access ${this.#count}`,
          refreshToken: `refresh ${this.#count}`,
          expiresInMs: 600_000,
          userId: 'usr_a',
          deviceId: 'dev_a',
          sessionId: 'ses_a',
        },
        user: { userId: 'usr_a', username: 'ana' },
      }),
      { status: 200 },
    );
  }) as unknown as typeof fetch;
}

function signedUp(): {
  server: TokenServer;
  auth: ReturnType<typeof createAuth>;
  clock: { nowMs: number };
} {
  const server = new TokenServer();
  const clock = { nowMs: 1_000_000 };
  const auth = createAuth({
    url: 'http://host/',
    fetch: server.fetch,
    nowMs: () => clock.nowMs,
    device: { name: 'Laptop', platform: 'web' },
  });
  return { server, auth, clock };
}

describe('auth', () => {
  it('signs up, and hands out the token it got while that is fresh', async () => {
    const { server, auth } = signedUp();
    const user = await auth.signUp({ username: 'ana', password: 'a long password' });
    assert.equal(user.username, 'ana');
    assert.deepEqual(server.asked[0]?.body, {
      username: 'ana',
      password: 'a long password',
      device: { name: 'Laptop', platform: 'web' },
    });
    const credential = await auth.credential('start');
    assert.equal(credential.token, 'access 1');
    assert.equal(credential.expiresInMs, 600_000);
    assert.equal(server.asked.length, 1);
  });

  it('refreshes when the token is about to end, was refused or is warned of; once for all who ask (S17)', async () => {
    const { server, auth, clock } = signedUp();
    await auth.logIn({ username: 'ana', password: 'x' });
    clock.nowMs += 595_000;
    const both = await Promise.all([auth.credential('start'), auth.credential('expiring')]);
    assert.deepEqual(
      both.map((each) => each.token),
      ['access 2', 'access 2'],
    );
    assert.equal(server.asked.length, 2);
    assert.deepEqual(server.asked[1]?.body, { refreshToken: 'refresh 1' });
    assert.equal((await auth.credential('refused')).token, 'access 3');
    assert.deepEqual(server.asked[2]?.body, { refreshToken: 'refresh 2' });
  });

  it('what another tab refreshed meanwhile is used, not refreshed again', async () => {
    const server = new TokenServer();
    const sessions = memorySessions();
    const first = createAuth({ url: 'http://host', fetch: server.fetch, sessions });
    await first.logIn({ username: 'ana', password: 'x' });
    let turn = Promise.resolve<unknown>(undefined);
    const exclusive = <T>(fn: () => Promise<T>): Promise<T> => {
      const mine = turn.then(fn);
      turn = mine.catch(() => undefined);
      return mine;
    };
    const tabs = [1, 2].map(() =>
      createAuth({ url: 'http://host', fetch: server.fetch, sessions, exclusive }),
    );
    const tokens = await Promise.all(tabs.map((tab) => tab.credential('refused')));
    assert.deepEqual(
      tokens.map((each) => each.token),
      ['access 2', 'access 2'],
    );
    assert.equal(server.asked.length, 2);
  });

  it('an unreachable server is BACKEND_UNAVAILABLE, and the session stays', async () => {
    const { server, auth } = signedUp();
    await auth.logIn({ username: 'ana', password: 'x' });
    server.isUp = false;
    await assert.rejects(
      auth.credential('refused'),
      (e) => e instanceof ClientError && e.reason === 'BACKEND_UNAVAILABLE',
    );
    server.isUp = true;
    assert.equal((await auth.credential('refused')).token, 'access 2');
  });

  it('a refused refresh says why; nobody signed in is TOKEN_INVALID', async () => {
    const { server, auth } = signedUp();
    await assert.rejects(
      auth.credential('start'),
      (e) => e instanceof ClientError && e.reason === 'TOKEN_INVALID',
    );
    await auth.logIn({ username: 'ana', password: 'x' });
    server.refusal = 'REFRESH_REUSED';
    await assert.rejects(
      auth.credential('refused'),
      (e) => e instanceof ClientError && e.reason === 'REFRESH_REUSED',
    );
  });

  it('signing out ends the session here even if the server cannot be reached; signing in again is the same device', async () => {
    const { server, auth } = signedUp();
    await auth.logIn({ username: 'ana', password: 'x' });
    server.isUp = false;
    await auth.signOut();
    assert.equal(await auth.current(), undefined);
    server.isUp = true;
    await auth.logIn({ username: 'ana', password: 'x' });
    const device = server.asked.at(-1)?.body['device'];
    assert.deepEqual(device, { name: 'Laptop', platform: 'web', deviceId: 'dev_a' });
  });
});
