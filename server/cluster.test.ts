import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'mocha';

const ROUNDS = 200;
const ROUND_MS = 8;
const FOREIGN_LOCK = '{"pid":1,"startedAt":"1","pidNamespace":"pid:[1]"}';

describe('first starts at the same moment', function () {
  this.timeout(20_000);
  const root = mkdtempSync(join(tmpdir(), 'parley-first-'));
  after(() => rmSync(root, { recursive: true, force: true }));

  it('behind a lock that another container left, two processes end with one key and one cluster', async () => {
    for (let round = 0; round < ROUNDS; round++) {
      mkdirSync(join(root, String(round), 'data'), { recursive: true });
      writeFileSync(join(root, String(round), 'data', 'lock'), FOREIGN_LOCK);
    }
    const starters = [starter(), starter()];
    await Promise.all(starters.map((each) => once(each, 'message')));
    const results = starters.map((each) => once(each, 'message'));
    for (const each of starters) each.send(Date.now() + 100);
    const [one, two] = (await Promise.all(results)).map(([found]) => found as string[]);
    assert.equal(one?.length, ROUNDS);
    assert.deepEqual(one, two);
    assert.equal(new Set(one).size, ROUNDS);
    for (let round = 0; round < ROUNDS; round++) {
      assert.deepEqual(readdirSync(join(root, String(round))).sort(), ['data', 'data.key']);
      assert.deepEqual(readdirSync(join(root, String(round), 'data')), ['cluster.json', 'lock']);
    }
  });

  /** A process that does, at the same moments as its twin, what a start does before it holds the store. */
  function starter(): ReturnType<typeof spawn> {
    const script = `
      import { hex } from '${moduleAt('../core/bytes.js')}';
      import { fingerprintOf, openKeyFile } from '${moduleAt('../storage-engine/key-file.js')}';
      import { openCluster } from '${moduleAt('./cluster.js')}';
      import { takeDataDirectory } from '${moduleAt('./data-directory.js')}';
      import { secretWrap } from '${moduleAt('./key-wrap.js')}';
      import { REAL_CLOCK as clock, REAL_RANDOM as random } from '${moduleAt('./real-time.js')}';
      process.once('message', (beginMs) => {
        const found = [];
        for (let round = 0; round < ${ROUNDS}; round++) {
          while (Date.now() < beginMs + round * ${ROUND_MS});
          found.push(start(${JSON.stringify(root)} + '/' + round));
        }
        process.send(found, () => process.exit(0));
      });
      process.send('up');
      function start(place) {
        try {
          const { path: dataDir, isNew } = takeDataDirectory(place + '/data', { unseenOwner: 'left' });
          const { secret } = openKeyFile(place + '/data.key', { isDataDirectoryNew: isNew, random });
          const wrap = secretWrap(secret);
          const cluster = openCluster({ dataDir, isNew, shards: 1, wrap, clock, random });
          return [fingerprintOf(secret), cluster.clusterId, cluster.hashKey].map(hex).join(' ');
        } catch (error) {
          return 'failed ' + place + ': ' + error.message;
        }
      }`;
    return spawn(process.execPath, ['--input-type=module', '-e', script], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
  }
});

function moduleAt(path: string): string {
  return new URL(path, import.meta.url).href;
}
