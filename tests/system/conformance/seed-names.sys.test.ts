/** The seeds' own endpoint names as a script would call them: each equal to the resource (case 55). */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { describe, it } from 'mocha';
import { call } from '../../../bench/accounts.ts';
import { closeAfterEach, online, rawRest, speaker } from './carriers.ts';
import type { Account } from './accounts.ts';
import { sharedServer } from './house.ts';

type Json = Readonly<Record<string, unknown>>;

describe('conformance of the seeds’ names', () => {
  const server = sharedServer();
  closeAfterEach();
  let made = 0;

  const ask = async (
    verb: string,
    path: string,
    options: { body?: object; as?: Json; key?: string } = {},
  ): Promise<{ status: number; body: Json; headers: Headers }> => {
    const { body, as, key } = options;
    return rawRest(new URL(path, server().url), {
      method: verb,
      headers: {
        ...(as === undefined ? {} : { authorization: `Bearer ${String(as['access_token'])}` }),
        ...(key === undefined ? {} : { 'idempotency-key': key }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  };
  const signUp = async (): Promise<Json> => {
    const username = `seed-${process.pid}-${++made}`;
    const answer = await ask('POST', '/signup', {
      body: { username, password: 'a long enough one' },
    });
    assert.equal(answer.status, 201);
    return { ...answer.body, username };
  };
  const accountOf = (person: Json): Account =>
    ({
      userId: person['user_id'],
      deviceId: person['device_id'],
      accessToken: person['access_token'],
    }) as unknown as Account;

  it('POST /signup, /login and /refresh-token sign in; their tokens are the API’s (case 55, R124)', async () => {
    const anna = await signUp();
    assert.deepEqual(Object.keys(anna).toSorted(compare), [
      'access_token',
      'device_id',
      'expires_in',
      'refresh_token',
      'user_id',
      'username',
    ]);
    assert.equal(anna['expires_in'], 600);
    const { username } = anna;
    const credentials = { username, password: 'a long enough one', device_id: anna['device_id'] };
    const again = await ask('POST', '/login', { body: credentials });
    assert.deepEqual(
      [again.status, again.body['user_id'], again.body['device_id']],
      [200, anna['user_id'], anna['device_id']],
    );
    const keys = ['access_token', 'device_id', 'expires_in', 'refresh_token', 'user_id'];
    assert.deepEqual(Object.keys(again.body).toSorted(compare), keys);
    const wrong = await ask('POST', '/login', {
      body: { ...credentials, password: 'another one' },
    });
    assert.deepEqual([wrong.status, wrong.body['reason']], [401, 'LOGIN_FAILED']);
    const fresh = await ask('POST', '/refresh-token', {
      body: { refresh_token: again.body['refresh_token'] },
    });
    assert.equal(fresh.status, 200);
    assert.deepEqual(Object.keys(fresh.body).toSorted(compare), keys);
    const token = String(fresh.body['access_token']);
    const me = await call(server().url, 'GET', '/v1/users/me', { token });
    assert.equal(me.body['userId'], anna['user_id']);
    const missing = await ask('POST', '/signup', { body: { username } });
    assert.deepEqual([missing.status, missing.body['reason']], [400, 'BAD_FIELD']);
  });

  it('POST /messages and /send-message append what List shows (case 55, R120)', async () => {
    const [anna, ben] = [await signUp(), await signUp()];
    for (const [i, path] of ['/messages', '/send-message'].entries()) {
      const key = randomUUID();
      const body = {
        sender_id: anna['user_id'],
        receiver_id: ben['user_id'],
        message_type: 'text',
        content: `by ${path}`,
      };
      const sent = await ask('POST', path, { body, as: anna, key });
      assert.equal(sent.status, 201);
      const again = await ask('POST', path, { body, as: anna, key });
      assert.equal(again.headers.get('idempotent-replayed'), 'true');
      assert.equal(again.body['message_id'], sent.body['message_id']);
      const reader = await speaker(server().url, accountOf(ben), 'rest');
      const conversationId = String(sent.body['conversation_id']);
      const { messages } = await reader.do('Messages.List', { conversationId });
      const last = messages.at(-1);
      assert.deepEqual(sent.body, {
        message_id: last?.messageId,
        conversation_id: conversationId,
        sequence: i + 1,
        status: 'stored',
        created_at: new Date(last?.timeMs ?? 0).toISOString(),
      });
      assert.equal(last?.content?.message?.text?.body, `by ${path}`);
    }
    const refused = async (body: object): Promise<unknown> =>
      (await ask('POST', '/messages', { body, as: anna })).body['reason'];
    const to = { receiver_id: ben['user_id'] };
    assert.equal(await refused({ ...to, content: '' }), 'BAD_TEXT');
    assert.equal(await refused({ content: 'x' }), 'BAD_FIELD');
    assert.equal(await refused({ ...to, content: 'x', colour: 'red' }), 'UNKNOWN_FIELD');
    assert.equal(await refused({ ...to, content: 'x', message_type: 'sonnet' }), 'UNKNOWN_FIELD');
    assert.equal(await refused({ receiver_id: 'ben', content: 'x' }), 'BAD_ID');
    assert.equal(await refused({ ...to, group_id: 'x', content: 'x' }), 'BAD_FIELD');
  });

  it('GET /messages and /get-chat-history show every column and how far each message got (case 55, R121, R152-R154)', async () => {
    const [anna, ben] = [await signUp(), await signUp()];
    for (const content of ['one', 'two', 'three'])
      await ask('POST', '/messages', { body: { receiver_id: ben['user_id'], content }, as: anna });
    const direct = `user_id=${String(ben['user_id'])}`;
    const statuses = async (): Promise<unknown[]> => {
      const { body } = await ask('GET', `/get-chat-history?${direct}`, { as: anna });
      return (body['messages'] as Json[]).map((message) => message['status']);
    };
    assert.deepEqual(await statuses(), ['stored', 'stored', 'stored']);
    const theirs = await ask('GET', '/messages?filter=unread', { as: ben });
    assert.deepEqual(theirs.body['unread_count'], 3);
    const [first] = theirs.body['messages'] as Json[];
    const reader = await speaker(server().url, accountOf(ben), 'rest');
    const conversationId = String(first?.['conversation_id']);
    const { messages } = await reader.do('Messages.List', { conversationId });
    assert.deepEqual(first, {
      message_id: messages[0]?.messageId,
      chat_id: conversationId,
      conversation_id: conversationId,
      sequence: 1,
      sender_id: anna['user_id'],
      receiver_id: ben['user_id'],
      content: 'one',
      message_body: 'one',
      message_type: 'text',
      media_url: null,
      created_at: new Date(messages[0]?.timeMs ?? 0).toISOString(),
      timestamp: new Date(messages[0]?.timeMs ?? 0).toISOString(),
      status: 'sent',
      read: false,
    });
    const { epoch } = await reader.do('Conversations.Get', { conversationId });
    await reader.do('Messages.Report', {
      delivered: [{ conversationId, epoch, sequence: 2 }],
      read: [{ conversationId, epoch, sequence: 1 }],
    });
    assert.deepEqual(await statuses(), ['read', 'delivered', 'stored']);
    const page = await ask('GET', `/messages?conversation_id=${conversationId}&before=3&limit=1`, {
      as: ben,
    });
    assert.deepEqual(
      (page.body['messages'] as Json[]).map((message) => message['sequence']),
      [2],
    );
    const foreign = await ask('GET', `/messages?conversation_id=${conversationId}`, {
      as: await signUp(),
    });
    assert.deepEqual([foreign.status, foreign.body['reason']], [404, 'CONVERSATION_UNKNOWN']);
  });

  it('GET /conversations has every column, newest message first, page by page (case 55, R104, R159, R160)', async () => {
    const [anna, ben] = [await signUp(), await signUp()];
    const long = '語'.repeat(200);
    const group = await ask('POST', '/create-group', {
      body: { group_name: 'walkers', member_ids: [ben['user_id']] },
      as: anna,
    });
    const to = { receiver_id: ben['user_id'] };
    const direct = await ask('POST', '/messages', { body: { ...to, content: long }, as: anna });
    const ids = [direct.body['conversation_id'], group.body['group_id']];
    const page = async (query: string): Promise<Json> =>
      (await ask('GET', `/conversations${query}`, { as: ben })).body;
    const idsOf = (body: Json): unknown[] =>
      (body['conversations'] as Json[]).map((one) => one['conversation_id']);
    const all = await page('');
    assert.deepEqual(idsOf(all), ids);
    assert.equal(all['next_page_token'], null);
    const [first] = all['conversations'] as Json[];
    const reader = await speaker(server().url, accountOf(ben), 'rest');
    const conversationId = String(ids[0]);
    const resource = await reader.do('Conversations.Get', { conversationId });
    assert.deepEqual(first, {
      user_id: ben['user_id'],
      conversation_id: conversationId,
      chat_id: conversationId,
      type: '1:1',
      name: '',
      peer_id: anna['user_id'],
      unread_count: 1,
      last_message_id: direct.body['message_id'],
      last_message_preview: '語'.repeat(160),
      last_message_at: direct.body['created_at'],
      created_at: new Date(resource.createTimeMs).toISOString(),
    });
    const one = await page('?limit=1');
    const two = await page(`?limit=1&page_token=${String(one['next_page_token'])}`);
    assert.deepEqual([...idsOf(one), ...idsOf(two)], ids);
    const said = { group_id: ids[1], content: 'up' };
    await ask('POST', '/messages', { body: said, as: anna });
    assert.deepEqual(idsOf(await page('')), ids.toReversed(), 'by their last messages');
  });

  it('what is unread is found behind pages of one’s own, up to `before` (case 55, R121)', async () => {
    const [anna, ben] = [await signUp(), await signUp()];
    const writer = await online(server().url, accountOf(anna));
    for (let n = 1; n <= 60; n++) await writer.say(`direct:${String(ben['user_id'])}`, `own ${n}`);
    const reader = await speaker(server().url, accountOf(ben), 'rest');
    for (const n of [1, 2, 3]) await reader.say(`direct:${String(anna['user_id'])}`, `answer ${n}`);
    const unread = async (more: string): Promise<unknown[]> => {
      const { status, body } = await ask('GET', `/messages?limit=50${more}`, { as: anna });
      assert.equal(status, 200, JSON.stringify(body));
      assert.equal(body['unread_count'], 3);
      return (body['messages'] as Json[]).map(({ content }) => content);
    };
    assert.deepEqual(await unread(''), ['answer 1', 'answer 2', 'answer 3']);
    const place = `&user_id=${String(ben['user_id'])}&filter=unread`;
    assert.deepEqual(await unread(place), ['answer 1', 'answer 2', 'answer 3']);
    assert.deepEqual(await unread(`${place}&before=63`), ['answer 1', 'answer 2']);
  });

  it('GET /get-messages hands out what was not delivered until its ack comes back (case 55, R125, R031)', async () => {
    const [anna, ben] = [await signUp(), await signUp()];
    const live = await online(server().url, accountOf(anna));
    for (const content of ['one', 'two'])
      await ask('POST', '/messages', { body: { receiver_id: ben['user_id'], content }, as: anna });
    const fetched = async (query = ''): Promise<[unknown[], string]> => {
      const { status, body } = await ask('GET', `/get-messages${query}`, { as: ben });
      assert.equal(status, 200);
      const contents = (body['messages'] as Json[]).map(({ content }) => content);
      return [contents, String(body['ack'])];
    };
    const [first, ack] = await fetched();
    assert.deepEqual(first, ['one', 'two']);
    assert.deepEqual((await fetched())[0], first, 'what was not acknowledged comes again');
    assert.deepEqual((await fetched(`?ack=${encodeURIComponent(ack)}`))[0], []);
    await live.socket.until(({ receipts }) => receipts?.peer?.deliveredThrough === 2);
    const wrong = await ask('GET', '/get-messages?ack=nonsense', { as: ben });
    assert.deepEqual([wrong.status, wrong.body['reason']], [400, 'BAD_CURSOR']);
    // Of another epoch: from before a restore, when its sequences were other messages.
    await ask('POST', '/messages', {
      body: { receiver_id: ben['user_id'], content: 'new' },
      as: anna,
    });
    const [left, newest] = await fetched();
    assert.deepEqual(left, ['new']);
    const old = Buffer.from(newest, 'base64url');
    old.writeUInt32LE(old.readUInt32LE(0) - 1, 0);
    assert.deepEqual((await fetched(`?ack=${old.toString('base64url')}`))[0], ['new']);
  });

  it('GET /get-messages: an ack fits into a URL however many conversations wait, and passes by one’s own messages (case 55, R125)', async () => {
    const [anna, ben] = [await signUp(), await signUp()];
    const writer = await online(server().url, accountOf(anna));
    const groups = 250;
    for (let made = 0; made < groups; made += 50)
      await Promise.all(
        Array.from({ length: 50 }, async () => {
          const { conversationId } = await writer.group([{ userId: String(ben['user_id']) }]);
          await writer.say(conversationId, conversationId);
        }),
      );
    const seen = new Set<unknown>();
    for (let ack = ''; ; ) {
      const query = `/get-messages?limit=200&ack=${encodeURIComponent(ack)}`;
      const { status, body } = await ask('GET', query, { as: ben });
      assert.equal(status, 200, JSON.stringify(body));
      for (const { content } of body['messages'] as Json[]) seen.add(content);
      ack = String(body['ack']);
      assert.ok(ack.length <= 4096);
      if (ack === '') break;
    }
    assert.equal(seen.size, groups, 'each was handed out');
    const own = await ask('GET', '/get-messages', { as: anna });
    assert.deepEqual(own.body, { messages: [], ack: '' }, 'nobody else wrote anything');
    // One's own messages before somebody else's neither hide it nor hand it out twice.
    const direct = `direct:${String(ben['user_id'])}`;
    for (let n = 0; n < 12; n++) await writer.say(direct, `own ${n}`);
    const reader = await speaker(server().url, accountOf(ben), 'rest');
    for (const n of [1, 2]) await reader.say(`direct:${String(anna['user_id'])}`, `answer ${n}`);
    const handed: unknown[] = [];
    for (let ack = '', round = 0; round < 3; round++) {
      const query = `/get-messages?limit=1&ack=${encodeURIComponent(ack)}`;
      const { body } = await ask('GET', query, { as: anna });
      handed.push(...(body['messages'] as Json[]).map(({ content }) => content));
      ack = String(body['ack']);
    }
    assert.deepEqual(handed, ['answer 1', 'answer 2']);
  }).timeout(20_000);

  it('POST /update-status and GET /get-status keep a status with the account (case 55, R126)', async () => {
    const [anna, ben] = [await signUp(), await signUp()];
    const set = await ask('POST', '/update-status', {
      body: { status: 'busy', status_text: 'in a meeting' },
      as: anna,
    });
    assert.equal(set.status, 200);
    const query = `/get-status?user_id=${String(anna['user_id'])}`;
    const got = await ask('GET', query, { as: ben });
    const { last_seen: lastSeen, ...rest } = got.body;
    assert.deepEqual(rest, {
      user_id: anna['user_id'],
      status: 'busy',
      status_text: 'in a meeting',
    });
    assert.ok(lastSeen === null || (typeof lastSeen === 'string' && Date.parse(lastSeen) > 0));
    const reader = await speaker(server().url, accountOf(ben), 'rest');
    const user = await reader.do('Users.Get', { userId: anna['user_id'] });
    assert.equal(user.statusText, 'in a meeting');
    const wrong = await ask('POST', '/update-status', { body: { status: 'asleep' }, as: anna });
    assert.deepEqual([wrong.status, wrong.body['reason']], [400, 'UNKNOWN_FIELD']);
    assert.equal((await ask('GET', query, { as: ben })).body['status'], 'busy');
  });

  it('POST /create-group, /add-member and /remove-member make the group that Get shows (case 55, R127, R156, R157)', async () => {
    const [anna, ben, cleo] = [await signUp(), await signUp(), await signUp()];
    const created = await ask('POST', '/create-group', {
      body: { group_name: 'walkers', member_ids: [ben['user_id']] },
      as: anna,
    });
    assert.equal(created.status, 201);
    const groupId = String(created.body['group_id']);
    const owner = await speaker(server().url, accountOf(anna), 'rest');
    const group = await owner.do('Conversations.Get', { conversationId: groupId });
    assert.deepEqual(created.body, {
      group_id: group.conversationId,
      group_name: 'walkers',
      creator_id: anna['user_id'],
      created_at: new Date(group.createTimeMs).toISOString(),
      updated_at: new Date(group.updateTimeMs).toISOString(),
    });
    const member = { group_id: groupId, user_id: cleo['user_id'] };
    const added = await ask('POST', '/add-member', {
      body: { ...member, role: 'admin' },
      as: anna,
    });
    const { members } = await owner.do('Conversations.ListMembers', { conversationId: groupId });
    const found = members.find(({ userId }) => userId === cleo['user_id']);
    assert.deepEqual(added.body, {
      ...member,
      joined_at: new Date(found?.joinTimeMs ?? 0).toISOString(),
      role: 'admin',
    });
    const said = await ask('POST', '/messages', {
      body: { group_id: groupId, content: 'hi' },
      as: cleo,
    });
    assert.equal(said.status, 201);
    const notHis = await ask('POST', '/remove-member', { body: member, as: ben });
    assert.deepEqual([notHis.status, notHis.body['reason']], [403, 'ROLE_REQUIRED']);
    const removed = await ask('POST', '/remove-member', { body: member, as: anna });
    assert.deepEqual([removed.status, removed.body['user_id']], [200, cleo['user_id']]);
    const gone = await ask('POST', '/messages', {
      body: { group_id: groupId, content: 'x' },
      as: cleo,
    });
    assert.deepEqual([gone.status, gone.body['reason']], [403, 'NOT_A_MEMBER']);
  });
});

function compare(a: string, b: string): number {
  return a < b ? -1 : 1;
}
