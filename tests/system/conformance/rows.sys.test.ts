/** Requirement rows that no conformance case says: shown through the public interface. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { describe, it } from 'mocha';
import { call } from '../../../bench/accounts.ts';
import { device, people, type Account } from './accounts.ts';
import {
  CARRIERS,
  closeAfterEach,
  connect,
  nameOf,
  online,
  rawRest,
  SOCKETS,
  speaker,
} from './carriers.ts';
import { sharedServer } from './house.ts';
import { within } from '../../within.ts';

const SOON_MS = 2000;

describe('requirements beside the cases', () => {
  const server = sharedServer();
  closeAfterEach();
  const two = async (): Promise<[Account, Account]> => {
    const [anna, ben] = await people(server().url, 2);
    assert.ok(anna !== undefined && ben !== undefined);
    return [anna, ben];
  };
  const metric = async (name: string): Promise<number> => {
    const page = await (await fetch(new URL('/metrics', server().url))).text();
    const lines = page.split('\n').filter((line) => line.startsWith(name));
    return lines.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
  };

  for (const format of SOCKETS)
    it(`each device of a user has its own queue: the connected ones are told at once, the others when they come, over ${format} (R002, R035, R040, R042)`, async () => {
      const { url } = server();
      const [anna, ben] = await two();
      const [laptop, tablet] = [await device(url, ben, 'laptop'), await device(url, ben, 'tablet')];
      const writer = await online(url, anna, format);
      const first = await writer.say(`direct:${ben.userId}`, '1');
      const { conversationId } = first;
      // The tablet takes the first message and goes; the others stay.
      const early = await online(url, tablet, format);
      const { syncToken } = await early.do('Sync.ListConversations', {});
      const { epoch } = await early.do('Conversations.Get', { conversationId });
      early.socket.close();
      const staying = [await online(url, ben, format), await online(url, laptop, format)];
      for (const n of [2, 3]) await writer.say(conversationId, `${n}`);
      const wanted = [2, 3].map((n) => ({ sequence: n, body: `${n}` }));
      for (const { socket } of staying) {
        await socket.row(conversationId, 3);
        assert.deepEqual(socket.rows(conversationId), wanted, 'without having asked for anything');
      }
      // What one device of the user has taken, another still gets.
      const mark = { conversationId, epoch, sequence: 3 };
      await staying[0]?.do('Messages.Report', { delivered: [mark], read: [mark] });
      const late = await connect(url, format);
      const cursors = [{ conversationId, epoch, sequence: 1 }];
      const { ready } = await late.hello(tablet.accessToken, { resume: { syncToken, cursors } });
      assert.equal(ready?.resumed, true);
      assert.deepEqual(late.rows(conversationId), wanted);
    });

  it('history is paged and filtered by user or by conversation (R100, R101)', async () => {
    const { url } = server();
    const [anna, ben, cleo] = await people(url, 3);
    assert.ok(anna !== undefined && ben !== undefined && cleo !== undefined);
    const writer = await online(url, anna);
    const { conversationId } = await writer.group([ben, cleo]);
    for (let n = 1; n <= 7; n++) {
      await writer.say(`direct:${ben.userId}`, `ben ${n}`);
      await writer.say(`direct:${cleo.userId}`, `cleo ${n}`);
      await writer.say(conversationId, `all ${n}`);
    }
    const history = async (query: string): Promise<unknown[]> => {
      const target = new URL(`/get-chat-history?${query}`, url);
      const headers = { authorization: `Bearer ${anna.accessToken}` };
      const { body } = await rawRest(target, { method: 'GET', headers });
      return (body['messages'] as { content: string }[]).map(({ content }) => content);
    };
    const said = (who: string): string[] => Array.from({ length: 7 }, (_, i) => `${who} ${i + 1}`);
    assert.deepEqual(await history(`user_id=${ben.userId}`), said('ben'));
    assert.deepEqual(await history(`user_id=${cleo.userId}`), said('cleo'));
    assert.deepEqual(await history(`conversation_id=${conversationId}`), said('all'));
    const page = `user_id=${ben.userId}&limit=3`;
    assert.deepEqual(await history(page), said('ben').slice(4));
    assert.deepEqual(await history(`${page}&before=5`), said('ben').slice(1, 4));
  });

  it('message ids are unique, sort by time, and inside a conversation as its sequences do; conversation and id name one message (R142, R150, R151)', async () => {
    const { url } = server();
    const [anna, ben] = await two();
    const [a, b] = [await online(url, anna), await online(url, ben)];
    const group = await a.group([ben]);
    const commits = [];
    for (let n = 0; n < 30; n++) {
      const to = n % 3 === 0 ? group.conversationId : `direct:${ben.userId}`;
      const back = n % 3 === 0 ? group.conversationId : `direct:${anna.userId}`;
      commits.push(...(await Promise.all([a.say(to, `a ${n}`), b.say(back, `b ${n}`)])));
    }
    assert.equal(new Set(commits.map(({ messageId }) => messageId)).size, commits.length);
    const sorted = commits.toSorted((x, y) => (x.messageId < y.messageId ? -1 : 1));
    for (const [i, { timeMs }] of sorted.entries())
      assert.ok(timeMs >= (sorted[i - 1]?.timeMs ?? 0), 'sorted by id they are sorted by time');
    for (const conversationId of new Set(commits.map((commit) => commit.conversationId))) {
      const own = sorted.filter((commit) => commit.conversationId === conversationId);
      const sequences = own.map(({ sequence }) => sequence);
      assert.deepEqual(
        sequences,
        sequences.toSorted((x, y) => x - y),
      );
      const key = conversationId === group.conversationId ? 'channel_id' : 'conversation_id';
      const target = new URL(`/messages?${key}=${conversationId}&limit=100`, url);
      const headers = { authorization: `Bearer ${ben.accessToken}` };
      const { body } = await rawRest(target, { method: 'GET', headers });
      const ids = (body['messages'] as { message_id: string }[]).map((one) => one.message_id);
      assert.deepEqual(
        ids,
        own.map(({ messageId }) => messageId),
      );
    }
  });

  for (const format of SOCKETS)
    it(`who looks at a conversation sees who types in it, over ${format} (R052)`, async () => {
      const { url } = server();
      const [anna, ben] = await two();
      const [a, b] = [await online(url, anna, format), await online(url, ben, format)];
      const { conversationId } = await a.say(`direct:${ben.userId}`, 'hi');
      await b.socket.ask({ focus: { conversations: [conversationId] } });
      const { typing } = await within(SOON_MS, async () => {
        await a.socket.ask({ typing: { conversationId, state: 'typing' } });
        return b.socket.until((frame) => frame.typing !== undefined);
      });
      assert.deepEqual(typing, { conversationId, userId: anna.userId, state: 'typing' });
      await a.socket.ask({ typing: { conversationId, state: 'stopped' } });
      await b.socket.until((frame) => frame.typing?.state === 'stopped');
      assert.equal((await b.do('Conversations.Get', { conversationId })).head, 1, 'in no log');
    });

  it('when somebody was here last is told to others as he allows, also under the seeds’ names (R051)', async () => {
    const { url } = server();
    const [anna, ben] = await two();
    const watcher = await speaker(url, ben, 'rest');
    const beganMs = Date.now();
    const live = await online(url, anna);
    live.socket.tell({ bye: {} });
    await live.socket.ended;
    const seen = async (): Promise<number> =>
      (await watcher.do('Users.Get', { userId: anna.userId })).lastSeenTimeMs ?? 0;
    const until = performance.now() + 5 * SOON_MS;
    while ((await seen()) < beganMs && performance.now() < until)
      await new Promise((done) => setTimeout(done, 50));
    const lastMs = await seen();
    assert.ok(lastMs >= beganMs && lastMs <= Date.now());
    const target = new URL(`/get-status?user_id=${anna.userId}`, url);
    const headers = { authorization: `Bearer ${ben.accessToken}` };
    const { body } = await rawRest(target, { method: 'GET', headers });
    assert.equal(Date.parse(String(body['last_seen'])), lastMs);
    const hers = await speaker(url, anna, 'rest');
    await hers.do('Users.UpdateMe', { user: { privacy: { lastSeen: 'none' } } });
    assert.equal(await seen(), 0, 'hidden from others');
    assert.ok(((await hers.do('Users.Get', { userId: 'me' })).lastSeenTimeMs ?? 0) >= lastMs);
  });

  it('a message says what it answers and what it was forwarded from, on every carrier (R242)', async () => {
    const { url } = server();
    const [anna, ben] = await two();
    const writer = await online(url, anna);
    const asked = await writer.say(`direct:${ben.userId}`, 'shall we?');
    const { conversationId: to, sequence: replyTo, messageId: forwardOf } = asked;
    for (const carrier of CARRIERS) {
      const one = await speaker(url, ben, carrier);
      const message = { text: { body: 'yes' }, replyTo, forwardOf };
      const request = { to, clientMessageId: randomUUID(), body: { message } };
      const { sequence } = await one.do('Messages.Send', request);
      const [found] = (await one.do('Messages.List', { conversationId: to, sequence })).messages;
      const { replyTo: reply, forwardOf: origin } = found?.content?.message ?? {};
      assert.deepEqual([reply, origin], [replyTo, forwardOf], nameOf(carrier));
    }
  });

  it('one address serves the API over HTTP and the live protocol over WebSocket, and names the faster port (R134)', async () => {
    const { url } = server();
    const [anna, ben] = await two();
    const { status, body } = await call(url, 'GET', '/v1/meta');
    assert.equal(status, 200);
    assert.match(String(body['webSocketUrl']), /^ws:\/\/127\.0\.0\.1:\d+\/v1\/ws$/);
    const live = await online(url, anna, 'proto');
    const { commit } = await live.socket.say(`direct:${ben.userId}`, 'over the HTTP port');
    const rest = await speaker(url, ben, 'rest');
    const { rows } = await rest.do('Messages.ListRows', {
      conversationId: commit?.conversationId ?? '',
    });
    assert.equal(rows.length, 1);
    const file = await fetch(new URL('/v1/ws', url));
    assert.notEqual(file.status, 200, 'a socket is asked for by an upgrade');
  });

  it('uptime, connections and refusals are exported (R225)', async () => {
    const { url } = server();
    const [anna, ben] = await two();
    const started = await metric('parley_process_process_start_time_seconds');
    assert.ok(started > 1e9 && started * 1000 <= Date.now());
    const before = await metric('parley_gateway_connections');
    const [a, b] = [await online(url, anna), await online(url, ben)];
    assert.equal(await metric('parley_gateway_connections'), before + 2);
    const refusals = 'parley_gateway_http_requests_total{status="404"}';
    const refused = await metric(refusals);
    const rest = await speaker(url, anna, 'rest');
    const one = { conversationId: `direct:${ben.userId}`, sequence: 9 };
    assert.equal(await rest.refused('Messages.List', one), 'MESSAGE_UNKNOWN');
    assert.equal(await metric(refusals), refused + 1);
    for (const { socket } of [a, b]) socket.tell({ bye: {} });
    await Promise.all([a.socket.ended, b.socket.ended]);
    assert.equal(await metric('parley_gateway_connections'), before);
  });
});
