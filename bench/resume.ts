/**
 * One user with many conversations: first sync, then what a reconnect costs after a few changed.
 * Over the connection that a device has, binary, and once more over REST.
 */
import { performance } from 'node:perf_hooks';
import { call, makeUsers, type Account } from './accounts.ts';
import { round, runLoads } from './fleet.ts';
import { In, listConversationsRequest } from './frames.ts';
import { LoadClient } from './load-client.ts';
import type { SendLoad } from './load.ts';
import type { BenchOptions, Report } from './options.ts';
import { direct, sendLoad } from './send-load.ts';
import type { ServerUnderLoad } from './server-process.ts';

interface PageQuestion {
  readonly pageSize: number;
  readonly pageToken: string;
  readonly since: string;
}

interface Page {
  readonly conversations: number;
  readonly nextPageToken: string;
  readonly syncToken: string;
}

type ListPage = (question: PageQuestion) => Promise<Page>;

interface Listing {
  readonly ms: number;
  readonly conversations: number;
  readonly pages: number;
  readonly syncToken: string;
}

const PAGE_SIZE = 200;
const FIRST_SCREEN = 30;
const PAGES_MAX = 1000;
/** All are shown, the median is the figure. */
const LISTINGS = 9;

export async function resume(server: ServerUnderLoad, options: BenchOptions): Promise<Report> {
  const users = await makeUsers(server.url, 'resume', options.conversations + 1);
  const me = users[0] as Account;
  const others = users.slice(1);
  await writeEach(server, others, me, options);
  const client = new LoadClient({ row: () => undefined, closed: () => undefined });
  await client.connect(server.webSocketUrl, me.accessToken, { marks: false });
  const onSocket = overSocket(client);
  const first = await timed(onSocket, { pageSize: FIRST_SCREEN, pageToken: '', since: '' });
  // The first listing of a process is also its compilation.
  const cold = await listAll(onSocket);
  const whole = await listings(onSocket, options.warm);
  const rest = await listings(overRest(server, me), options.warm);
  const isSame = rest.last.conversations === whole.last.conversations;
  if (!isSame) throw new TypeError('REST lists other conversations than the connection');
  await writeEach(server, others.slice(0, options.changed), me, options);
  const { syncToken } = whole.last;
  const delta = await timed(onSocket, { pageSize: FIRST_SCREEN, pageToken: '', since: syncToken });
  client.close();
  return {
    conversations: whole.last.conversations,
    pages: whole.last.pages,
    coldFirstPageMs: first.ms,
    coldWholeListMs: cold.ms,
    wholeListMs: whole.medianMs,
    wholeListMsAll: whole.allMs,
    restWholeListMs: rest.medianMs,
    restWholeListMsAll: rest.allMs,
    changed: delta.page.conversations,
    resumeMs: delta.ms,
  };
}

async function timed(list: ListPage, question: PageQuestion): Promise<{ ms: number; page: Page }> {
  const began = performance.now();
  const page = await list(question);
  return { ms: round(performance.now() - began), page };
}

/** Measured when they have been made for some seconds. */
async function listings(
  list: ListPage,
  warmSeconds: number,
): Promise<{ last: Listing; medianMs: number; allMs: readonly number[] }> {
  for (const until = performance.now() + warmSeconds * 1000; performance.now() < until; )
    await listAll(list);
  const all: Listing[] = [];
  for (let run = 0; run < LISTINGS; run++) all.push(await listAll(list));
  const allMs = all.map(({ ms }) => ms).sort((a, b) => a - b);
  return { last: all.at(-1) as Listing, medianMs: allMs[LISTINGS >> 1] as number, allMs };
}

/** Every page of a user's conversations, one after the other, with their last messages. */
async function listAll(list: ListPage): Promise<Listing> {
  const began = performance.now();
  let conversations = 0;
  let pages = 0;
  let page: Page = { conversations: 0, nextPageToken: '', syncToken: '' };
  do {
    page = await list({ pageSize: PAGE_SIZE, pageToken: page.nextPageToken, since: '' });
    pages++;
    conversations += page.conversations;
  } while (page.nextPageToken !== '' && pages <= PAGES_MAX);
  const ms = round(performance.now() - began);
  return { ms, conversations, pages, syncToken: page.syncToken };
}

function overSocket(client: LoadClient): ListPage {
  return (question) =>
    client.call('Sync.ListConversations', listConversationsRequest(question), pageIn);
}

/** `result{response}` holds a ListConversationsResponse. */
function pageIn(bytes: Buffer, start: number, end: number): Page {
  const page = { conversations: 0, nextPageToken: '', syncToken: '' };
  const result = new In(bytes, start, end);
  while (result.next()) {
    const response = result.inside();
    while (response.next()) {
      if (response.field === 1) page.conversations++;
      else if (response.field === 4) page.nextPageToken = response.text();
      else if (response.field === 5) page.syncToken = response.text();
    }
  }
  return page;
}

function overRest(server: ServerUnderLoad, account: Account): ListPage {
  return async ({ pageSize, pageToken, since }) => {
    const query = new URLSearchParams({ pageSize: String(pageSize), pageToken, since });
    const path = `/v1/conversations?${query.toString()}`;
    const { status, body } = await call(server.url, 'GET', path, { token: account.accessToken });
    if (status !== 200) throw new TypeError(`a listing was answered with ${status}`);
    const conversations = body['conversations'];
    return {
      conversations: Array.isArray(conversations) ? conversations.length : 0,
      nextPageToken: textOf(body['nextPageToken']),
      syncToken: textOf(body['syncToken']),
    };
  };
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

async function writeEach(
  server: ServerUnderLoad,
  senders: readonly Account[],
  to: Account,
  options: BenchOptions,
): Promise<void> {
  const load: SendLoad = {
    ...sendLoad(options, server),
    users: senders,
    senders: senders.map((_, user) => ({ user, targets: [direct(to)] })),
    window: 1,
    marks: false,
    sendsMax: 1,
  };
  await runLoads(server, [load], { warmSeconds: 0, seconds: 10 });
}
