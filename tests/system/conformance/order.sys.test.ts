/** One dense order for all, and how a device that missed something gets to the same state. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { describe, it } from 'mocha';
import type { Plain } from '../../../proto/codec.ts';
import type { Message, Row } from '../../../proto/gen/parley/v1/types_pb.ts';
import type { TestClient } from '../../../gateways/testing/test-client.ts';
import { people, person } from './accounts.ts';
import {
  CARRIERS,
  closeAfterEach,
  connect,
  nameOf,
  online,
  SOCKETS,
  speaker,
  Speaker,
} from './carriers.ts';
import { sharedServer } from './house.ts';
import { within } from '../../within.ts';

const PAGE = 200;
const SENDERS = 8;
const EACH = 100;
const MISSED = 1000;
const CONVERSATIONS = 10_000;
const AT_ONCE = 250;

describe('conformance of order and sync', () => {
  const server = sharedServer();
  closeAfterEach();

  it('8 senders x 100: pushes, List and ListRows are alike 1..n on every carrier (case 17, R007, R036)', async () => {
    const { url } = server();
    const all = await people(url, SENDERS + 1);
    const speakers = await Promise.all(
      all.map((one, i) => speaker(url, one, CARRIERS[i % CARRIERS.length] ?? 'json')),
    );
    const [owner] = speakers;
    assert.ok(owner !== undefined);
    const { conversationId } = await owner.group(all.slice(1));
    const texts = new Map<number, string>();
    await Promise.all(
      speakers.slice(1).map(async (one, i) => {
        for (let n = 1; n <= EACH; n++) {
          const said = `sender ${i} says ${n}`;
          const commit =
            one.socket === undefined
              ? await one.say(conversationId, said)
              : (await one.socket.say(conversationId, said)).commit;
          assert.ok(commit !== undefined);
          texts.set(commit.sequence, said);
        }
      }),
    );
    const head = 1 + SENDERS * EACH;
    const places = Array.from({ length: head }, (_, i) => i + 1);
    const wanted = places.map((n) => texts.get(n));
    assert.equal(texts.size, SENDERS * EACH);
    for (const one of speakers) {
      const { socket } = one;
      if (socket === undefined) continue;
      await socket.row(conversationId, head);
      const rows = socket.rows(conversationId);
      assert.deepEqual(
        rows.map(({ sequence }) => sequence),
        places,
      );
      for (const { sequence, body } of rows)
        assert.ok(body === undefined || body === texts.get(sequence));
    }
    assert.deepEqual(
      owner.socket?.rows(conversationId).map(({ body }) => body),
      wanted,
    );
    for (const carrier of CARRIERS) {
      const reader = await speaker(url, owner.account, carrier);
      assert.deepEqual(await listed(reader, conversationId), wanted, nameOf(carrier));
      assert.deepEqual(await rowsOf(reader, conversationId), wanted, nameOf(carrier));
    }
    for (const i of Array.from({ length: SENDERS }, (_, n) => n)) {
      const own = wanted.filter((said) => said?.startsWith(`sender ${i} `) === true);
      assert.deepEqual(
        own,
        Array.from({ length: EACH }, (_, n) => `sender ${i} says ${n + 1}`),
      );
    }
  }).timeout(30_000);

  for (const format of SOCKETS)
    it(`1,000 missed are a gap, and SyncConversation completes them, over ${format} (case 29, R003, R030, R044)`, async () => {
      const { url } = server();
      const [anna, ben] = await people(url, 2);
      assert.ok(anna !== undefined && ben !== undefined);
      const before = await connect(url, format);
      const { ready } = await before.hello(ben.accessToken);
      const writer = await online(url, anna);
      const first = await writer.say(`direct:${ben.userId}`, '0');
      await before.row(first.conversationId, 1);
      before.close();
      await before.ended;
      const { syncToken = '' } =
        before.frames.findLast(({ caughtUp }) => caughtUp !== undefined)?.caughtUp ?? {};
      await flood(writer.socket, first.conversationId, MISSED);
      const conversationId = first.conversationId;
      const epoch = ready?.epoch ?? 0;
      const next = await connect(url, format);
      const resume = { syncToken, cursors: [{ conversationId, epoch, sequence: 1 }] };
      const answer = await next.hello(ben.accessToken, { resume });
      assert.equal(answer.ready?.resumed, true);
      const gap = next.frames.find((frame) => frame.gap !== undefined)?.gap;
      assert.equal(gap?.scope, 'conversation');
      assert.equal(gap.conversationId, conversationId);
      assert.equal(gap.head, MISSED + 1);
      const pushed = next.rows(conversationId).map(({ sequence }) => sequence);
      assert.equal(gap.from, 2 + pushed.length, 'what came before the gap is dense');
      const item = next.frames.find(({ conversations }) => conversations !== undefined);
      assert.equal(item?.conversations?.items[0]?.head, MISSED + 1);

      // Completed over the same connection, and over REST by a device that was never there.
      for (const reader of [new Speaker(url, ben, format, next), await speaker(url, ben, 'rest')])
        await completes(reader, { conversationId, epoch, sequence: 1 }, MISSED + 1);
    }).timeout(30_000);

  it('a reader that stands still gets gaps or 4002 and is complete later; others are fine (case 30)', async () => {
    const { url } = server();
    const [anna, ben, cleo] = await people(url, 3);
    assert.ok(anna !== undefined && ben !== undefined && cleo !== undefined);
    const writer = await online(url, anna);
    const fine = await online(url, cleo);
    const stalled = await online(url, ben);
    const { conversationId, epoch } = await writer.group([ben, cleo]);
    await stalled.socket.row(conversationId, 1);
    stalled.socket.socket.pause();
    const large = '語'.repeat(8000);
    const count = 500;
    for (let sent = 0; sent < count; sent += 20)
      await Promise.all(Array.from({ length: 20 }, () => writer.socket.say(conversationId, large)));
    await fine.socket.row(conversationId, count + 1);
    assert.deepEqual(
      fine.socket.rows(conversationId).map(({ sequence }) => sequence),
      Array.from({ length: count + 1 }, (_, i) => i + 1),
    );
    stalled.socket.socket.resume();
    const told = await Promise.race([
      stalled.socket.until(({ gap }) => gap?.conversationId === conversationId),
      stalled.socket.ended,
    ]);
    if ('code' in told) assert.equal(told.code, 4002);
    else assert.equal(told.gap?.head, count + 1);
    const last = stalled.socket.rows(conversationId).length;
    assert.deepEqual(
      stalled.socket.rows(conversationId).map(({ sequence }) => sequence),
      Array.from({ length: last }, (_, i) => i + 1),
      'what it was given is dense',
    );
    assert.ok(last < count);
    const later = await speaker(url, ben, 'rest');
    let cursor = { epoch, sequence: last };
    let complete = last;
    while (cursor.sequence < count + 1) {
      const page = await later.do('Messages.ListRows', { conversationId, cursor, limit: PAGE });
      complete += page.rows.length;
      assert.ok(page.cursor !== undefined && page.rows.length > 0);
      cursor = page.cursor;
    }
    assert.equal(complete, count + 1);
  }).timeout(30_000);

  for (const carrier of CARRIERS)
    it(`change and page in either order end in the same state, on ${nameOf(carrier)} (case 34)`, async () => {
      const { url } = server();
      const [anna, ben] = await people(url, 2);
      assert.ok(anna !== undefined && ben !== undefined);
      const writer = await speaker(url, anna, carrier);
      const reader = await speaker(url, ben, carrier);
      const to = `direct:${ben.userId}`;
      const sends = [];
      for (let n = 1; n <= 6; n++) sends.push(await writer.say(to, `text ${n}`));
      const conversationId = sends[0]?.conversationId ?? '';
      const early = await reader.do('Messages.List', { conversationId });
      const control = async (body: object): Promise<number> =>
        (await writer.send({ to, body })).sequence;
      const edit = (sequence: number, body: string): Promise<number> =>
        control({ edit: { target: { sequence }, message: { text: { body } } } });
      await edit(2, 'edited');
      await control({ delete: { target: { sequence: 4 } } });
      const middle = await reader.do('Messages.List', { conversationId });
      await edit(2, 'edited twice');
      const head = await control({ delete: { target: { sequence: 5 } } });
      const late = await reader.do('Messages.List', { conversationId });
      const { socket } = reader;
      await socket?.row(conversationId, head);
      // Pushed where there are pushes, else read row by row.
      const rows =
        socket === undefined
          ? (await reader.do('Messages.ListRows', { conversationId, limit: PAGE })).rows
          : socket.frames.flatMap((frame) => frame.rows?.items ?? []).flatMap((item) => item.rows);
      const pages = [early.messages, middle.messages, late.messages];
      const orders: (() => Fold)[] = [
        () => new Fold().pages(pages[0]).rows(rows),
        () => new Fold().rows(rows).pages(pages[0]),
        () => new Fold().pages(pages[2]).rows(rows),
        () => new Fold().rows(rows.slice(0, 8)).pages(pages[1]).rows(rows.slice(6)).pages(pages[0]),
        () => new Fold().pages(pages[1]).pages(pages[2]).pages(pages[0]).rows(rows),
      ];
      const wanted = ['text 1', 'edited twice', 'text 3', '-', '-', 'text 6'];
      for (const [i, order] of orders.entries())
        assert.deepEqual(order().state().slice(0, 6), wanted, `order ${i}`);
      const sync = await reader.do('Sync.SyncConversation', {
        conversationId,
        cursor: {
          epoch: early.head === 6 ? await epochOf(reader, conversationId) : 0,
          sequence: 6,
        },
      });
      assert.deepEqual(
        sync.changed.map(({ sequence }) => sequence).toSorted((a, b) => a - b),
        [2, 4, 5],
      );
    });

  it('3 of 10,000 conversations changed: the delta and a resume have these and miss none, in less than 2 s (case 38, R043, R044, R045, R223)', async () => {
    const { url } = server();
    const anna = await online(url, await person(url));
    const ids = await manyGroups(anna, CONVERSATIONS);
    const all = await wholeList(anna, '');
    assert.equal(all.ids.size, CONVERSATIONS);
    const touched = [ids[17], ids[5000], ids[9999]].map((id) => id ?? '');
    await anna.say(touched[0] ?? '', 'news');
    await anna.do('Conversations.SetMyState', { conversationId: touched[1], me: { pinned: true } });
    await anna.do('Conversations.Update', {
      conversationId: touched[2],
      conversation: { name: 'renamed' },
    });
    for (const carrier of CARRIERS) {
      const reader = await speaker(url, anna.account, carrier);
      const delta = await wholeList(reader, all.syncToken);
      assert.deepEqual(
        [...delta.ids].toSorted(compare),
        touched.toSorted(compare),
        nameOf(carrier),
      );
      const nothing = await within(2000, () => wholeList(reader, delta.syncToken));
      assert.deepEqual([...nothing.ids], []);
      if (carrier === 'rest') continue;
      // Connected, authenticated and caught up.
      const resumed = await within(2000, () =>
        speaker(url, anna.account, carrier, { resume: { syncToken: all.syncToken, cursors: [] } }),
      );
      const items = resumed.socket?.frames.flatMap((frame) => frame.conversations?.items ?? []);
      assert.deepEqual(
        items?.map(({ conversationId }) => conversationId).toSorted(compare),
        touched.toSorted(compare),
      );
    }
  }).timeout(90_000);

  it('what changes while the list is paged is in the next delta (case 39)', async () => {
    const { url } = server();
    for (const carrier of CARRIERS) {
      const anna = await speaker(url, await person(url), carrier);
      const groups = [];
      for (let n = 0; n < 12; n++) groups.push(await anna.group([], { name: `${n}` }));
      const seen = new Set<string>();
      let page = await anna.do('Sync.ListConversations', { pageSize: 5 });
      const last = groups[0]?.conversationId ?? '';
      const newest = groups[11]?.conversationId ?? '';
      for (const { conversationId } of page.conversations) seen.add(conversationId);
      assert.ok(!seen.has(last), 'it would have come on the last page');
      await anna.say(last, 'moved up');
      await anna.say(newest, 'moved too');
      while (page.nextPageToken !== '') {
        page = await anna.do('Sync.ListConversations', {
          pageSize: 5,
          pageToken: page.nextPageToken,
        });
        for (const { conversationId } of page.conversations) seen.add(conversationId);
      }
      const delta = await anna.do('Sync.ListConversations', { since: page.syncToken });
      const moved = delta.conversations.map(({ conversationId, head }) => [conversationId, head]);
      assert.deepEqual(Object.fromEntries(moved), { [last]: 2, [newest]: 2 });
      // Groups made within one millisecond have no order: the newest may not have come first.
      const inDelta = new Set([last, newest]);
      for (const { conversationId } of groups)
        assert.ok(seen.has(conversationId) || inDelta.has(conversationId), 'each in one of them');
    }
  });
});

/** SyncConversation from the cursor, and List for the hole that it leaves: every sequence is there. */
async function completes(
  reader: Speaker,
  from: { readonly conversationId: string; readonly epoch: number; readonly sequence: number },
  head: number,
): Promise<void> {
  const { conversationId, epoch, sequence } = from;
  const cursor = { epoch, sequence };
  const sync = await reader.do('Sync.SyncConversation', { conversationId, cursor, limit: PAGE });
  const found = new Set(sync.messages.map((message) => message.sequence));
  assert.deepEqual(sync.cursor, { epoch, sequence: head });
  let { before: upTo = 0, after = 0 } = sync.hole ?? {};
  assert.equal(after, sequence);
  while (upTo > after + 1) {
    const page = { conversationId, before: upTo, limit: PAGE };
    const { messages } = await reader.do('Messages.List', page);
    for (const message of messages) if (message.sequence > sequence) found.add(message.sequence);
    upTo = messages[0]?.sequence ?? 0;
  }
  assert.deepEqual(
    [...found].toSorted((a, b) => a - b),
    Array.from({ length: head - sequence }, (_, i) => sequence + i + 1),
  );
}

/** What CONTRACT §6 asks of a client: the larger changeSequence wins, row by row. */
class Fold {
  readonly #messages = new Map<number, { text: string; change: number }>();

  pages(page: readonly Plain<Message>[] | undefined): this {
    for (const { sequence, content, deleted, changeSequence } of page ?? []) {
      const known = this.#messages.get(sequence);
      if (known !== undefined && changeSequence <= known.change) continue;
      const said = deleted ? '-' : (content?.message?.text?.body ?? '');
      this.#messages.set(sequence, { text: said, change: changeSequence });
    }
    return this;
  }

  rows(rows: readonly Plain<Row>[]): this {
    for (const { sequence, body } of rows) {
      // Redacted: the row of a message that is deleted by now, whose delete comes later.
      if (body === undefined && !this.#messages.has(sequence))
        this.#messages.set(sequence, { text: '-', change: 0 });
      if (body?.message !== undefined && !this.#messages.has(sequence))
        this.#messages.set(sequence, { text: body.message.text?.body ?? '', change: 0 });
      const target = body?.edit?.target?.sequence ?? body?.delete?.target?.sequence;
      const known = target === undefined ? undefined : this.#messages.get(target);
      if (known === undefined || sequence <= known.change) continue;
      known.change = sequence;
      known.text = body?.delete === undefined ? (body?.edit?.message?.text?.body ?? '') : '-';
    }
    return this;
  }

  state(): string[] {
    return [...this.#messages].toSorted(([a], [b]) => a - b).map(([, { text: said }]) => said);
  }
}

function compare(a: string, b: string): number {
  return a < b ? -1 : 1;
}

async function epochOf(reader: Speaker, conversationId: string): Promise<number> {
  return (await reader.do('Conversations.Get', { conversationId })).epoch;
}

async function listed(reader: Speaker, conversationId: string): Promise<(string | undefined)[]> {
  const found: (string | undefined)[] = [];
  for (let after = 0, head = 1; after < head; ) {
    const page = await reader.do('Messages.List', {
      conversationId,
      ...(after === 0 ? { before: PAGE + 1 } : { after }),
      limit: PAGE,
    });
    assert.deepEqual(
      page.messages.map(({ sequence }) => sequence),
      page.messages.map((_, i) => after + 1 + i),
      'no hole and no overlap',
    );
    found.push(...page.messages.map(({ content }) => content?.message?.text?.body));
    after = page.messages.at(-1)?.sequence ?? page.head;
    ({ head } = page);
  }
  return found;
}

async function rowsOf(reader: Speaker, conversationId: string): Promise<(string | undefined)[]> {
  const found: (string | undefined)[] = [];
  let cursor: object = {};
  for (;;) {
    const page = await reader.do('Messages.ListRows', { conversationId, ...cursor, limit: PAGE });
    if (page.rows.length === 0) return found;
    for (const { sequence, body } of page.rows) {
      assert.equal(sequence, found.length + 1);
      found.push(body?.message?.text?.body);
    }
    assert.ok(page.cursor !== undefined);
    cursor = { cursor: page.cursor };
  }
}

async function flood(client: TestClient, to: string, count: number): Promise<void> {
  for (let sent = 0; sent < count; sent += 20)
    await Promise.all(Array.from({ length: 20 }, (_, i) => client.say(to, `${sent + i + 1}`)));
}

/** Groups of one, made by raw frames: the test's own client need not look at each answer. */
async function manyGroups({ socket }: { socket: TestClient }, count: number): Promise<string[]> {
  const ids: string[] = [];
  for (let made = 0; made < count; made += AT_ONCE) {
    const from = 1_000_000 + made;
    const frames = Array.from({ length: AT_ONCE }, (_, i) => ({
      id: from + i,
      call: {
        method: 'Conversations.Create',
        request: { requestId: randomUUID(), name: `${made + i}` },
      },
    }));
    socket.raw(JSON.stringify(frames));
    await socket.until(() => socket.frames.filter(({ id }) => id >= from).length === AT_ONCE);
    for (const frame of socket.frames) {
      if (frame.id < from) continue;
      const { response } = frame.result as unknown as { response: { conversationId: string } };
      ids[frame.id - 1_000_000] = response.conversationId;
    }
    socket.frames.length = 0;
  }
  return ids;
}

async function wholeList(
  reader: Speaker,
  since: string,
): Promise<{ readonly ids: ReadonlySet<string>; readonly syncToken: string }> {
  const ids = new Set<string>();
  for (let pageToken = ''; ; ) {
    const page = await reader.do('Sync.ListConversations', { since, pageSize: PAGE, pageToken });
    for (const { conversationId } of page.conversations) {
      assert.ok(!ids.has(conversationId), 'each once');
      ids.add(conversationId);
    }
    if (page.nextPageToken === '') return { ids, syncToken: page.syncToken };
    pageToken = page.nextPageToken;
  }
}
