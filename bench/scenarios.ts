/** The scenarios (README.md here says what each one means). Every one returns what it measured. */
import { makeDevices, makeGroup, makeUsers, type Account } from './accounts.ts';
import { metric, round, runLoads, type Figures } from './fleet.ts';
import type { SendLoad } from './load.ts';
import { processTree, residentBytes } from './machine.ts';
import type { BenchOptions, Report, Scenario } from './options.ts';
import { resume } from './resume.ts';
import { direct, flushed, sendLoad } from './send-load.ts';
import type { ServerUnderLoad } from './server-process.ts';
import { spread } from './spread.ts';

/** Even users write to odd ones, each to `conversations / pairs` of them in rotation. */
function pairLoads(
  server: ServerUnderLoad,
  users: readonly Account[],
  options: BenchOptions,
): SendLoad[] {
  const each = Math.max(1, Math.round(options.conversations / options.pairs));
  const targetsOf = (sender: number): string[] =>
    Array.from({ length: each }, (_, k) => direct(users[(sender + 2 * k + 1) % users.length]));
  // All users are online in one process when they write across pairs; else pairs are shared out.
  const processes = each > 1 ? 1 : Math.min(options.processes, options.pairs);
  return Array.from({ length: processes }, (_, p) => {
    const mine = Array.from({ length: users.length / 2 }, (_, pair) => pair).filter(
      (pair) => pair % processes === p,
    );
    const online = mine.flatMap((pair) => [
      users[pair * 2] as Account,
      users[pair * 2 + 1] as Account,
    ]);
    const senders = mine.map((pair, i) => ({ user: i * 2, targets: targetsOf(pair * 2) }));
    return { ...sendLoad(options, server), users: online, senders };
  });
}

async function pairs(server: ServerUnderLoad, options: BenchOptions): Promise<Report> {
  const users = await makeUsers(server.url, 'pair', options.pairs * 2);
  const figures = await runLoads(server, pairLoads(server, users, options), {
    warmSeconds: options.warm,
    seconds: options.seconds,
  });
  return { ...figures, ...(await bytesPerMessage(server, figures, options)) };
}

/** After a pause in which everything is flushed. The WAL is bounded and shown, not counted. */
async function bytesPerMessage(
  server: ServerUnderLoad,
  figures: Figures,
  options: BenchOptions,
): Promise<Report> {
  await flushed();
  const { state, wal } = server.bytesOnDisk();
  const messages = figures.sendsPerSecond * (options.seconds + options.warm);
  return { bytesOnDiskPerMessage: Math.round(state / Math.max(messages, 1)), walBytes: wal };
}

async function rate(server: ServerUnderLoad, options: BenchOptions): Promise<Report> {
  const users = await makeUsers(server.url, 'rate', options.pairs * 2);
  const loads = pairLoads(server, users, options).map((load, _, all) => ({
    ...load,
    window: 0,
    ratePerSecond: options.rate / all.length,
  }));
  const figures = await runLoads(server, loads, {
    warmSeconds: options.warm,
    seconds: options.seconds,
  });
  return { offeredPerSecond: options.rate, ...figures };
}

/** One sender, one message in flight: what a person feels. */
async function single(server: ServerUnderLoad, options: BenchOptions): Promise<Report> {
  return {
    ...(await pairs(server, { ...options, pairs: 1, window: 1, conversations: 1, processes: 1 })),
  };
}

async function group(server: ServerUnderLoad, options: BenchOptions): Promise<Report> {
  const users = await makeUsers(server.url, 'group', options.members);
  const conversation = await makeGroup(server.url, users);
  const share = Math.ceil(users.length / options.processes);
  const senders = Math.min(4, users.length);
  const loads = Array.from({ length: options.processes }, (_, p): SendLoad => {
    const online = users.slice(p * share, (p + 1) * share);
    return {
      ...sendLoad(options, server),
      users: online,
      // All senders are in the first process, which alone can count what its members still lack.
      senders:
        p === 0
          ? Array.from({ length: senders }, (_, i) => ({ user: i, targets: [conversation] }))
          : [],
      window: 2,
      focus: [conversation],
      deliveriesPerSend: p === 0 ? online.length - 1 : 0,
    };
  });
  const figures = await runLoads(server, loads, {
    warmSeconds: options.warm,
    seconds: options.seconds,
  });
  return { members: options.members, ...figures };
}

async function idle(server: ServerUnderLoad, options: BenchOptions): Promise<Report> {
  const devicesEach = 50;
  const accounts = (
    await Promise.all(
      Array.from({ length: Math.ceil(options.connections / devicesEach) }, (_, u) =>
        makeDevices(server.url, `idle${u}`, devicesEach),
      ),
    )
  )
    .flat()
    .slice(0, options.connections);
  const rss = (): number => (server.pid === undefined ? 0 : residentBytes(processTree(server.pid)));
  const before = rss();
  const share = Math.ceil(accounts.length / 2);
  const loads = [0, 1].map((p) => ({
    is: 'idle' as const,
    webSocketUrl: server.webSocketUrl,
    users: accounts.slice(p * share, (p + 1) * share),
  }));
  const figures = await runLoads(server, loads, { warmSeconds: 5, seconds: options.seconds });
  const held = accounts.length - figures.closed;
  return {
    connections: held,
    kbPerConnection: round((figures.serverRssMb * 1e6 - before) / 1000 / Math.max(held, 1)),
    serverRssMbBefore: Math.round(before / 1e6),
    serverRssMb: figures.serverRssMb,
    serverCores: figures.serverCores,
    closed: figures.closed,
  };
}

async function history(server: ServerUnderLoad, options: BenchOptions): Promise<Report> {
  const users = await makeUsers(server.url, 'history', options.pairs * 2);
  const fill = pairLoads(server, users, {
    ...options,
    conversations: options.pairs,
    window: 16,
    marks: false,
  }).map((load) => ({ ...load, sendsMax: Math.ceil(1000 / 16) }));
  await runLoads(server, fill, { warmSeconds: 0, seconds: 20 });
  const readers = Array.from(
    { length: options.readers },
    (_, r) => users[(r * 2) % users.length] as Account,
  );
  const conversations = readers.map((_, r) => [direct(users[((r * 2) % users.length) + 1])]);
  const load = {
    is: 'history' as const,
    webSocketUrl: server.webSocketUrl,
    readers,
    conversations,
    pageSize: 50,
    pagesPerSecond: options.pages,
  };
  const figures = await runLoads(server, [load], {
    warmSeconds: options.warm,
    seconds: options.seconds,
  });
  return {
    pagesPerSecond: figures.sendsPerSecond,
    pageMs: figures.ackMs,
    serverCpuUsPerPage: figures.serverCpuUsPerSend,
    serverCores: figures.serverCores,
    generatorCores: figures.generatorCores,
    shortPages: figures.lost,
  };
}

/** From the process's start to its ready line: on a new directory, after a stop, after a kill. */
async function start(server: ServerUnderLoad): Promise<Report> {
  await new Promise((done) => setTimeout(done, 5000));
  const rss = server.pid === undefined ? 0 : residentBytes(processTree(server.pid));
  const syncs = await metric(server, 'parley_store_frames_total');
  return {
    newMs: server.readyMs,
    againMs: await server.restart('SIGTERM'),
    afterKillMs: await server.restart('SIGKILL'),
    idleRssMb: Math.round(rss / 1e6),
    syncs,
  };
}

export const SCENARIOS: Readonly<Record<string, Scenario>> = {
  pairs,
  rate,
  single,
  spread,
  group,
  idle,
  history,
  resume,
  start,
};
