/** What the README shows is what lies in docs/examples, and it runs as it stands. */
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { after, before, describe, it } from 'mocha';
import { person } from './conformance/accounts.ts';
import { until } from './life-kit.ts';
import { ServerUnderTest } from './server-under-test.ts';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const LINES_MAX = 20;
const run = promisify(execFile);

describe('the examples of the README', () => {
  const server = new ServerUnderTest();
  before(() => server.start());
  after(() => server.remove());

  for (const name of ['talk.mjs', 'service.mjs'])
    it(`${name} stands in the README as it is, in ${LINES_MAX} lines at most`, () => {
      const example = readFileSync(join(ROOT, 'docs/examples', name), 'utf8');
      assert.ok(readFileSync(join(ROOT, 'README.md'), 'utf8').includes(example));
      assert.ok(example.trim().split('\n').length <= LINES_MAX);
    });

  it('two people talk through the SDK: durable, seen by the other, ticks', async () => {
    const { stdout } = await run(process.execPath, ['docs/examples/talk.mjs', server.url], {
      cwd: ROOT,
    });
    assert.match(stdout, /durable \{[^}]*sequence: 1/);
    assert.match(stdout, /bob sees Hello Bob/);
    assert.ok(!stdout.includes('undefined'), stdout);
    assert.match(stdout, /tick DELIVERED/);
  });

  it('a service publishes for a user with a token of the operator, and reads it back', async () => {
    const [ana, bob] = [await person(server.url, 'ana'), await person(server.url, 'bob')];
    const env = { ...process.env, ...server.settings };
    const command = ['dist/tools/parley.js', 'token', 'create'];
    const more = ['--name', 'shop', '--scope', 'broker,act_as'];
    const made = await run(process.execPath, [...command, ...more], { cwd: ROOT, env });
    const token = made.stdout.trim().split(/\s+/).at(-1) ?? '';
    const address = /gRPC (\S+),/.exec(server.readyLine)?.[1] ?? '';
    const args = ['docs/examples/service.mjs', token, ana.userId, `direct:${bob.userId}`, address];
    const service = spawn(process.execPath, args, { cwd: ROOT });
    let said = '';
    service.stdout.on('data', (bytes: Buffer) => (said += bytes.toString()));
    service.stderr.on('data', (bytes: Buffer) => (said += bytes.toString()));
    try {
      await until(() => /subscribed [\s\S]*Your order/.test(said), 'its own message').catch(
        (error: unknown) => assert.fail(`${String(error)}: ${said}`),
      );
      assert.match(said, /published \{[\s\S]*sequence: 1/);
    } finally {
      service.kill();
    }
  });
});
