/** Starts that are expected to fail, and what else the tests of a server's life have in common. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createServer, type Server } from 'node:net';
import { fileURLToPath } from 'node:url';
import type { ServerUnderTest } from './server-under-test.ts';

const MAIN = fileURLToPath(new URL('../../server/main.js', import.meta.url));
const END_DEADLINE_MS = 30_000;

export interface EndedStart {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * Runs the server's program until it ends, below another command if one is named; a start that
 * succeeds is killed at the deadline.
 */
export function runToEnd(
  env: Readonly<Record<string, string>>,
  flags: readonly string[] = [],
  below: readonly string[] = [],
): Promise<EndedStart> {
  const [program = '', ...args] = [...below, process.execPath, MAIN, ...flags];
  const child = spawn(program, args, {
    env: { ...process.env, UV_THREADPOOL_SIZE: '16', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (bytes: Buffer) => (stdout += bytes.toString()));
  child.stderr.on('data', (bytes: Buffer) => (stderr += bytes.toString()));
  const late = setTimeout(() => child.kill('SIGKILL'), END_DEADLINE_MS);
  return new Promise((done) => {
    child.once('close', (code, signal) => {
      clearTimeout(late);
      done({ code, signal, stdout, stderr });
    });
  });
}

/** A start on the data of `server`, which is not running, that must be refused in these words. */
export async function refusedStart(
  server: ServerUnderTest,
  words: readonly RegExp[],
  env: Readonly<Record<string, string>> = {},
): Promise<EndedStart> {
  const ended = await runToEnd({ ...server.settings, ...env });
  assert.equal(ended.code, 1, `${ended.signal ?? ''} ${ended.stderr}`);
  assert.equal(ended.stdout, '', 'no ready line');
  const line = ended.stderr.split('\n').find((one) => one.startsWith('Parley could not start: '));
  assert.ok(line !== undefined, ended.stderr);
  for (const word of words) assert.match(line, word);
  assert.ok(!/\n\s+at /.test(ended.stderr), `a stack trace helps nobody: ${ended.stderr}`);
  const beside = ended.stderr.split('\n').filter((one) => one !== '' && one !== line);
  for (const one of beside) assert.match(one, /^\{"level":"info"/, 'nothing beside it that alarms');
  return ended;
}

/** A program of somebody else on a port. */
export async function stranger(): Promise<{ readonly port: number; close(): void }> {
  const server: Server = createServer();
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const address = server.address();
  assert.ok(typeof address === 'object' && address !== null);
  return { port: address.port, close: () => server.close() };
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

export async function until(
  holds: () => boolean | Promise<boolean>,
  what: string,
  deadlineMs = 10_000,
): Promise<void> {
  const end = performance.now() + deadlineMs;
  while (!(await holds())) {
    assert.ok(performance.now() < end, `not within ${deadlineMs} ms: ${what}`);
    await new Promise((done) => setTimeout(done, 20));
  }
}

export function pause(ms: number): Promise<void> {
  return new Promise((done) => setTimeout(done, ms));
}
