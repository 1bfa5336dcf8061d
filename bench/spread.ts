/** The scenario `spread`: what first messages cost, and what conversations cost by existing. */
import { makeUsers } from './accounts.ts';
import { round, runLoads, type Figures, type Timing } from './fleet.ts';
import type { SendLoad } from './load.ts';
import { medians } from './medians.ts';
import type { BenchOptions, Report } from './options.ts';
import { direct, FLUSH_ROUND_SECONDS, flushed, sendLoad } from './send-load.ts';
import { startServer, type ServerUnderLoad } from './server-process.ts';

/**
 * Online, and all of them write: as many for 10^3 conversations as for 10^5, because a message to
 * another socket costs more than one more to the same. Beyond 10^5 it takes more.
 */
const USERS_MIN = 450;
const FEW_CONVERSATIONS = 1000;
/** Messages in flight at `window` 1, over all writers. */
const IN_FLIGHT = 100;
/**
 * Stored before anything but first messages is measured, however many conversations there are: until
 * four memtables are full RocksDB compacts nothing, so that a young store would seem to have cheaper
 * conversations than one in which 10^5 had to be begun.
 */
const MESSAGES_BEFORE = 250_000;

/** A server in which conversations were begun and messages stored. */
interface Filled {
  readonly conversations: number;
  /** Of each writer. */
  readonly perWriter: number;
  readonly first: Figures;
  /** Every writer sends to so many of his, in rotation. */
  readonly send: (each: number, timing: Timing) => Promise<Figures>;
}

/**
 * First messages of new conversations; later ones of the same, over all of them in rotation; and by
 * the same writers over a thousand of them: what the others cost by existing.
 */
export async function spread(server: ServerUnderLoad, options: BenchOptions): Promise<Report> {
  if (options.beside > 0) return inTurn(server, options);
  const { conversations, perWriter, first, send } = await fill(server, options);
  const timing = { warmSeconds: options.warm, seconds: options.seconds };
  const later = await send(perWriter, timing);
  const few = Math.ceil((FEW_CONVERSATIONS * perWriter) / conversations);
  const laterOverFew = await send(Math.min(few, perWriter), timing);
  const firstToLaterAckP50 = round(first.ackMs.p50 / Math.max(later.ackMs.p50, 0.001));
  return { conversations, first, later, laterOverFew, firstToLaterAckP50 };
}

/**
 * The same over few conversations of a second server, in turn: what a host gives changes within
 * minutes. Each turn begins when the other server has nothing left to flush, and is measured once
 * its own flushes run as they do for long.
 */
async function inTurn(server: ServerUnderLoad, options: BenchOptions): Promise<Report> {
  if (options.url !== undefined)
    throw new TypeError('--beside starts both servers: leave --url out');
  if (options.turns === 0) throw new TypeError('--turns must be at least 1');
  const second = await startServer();
  try {
    const many = await fill(server, options);
    const few = await fill(second, { ...options, conversations: options.beside });
    const timing = { warmSeconds: FLUSH_ROUND_SECONDS, seconds: options.seconds };
    const turns: { readonly later: Figures; readonly beside: Figures; readonly share: number }[] =
      [];
    for (let turn = 0; turn < options.turns; turn++) {
      await flushed();
      const beside = await few.send(few.perWriter, timing);
      await flushed();
      const later = await many.send(many.perWriter, timing);
      const share = round(later.sendsPerSecond / Math.max(beside.sendsPerSecond, 1));
      turns.push({ later, beside, share });
    }
    return {
      conversations: many.conversations,
      besideConversations: few.conversations,
      first: many.first,
      ...(medians(turns) as Report),
      shares: turns.map(({ share }) => share),
    };
  } finally {
    await second.stop();
  }
}

async function fill(server: ServerUnderLoad, options: BenchOptions): Promise<Filled> {
  const count = Math.max(USERS_MIN, Math.ceil(Math.sqrt(2 * options.conversations)) + 2);
  const users = await makeUsers(server.url, 'spread', count + (count % 2));
  // Sender s writes to the users at distances 1..each; distances below half of all make no pair twice.
  const writers = users.length;
  const perWriter = Math.ceil(options.conversations / writers);
  const load = (each: number, more: Partial<SendLoad>): SendLoad => ({
    ...sendLoad(options, server),
    users,
    senders: users.map((_, s) => ({
      user: s,
      targets: Array.from({ length: each }, (_unused, k) => direct(users[(s + 1 + k) % writers])),
    })),
    marks: false,
    ...more,
  });
  const first = await runLoads(server, [load(perWriter, { window: 1, sendsMax: perWriter })], {
    warmSeconds: 0,
    seconds: Math.max(10, Math.ceil(options.conversations / 500)),
  });
  const window = Math.max(1, Math.round((options.window * IN_FLIGHT) / writers));
  const more = Math.ceil((MESSAGES_BEFORE - writers * perWriter) / writers);
  if (more > 0)
    await runLoads(server, [load(perWriter, { window, sendsMax: more })], {
      warmSeconds: 0,
      seconds: MESSAGES_BEFORE / 500,
    });
  return {
    conversations: writers * perWriter,
    perWriter,
    first,
    send: (each, timing) => runLoads(server, [load(each, { window })], timing),
  };
}
