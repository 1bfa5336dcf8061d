/** A real server: own data directory, any free port, killed and started again as a test wants. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const MAIN = join(ROOT, 'dist/server/main.js');
const READY_MS = 60_000;
const STOP_MS = 15_000;
const READY_LINE = /https?:\/\/[^\s/]+:\d+/;

export type ServerEnv = Readonly<Record<string, string>>;

export class RunningServer {
  readonly #folder: string = mkdtempSync(join(tmpdir(), 'parley-browser-'));
  readonly #env: ServerEnv;
  #child: ChildProcess | undefined;
  #url = '';

  constructor(env: ServerEnv = {}) {
    this.#env = env;
  }

  /** Of the first start; a second start keeps the port. */
  get url(): string {
    return this.#url;
  }

  async start(): Promise<void> {
    const port = this.#url === '' ? '0' : new URL(this.#url).port;
    const child = spawn(process.execPath, [MAIN], {
      cwd: this.#folder,
      env: {
        ...process.env,
        UV_THREADPOOL_SIZE: '8',
        PARLEY_DATA_DIR: join(this.#folder, 'data'),
        PARLEY_HTTP_PORT: port,
        PARLEY_WS_PORT: '0',
        PARLEY_GRPC_PORT: '0',
        // Every page of these tests comes from one address.
        PARLEY_LOGIN_FAILURES_MAX: '1000',
        PARLEY_PASSWORD_MEMORY_KIB: '1024',
        ...this.#env,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#child = child;
    this.#url = await readyUrl(child);
  }

  /** SIGKILL: no goodbye to anybody. */
  async kill(): Promise<void> {
    await this.#end('SIGKILL');
  }

  async stop(): Promise<void> {
    await this.#end('SIGTERM');
    rmSync(this.#folder, { recursive: true, force: true });
  }

  async #end(signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise<void>((done) => child.once('exit', () => done()));
    child.kill(signal);
    const late = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
    await gone;
    clearTimeout(late);
  }
}

function readyUrl(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    let out = '';
    let log = '';
    const late = setTimeout(() => fail('not ready in time'), READY_MS);
    const fail = (why: string): void => {
      clearTimeout(late);
      child.kill('SIGKILL');
      reject(new Error(`server: ${why}\n${out}\n${log.slice(-4_000)}`));
    };
    child.stdout?.setEncoding('utf8').on('data', (chunk: string) => {
      out += chunk;
      const found = READY_LINE.exec(out)?.[0];
      if (found === undefined) return;
      clearTimeout(late);
      resolve(found);
    });
    child.stderr?.setEncoding('utf8').on('data', (chunk: string) => {
      log = (log + chunk).slice(-16_000);
    });
    child.once('exit', (code) => fail(`exited with ${code ?? 'a signal'}`));
  });
}
