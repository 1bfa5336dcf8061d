import assert from 'node:assert/strict';
import { after, describe, it } from 'mocha';
import { call } from '../../../bench/accounts.ts';
import { person, type Account } from '../conformance/accounts.ts';
import { isAlive, until } from '../life-kit.ts';
import { buildInterposer } from '../power-cut.ts';
import { ServerUnderTest } from '../server-under-test.ts';

const DRAIN_DEADLINE_MS = 1500;

describe('a server whose disk answers no more', () => {
  const server = new ServerUnderTest();
  after(async () => {
    await server.killAll();
    await server.remove();
  });

  it('ends by itself at the deadline of its stop, and the next start has what was acknowledged', async () => {
    const interposer = buildInterposer(server.dataDir, server.root);
    const deadline = { PARLEY_DRAIN_DEADLINE_MS: String(DRAIN_DEADLINE_MS) };
    await server.start({ ...interposer.env, ...deadline });
    const ana = await person(server.url, 'ana');
    assert.equal(await send(ana, 'acknowledged'), 201);
    interposer.holdSyncs();
    const unanswered = send(ana, 'never synced').catch(() => 0);
    const { pid } = server;
    const ended = server.stop();
    await until(() => !isAlive(pid), 'the end', DRAIN_DEADLINE_MS + 5000);
    assert.equal(await ended, null, 'by a signal');
    assert.match(server.log, /stopping took too long; the process ends anyway/);
    assert.notEqual(await unanswered, 201);
    await server.killAll();
    await server.start();
    const path = `/v1/conversations/direct:${ana.userId}/messages`;
    const { body } = await call(server.url, 'GET', path, { token: ana.accessToken });
    assert.match(JSON.stringify(body), /acknowledged/);
  });

  async function send(account: Account, text: string): Promise<number> {
    const body = {
      to: `direct:${account.userId}`,
      clientMessageId: crypto.randomUUID(),
      body: { message: { text: { body: text } } },
    };
    const path = `/v1/conversations/direct:${account.userId}/messages`;
    const { status } = await call(server.url, 'POST', path, { body, token: account.accessToken });
    return status;
  }
});
