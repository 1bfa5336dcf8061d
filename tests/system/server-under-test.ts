/** A real server in a process of its own, that tests start, kill and start again on the same data. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readyUrl } from '../../bench/server-process.ts';

const MAIN = fileURLToPath(new URL('../../server/main.js', import.meta.url));

export interface ServerUnderTestOptions {
  /** Settings beside the ones that every test wants. */
  readonly env?: Readonly<Record<string, string>>;
}

export class ServerUnderTest {
  /** Holds the data directory, the key file beside it and whatever a test puts there. */
  readonly root: string = mkdtempSync(join(tmpdir(), 'parley-sys-'));
  readonly dataDir: string = join(this.root, 'data');
  readonly #env: Readonly<Record<string, string>>;
  #child: ChildProcess | undefined;
  #log = '';
  #readyLine = '';
  url = '';

  constructor(options: ServerUnderTestOptions = {}) {
    this.#env = options.env ?? {};
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  /** What it wrote to standard output. */
  get readyLine(): string {
    return this.#readyLine;
  }

  /** What the server wrote to standard error since it was started last. */
  get log(): string {
    return this.#log;
  }

  /** The PARLEY_ variables of a start. Ports are free ones, except that a restart keeps the first. */
  get settings(): Readonly<Record<string, string>> {
    return {
      PARLEY_HTTP_PORT: this.url === '' ? '0' : new URL(this.url).port,
      PARLEY_WS_PORT: '0',
      PARLEY_GRPC_PORT: '0',
      PARLEY_DATA_DIR: this.dataDir,
      PARLEY_LOG_LEVEL: 'info',
      PARLEY_PASSWORD_MEMORY_KIB: '64',
      PARLEY_WAL_SEGMENT_BYTES: String(8 * 1024 * 1024),
      PARLEY_WAL_RESERVE_BYTES: String(1024 * 1024),
      ...this.#env,
    };
  }

  /** Starts it and waits for the ready line. */
  async start(more: Readonly<Record<string, string>> = {}): Promise<void> {
    const child = this.spawn(more);
    try {
      this.url = await readyUrl(child);
    } catch (error) {
      throw new TypeError(`${String(error)}\n${this.#log}`);
    }
  }

  /** Begins a start without waiting for it. */
  spawn(more: Readonly<Record<string, string>> = {}): ChildProcess {
    this.#log = '';
    const child = spawn(process.execPath, [MAIN], {
      env: { ...process.env, UV_THREADPOOL_SIZE: '16', ...this.settings, ...more },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#child = child;
    this.#readyLine = '';
    child.stdout?.on('data', (bytes: Buffer) => {
      this.#readyLine += bytes.toString();
    });
    child.stderr?.on('data', (bytes: Buffer) => {
      this.#log = (this.#log + bytes.toString()).slice(-64 * 1024);
    });
    return child;
  }

  /** SIGKILL, and waits until it is gone. PostgreSQL lives on, as it would. */
  async kill(): Promise<void> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, 'exit');
    child.kill('SIGKILL');
    await exited;
  }

  /** SIGKILL of the server and of its PostgreSQL: what a power cut does to processes. */
  async killAll(): Promise<void> {
    const postmaster = this.postmasterPid();
    await this.kill();
    if (postmaster === undefined) return;
    for (const pid of [...childrenOf(postmaster), postmaster]) signal(pid, 'SIGKILL');
    const deadline = Date.now() + 5000;
    while (Date.now() < deadline && isAlive(postmaster))
      await new Promise((done) => setTimeout(done, 10));
  }

  /** Asks it to end; resolves with the exit code. */
  async stop(signal: 'SIGTERM' | 'SIGINT' = 'SIGTERM'): Promise<number | null> {
    const child = this.#child;
    if (child === undefined) return 0;
    if (child.exitCode === null && child.signalCode === null) {
      const exited = once(child, 'exit');
      child.kill(signal);
      await exited;
    }
    return child.exitCode;
  }

  /** Ends everything and removes the data. */
  async remove(): Promise<void> {
    await this.stop();
    await this.killAll();
    rmSync(this.root, { recursive: true, force: true });
  }

  postmasterPid(): number | undefined {
    try {
      const pid = Number(
        readFileSync(join(this.dataDir, 'postgres', 'postmaster.pid'), 'utf8').split('\n')[0],
      );
      return pid > 0 ? pid : undefined;
    } catch {
      return undefined;
    }
  }
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // It ended by itself.
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

function childrenOf(pid: number): number[] {
  try {
    return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8')
      .trim()
      .split(' ')
      .filter(Boolean)
      .map(Number);
  } catch {
    return [];
  }
}
