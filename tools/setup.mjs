/**
 * All set-up, on a machine with only Node and npm: packages, TypeScript, the web client. Each step
 * is skipped when nothing that it depends on changed, so that a second start costs milliseconds.
 * Plain JavaScript because nothing is compiled yet when it runs.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { homedir, tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = fileURLToPath(new URL('..', import.meta.url));
const NODE_MIN = [20, 19];
const SOURCES = [
  'proto',
  'core',
  'storage-engine',
  'broker',
  'gateways',
  'services',
  'server',
  'tests',
  'bench',
  'tools',
  'clients',
];
const NPM = process.platform === 'win32' ? 'npm.cmd' : 'npm';
const REGISTRY_ANSWER_MS = 5000;
const NO_ANSWER = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ENOTFOUND',
  'EAI_AGAIN',
  'ENETUNREACH',
  'EHOSTUNREACH',
  'ETIMEDOUT',
  'ERR_SOCKET_TIMEOUT',
]);
const SKIPPED = new Set(['node_modules', 'dist', 'dist-test', 'data']);

export function setup({ quiet = false } = {}) {
  const say = (text) => quiet || process.stderr.write(`${text}\n`);
  checkNode();
  try {
    mkdirSync(join(ROOT, '.parley'), { recursive: true });
  } catch (error) {
    fail(
      `${ROOT} cannot be written to (${error.code}): the first start installs and compiles there.`,
    );
  }
  step(
    'packages',
    hashFiles([
      'package.json',
      'package-lock.json',
      'clients/sdk/package.json',
      'clients/web/package.json',
    ]),
    'node_modules',
    () => {
      say('Installing packages (once, about half a minute) ...');
      // Not `npm ci`: it refuses a lock file that leaves out binaries of other platforms. The versions
      // and checksums of the lock file hold all the same, and the lock file itself stays as it is.
      npm(['install', '--no-save', '--include=dev', '--include=optional']);
    },
  );
  step('typescript', hashTree(), 'dist', () => {
    say('Compiling ...');
    node('node_modules/typescript/bin/tsc', ['-b']);
  });
  step('web', hashTree(['clients/web', 'clients/sdk']), 'clients/web/dist/index.html', () => {
    if (!existsSync(join(ROOT, 'clients/web/vite.config.ts'))) return;
    say('Building the web client ...');
    node(
      '../../node_modules/vite/bin/vite.js',
      ['build', '--logLevel', 'error'],
      join(ROOT, 'clients/web'),
    );
  });
}

function checkNode() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major > NODE_MIN[0] || (major === NODE_MIN[0] && minor >= NODE_MIN[1])) return;
  fail(`Parley needs Node ${NODE_MIN.join('.')} or newer; this is ${process.versions.node}.`);
}

/** Runs `work` unless the stamp of the last success equals `hash` and what it made is still there. */
function step(name, hash, product, work) {
  const stamp = join(ROOT, '.parley', `${name}.stamp`);
  if (existsSync(stamp) && existsSync(join(ROOT, product)) && readFileSync(stamp, 'utf8') === hash)
    return;
  work();
  writeFileSync(stamp, hash);
}

function hashFiles(paths) {
  const hash = createHash('sha256').update(process.version);
  for (const path of paths) hash.update(path).update(readFileSync(join(ROOT, path)));
  return hash.digest('hex');
}

/** Names, sizes and times of every source file: cheap, and enough to notice a change. */
function hashTree(roots = SOURCES) {
  const hash = createHash('sha256').update(process.version);
  for (const name of readdirSync(ROOT))
    if (name.startsWith('tsconfig')) hash.update(readFileSync(join(ROOT, name)));
  const walk = (folder) => {
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
      if (SKIPPED.has(entry.name)) continue;
      const path = join(folder, entry.name);
      if (entry.isDirectory()) walk(path);
      else {
        const { size, mtimeMs } = statSync(path);
        hash.update(`${path}\0${size}\0${mtimeMs}\n`);
      }
    }
  };
  for (const root of roots) if (existsSync(join(ROOT, root))) walk(join(ROOT, root));
  return hash.digest('hex');
}

function npm(args) {
  // A read-only home must not stop the set-up: npm's cache then goes to the temporary directory.
  const env = { ...process.env, npm_config_loglevel: 'error' };
  if (!isWritable(env.npm_config_cache ?? join(homedir(), '.npm')) && !isWritable(homedir()))
    env.npm_config_cache = join(tmpdir(), `parley-npm-cache-${userInfo().uid}`);
  warnOfSilentRegistry(env);
  run(NPM, args, ROOT, env);
}

/** Without a network npm tries each package again for minutes and says nothing. */
function warnOfSilentRegistry(env) {
  try {
    const once = ['--fetch-retries=0', `--fetch-timeout=${REGISTRY_ANSWER_MS}`];
    execFileSync(NPM, ['ping', ...once], { cwd: ROOT, env, stdio: ['ignore', 'ignore', 'pipe'] });
  } catch (error) {
    const said = String(error.stderr ?? '');
    const code = /code (E[A-Z_]+)/.exec(said)?.[1] ?? '';
    if (!NO_ANSWER.has(code)) return;
    const [registry = 'the package registry'] = /https?:\/\/[^/\s]+/.exec(said) ?? [];
    process.stderr.write(
      `${registry} does not answer (${code}). npm goes on trying, which may take many minutes; Ctrl-C ends it.\n` +
        'The first start needs the registry once: check the network, or name your proxy to npm (npm config set proxy ...).\n',
    );
  }
}

function isWritable(path) {
  try {
    accessSync(path, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

function node(script, args, cwd = ROOT) {
  run(process.execPath, [script, ...args], cwd, process.env);
}

function run(command, args, cwd, env) {
  try {
    // Standard output belongs to what is started after the set-up.
    execFileSync(command, args, { cwd, env, stdio: ['ignore', 2, 2] });
  } catch (error) {
    fail(
      `Set-up failed at: ${command} ${args.join(' ')}\n${error.code === 'ENOENT' ? `${command} was not found.` : 'See the lines above.'}`,
    );
  }
}

function fail(text) {
  process.stderr.write(`${text}\n`);
  process.exit(1);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) setup();
