/**
 * Load against a real server that is killed, or loses its power, again and again; then the chat
 * checker judges everything that all devices did and saw against two complete reads of the logs.
 */
import assert from 'node:assert/strict';
import { directConversationRaw, encodeId, parseId } from '../../core/ids.ts';
import { call, makeGroup, makeUsers, type Account } from '../../bench/accounts.ts';
import { check, type Verdict } from '../checker/chat-checker.ts';
import type { FinalLog, FinalRow, HistoryEvent } from '../checker/history.ts';
import { RecordingClient, contentDigest } from './recording-client.ts';
import type { CutReport, Interposer } from './power-cut.ts';
import type { ServerUnderTest } from './server-under-test.ts';

export interface NemesisOptions {
  readonly server: ServerUnderTest;
  readonly faults: number;
  /** Brings the fault about and leaves the server running again. */
  readonly fault: () => Promise<void>;
  readonly random: () => number;
  readonly users?: number;
  readonly say?: (line: string) => void;
}

export interface NemesisReport extends Verdict {
  readonly faults: number;
  readonly reconnects: number;
  readonly unanswered: number;
}

const IN_FLIGHT = 4;
const SETTLE_MS = 20_000;
/** Flushes among the faults, not one of them every 15 s. */
export const NEMESIS_ENV: Readonly<Record<string, string>> = { PARLEY_FLUSH_INTERVAL_MS: '300' };
const PAGE = 200;

export async function runNemesis(options: NemesisOptions): Promise<NemesisReport> {
  const { server, random } = options;
  const users = await makeUsers(server.url, 'nemesis', options.users ?? 6);
  const group = await makeGroup(server.url, users);
  const events: HistoryEvent[] = [];
  const clients = users.map(
    (user, i) =>
      new RecordingClient({
        url: () => server.url,
        user: user.userId,
        device: `device-${i}`,
        token: user.accessToken,
        events,
        idOf: (to) => idOf(user, to),
      }),
  );
  for (const client of clients) client.start();
  const load = setInterval(() => {
    for (const [i, client] of clients.entries()) {
      if (client.unanswered >= IN_FLIGHT) continue;
      const other = users[(i + 1 + Math.floor(random() * (users.length - 1))) % users.length];
      client.send(random() < 0.4 ? group : `direct:${other?.userId ?? ''}`);
    }
  }, 3);
  for (let fault = 1; fault <= options.faults; fault++) {
    await answered(events);
    await sleep(150 + random() * 700);
    await options.fault();
    options.say?.(`fault ${fault} of ${options.faults}: ${events.length} events so far`);
  }
  await sleep(500);
  clearInterval(load);
  const deadline = Date.now() + SETTLE_MS;
  while (Date.now() < deadline && clients.some((client) => client.unanswered > 0)) await sleep(50);
  const unanswered = clients.reduce((sum, client) => sum + client.unanswered, 0);
  await sleep(300);
  for (const client of clients) client.stop();
  const finals = await readAll(server.url, users, group, events);
  const verdict = check({ events, finals });
  const reconnects = clients.reduce((sum, client) => sum + client.connects - 1, 0);
  return { ...verdict, faults: options.faults, reconnects, unanswered };
}

/** A fault that hits nobody at work shows nothing: the server of before is back, and answers. */
async function answered(events: readonly HistoryEvent[]): Promise<void> {
  const seen = events.length;
  const deadline = Date.now() + SETTLE_MS;
  while (!events.slice(seen).some((event) => event.is === 'committed')) {
    if (Date.now() > deadline) throw new TypeError(`no send was answered within ${SETTLE_MS} ms`);
    await sleep(10);
  }
}

/** The power goes while the disk is at work and has not yet said that it is done. */
export async function loseThePower(
  server: ServerUnderTest,
  interposer: Interposer,
  random: () => number,
): Promise<CutReport> {
  interposer.holdSyncs();
  await sleep(20 + random() * 60);
  await server.killAll();
  const report = interposer.cut(random);
  await server.start(interposer.env);
  return report;
}

/** What a good run looks like; a run that did little proves little. */
export function judged(report: NemesisReport): void {
  assert.deepEqual(report.violations, []);
  assert.equal(report.unanswered, 0, 'every send was answered in the end');
  assert.ok(report.counts.committed > 100, JSON.stringify(report.counts));
  assert.ok(report.reconnects > 0);
}

function idOf(user: Account, to: string): string {
  if (!to.startsWith('direct:')) return to;
  const me = parseId('usr', user.userId, 'user');
  return encodeId(
    'cnv',
    directConversationRaw(me, parseId('usr', to.slice('direct:'.length), 'to')),
  );
}

/** Each conversation, read whole by everybody who is in it. */
async function readAll(
  url: string,
  users: readonly Account[],
  group: string,
  events: readonly HistoryEvent[],
): Promise<FinalLog[]> {
  const used = new Set(
    events.flatMap((event) => (event.is === 'invoked' ? [event.conversation] : [])),
  );
  const finals: FinalLog[] = [];
  for (const user of users) {
    const mine = users
      .map((other) => idOf(user, `direct:${other.userId}`))
      .filter((id) => used.has(id));
    for (const conversation of new Set([...mine, group]))
      finals.push(await readLog(url, user, conversation));
  }
  return finals;
}

async function readLog(url: string, user: Account, conversation: string): Promise<FinalLog> {
  const rows: FinalRow[] = [];
  for (let query = '', head = 1; rows.length < head; ) {
    const { status, body } = await call(
      url,
      'GET',
      `/v1/conversations/${conversation}/rows?limit=${PAGE}${query}`,
      { token: user.accessToken },
    );
    if (status === 404 && rows.length === 0) return { conversation, rows };
    if (status !== 200)
      throw new TypeError(`rows of ${conversation}: ${status} ${JSON.stringify(body)}`);
    head = Number(body['head'] ?? 0);
    const page = (body['rows'] ?? []) as Readonly<Record<string, unknown>>[];
    rows.push(...page.map(finalRow));
    const cursor = body['cursor'] as Readonly<Record<string, unknown>>;
    query = `&cursor.epoch=${Number(cursor['epoch'])}&cursor.sequence=${Number(cursor['sequence'])}`;
    if (page.length === 0) break;
  }
  return { conversation, rows };
}

function finalRow(row: Readonly<Record<string, unknown>>): FinalRow {
  const text = (name: string): string => (typeof row[name] === 'string' ? row[name] : '');
  return {
    sequence: Number(row['sequence']),
    timeMs: Number(row['timeMs']),
    sender: text('senderUserId'),
    outbox: text('outboxId'),
    clientSeq: Number(row['clientSeq'] ?? 0),
    clientMessageId: text('clientMessageId'),
    content: contentDigest(row['body']),
    server: text('clientMessageId') === '',
  };
}

function sleep(ms: number): Promise<void> {
  return new Promise((done) => setTimeout(done, ms));
}

/** mulberry32: a seed replays the same choices, though not the same timing. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}
