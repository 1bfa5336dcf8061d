/**
 * `npm run bench -- k6 <script>`: the scripts of bench/k6 against a server that is started here, or
 * named by URL. k6 is a program of its own; without it on the PATH there is nothing to run.
 */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { accessSync, constants, mkdtempSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { BenchOptions } from './options.ts';
import { serverAt, startServer } from './server-process.ts';

export const K6_SCRIPTS: readonly string[] = ['pairs', 'group', 'publish'];

/** What the scripts call it, and the option that it is given by. */
const SETTINGS = [
  ['SECONDS', 'seconds'],
  ['BYTES', 'bytes'],
  ['PAIRS', 'pairs'],
  ['STREAMS', 'pairs'],
  ['WINDOW', 'window'],
  ['MEMBERS', 'members'],
  ['RATE', 'rate'],
] as const;

const SCRIPTS = fileURLToPath(new URL('../../bench/k6', import.meta.url));
const PARLEY = fileURLToPath(new URL('../tools/parley.js', import.meta.url));

/** The program's path, or undefined where it is not installed. */
function findK6(path: string): string | undefined {
  return path
    .split(delimiter)
    .map((folder) => join(folder, 'k6'))
    .find((file) => {
      try {
        accessSync(file, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}

/**
 * k6's exit code. Its last line on standard output is the script's line of JSON. Options that were
 * not given stay with the script's own defaults: k6 generates a tenth of what our generator does.
 */
export async function runK6(
  script: string,
  options: BenchOptions,
  isGiven: (option: string) => boolean,
): Promise<number> {
  const k6 = findK6(process.env['PATH'] ?? '');
  if (k6 === undefined) {
    process.stderr.write(
      'k6 is not on the PATH, so nothing was run. With Go: go install go.k6.io/k6@latest\n',
    );
    return 1;
  }
  if (!K6_SCRIPTS.includes(script))
    throw new TypeError(`no script ${script}; there are ${K6_SCRIPTS.join(', ')}`);
  const settings: Record<string, number> = {};
  for (const [setting, option] of SETTINGS)
    if (isGiven(option)) settings[setting] = options[option];
  if (options.url !== undefined) {
    const { url } = await serverAt(options.url);
    // GRPC and TOKEN of a foreign server come from the caller's environment.
    return run(k6, script, { ...settings, URL: url });
  }
  return withServer(script, (more) => run(k6, script, { ...settings, ...more }));
}

async function withServer(
  script: string,
  use: (settings: Readonly<Record<string, string>>) => Promise<number>,
): Promise<number> {
  const root = mkdtempSync(join(tmpdir(), 'parley-k6-'));
  const dataDir = join(root, 'data');
  const grpcPort = await freePort();
  const server = await startServer({
    PARLEY_DATA_DIR: dataDir,
    PARLEY_GRPC_PORT: String(grpcPort),
  });
  try {
    const token = script === 'publish' ? makeToken(dataDir) : '';
    return await use({ URL: server.url, GRPC: `127.0.0.1:${grpcPort}`, TOKEN: token });
  } finally {
    await server.stop();
    rmSync(root, { recursive: true, force: true });
  }
}

function makeToken(dataDir: string): string {
  const args = ['token', 'create', '--name', 'k6', '--scope', 'broker,act_as'];
  return execFileSync(process.execPath, [PARLEY, '--data-dir', dataDir, ...args], {
    encoding: 'utf8',
  }).trim();
}

async function run(
  k6: string,
  script: string,
  settings: Readonly<Record<string, string | number>>,
): Promise<number> {
  const child = spawn(k6, ['run', '--quiet', join(SCRIPTS, `${script}.ts`)], {
    // k6 hands its environment on to scripts; a token given there does not show in `ps`.
    env: {
      ...process.env,
      ...Object.fromEntries(Object.entries(settings).map(([name, value]) => [name, String(value)])),
    },
    stdio: 'inherit',
  });
  const [code] = (await once(child, 'exit')) as [number | null];
  return code ?? 1;
}

async function freePort(): Promise<number> {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  return typeof address === 'object' && address !== null ? address.port : 0;
}
