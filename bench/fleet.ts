/** The generator processes of a run, and the machine's account of what server and generator cost. */
import { fork, type ChildProcess } from 'node:child_process';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Histogram } from './histogram.ts';
import { now, type Counted, type FromGenerator, type Load, type ToGenerator } from './load.ts';
import { cpuSeconds, processTree, residentBytes } from './machine.ts';
import type { ServerUnderLoad } from './server-process.ts';

const GENERATOR = fileURLToPath(new URL('./generator.js', import.meta.url));

/** The fields of the last line of every scenario (also ANCHORS' fields for the peers). */
export interface Figures {
  readonly sendsPerSecond: number;
  readonly deliveriesPerSecond: number;
  readonly ackMs: { readonly p50: number; readonly p99: number; readonly p999: number };
  readonly endToEndMs: { readonly p50: number; readonly p99: number; readonly p999: number };
  readonly serverCpuUsPerSend: number;
  readonly serverCores: number;
  readonly generatorCores: number;
  readonly syncsPer1000Sends: number;
  readonly serverRssMb: number;
  readonly duplicates: number;
  readonly disorder: number;
  readonly skips: number;
  readonly lost: number;
  readonly closed: number;
  readonly refusals: Readonly<Record<string, number>>;
  readonly seconds: number;
}

export interface Timing {
  readonly warmSeconds: number;
  readonly seconds: number;
}

/** Runs the loads, one process each, and sums up. */
export async function runLoads(
  server: ServerUnderLoad,
  loads: readonly Load[],
  timing: Timing,
): Promise<Figures> {
  const generators = loads.map(() =>
    fork(GENERATOR, ['generate'], { execArgv: ['--max-old-space-size=4096'] }),
  );
  try {
    await Promise.all(
      generators.map((generator, i) => {
        const ready = next(generator, 'ready');
        tell(generator, { is: 'load', load: loads[i] as Load });
        return ready;
      }),
    );
    const fromMs = now() + timing.warmSeconds * 1000;
    const untilMs = fromMs + timing.seconds * 1000;
    const done = generators.map((generator) => next(generator, 'done'));
    for (const generator of generators) tell(generator, { is: 'run', fromMs, untilMs });
    await sleepUntil(fromMs);
    const before = await sample(server);
    // Senders with a number of their own may be done before the time is up.
    const timeIsUp = new AbortController();
    const time = sleepUntil(untilMs, timeIsUp.signal);
    await Promise.race([time, Promise.all(done)]);
    timeIsUp.abort();
    const after = await sample(server);
    const rss = server.pid === undefined ? 0 : residentBytes(processTree(server.pid));
    const counted = (await Promise.all(done)).map((message) => message as Counted);
    const endedMs = Math.max(...counted.map((part) => part.endedMs));
    return figures(
      counted,
      { cpu: after.cpu - before.cpu, syncs: after.syncs - before.syncs, rss },
      Math.max(0.001, (endedMs - fromMs) / 1000),
    );
  } finally {
    for (const generator of generators) generator.kill();
  }
}

function figures(
  counted: readonly Counted[],
  cost: { cpu: number; syncs: number; rss: number },
  seconds: number,
): Figures {
  const sum = (of: (part: Counted) => number): number =>
    counted.reduce((total, part) => total + of(part), 0);
  const ack = new Histogram();
  const endToEnd = new Histogram();
  const refusals: Record<string, number> = {};
  for (const part of counted) {
    ack.merge({ counts: part.ack });
    endToEnd.merge({ counts: part.endToEnd });
    for (const [reason, count] of Object.entries(part.refusals))
      refusals[reason] = (refusals[reason] ?? 0) + count;
  }
  const sends = sum((part) => part.sends);
  return {
    sendsPerSecond: Math.round(sends / seconds),
    deliveriesPerSecond: Math.round(sum((part) => part.deliveries) / seconds),
    ackMs: ack.summary(),
    endToEndMs: endToEnd.summary(),
    serverCpuUsPerSend: round((cost.cpu * 1e6) / Math.max(sends, 1)),
    serverCores: round(cost.cpu / seconds),
    generatorCores: round(sum((part) => part.cpuSeconds) / seconds),
    syncsPer1000Sends: round((cost.syncs * 1000) / Math.max(sends, 1)),
    serverRssMb: Math.round(cost.rss / 1e6),
    duplicates: sum((part) => part.duplicates),
    disorder: sum((part) => part.disorder),
    skips: sum((part) => part.skips),
    lost: sum((part) => part.lost),
    closed: sum((part) => part.closed),
    refusals,
    seconds: round(seconds),
  };
}

export function round(value: number): number {
  return Number(value.toFixed(2));
}

async function sample(
  server: ServerUnderLoad,
): Promise<{ readonly cpu: number; readonly syncs: number }> {
  const cpu = server.pid === undefined ? 0 : cpuSeconds(processTree(server.pid));
  return { cpu, syncs: await metric(server, 'parley_store_frames_total') };
}

/** One number of the server's metrics; 0 if it is not there. */
export async function metric(server: ServerUnderLoad, name: string): Promise<number> {
  const text = await (await fetch(new URL('/metrics', server.url))).text();
  return text
    .split('\n')
    .filter((line) => line.startsWith(`${name} `) || line.startsWith(`${name}{`))
    .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0);
}

function tell(generator: ChildProcess, message: ToGenerator): void {
  generator.send(message);
}

function next(generator: ChildProcess, wanted: FromGenerator['is']): Promise<FromGenerator> {
  return new Promise((done, fail) => {
    const exited = (code: number | null): void =>
      fail(new TypeError(`a generator ended with code ${code}`));
    const heard = (message: FromGenerator): void => {
      if (message.is === 'failed') fail(new TypeError(message.why));
      if (message.is !== wanted) return;
      generator.off('message', heard);
      generator.off('exit', exited);
      done(message);
    };
    generator.on('message', heard);
    generator.on('exit', exited);
  });
}

/** An abort ends the wait: a timer that nobody waits for would keep the process. */
async function sleepUntil(atMs: number, signal?: AbortSignal): Promise<void> {
  const options = signal === undefined ? {} : { signal };
  await setTimeout(Math.max(0, atMs - now()), undefined, options).catch(() => undefined);
}
