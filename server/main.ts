/**
 * `npm start`: reads the configuration, starts a node, prints one ready line, ends in good order on
 * SIGTERM and SIGINT. Whatever stands in the way of a start is said in one line that says what to do.
 */
import { readFileSync } from 'node:fs';
import { ParleyError } from '../core/errors.ts';
import { InvariantViolation } from '../core/invariant.ts';
import { configCommand, loadConfig } from './config.ts';
import { createLogger } from './log.ts';
import { ParleyNode } from './node.ts';

const EXIT_BAD_CONFIG = 78;
const EXIT_NO_START = 1;
const EXIT_FAULT = 70;

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

function complain(text: string): void {
  process.stderr.write(`${text}\n`);
}

function die(code: number): never {
  process.exit(code);
}

/**
 * Ends the process without waiting for anything. A plain exit runs the end of native parts whose
 * threads are still at work, and waits for a thread that waits for a disk.
 */
function dieAtOnce(): void {
  process.kill(process.pid, 'SIGKILL');
  // Only the first process of a container comes here, which no signal of its own can kill.
  process.abort();
}

async function main(): Promise<void> {
  if (process.argv.includes('--help') || process.argv.includes('-h')) {
    say(configCommand('parley').helpInformation());
    return;
  }
  const loaded = load();
  const { config } = loaded;
  const log = createLogger(config.logLevel, 'main');
  for (const warning of loaded.warnings) log.warn(warning);
  process.on('uncaughtException', (error) => {
    const rule = error instanceof InvariantViolation ? error.rule : undefined;
    log.error('a fault in the process; it ends', { cause: error.stack ?? String(error), rule });
    die(EXIT_FAULT);
  });
  const node = new ParleyNode({
    config,
    log,
    fatal: (code) => {
      log.error('a part of the node failed for good; the process ends', { code });
      dieAtOnce();
    },
  });
  let isStopping = false;
  const stop = (signal: string): void => {
    // Ctrl-C below npm arrives twice, from the terminal and from npm; the deadline bounds the end.
    if (isStopping) return;
    isStopping = true;
    log.info('stopping', { signal });
    setTimeout(() => {
      log.error('stopping took too long; the process ends anyway');
      dieAtOnce();
    }, config.drainDeadlineMs).unref();
    node.stop().then(
      () => {
        log.info('stopped in good order');
        die(0);
      },
      (error: unknown) => {
        log.error('stopping failed', { cause: String(error) });
        die(EXIT_FAULT);
      },
    );
  };
  process.on('SIGTERM', () => stop('SIGTERM'));
  process.on('SIGINT', () => stop('SIGINT'));
  try {
    const { url, webSocketUrl, grpc } = await node.start();
    if (isStopping) return;
    if (node.newKeyFile !== undefined)
      complain(
        `A new key file was made: ${node.newKeyFile}\nAll data is encrypted with it. Save a copy in a safe place: without it nothing can be read.`,
      );
    say(
      `Parley is ready: open ${url}  (WebSocket ${webSocketUrl}, gRPC ${grpc}, data ${config.dataDir})`,
    );
  } catch (error) {
    if (isStopping) return;
    complain(
      `Parley could not start: ${error instanceof ParleyError ? error.message : String(error)}`,
    );
    if (!(error instanceof ParleyError))
      log.error('a fault while starting', {
        cause: error instanceof Error ? (error.stack ?? error.message) : String(error),
      });
    await node.stop().catch(() => undefined);
    die(EXIT_NO_START);
  }
}

function load(): ReturnType<typeof loadConfig> {
  try {
    return loadConfig({
      flags: process.argv.slice(2),
      env: process.env,
      workingDir: process.cwd(),
      readText: (path) => readFileSync(path, 'utf8'),
    });
  } catch (error) {
    complain(error instanceof ParleyError ? error.message : String(error));
    die(EXIT_BAD_CONFIG);
  }
}

await main();
