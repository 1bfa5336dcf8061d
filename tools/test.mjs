/**
 * `npm test`: set-up, then every test. Unit tests first, then what starts real processes. What a
 * machine cannot run is left out by name, and the last lines say so and why; they also repeat what
 * failed, because often only they are kept.
 */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ROOT, setup } from './setup.mjs';

const CHROMIUM = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];

const COMPILERS = ['/usr/bin/gcc', '/usr/bin/cc', '/usr/bin/clang'];

/** Of each suite's output: more than the report of its failures. */
const KEPT_CHARS = 256 * 1024;
const REPORT_CHARS_MAX = 16 * 1024;

setup();
const reports = [];
const failed = [];
const leftOut = [];
await suite(
  'unit',
  [
    'dist/{proto,core,storage-engine,broker,gateways,services,server,bench,tools}/**/*.test.js',
    'dist/tests/{,checker/}*.test.js',
  ],
  ['--timeout', '10000'],
);
await suite('sdk', ['clients/sdk/dist-test/**/*.test.js']);
await suite('web', ['dist/clients/web/**/*.test.js']);
await suite('simulation', ['dist/tests/sim/**/*.test.js']);
await suite('system', ['dist/tests/system/{,conformance/}*.sys.test.js'], ['--timeout', '120000']);
if (COMPILERS.some((path) => existsSync(path)))
  await suite('power', ['dist/tests/system/power/*.sys.test.js'], ['--timeout', '120000']);
else
  leftOut.push('power cuts: no C compiler on this machine (Debian: apt-get install gcc libc6-dev)');
if (mayMount())
  await suite('disk', ['dist/tests/system/disk/*.sys.test.js'], ['--timeout', '120000']);
else leftOut.push('full disk: only root may mount the small disk that it needs');
if (CHROMIUM.some((path) => existsSync(path)))
  await suite('browser', ['dist/tests/browser/**/*.sys.test.js'], ['--timeout', '120000']);
else leftOut.push('browser tests: no Chromium on this machine (Debian: apt-get install chromium)');

for (const report of reports) process.stdout.write(report);
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

async function suite(name, globs, more = []) {
  if (process.argv.length > 2 && !process.argv.includes(name)) return;
  process.stdout.write(`\n== ${name}\n`);
  const mocha = join(ROOT, 'node_modules/mocha/bin/mocha.js');
  const child = spawn(process.execPath, [mocha, '--exit', '--reporter', 'dot', ...more, ...globs], {
    cwd: ROOT,
    env: { ...process.env, UV_THREADPOOL_SIZE: '16' },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let kept = '';
  child.stdout.setEncoding('utf8').on('data', (text) => {
    process.stdout.write(text);
    kept = (kept + text).slice(-KEPT_CHARS);
  });
  const [code] = await once(child, 'close');
  if (code === 0) return;
  failed.push(name);
  const summary = kept.slice(Math.max(0, kept.lastIndexOf(' passing (')));
  const from = Math.max(0, summary.search(/\d+ failing/));
  reports.push(
    `\n== ${name}: ended with ${code}\n${summary.slice(from, from + REPORT_CHARS_MAX)}\n`,
  );
}
