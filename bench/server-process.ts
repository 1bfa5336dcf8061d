/** The server under load: started here in a process of its own on a fresh directory, or named by URL. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { diskBytes } from './machine.ts';

const MAIN = fileURLToPath(new URL('../server/main.js', import.meta.url));
const READY_DEADLINE_MS = 60_000;

export interface ServerUnderLoad {
  readonly url: string;
  /** WebSocket to use: the faster port where there is one. */
  readonly webSocketUrl: string;
  /** undefined = it was started by somebody else, and its cost is not known. */
  readonly pid: number | undefined;
  readonly readyMs: number;
  /** Bytes of message state on disk, the bounded WAL not counted, and the WAL's. */
  bytesOnDisk(): { readonly state: number; readonly wal: number };
  /** Ends it by this signal and starts it again on the same directory; ms to its ready line. */
  restart(signal: 'SIGTERM' | 'SIGKILL'): Promise<number>;
  stop(): Promise<void>;
}

export async function serverAt(url: string): Promise<ServerUnderLoad> {
  return {
    url,
    webSocketUrl: await webSocketUrlOf(url),
    pid: undefined,
    readyMs: 0,
    bytesOnDisk: () => ({ state: 0, wal: 0 }),
    restart: () => Promise.reject(new TypeError('only a server that is started here can be')),
    stop: () => Promise.resolve(),
  };
}

/** `env` overrides settings; passwords are hashed cheaply, because accounts are not what is measured. */
export async function startServer(
  env: Readonly<Record<string, string>> = {},
): Promise<ServerUnderLoad> {
  const root = mkdtempSync(join(tmpdir(), 'parley-bench-'));
  const directory = join(root, 'data');
  let running = await start(directory, env);
  const end = async (signal: 'SIGTERM' | 'SIGKILL'): Promise<void> => {
    const exited = once(running.child, 'exit');
    running.child.kill(signal);
    await exited;
  };
  const { url, child, readyMs } = running;
  return {
    url,
    webSocketUrl: await webSocketUrlOf(url),
    pid: child.pid,
    readyMs,
    bytesOnDisk: () => {
      const all = diskBytes(join(directory, 'store-0'));
      const wal = diskBytes(join(directory, 'store-0', 'wal'));
      return { state: all - wal, wal };
    },
    restart: async (signal) => {
      await end(signal);
      running = await start(directory, env);
      return running.readyMs;
    },
    stop: async () => {
      await end('SIGTERM');
      rmSync(root, { recursive: true, force: true });
    },
  };
}

async function start(
  directory: string,
  env: Readonly<Record<string, string>>,
): Promise<{ readonly child: ChildProcess; readonly url: string; readonly readyMs: number }> {
  const began = performance.now();
  const child = spawn(process.execPath, [MAIN], {
    env: {
      ...process.env,
      UV_THREADPOOL_SIZE: '16',
      PARLEY_HTTP_PORT: '0',
      PARLEY_WS_PORT: '0',
      PARLEY_GRPC_PORT: '0',
      PARLEY_DATA_DIR: directory,
      PARLEY_LOG_LEVEL: 'warn',
      PARLEY_PASSWORD_MEMORY_KIB: '64',
      PARLEY_FRAME_RATE: '1000000',
      PARLEY_FRAME_BURST: '1000000',
      PARLEY_REQUEST_RATE: '1000000',
      ...env,
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const url = await readyUrl(child);
  return { child, url, readyMs: Math.round(performance.now() - began) };
}

/** The URL of the ready line. Rejects if the process ends before it. */
export async function readyUrl(child: ChildProcess): Promise<string> {
  let text = '';
  return new Promise((done, fail) => {
    const timer = setTimeout(
      () => fail(new TypeError(`no ready line in ${READY_DEADLINE_MS} ms: ${text}`)),
      READY_DEADLINE_MS,
    );
    child.stdout?.on('data', (bytes: Buffer) => {
      text += bytes.toString();
      const url = /open (http\S+)/.exec(text)?.[1];
      if (url === undefined) return;
      clearTimeout(timer);
      done(url);
    });
    child.once('exit', (code) => {
      clearTimeout(timer);
      fail(new TypeError(`the server ended with code ${code} before it was ready`));
    });
  });
}

async function webSocketUrlOf(url: string): Promise<string> {
  const response = await fetch(new URL('/v1/meta', url));
  const meta: unknown = await response.json();
  if (
    typeof meta === 'object' &&
    meta !== null &&
    'webSocketUrl' in meta &&
    typeof meta.webSocketUrl === 'string'
  )
    return meta.webSocketUrl;
  return new URL('/v1/ws', url).href.replace('http', 'ws');
}
