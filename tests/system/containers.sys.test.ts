/**
 * Two containers on one data directory: the second sees no process of the first. What is
 * acknowledged there must outlive every order of stops, kills and starts.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, afterEach, describe, it } from 'mocha';
import { call } from '../../bench/accounts.ts';
import { processTree } from '../../bench/machine.ts';
import { readPostmaster } from '../../server/postmaster.ts';
import { person, type Account } from './conformance/accounts.ts';
import { isAlive, runToEnd, until } from './life-kit.ts';
import { ServerUnderTest } from './server-under-test.ts';

/** Runs a command as another container does: without sight of any process of this one. */
const ELSEWHERE = ['unshare', '--pid', '--ipc', '--fork', '--kill-child', '--mount-proc'];

describe('a server and a start from another container on the same data', () => {
  const server = new ServerUnderTest({ env: { PARLEY_DRAIN_DEADLINE_MS: '60000' } });
  after(() => server.remove());
  afterEach(() => server.killAll());

  it('while the first stops: the store is held until PostgreSQL has ended', async () => {
    await server.start();
    const ana = await person(server.url, 'ana');
    const checkpointer = checkpointerOf(server.postmasterPid() ?? assert.fail());
    process.kill(checkpointer, 'SIGSTOP');
    const ended = server.stop();
    try {
      const isStopping = (): boolean =>
        readPostmaster(join(server.dataDir, 'postgres'))?.isReady === false;
      await until(isStopping, 'PostgreSQL to be told to stop');
      // As it looks from there: an owner whose number is nobody's.
      writeFileSync(
        join(server.dataDir, 'lock'),
        '{"pid":1,"startedAt":"1","pidNamespace":"pid:[1]"}',
      );
      const second = await runToEnd({ ...server.settings, PARLEY_HTTP_PORT: '0' });
      assert.equal(second.code, 1);
      assert.match(second.stderr, /state is in use by another process; stop that server/);
    } finally {
      process.kill(checkpointer, 'SIGCONT');
    }
    assert.equal(await ended, 0, server.log);
    await server.start();
    await isKnown(ana);
  });

  it('PostgreSQL that does not end: the store is closed in good order all the same, and nothing is lost', async () => {
    await server.start({ PARLEY_DRAIN_DEADLINE_MS: '3000' });
    const ana = await person(server.url, 'ana');
    const postmaster = server.postmasterPid() ?? assert.fail();
    process.kill(postmaster, 'SIGSTOP');
    assert.equal(await server.stop(), 70, server.log);
    assert.match(server.log, /the accounts did not end in 1000 ms/);
    process.kill(postmaster, 'SIGCONT');
    await server.start();
    assert.match(server.log, /"verdict":"clean"/);
    await isKnown(ana);
  });

  if (mayUnshare())
    it('after a SIGKILL of the first, whose PostgreSQL lives on: refused, and nothing is lost', async () => {
      await server.start();
      const ana = await person(server.url, 'ana');
      const postmaster = server.postmasterPid() ?? assert.fail();
      await server.kill();
      const second = await runToEnd(server.settings, [], ELSEWHERE);
      assert.equal(second.code, 1, second.stderr);
      assert.match(second.stderr, /another container runs a PostgreSQL on .*start again/);
      assert.ok(isAlive(postmaster));
      await server.start();
      assert.equal(server.postmasterPid(), postmaster, 'adopted where it can be seen');
      const bob = await person(server.url, 'bob');
      await server.killAll();
      await server.start();
      await isKnown(ana);
      await isKnown(bob);
    });
  else process.stdout.write('LEFT OUT: a start in a pid namespace of its own (needs root)\n');

  async function isKnown(account: Account): Promise<void> {
    const body = { username: account.username, password: 'correct horse battery' };
    const { status } = await call(server.url, 'POST', '/v1/auth/login', { body });
    assert.equal(status, 200, account.username);
  }
});

function mayUnshare(): boolean {
  const [program = '', ...flags] = ELSEWHERE;
  return spawnSync(program, [...flags, 'true']).status === 0;
}

/** It writes the last checkpoint of a shutdown: while it does not run, PostgreSQL does not end. */
function checkpointerOf(postmaster: number): number {
  const isIt = (pid: number): boolean =>
    readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('checkpointer');
  return processTree(postmaster).find(isIt) ?? assert.fail('no checkpointer');
}
