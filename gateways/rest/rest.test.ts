import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { connect } from 'node:net';
import { afterEach, describe, it } from 'mocha';
import { ParleyError } from '../../core/errors.ts';
import { encodeId, newRawId } from '../../core/ids.ts';
import { newConversationRaw } from '../testing/new-conversation.ts';
import { HttpHouse } from '../testing/http-house.ts';
import { ALLOWED_ORIGIN } from '../testing/running-gateway.ts';
import type { Person } from '../testing/tiny-identity.ts';

const house = new HttpHouse();

function text(body: string): object {
  return { body: { message: { text: { body } } } };
}

describe('REST', () => {
  afterEach(() => house.end());

  it('sends, lists, reads and reports like the live protocol', async () => {
    const [ann, bob] = (await house.people(2)) as [Person, Person];
    const id = await house.direct(ann, bob, 'hi');
    assert.match(id, /^cnv_/);
    const listed = await house.ask(`GET /v1/conversations/${id}/messages?limit=10`, bob);
    assert.equal(listed.status, 200);
    const [message] = listed.json['messages'] as { sequence: number; senderUserId: string }[];
    assert.equal(message?.sequence, 1);
    assert.equal(message?.senderUserId, ann.userId);
    const epoch = 1_700_000_000;
    const read = { read: [{ conversationId: id, epoch, sequence: 1 }] };
    const reported = await house.ask('POST /v1/receipts', { token: bob.token, body: read });
    assert.equal(reported.status, 204);
    assert.equal(reported.text, '');
    const got = await house.ask(`GET /v1/conversations/${id}`, ann);
    assert.equal(got.json['peerReadThrough'], 1);
    const one = await house.ask(`GET /v1/conversations/${id}/messages/1`, ann);
    assert.equal((one.json['messages'] as unknown[]).length, 1);
    const none = await house.ask(`GET /v1/conversations/${id}/messages/7`, ann);
    assert.equal(none.json['reason'], 'MESSAGE_UNKNOWN');
    const synced = await house.ask(`POST /v1/conversations/${id}:sync`, {
      token: bob.token,
      body: {},
    });
    assert.equal(synced.status, 200);
  });

  it('a direct that nobody wrote to is empty, not unknown; a stranger’s conversation is unknown (case 4)', async () => {
    const [ann, bob, eve] = (await house.people(3)) as [Person, Person, Person];
    const empty = await house.ask(`GET /v1/conversations/direct:${bob.userId}/messages`, ann);
    assert.deepEqual([empty.status, empty.json], [200, {}]);
    const got = await house.ask(`GET /v1/conversations/direct:${bob.userId}`, ann);
    assert.equal(got.json['peerUserId'], bob.userId);
    const real = await house.direct(ann, bob, 'hi');
    const random = encodeId('cnv', newConversationRaw());
    const answers = [];
    for (const id of [real, random])
      for (const part of ['', '/messages', '/members', '/rows']) {
        const { status, json } = await house.ask(`GET /v1/conversations/${id}${part}`, eve);
        answers.push(`${status} ${String(json['reason'])}`);
      }
    assert.deepEqual([...new Set(answers)], ['404 CONVERSATION_UNKNOWN']);
  });

  it('Idempotency-Key twice makes one row and says so; other content is a conflict (cases 7, 8)', async () => {
    const [ann, bob] = (await house.people(2)) as [Person, Person];
    const path = `POST /v1/conversations/direct:${bob.userId}/messages`;
    const headers = { 'idempotency-key': 'order 17' };
    const ask = (body: string): ReturnType<typeof house.ask> =>
      house.ask(path, { token: ann.token, body: text(body), headers });
    const first = await ask('hi');
    assert.equal(first.status, 201);
    assert.equal(first.headers.get('idempotent-replayed'), null);
    const again = await ask('hi');
    assert.equal(again.json['sequence'], 1);
    assert.equal(again.headers.get('idempotent-replayed'), 'true');
    const other = await ask('ho');
    assert.deepEqual([other.status, other.json['reason']], [409, 'IDEMPOTENCY_CONFLICT']);
    assert.equal([...house.running.broker.conversations.values()][0]?.rows.length, 1);
    const tooLong = { 'idempotency-key': 'k'.repeat(129) };
    const bad = await house.ask(path, { token: ann.token, body: text('x'), headers: tooLong });
    assert.equal(bad.json['reason'], 'BAD_FIELD');
  });

  it('a group created twice with one requestId is one conversation (case 2)', async () => {
    const [ann, bob] = (await house.people(2)) as [Person, Person];
    const body = { requestId: randomUUID(), name: 'Crew', members: [bob.userId] };
    const made = await house.ask('POST /v1/conversations', { token: ann.token, body });
    assert.equal(made.status, 201);
    const again = await house.ask('POST /v1/conversations', { token: ann.token, body });
    assert.equal(again.json['conversationId'], made.json['conversationId']);
    assert.equal(again.headers.get('idempotent-replayed'), 'true');
    const { requestId: _requestId, ...rest } = body;
    const byKey = await house.ask('POST /v1/conversations', {
      token: ann.token,
      body: rest,
      headers: { 'idempotency-key': body.requestId },
    });
    assert.equal(byKey.json['conversationId'], made.json['conversationId']);
  });

  it('members are added, given roles, removed and listed', async () => {
    const [ann, bob, cid] = (await house.people(3)) as [Person, Person, Person];
    const body = { requestId: randomUUID(), name: 'Crew', members: [bob.userId] };
    const made = await house.ask('POST /v1/conversations', { token: ann.token, body });
    const path = `/v1/conversations/${String(made.json['conversationId'])}/members`;
    const { token } = ann;
    const added = await house.ask(`POST ${path}`, { token, body: { userIds: [cid.userId] } });
    assert.equal((added.json['members'] as { userId: string }[])[0]?.userId, cid.userId);
    const raised = await house.ask(`PATCH ${path}/${cid.userId}`, {
      token,
      body: { role: 'admin' },
    });
    assert.equal((raised.json['members'] as { role: string }[])[0]?.role, 'admin');
    const removed = await house.ask(`DELETE ${path}/${bob.userId}`, ann);
    assert.equal(removed.status, 200);
    const left = await house.ask(`DELETE ${path}/me`, cid);
    assert.equal(left.status, 200);
    const listed = await house.ask(`GET ${path}`, ann);
    assert.equal((listed.json['members'] as unknown[]).length, 1);
    const gone = await house.ask(`GET ${path}`, cid);
    assert.deepEqual([gone.status, gone.json['reason']], [403, 'NOT_A_MEMBER']);
    const nobody = encodeId('usr', newRawId(Date.now()));
    const unknown = await house.ask(`POST ${path}`, { token, body: { userIds: [nobody] } });
    assert.deepEqual([unknown.status, unknown.json['reason']], [404, 'USER_UNKNOWN']);
  });

  it('edits, deletes and reactions are sends with a target', async () => {
    const [ann, bob] = (await house.people(2)) as [Person, Person];
    const id = await house.direct(ann, bob, 'hi');
    const message = `/v1/conversations/${id}/messages/1`;
    const { token } = ann;
    const edit = { message: { text: { body: 'ho' } } };
    assert.equal((await house.ask(`PATCH ${message}`, { token, body: edit })).json['sequence'], 2);
    const emoji = encodeURIComponent('👍🏽');
    assert.equal((await house.ask(`PUT ${message}/reactions/${emoji}`, { token })).status, 200);
    assert.equal((await house.ask(`DELETE ${message}/reactions/${emoji}`, { token })).status, 200);
    assert.equal((await house.ask(`DELETE ${message}`, { token })).json['sequence'], 5);
    const rows = await house.ask(`GET /v1/conversations/${id}/rows`, ann);
    const bodies = (rows.json['rows'] as { body: object }[]).map((row) => row.body);
    assert.deepEqual(bodies.slice(1), [
      { edit: { target: { sequence: 1 }, message: { text: { body: 'ho' } } } },
      { reaction: { target: { sequence: 1 }, emoji: '👍🏽', op: 'add' } },
      { reaction: { target: { sequence: 1 }, emoji: '👍🏽', op: 'remove' } },
      { delete: { target: { sequence: 1 } } },
    ]);
  });

  it('pages of conversations neither repeat nor leave out; their tokens are bound to caller and arguments', async () => {
    const [ann] = (await house.people(1)) as [Person];
    const { identity } = house.running;
    const made = new Set<string>();
    for (let i = 0; i < 7; i++) made.add(await house.direct(ann, identity.person(`p${i}`), 'x'));
    const seen: string[] = [];
    let page = await house.ask('GET /v1/conversations?pageSize=3', ann);
    const firstToken = String(page.json['nextPageToken']);
    for (;;) {
      seen.push(
        ...(page.json['conversations'] as { conversationId: string }[]).map(
          (c) => c.conversationId,
        ),
      );
      const next = page.json['nextPageToken'];
      if (typeof next !== 'string') break;
      assert.equal(page.json['syncToken'], undefined);
      page = await house.ask(`GET /v1/conversations?pageSize=3&pageToken=${next}`, ann);
    }
    assert.equal(seen.length, 7);
    assert.deepEqual(new Set(seen), made);
    const token = String(page.json['syncToken']);
    assert.ok(token.length <= 4096);
    const delta = await house.ask(`GET /v1/conversations?since=${token}`, ann);
    assert.equal(delta.json['conversations'], undefined);
    await house.direct(ann, identity.person('late'), 'x');
    const later = await house.ask(`GET /v1/conversations?since=${token}`, ann);
    assert.equal((later.json['conversations'] as unknown[]).length, 1);
    const bob = identity.person('bob');
    for (const asker of [
      { token: bob.token, query: `pageToken=${firstToken}` },
      { token: ann.token, query: `pageToken=${firstToken}&messages=3` },
      { token: ann.token, query: 'pageToken=nonsense' },
    ]) {
      const refused = await house.ask(`GET /v1/conversations?${asker.query}`, asker);
      assert.deepEqual([refused.status, refused.json['reason']], [400, 'BAD_PAGE_TOKEN']);
    }
    const stolen = await house.ask(`GET /v1/conversations?since=${token}`, bob);
    assert.equal(stolen.json['reason'], 'BAD_CURSOR');
  });

  it('errors have Connect’s shape and repeat what they are about; X-Request-Id goes through', async () => {
    const [ann] = (await house.people(1)) as [Person];
    const refused = await house.ask('GET /v1/conversations/cnv_x', {
      token: ann.token,
      headers: { 'x-request-id': 'mine-1' },
    });
    assert.equal(refused.status, 400);
    const { code, reason, requestId, details } = refused.json;
    assert.deepEqual([code, reason, requestId], ['invalid_argument', 'BAD_ID', 'mine-1']);
    assert.equal((details as { type: string }[])[0]?.type, 'parley.v1.ErrorInfo');
    assert.equal(refused.headers.get('x-request-id'), 'mine-1');
    const fresh = await house.ask('GET /v1/users/me');
    assert.match(fresh.headers.get('x-request-id') ?? '', /^req_/);
    assert.deepEqual([fresh.status, fresh.json['reason']], [401, 'TOKEN_INVALID']);
  });

  it('bad input is refused with its reason and appends nothing (cases 14, 15, 16)', async () => {
    const [ann, bob] = (await house.people(2)) as [Person, Person];
    const path = `POST /v1/conversations/direct:${bob.userId}/messages`;
    const cases: [unknown, number, string][] = [
      [text('x'.repeat(8001)), 400, 'BAD_TEXT'],
      [text('x'.repeat(65 * 1024)), 413, 'PAYLOAD_TOO_LARGE'],
      ['{"body":{"message":{"text":{"body":"\\ud800"}}}}', 400, 'BAD_TEXT'],
      [text('a\u0000b'), 400, 'BAD_TEXT'],
      [text(''), 400, 'BAD_TEXT'],
      [{ body: { message: { text: { body: 'x', colour: 'red' } } } }, 400, 'UNKNOWN_FIELD'],
      [{ body: { pin: { target: { sequence: 1 }, op: 'stick' } } }, 400, 'UNKNOWN_FIELD'],
      [{ to: `direct:${ann.userId}`, ...text('x') }, 400, 'BAD_FIELD'],
      [{ clientMessageId: 'x', ...text('x') }, 400, 'BAD_ID'],
      ['{', 400, 'MALFORMED'],
      ['[]', 400, 'MALFORMED'],
      ['x'.repeat(257 * 1024), 413, 'PAYLOAD_TOO_LARGE'],
    ];
    for (const [body, status, reason] of cases) {
      const refused = await house.ask(path, { token: ann.token, body });
      assert.deepEqual([refused.status, refused.json['reason']], [status, reason]);
    }
    const unknown = await house.ask(path, {
      token: ann.token,
      body: { body: { message: { text: { body: 'x', colour: 1 } } } },
    });
    assert.deepEqual(unknown.json['metadata'], { path: 'body.message.text.colour' });
    const nobody = encodeId('usr', newRawId(Date.now()));
    const lost = await house.ask(`POST /v1/conversations/direct:${nobody}/messages`, {
      token: ann.token,
      body: text('x'),
    });
    assert.deepEqual([lost.status, lost.json['reason']], [404, 'USER_UNKNOWN']);
    assert.equal(house.running.broker.conversations.size, 0);
    const whole = '👨‍👩‍👧‍👦 שלום e\u0301 \t\n' + 'x'.repeat(7900);
    const id = await house.direct(ann, bob, whole);
    const listed = await house.ask(`GET /v1/conversations/${id}/messages`, bob);
    const [message] = listed.json['messages'] as { content: unknown }[];
    assert.deepEqual(message?.content, { message: { text: { body: whole } } });
  });

  it('wrong paths and methods are PROTOCOL_UNSUPPORTED', async () => {
    await house.people(0);
    for (const line of [
      'GET /v1/nothing',
      'PUT /v1/conversations',
      'DELETE /v1/meta',
      'POST /',
      'GET /x.js',
    ]) {
      const refused = await house.ask(line);
      assert.deepEqual(
        [refused.status, refused.json['reason']],
        [501, 'PROTOCOL_UNSUPPORTED'],
        line,
      );
    }
  });

  it('the 601st call in a minute is 429 with Retry-After, others go on (case 57)', async () => {
    await house.open({ requestRate: 5 });
    const ann = house.running.identity.person('ann');
    const bob = house.running.identity.person('bob');
    const first = await house.ask('GET /v1/users/me', ann);
    assert.equal(first.headers.get('ratelimit-policy'), '"user";q=5;w=60');
    assert.match(first.headers.get('ratelimit') ?? '', /^"user";r=4;t=(60|59)$/);
    for (let i = 0; i < 4; i++) await house.ask('GET /v1/users/me', ann);
    const refused = await house.ask('GET /v1/users/me', ann);
    assert.deepEqual([refused.status, refused.json['reason']], [429, 'RATE_LIMITED']);
    assert.ok(Number(refused.headers.get('retry-after')) > 50);
    assert.equal((await house.ask('GET /v1/users/me', bob)).status, 200);
  });

  it('strangers behind a trusted proxy are counted one by one, IPv6 by its /64', async () => {
    await house.open({ requestRate: 2 });
    house.running.identity.person('ann');
    const logIn = async (forwardedFor: string): Promise<number> => {
      const headers = { 'x-forwarded-for': forwardedFor };
      const body = { username: 'ann', password: 'irrelevant here' };
      return (await house.ask('POST /v1/auth/login', { headers, body })).status;
    };
    for (const address of ['198.51.100.1', '2001:db8:1:2::1']) {
      assert.equal(await logIn(address), 200);
      // What a client puts there itself stands further left, and makes nobody of it.
      assert.equal(await logIn(`6.6.6.6, ${address}`), 200);
      assert.equal(await logIn(`7.7.7.7, ${address}`), 429, address);
    }
    assert.equal(await logIn('2001:db8:1:2:ffff::9'), 429);
    assert.equal(await logIn('2001:db8:1:3::1'), 200);
    assert.equal(await logIn('198.51.100.2'), 200);
    assert.equal(house.running.identity.addresses.at(-1), '198.51.100.2');
  });

  it('meta and gateways need no token; other origins are denied, allowed ones get CORS headers', async () => {
    await house.people(0);
    const meta = await house.ask('GET /v1/meta');
    assert.equal(meta.json['webSocketUrl'], 'ws://127.0.0.1:9001/v1/ws');
    assert.equal((meta.json['limits'] as { frameBytesMax: number }).frameBytesMax, 262_144);
    const gateways = JSON.parse((await house.ask('GET /v1/gateways')).text) as { url: string }[];
    assert.equal(gateways[0]?.url, house.url);
    const denied = await house.ask('GET /v1/meta', { headers: { origin: 'https://evil.example' } });
    assert.deepEqual([denied.status, denied.json['reason']], [403, 'ORIGIN_DENIED']);
    const allowed = await house.ask('OPTIONS /v1/users/me', {
      headers: { origin: ALLOWED_ORIGIN },
    });
    assert.equal(allowed.status, 204);
    assert.equal(allowed.headers.get('access-control-allow-origin'), ALLOWED_ORIGIN);
    const own = await house.ask('GET /v1/meta', { headers: { origin: house.url } });
    assert.equal(own.status, 200);
    assert.equal(own.headers.get('access-control-allow-origin'), null);
  });

  it('accounts are away: BACKEND_UNAVAILABLE; a revoked session: 401 (case 32)', async () => {
    const [ann] = (await house.people(1)) as [Person];
    const { identity } = house.running;
    identity.isDown = true;
    const away = await house.ask('GET /v1/users/me', ann);
    assert.deepEqual([away.status, away.json['reason']], [503, 'BACKEND_UNAVAILABLE']);
    identity.isDown = false;
    identity.refused.set(ann.token, new ParleyError('SESSION_REVOKED', 'signed out'));
    const revoked = await house.ask('GET /v1/users/me', ann);
    assert.deepEqual([revoked.status, revoked.json['reason']], [401, 'SESSION_REVOKED']);
  });

  it('own settings change by what is present; other features are off', async () => {
    const [ann, bob] = (await house.people(2)) as [Person, Person];
    const id = await house.direct(ann, bob, 'x');
    const { token } = ann;
    const path = `PATCH /v1/conversations/${id}/me`;
    assert.equal((await house.ask(path, { token, body: { archived: false } })).status, 200);
    const command = house.running.broker.commands.at(-1);
    assert.deepEqual(command !== undefined && 'archived' in command && command.archived, false);
    const wrong = await house.ask(path, { token, body: { role: 'owner' } });
    assert.equal(wrong.json['reason'], 'BAD_FIELD');
    const loud = await house.ask(path, { token, body: { notify: 'loud' } });
    assert.equal(loud.json['reason'], 'UNKNOWN_FIELD');
    const mls = await house.ask('POST /v1/conversations', {
      token,
      body: { requestId: randomUUID(), name: 'x', encryption: 'mls' },
    });
    assert.deepEqual([mls.status, mls.json['reason']], [501, 'FEATURE_DISABLED']);
    const closed = await house.ask(`DELETE /v1/conversations/${id}`, ann);
    assert.equal(closed.json['closed'], true);
    const late = await house.ask(`POST /v1/conversations/${id}/messages`, {
      token,
      body: text('x'),
    });
    assert.equal(late.json['reason'], 'CONVERSATION_CLOSED');
  });

  it('a request that is broken off is CANCELED, not a fault of the server', async () => {
    await house.open();
    const socket = connect(Number(new URL(house.url).port), '127.0.0.1');
    socket.write(
      'POST /v1/auth/login HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"username"',
    );
    await new Promise((resolve) => setTimeout(resolve, 30));
    socket.destroy();
    await new Promise((resolve) => setTimeout(resolve, 50));
    const statuses = house.rest.metrics().map(({ labels }) => labels?.['status']);
    assert.deepEqual(statuses, ['499']);
  });

  it('a page of an allowed origin may ask under the plain names too', async () => {
    await house.people(1);
    for (const path of ['/messages', '/login', '/v1/auth/login']) {
      const headers = { origin: ALLOWED_ORIGIN, 'access-control-request-method': 'POST' };
      const asked = await house.ask(`OPTIONS ${path}`, { headers });
      assert.equal(asked.status, 204, path);
      assert.equal(asked.headers.get('access-control-allow-origin'), ALLOWED_ORIGIN);
    }
    const foreign = await house.ask('OPTIONS /messages', { headers: { origin: 'http://evil' } });
    assert.equal(foreign.json['reason'], 'ORIGIN_DENIED');
  });

  it('a query that names parts of a number is a bad field, not a fault', async () => {
    const [ann] = (await house.people(1)) as [Person];
    const { json } = await house.ask('GET /messages?limit.toString=1&limit.valueOf=1', ann);
    assert.equal(json['reason'], 'BAD_FIELD');
  });
});
