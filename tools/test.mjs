/**
 * `npm test`: set-up, then every test. Unit tests first, then what starts real processes. What a
 * machine cannot run is left out by name, and the last lines say so and why.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ROOT, setup } from './setup.mjs';

const CHROMIUM = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];

const COMPILERS = ['/usr/bin/gcc', '/usr/bin/cc', '/usr/bin/clang'];

setup();
const failed = [];
const leftOut = [];
suite(
  'unit',
  [
    'dist/{proto,core,storage-engine,broker,gateways,services,server,bench,tools}/**/*.test.js',
    'dist/tests/{,checker/}*.test.js',
  ],
  ['--timeout', '10000'],
);
suite('sdk', ['clients/sdk/dist-test/**/*.test.js']);
suite('web', ['dist/clients/web/**/*.test.js']);
suite('simulation', ['dist/tests/sim/**/*.test.js']);
suite('system', ['dist/tests/system/{,conformance/}*.sys.test.js'], ['--timeout', '120000']);
if (COMPILERS.some((path) => existsSync(path)))
  suite('power', ['dist/tests/system/power/*.sys.test.js'], ['--timeout', '120000']);
else
  leftOut.push('power cuts: no C compiler on this machine (Debian: apt-get install gcc libc6-dev)');
if (mayMount()) suite('disk', ['dist/tests/system/disk/*.sys.test.js'], ['--timeout', '120000']);
else leftOut.push('full disk: only root may mount the small disk that it needs');
if (CHROMIUM.some((path) => existsSync(path)))
  suite('browser', ['dist/tests/browser/**/*.sys.test.js'], ['--timeout', '120000']);
else leftOut.push('browser tests: no Chromium on this machine (Debian: apt-get install chromium)');

for (const what of leftOut) process.stdout.write(`\nLEFT OUT: ${what}\n`);
process.stdout.write(
  failed.length === 0 ? '\nAll suites passed.\n' : `\nFAILED: ${failed.join(', ')}\n`,
);
process.exit(failed.length === 0 ? 0 : 1);

/** Whether a file system may be mounted here: root in a container often may not. */
function mayMount() {
  const folder = mkdtempSync(join(tmpdir(), 'parley-mount-'));
  const quietly = { stdio: 'ignore' };
  const mount = ['-t', 'tmpfs', '-o', 'size=1m', 'parley-test', folder];
  const isMounted = spawnSync('mount', mount, quietly).status === 0;
  if (isMounted) spawnSync('umount', [folder], quietly);
  rmdirSync(folder);
  return isMounted;
}

function suite(name, globs, more = []) {
  if (process.argv.length > 2 && !process.argv.includes(name)) return;
  process.stdout.write(`\n== ${name}\n`);
  const env = { ...process.env, UV_THREADPOOL_SIZE: '16' };
  const result = spawnSync(
    process.execPath,
    [
      join(ROOT, 'node_modules/mocha/bin/mocha.js'),
      '--exit',
      '--reporter',
      'dot',
      ...more,
      ...globs,
    ],
    {
      cwd: ROOT,
      env,
      stdio: 'inherit',
    },
  );
  if (result.status !== 0) failed.push(name);
}
