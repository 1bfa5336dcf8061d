import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { afterEach, describe, it } from 'mocha';
import { HttpHouse } from '../testing/http-house.ts';
import type { Person } from '../testing/tiny-identity.ts';

const house = new HttpHouse();

describe('REST: If-Match and If-None-Match', () => {
  afterEach(() => house.end());

  it('a stale If-Match changes nothing, a known If-None-Match is 304 (case 56)', async () => {
    const [ann] = (await house.people(1)) as [Person];
    const { token } = ann;
    const me = await house.ask('GET /v1/users/me', ann);
    const etag = me.headers.get('etag') ?? '';
    const known = await house.ask('GET /v1/users/me', {
      token,
      headers: { 'if-none-match': etag },
    });
    assert.deepEqual([known.status, known.text], [304, '']);
    const patch = (name: string): ReturnType<typeof house.ask> =>
      house.ask('PATCH /v1/users/me', {
        token,
        body: { displayName: name },
        headers: { 'if-match': etag },
      });
    assert.equal((await patch('Ann')).json['displayName'], 'Ann');
    const stale = await patch('Bea');
    assert.deepEqual([stale.status, stale.json['reason']], [412, 'VERSION_CONFLICT']);
    assert.equal((await house.ask('GET /v1/users/me', ann)).json['displayName'], 'Ann');
    const made = await house.ask('POST /v1/conversations', {
      token,
      body: { requestId: randomUUID(), name: 'Crew' },
    });
    const path = `/v1/conversations/${String(made.json['conversationId'])}`;
    const renamed = await house.ask(`PATCH ${path}`, {
      token,
      body: { name: 'Deck' },
      headers: { 'if-match': made.headers.get('etag') ?? '' },
    });
    assert.equal(renamed.json['name'], 'Deck');
    const late = await house.ask(`PATCH ${path}`, {
      token,
      body: { name: 'Hull' },
      headers: { 'if-match': '"1"' },
    });
    assert.equal(late.status, 412);
    const unchanged = await house.ask(`GET ${path}`, {
      token,
      headers: { 'if-none-match': renamed.headers.get('etag') ?? '' },
    });
    assert.equal(unchanged.status, 200);
  });

  it('members and the end of a group wait for the etag of If-Match, too (case 56)', async () => {
    const [ann, bo, cy] = (await house.people(3)) as [Person, Person, Person];
    const { token } = ann;
    const made = await house.ask('POST /v1/conversations', {
      token,
      body: { requestId: randomUUID(), name: 'Crew', members: [bo.userId] },
    });
    const read = made.headers.get('etag') ?? '';
    const path = `/v1/conversations/${String(made.json['conversationId'])}`;
    const renamed = await house.ask(`PATCH ${path}`, { token, body: { name: 'Deck' } });
    const now = renamed.headers.get('etag') ?? '';
    const writes = [
      [`POST ${path}/members`, { userIds: [cy.userId] }],
      [`PATCH ${path}/members/${bo.userId}`, { role: 'admin' }],
      [`DELETE ${path}/members/${bo.userId}`, undefined],
      [`DELETE ${path}`, undefined],
    ] as const;
    const write = (i: number, etag: string): ReturnType<typeof house.ask> => {
      const [what, body] = writes[i] ?? writes[0];
      const headers = { 'if-match': etag };
      return house.ask(what, { token, headers, ...(body === undefined ? {} : { body }) });
    };
    const rows = async (): Promise<number> =>
      ((await house.ask(`GET ${path}/rows`, ann)).json['rows'] as object[]).length;
    const before = await rows();
    for (const i of writes.keys())
      for (const etag of [read, '"yesterday"']) {
        const stale = await write(i, etag);
        assert.deepEqual([stale.status, stale.json['reason']], [412, 'VERSION_CONFLICT']);
      }
    assert.equal(await rows(), before);
    for (const i of writes.keys()) {
      const { status } = await write(i, i === 0 ? '*' : now);
      assert.ok(status < 300, `${writes[i]?.[0]}: ${status}`);
    }
    assert.equal(await rows(), before + writes.length);
  });

  it('an If-Match that cannot be judged is refused, never ignored (case 56)', async () => {
    const [ann, bo] = (await house.people(2)) as [Person, Person];
    const { token } = ann;
    const id = await house.direct(ann, bo, 'hi');
    const message = `/v1/conversations/${id}/messages/1`;
    const headers = { 'if-match': '"999"' };
    for (const [line, body] of [
      [`PATCH ${message}`, { message: { text: { body: 'ho' } } }],
      [`DELETE ${message}`, undefined],
      [`DELETE /v1/devices/${ann.deviceId}`, undefined],
      [`PATCH /v1/conversations/${id}/me`, { archived: true }],
      ['DELETE /v1/auth/sessions/current', undefined],
      ['POST /send-message', { receiver_id: bo.userId, content: 'ho' }],
      ['GET /v1/users/me', undefined],
    ] as const) {
      const refused = await house.ask(line, { token, headers, body });
      assert.deepEqual([refused.status, refused.json['reason']], [400, 'UNKNOWN_FIELD'], line);
      assert.deepEqual(refused.json['metadata'], { path: 'ifMatch' });
    }
    assert.equal([...house.running.broker.conversations.values()][0]?.rows.length, 1);
  });

  it('an empty etag in If-Match is nobody’s, not anybody’s (case 56)', async () => {
    const [ann] = (await house.people(1)) as [Person];
    const { token } = ann;
    const group = { requestId: randomUUID(), name: 'Crew' };
    const made = await house.ask('POST /v1/conversations', { token, body: group });
    const path = `/v1/conversations/${String(made.json['conversationId'])}`;
    for (const [line, body] of [
      [`PATCH ${path}`, { name: 'Deck' }],
      [`DELETE ${path}`, undefined],
      ['PATCH /v1/users/me', { displayName: 'Ann' }],
    ] as const)
      for (const etag of ['""', 'W/""', '']) {
        const stale = await house.ask(line, { token, headers: { 'if-match': etag }, body });
        assert.deepEqual([stale.status, stale.json['reason']], [412, 'VERSION_CONFLICT'], line);
      }
    assert.equal((await house.ask(`GET ${path}`, ann)).json['etag'], made.json['etag']);
  });
});
