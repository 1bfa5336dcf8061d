/**
 * One real server for all conformance files: the first that needs it starts it, the last ends it.
 * Limits that other tests prove are far away here, so that a machine of any speed may hurry.
 */
import { after, before } from 'mocha';
import { ServerUnderTest } from '../server-under-test.ts';

const START_MS = 60_000;
const GENEROUS = {
  PARLEY_FRAME_RATE: '1000000',
  PARLEY_FRAME_BURST: '1000000',
  PARLEY_REQUEST_RATE: '10000000',
} as const;

const shared = { users: 0, server: undefined as Promise<ServerUnderTest> | undefined };

/** Call it inside `describe`. The address is there from `before` on. */
export function sharedServer(): () => ServerUnderTest {
  let server: ServerUnderTest | undefined;
  shared.users++;
  before(async function () {
    this.timeout(START_MS);
    shared.server ??= started(GENEROUS);
    server = await shared.server;
  });
  after(async function () {
    this.timeout(START_MS);
    if (--shared.users === 0) await (await shared.server)?.remove();
  });
  return () => {
    if (server === undefined) throw new TypeError('the server is there only while tests run');
    return server;
  };
}

/** A server for one `describe` alone, with settings of its own. */
export function ownServer(env: Readonly<Record<string, string>>): () => ServerUnderTest {
  let server: ServerUnderTest | undefined;
  before(async function () {
    this.timeout(START_MS);
    server = await started({ ...GENEROUS, ...env });
  });
  after(async function () {
    this.timeout(START_MS);
    await server?.remove();
  });
  return () => {
    if (server === undefined) throw new TypeError('the server is there only while tests run');
    return server;
  };
}

async function started(env: Readonly<Record<string, string>>): Promise<ServerUnderTest> {
  const server = new ServerUnderTest({ env });
  await server.start();
  return server;
}
