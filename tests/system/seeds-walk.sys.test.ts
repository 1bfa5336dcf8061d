/** The evening of three people through the seeds' own endpoint names, with a kill -9 in between. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'mocha';
import { call } from '../../bench/accounts.ts';
import { ServerUnderTest } from './server-under-test.ts';

type Json = Readonly<Record<string, unknown>>;

describe('the seeds’ names from sign-up to read (R120, R121, R124, R125, R126, R127; case 55)', () => {
  const server = new ServerUnderTest();
  const people: Record<string, { token: string; userId: string; refreshToken: string }> = {};
  let group = '';

  before(() => server.start());
  after(() => server.remove());

  async function ask(
    who: string,
    what: string,
    body: Json | undefined,
    status: number,
  ): Promise<Json> {
    const [verb = '', path = ''] = what.split(' ');
    const token = people[who]?.token;
    const answer = await call(server.url, verb, path, {
      ...(body === undefined ? {} : { body }),
      ...(token === undefined ? {} : { token }),
    });
    assert.equal(answer.status, status, `${what}: ${JSON.stringify(answer.body)}`);
    return answer.body;
  }
  const get = (who: string, path: string): Promise<Json> => ask(who, `GET ${path}`, undefined, 200);
  const post = (who: string, path: string, body: Json, status = 200): Promise<Json> =>
    ask(who, `POST ${path}`, body, status);
  const idOf = (who: string): string => people[who]?.userId ?? '';

  function contents(answer: Json): unknown[] {
    return (answer['messages'] as Json[]).map((message) => message['content']);
  }

  function statuses(answer: Json): unknown[] {
    return (answer['messages'] as Json[]).map((message) => message['status']);
  }

  it('R124: /signup, /login and /refresh-token', async () => {
    for (const username of ['ana', 'bob', 'cyd']) {
      const password = 'correct horse battery';
      const made = await post('', '/signup', { username, password }, 201);
      const inside = await post('', '/login', { username, password });
      assert.equal(inside['user_id'], made['user_id']);
      people[username] = {
        token: String(inside['access_token']),
        userId: String(inside['user_id']),
        refreshToken: String(inside['refresh_token']),
      };
    }
    const fresh = await post('', '/refresh-token', { refresh_token: people['ana']?.refreshToken });
    assert.ok(Number(fresh['expires_in']) > 0);
    Object.assign(people['ana'] ?? {}, { token: String(fresh['access_token']) });
  });

  it('R126: /update-status and /get-status', async () => {
    await post('ana', '/update-status', { status: 'busy', status_text: 'At the helm' });
    const seen = await get('bob', `/get-status?user_id=${idOf('ana')}`);
    assert.deepEqual([seen['status'], seen['status_text']], ['busy', 'At the helm']);
  });

  it('R120, R125: /send-message and POST /messages; the peer is away, so it is stored', async () => {
    for (const [i, path] of ['/send-message', '/messages'].entries()) {
      const body = { receiver_id: idOf('bob'), message_type: 'text', content: `ahoy ${i + 1}` };
      const sent = await post('ana', path, body, 201);
      assert.deepEqual([sent['sequence'], sent['status']], [i + 1, 'stored']);
    }
  });

  it('R127: /create-group, /add-member, /remove-member', async () => {
    const made = await post(
      'ana',
      '/create-group',
      { group_name: 'Crew', member_ids: [idOf('bob')] },
      201,
    );
    group = String(made['group_id']);
    const joined = await post('ana', '/add-member', { group_id: group, user_id: idOf('cyd') });
    assert.equal(joined['role'], 'member');
    await post('cyd', '/messages', { group_id: group, content: 'hello crew' }, 201);
    await post('ana', '/remove-member', { group_id: group, user_id: idOf('cyd') });
    const refused = await ask('cyd', 'POST /messages', { group_id: group, content: 'x' }, 403);
    assert.equal(refused['reason'], 'NOT_A_MEMBER');
    await post('ana', '/add-member', { group_id: group, user_id: idOf('cyd') });
  });

  it('kill -9: all of it is there once, in order, for whoever is signed in', async () => {
    await server.killAll();
    await server.start();
    const history = await get('ana', `/get-chat-history?user_id=${idOf('bob')}`);
    assert.deepEqual(contents(history), ['ahoy 1', 'ahoy 2']);
    const crew = await get('bob', `/get-chat-history?conversation_id=${group}`);
    assert.deepEqual(contents(crew), ['hello crew'], 'what people wrote, no service rows');
    const seen = await get('bob', `/get-status?user_id=${idOf('ana')}`);
    assert.equal(seen['status_text'], 'At the helm');
  });

  it('R121, R125: stored, delivered by /get-messages, read by a receipt: GET /messages says so', async () => {
    const place = `/messages?user_id=${idOf('bob')}`;
    assert.deepEqual(statuses(await get('ana', place)), ['stored', 'stored']);
    const fetched = await get('bob', '/get-messages');
    assert.deepEqual(new Set(contents(fetched)), new Set(['ahoy 1', 'ahoy 2', 'hello crew']));
    assert.equal(contents(fetched).length, 3);
    const again = await get('bob', '/get-messages');
    assert.equal(contents(again).length, 3, 'until acknowledged they are handed out again');
    const left = await get('bob', `/get-messages?ack=${String(fetched['ack'])}`);
    assert.deepEqual(left, { messages: [], ack: '' });
    assert.deepEqual(statuses(await get('ana', place)), ['delivered', 'delivered']);
    const unread = await get('bob', '/messages');
    assert.equal(unread['unread_count'], 3);
    const resource = await get('bob', `/v1/conversations/direct:${idOf('ana')}`);
    const { conversationId, epoch } = resource;
    await post('bob', '/v1/receipts', { read: [{ conversationId, epoch, sequence: 2 }] }, 204);
    assert.deepEqual(statuses(await get('ana', place)), ['read', 'read']);
    assert.equal((await get('bob', '/messages'))['unread_count'], 1);
  });

  it('R159, R160: GET /conversations has both, newest first', async () => {
    await post('bob', '/messages', { receiver_id: idOf('ana'), content: 'aye' }, 201);
    const { conversations } = await get('ana', '/conversations');
    assert.deepEqual(
      (conversations as Json[]).map((one) => one['type']),
      ['1:1', 'group'],
    );
    assert.equal((conversations as Json[])[0]?.['last_message_preview'], 'aye');
  });
});
