/**
 * `npm test`: set-up, then every test. Two suites run at a time, because each of them mostly waits:
 * for processes that start, for a browser, for a disk. One that measures how smooth a page is has the
 * machine to itself. What a suite says is kept until it ends, so
 * that no two are mixed. What a machine cannot run is left out by name, and the last lines say so and
 * why; they also repeat what failed, because often only they are kept.
 */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmdirSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ROOT, setup } from './setup.mjs';

const CHROMIUM = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];

const COMPILERS = ['/usr/bin/gcc', '/usr/bin/cc', '/usr/bin/clang'];

const SPEED = 'dist/tests/browser/speed.sys.test.js';

/** More would take the processor from tests that promise times. */
const SUITES_AT_ONCE = Math.min(2, availableParallelism());
/** Several times what the longest takes on a busy machine; a test that hangs ends by its own limit. */
const SUITE_MINUTES_MAX = 30;
/** What servers and browsers of a suite that is ended get to leave in good order. */
const LEAVE_MS = 15_000;
/** Of each suite's output: more than the report of its failures. */
const KEPT_CHARS = 4 * 1024 * 1024;

/** In the order in which they begin: what fails soonest first, then what takes longest. */
const SUITES = [
  {
    name: 'unit',
    files: [
      'dist/{proto,core,storage-engine,broker,gateways,services,server,bench,tools}/**/*.test.js',
      'dist/tests/{,checker/}*.test.js',
    ],
    timeoutMs: 10_000,
  },
  { name: 'simulation', files: ['dist/tests/sim/**/*.test.js'], timeoutMs: 10_000 },
  {
    name: 'system',
    files: ['dist/tests/system/{,conformance/}*.sys.test.js'],
    timeoutMs: 120_000,
  },
  {
    name: 'browser',
    files: ['dist/tests/browser/**/*.sys.test.js'],
    not: SPEED,
    timeoutMs: 120_000,
    lacks: () => lackingChromium('browser tests'),
  },
  {
    name: 'power',
    files: ['dist/tests/system/power/*.sys.test.js'],
    timeoutMs: 120_000,
    lacks: () =>
      COMPILERS.some((path) => existsSync(path))
        ? ''
        : 'power cuts: no C compiler on this machine (Debian: apt-get install gcc libc6-dev)',
  },
  {
    name: 'disk',
    files: ['dist/tests/system/disk/*.sys.test.js'],
    timeoutMs: 120_000,
    lacks: () => (mayMount() ? '' : 'full disk: only root may mount the small disk that it needs'),
  },
  { name: 'sdk', files: ['clients/sdk/dist-test/**/*.test.js'], timeoutMs: 10_000 },
  { name: 'web', files: ['dist/clients/web/**/*.test.js'], timeoutMs: 10_000 },
  {
    name: 'speed',
    files: [SPEED],
    timeoutMs: 120_000,
    hasMachineAlone: true,
    lacks: () => lackingChromium('speed in a browser'),
  },
];

const asked = process.argv.slice(2);
const unknown = asked.filter((one) => SUITES.every(({ name }) => name !== one));
if (unknown.length > 0) {
  const names = SUITES.map(({ name }) => name).join(', ');
  process.stderr.write(`no suite is named ${unknown.join(', ')}: there are ${names}\n`);
  process.exit(1);
}
setup();
const { failureOf } = await import(new URL('../dist/tools/suite-end.js', import.meta.url).href);
const wanted = SUITES.filter(({ name }) => asked.length === 0 || asked.includes(name));
const lacking = new Map(wanted.map((suite) => [suite, suite.lacks?.() ?? '']));
const leftOut = [...lacking.values()].filter(Boolean);
const able = wanted.filter((suite) => lacking.get(suite) === '');
const waiting = able.filter(({ hasMachineAlone }) => !hasMachineAlone);
const last = able.filter(({ hasMachineAlone }) => hasMachineAlone);
const isAlone = able.length === 1;
const running = new Set();
/** Suites that are being ended, until the last process of each has left. */
const leaving = new Map();
const took = [];
const reports = [];
const failed = [];
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, endAll);
await Promise.all(Array.from({ length: SUITES_AT_ONCE }, () => each(waiting)));
await each(last);

for (const report of reports) process.stdout.write(report);
for (const what of leftOut) process.stdout.write(`\nLEFT OUT: ${what}\n`);
process.stdout.write(`\n${took.join(', ')}\n`);
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

function lackingChromium(what) {
  return CHROMIUM.some((path) => existsSync(path))
    ? ''
    : `${what}: no Chromium on this machine (Debian: apt-get install chromium)`;
}

async function each(suites) {
  for (let next = suites.shift(); next !== undefined; next = suites.shift()) await run(next);
}

async function run({ name, files, not = '', timeoutMs }) {
  const began = performance.now();
  process.stdout.write(isAlone ? `\n== ${name}\n` : `-- ${name} begins\n`);
  const mocha = join(ROOT, 'node_modules/mocha/bin/mocha.js');
  // Without colours: its summary is read.
  const options = ['--exit', '--no-color', '--reporter', 'dot', '--timeout', String(timeoutMs)];
  if (not !== '') options.push('--ignore', not);
  // In a process group of its own: whatever it leaves behind is found and ended there.
  const child = spawn(process.execPath, [mocha, ...options, ...files], {
    cwd: ROOT,
    env: { ...process.env, UV_THREADPOOL_SIZE: '16' },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  running.add(child);
  let said = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text) => {
      if (isAlone) process.stdout.write(text);
      said = (said + text).slice(-KEPT_CHARS);
    });
  const late = setTimeout(() => {
    said += `\n${name} did not end within ${SUITE_MINUTES_MAX} minutes\n`;
    end(child);
  }, SUITE_MINUTES_MAX * 60_000);
  child.once('exit', async () => {
    await leaving.get(child);
    signalGroup(child, 'SIGKILL');
  });
  const [code, signal] = await once(child, 'close');
  await leaving.get(child);
  clearTimeout(late);
  running.delete(child);
  const seconds = Math.round((performance.now() - began) / 1000);
  took.push(`${name} ${seconds} s`);
  if (!isAlone) process.stdout.write(`\n== ${name}, ${seconds} s\n${said}`);
  const report = failureOf({ name, code, signal, said });
  if (report === undefined) return;
  failed.push(name);
  reports.push(report);
}

function endAll() {
  for (const { name } of [...waiting.splice(0), ...last.splice(0)]) failed.push(name);
  for (const child of running) end(child);
}

function end(child) {
  if (!leaving.has(child)) leaving.set(child, left(child));
}

async function left(child) {
  signalGroup(child, 'SIGTERM');
  const deadline = performance.now() + LEAVE_MS;
  while (performance.now() < deadline && signalGroup(child, 0)) await sleep(100);
  signalGroup(child, 'SIGKILL');
}

/** Whether there was anybody to signal. */
function signalGroup({ pid }, signal) {
  try {
    return process.kill(-pid, signal);
  } catch {
    return false;
  }
}
