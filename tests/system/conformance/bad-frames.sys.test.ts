/**
 * What only a live connection can say wrongly (CONTRACT §3), what is bound to its owner, and what a
 * server must outlive: floods, half-open sockets, slow readers and random frames.
 */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { connect as connectTcp } from 'node:net';
import { describe, it } from 'mocha';
import { encodeId, newRawId } from '../../../core/ids.ts';
import type { Ended, TestClient } from '../../../gateways/testing/test-client.ts';
import { people, person } from './accounts.ts';
import {
  CARRIERS,
  closeAfterEach,
  connect,
  nameOf,
  online,
  SOCKETS,
  speaker,
  type Speaker,
} from './carriers.ts';
import { ownServer, sharedServer } from './house.ts';
import { RandomFrames, residentMiB } from './random-frames.ts';

const FRAMES = 140_000;
/** Frames until the server's memory has its working size. */
const WARM_UP = 80_000;
const GROWTH_MIB_MAX = 64;
const REQUESTS = 3000;

for (const format of SOCKETS) {
  describe(`bad frames over ${format}`, () => {
    const server = sharedServer();
    closeAfterEach();

    it('a hello with an unknown constant, too many cursors or a bad one is refused and ends it with 4500', async () => {
      const { url } = server();
      const { accessToken: token, userId } = await person(url);
      const refused = async (hello: object): Promise<[string | undefined, Ended]> => {
        const client = await connect(url, format);
        const { error } = await client.ask({ hello: { token, ...hello } });
        return [error?.reason, await client.ended];
      };
      const cursor = { conversationId: `direct:${userId}`, epoch: 1, sequence: 1 };
      const cursors = Array.from({ length: 51 }, () => cursor);
      const wrong: [object, string][] = [
        [{ push: 'everything' }, 'UNKNOWN_FIELD'],
        [{ resume: { cursors } }, 'BAD_FIELD'],
        [{ resume: { cursors: [{ ...cursor, conversationId: 'here' }] } }, 'BAD_ID'],
        [{ resume: { cursors: [{ ...cursor, sequence: -1 }] } }, 'BAD_FIELD'],
      ];
      for (const [hello, reason] of wrong)
        assert.deepEqual(await refused(hello), [reason, { code: 4500, reason: 'MALFORMED' }]);
    });

    it('a sync token that nobody gave, or that was changed, lists anew: resumed is false, a gap over all', async () => {
      const { url } = server();
      const anna = await person(url);
      const first = await connect(url, format);
      await first.hello(anna.accessToken);
      const { syncToken = '' } = first.frames.find(({ caughtUp }) => caughtUp)?.caughtUp ?? {};
      const bytes = Buffer.from(syncToken, 'base64url');
      const changed = Array.from({ length: 8 }, (_, i) => {
        const copy = Buffer.from(bytes);
        copy.fill(255, 17 + i);
        return copy.toString('base64url');
      });
      for (const token of ['yesterday', 'x'.repeat(5000), syncToken.slice(0, -3), ...changed]) {
        const client = await connect(url, format);
        const { ready } = await client.hello(anna.accessToken, { resume: { syncToken: token } });
        assert.equal(ready?.resumed, false, token);
        assert.ok(client.frames.some(({ gap }) => gap?.scope === 'all'));
      }
    });

    it('focus, typing and receipts of a bad form are refused, and the connection goes on', async () => {
      const { url } = server();
      const [anna, ben] = await people(url, 2);
      assert.ok(anna !== undefined && ben !== undefined);
      const { socket } = (await speaker(url, anna, format)) as Speaker & { socket: TestClient };
      const { conversationId } = (await socket.say(`direct:${ben.userId}`, 'hi')).commit ?? {};
      assert.ok(conversationId !== undefined);
      const many = Array.from({ length: 21 }, () => conversationId);
      const users = Array.from({ length: 201 }, () => ben.userId);
      const wrong: [object, string][] = [
        [{ focus: { conversations: many } }, 'BAD_FIELD'],
        [{ focus: { conversations: ['here'] } }, 'BAD_ID'],
        [{ focus: { users } }, 'BAD_FIELD'],
        [{ focus: { users: ['ben'] } }, 'BAD_ID'],
        [{ typing: { conversationId, state: 'thinking' } }, 'UNKNOWN_FIELD'],
        [{ typing: { conversationId: 'here' } }, 'BAD_ID'],
        [{ typing: { conversationId, userId: ben.userId } }, 'BAD_FIELD'],
        [{ receipt: { read: [{ conversationId: 'here', sequence: 1 }] } }, 'BAD_ID'],
        [{ receipt: { delivered: [{ conversationId, sequence: -1 }] } }, 'BAD_FIELD'],
        [{ call: { method: 'Messages.Everything' } }, 'PROTOCOL_UNSUPPORTED'],
        [{ send: { to: conversationId } }, 'BAD_FIELD'],
      ];
      for (const [frame, reason] of wrong)
        assert.equal((await socket.ask(frame)).error?.reason, reason, JSON.stringify(frame));
      assert.equal((await socket.say(conversationId, 'still here')).commit?.sequence, 2);
    });

    it('a token of somebody else, or of another device, in auth ends it with 4501', async () => {
      const { url } = server();
      const [anna, ben] = await people(url, 2);
      assert.ok(anna !== undefined && ben !== undefined);
      const client = await connect(url, format);
      await client.hello(anna.accessToken);
      client.tell({ id: 7, auth: { token: ben.accessToken } });
      assert.deepEqual(await client.ended, { code: 4501, reason: 'TOKEN_INVALID' });
    });

    it('who is no member is heard by nobody and hears nothing: typing, focus, receipts', async () => {
      const { url } = server();
      const [anna, ben, eve] = await people(url, 3);
      assert.ok(anna !== undefined && ben !== undefined && eve !== undefined);
      const [a, b, e] = await Promise.all(
        [anna, ben, eve].map(
          async (one) => (await speaker(url, one, format)) as Speaker & { socket: TestClient },
        ),
      );
      assert.ok(a !== undefined && b !== undefined && e !== undefined);
      const { conversationId, epoch } = await a.group([ben]);
      for (const { socket } of [b, e]) {
        await socket.ask({ focus: { conversations: [conversationId] } });
      }
      const mark = { conversationId, epoch, sequence: 1 };
      await e.socket.ask({ typing: { conversationId, state: 'typing' } });
      await e.socket.ask({ receipt: { delivered: [mark], read: [mark] } });
      await a.socket.ask({ typing: { conversationId, state: 'typing' } });
      await a.say(conversationId, 'for members');
      const heard = await b.socket.until(({ typing }) => typing !== undefined);
      assert.equal(heard.typing?.userId, anna.userId);
      await b.socket.row(conversationId, 2);
      await Promise.all([a, b, e].map(({ socket }) => socket.ask({ ping: {} })));
      const typists = [a, b].flatMap(({ socket }) =>
        socket.frames.flatMap(({ typing }) => typing?.userId ?? []),
      );
      assert.ok(!typists.includes(eve.userId));
      const told = e.socket.frames.filter(
        ({ typing, rows, heads, receipts, conversations }) =>
          (typing ?? rows ?? heads ?? receipts ?? conversations) !== undefined,
      );
      assert.deepEqual(told, []);
    });
  });
}

describe('bad frames in JSON', () => {
  const server = sharedServer();
  closeAfterEach();

  it('an unknown field or kind of frame is UNKNOWN_FIELD with its path, and the connection goes on', async () => {
    const { url } = server();
    const { accessToken } = await person(url);
    const client = await connect(url, 'json');
    await client.hello(accessToken);
    const wrong: [string, string][] = [
      ['{"id":71,"poke":{}}', 'poke'],
      ['{"id":72,"ping":{"colour":"red"}}', 'ping.colour'],
      ['{"id":73,"focus":{"conversations":[],"rooms":[]}}', 'focus.rooms'],
      ['{"id":74,"call":{"method":"Users.Get","request":{"userId":"me","x":1}}}', 'x'],
      ['{"id":75,"call":{"method":"Users.Get","__proto__":{}}}', 'call.__proto__'],
    ];
    for (const [frame, path] of wrong) {
      client.raw(frame);
      const { id } = JSON.parse(frame) as { id: number };
      const { error } = await client.until((answer) => answer.id === id);
      assert.deepEqual([error?.reason, error?.metadata['path']], ['UNKNOWN_FIELD', path]);
    }
    assert.ok((await client.ask({ ping: {} })).pong !== undefined);
    const early = await connect(url, 'json');
    early.raw(`{"id":1,"hello":{"token":"${accessToken}","colour":"red"}}`);
    assert.deepEqual(await early.ended, { code: 4500, reason: 'MALFORMED' });
  });
});

for (const carrier of CARRIERS) {
  describe(`tokens that are bound, on ${nameOf(carrier)}`, () => {
    const server = sharedServer();
    closeAfterEach();

    it('a page token of another caller, another conversation or other arguments is BAD_PAGE_TOKEN; a sync token of another user BAD_CURSOR', async () => {
      const { url } = server();
      const [anna, ben] = await Promise.all(
        (await people(url, 2)).map((one) => speaker(url, one, carrier)),
      );
      assert.ok(anna !== undefined && ben !== undefined);
      const [one, two] = [await anna.group([ben]), await anna.group([ben])];
      const lists = { pageSize: 1 };
      const { nextPageToken: page } = await anna.do('Sync.ListConversations', lists);
      assert.notEqual(page, '');
      const ofList = { ...lists, pageToken: page };
      assert.equal(await ben.refused('Sync.ListConversations', ofList), 'BAD_PAGE_TOKEN');
      const other = { ...ofList, messages: 3 };
      assert.equal(await anna.refused('Sync.ListConversations', other), 'BAD_PAGE_TOKEN');
      const members = { conversationId: one.conversationId, pageSize: 1 };
      const { nextPageToken } = await anna.do('Conversations.ListMembers', members);
      assert.notEqual(nextPageToken, '');
      const ofMembers = { ...members, pageToken: nextPageToken };
      assert.equal((await anna.do('Conversations.ListMembers', ofMembers)).members.length, 1);
      assert.equal(await ben.refused('Conversations.ListMembers', ofMembers), 'BAD_PAGE_TOKEN');
      const elsewhere = { ...ofMembers, conversationId: two.conversationId };
      assert.equal(await anna.refused('Conversations.ListMembers', elsewhere), 'BAD_PAGE_TOKEN');
      const { syncToken } = await anna.do('Sync.ListConversations', {});
      const since = { since: syncToken };
      assert.equal(await ben.refused('Sync.ListConversations', since), 'BAD_CURSOR');
    });
  });
}

describe('a server among bad clients', function () {
  this.timeout(60_000);
  const server = ownServer({
    PARLEY_FRAME_RATE: '200',
    PARLEY_FRAME_BURST: '1000',
    PARLEY_PING_INTERVAL_MS: '1000',
    PARLEY_PING_TIMEOUT_MS: '1000',
  });
  closeAfterEach();

  it('a flood is refused with RATE_LIMITED, then ended with 4008; nothing of it is appended', async () => {
    const { url } = server();
    const [anna, ben] = await people(url, 2);
    assert.ok(anna !== undefined && ben !== undefined);
    for (const format of SOCKETS) {
      const flooder = await connect(url, format);
      await flooder.hello(anna.accessToken);
      for (let i = 0; i < 2400; i++) flooder.tell({ id: 1000 + i, ping: {} });
      const to = `direct:${ben.userId}`;
      const send = {
        to,
        clientMessageId: randomUUID(),
        body: { message: { text: { body: 'x' } } },
      };
      flooder.tell({ id: 9000, send });
      assert.deepEqual(await flooder.ended, { code: 4008, reason: 'RATE_LIMITED' });
      const refused = flooder.frames.filter(({ error }) => error?.reason === 'RATE_LIMITED');
      assert.ok(refused.length > 0 && refused.every(({ error }) => (error?.retryAfterMs ?? 0) > 0));
    }
    const reader = await speaker(url, ben, 'rest');
    assert.deepEqual((await reader.do('Sync.ListConversations', {})).conversations, []);
  });

  it('a half-open socket ends: without a pong with 4003, one that never speaks HTTP does no harm', async () => {
    const { url } = server();
    const [anna, ben] = await people(url, 2);
    assert.ok(anna !== undefined && ben !== undefined);
    const mute = Array.from({ length: 50 }, () => {
      const socket = connectTcp(Number(new URL(url).port), '127.0.0.1');
      socket.on('error', () => undefined);
      socket.write('GET /v1/ws HTTP/1.1\r\nHost: x\r\nUpgr');
      return socket;
    });
    const gone = await Promise.all(
      SOCKETS.map(async (format, i) => {
        const client = await connect(url, format);
        await client.hello([anna, ben][i]?.accessToken ?? '');
        client.tell = () => undefined;
        return client.ended;
      }),
    );
    assert.deepEqual(
      gone,
      SOCKETS.map(() => ({ code: 4003, reason: 'PING_TIMEOUT' })),
    );
    const calm = await online(url, anna);
    assert.equal((await calm.do('Users.Get', { userId: 'me' })).userId, anna.userId);
    for (const socket of mute) socket.destroy();
  });
});

describe('random requests over HTTP', () => {
  const server = sharedServer();

  it('3,000 of them are answered, none with a fault of the server, and nothing is appended', async () => {
    const { url } = server();
    const [anna, ben, ...others] = await people(url, 6);
    assert.ok(anna !== undefined && ben !== undefined);
    const owner = await speaker(url, anna, 'rest');
    const { conversationId, head } = await owner.group([ben]);
    const frames = new RandomFrames(conversationId, encodeId('usr', newRawId(1)));
    const faults = await Promise.all(
      others.map((one) => frames.ask(url, one.accessToken, REQUESTS / others.length)),
    );
    assert.deepEqual(faults.flat(), []);
    for (const reason of ['UNKNOWN_FIELD', 'BAD_FIELD', 'BAD_ID', 'BAD_TEXT', 'BAD_CURSOR'])
      assert.ok(frames.reasons.has(reason), `${reason} was not among the answers`);
    assert.equal((await owner.do('Conversations.Get', { conversationId })).head, head);
  }).timeout(30_000);
});

describe('a server that is told nonsense', function () {
  this.timeout(120_000);
  const server = ownServer({});
  closeAfterEach();

  it('140,000 random frames and readers that stand still neither crash nor grow it', async () => {
    const { url, pid } = server();
    const [anna, ben, ...others] = await people(url, 8);
    assert.ok(anna !== undefined && ben !== undefined);
    const calm = await online(url, anna);
    const { conversationId } = await calm.group([ben, ...others.slice(4)]);
    // These take what they are told until their buffers are full, and never read it.
    for (const one of others.slice(4)) (await online(url, one)).socket.socket.pause();
    const large = '語'.repeat(8000);
    for (let n = 0; n < 300; n++) await calm.socket.say(conversationId, large);
    const before = (await calm.do('Conversations.Get', { conversationId })).head;

    const frames = new RandomFrames(conversationId, encodeId('usr', newRawId(1)));
    let told = 0;
    const fuzz = async (
      account: (typeof others)[number],
      format: 'json' | 'proto',
      until: number,
    ) => {
      while (told < until) told += await frames.tell(url, account.accessToken, format);
    };
    const all = (until: number): Promise<unknown> =>
      Promise.all(others.slice(0, 4).map((one, i) => fuzz(one, SOCKETS[i % 2] ?? 'json', until)));
    await all(WARM_UP);
    const warm = residentMiB(pid);
    await all(FRAMES);
    const grown = residentMiB(pid) - warm;
    assert.ok(told >= FRAMES);
    for (const reason of ['UNKNOWN_FIELD', 'BAD_FIELD', 'BAD_ID', 'BAD_TEXT', 'MALFORMED'])
      assert.ok(frames.reasons.has(reason), `${reason} was not among the answers`);
    assert.ok(!frames.reasons.has('INVARIANT'), 'nothing they say is a fault of the server');
    assert.ok(grown < GROWTH_MIB_MAX, `${warm} MiB, then ${grown} more`);
    assert.doesNotMatch(server().log, /InvariantViolation|UnhandledPromise|"level":(50|60)/);
    const { head } = await calm.do('Conversations.Get', { conversationId });
    assert.equal(head, before, 'nothing was appended');
    assert.equal(
      (await calm.socket.say(conversationId, 'as if nothing was')).commit?.sequence,
      head + 1,
    );
  });
});
