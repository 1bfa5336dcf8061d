import assert from 'node:assert/strict';
import { afterEach, describe, it } from 'mocha';
import { HttpHouse } from '../testing/http-house.ts';
import type { Person } from '../testing/tiny-identity.ts';

const house = new HttpHouse();
type Row = Record<string, unknown>;

function rowsOf(json: Row, name = 'messages'): Row[] {
  return json[name] as Row[];
}

async function send(from: Person, to: Person, content: string): Promise<Row> {
  const body = { receiver_id: to.userId, message_type: 'text', content };
  return (await house.ask('POST /messages', { token: from.token, body })).json;
}

describe('seeds’ names (case 55)', () => {
  afterEach(() => house.end());

  it('R120: POST /messages and /send-message append and answer in their columns', async () => {
    const [ann, bob] = (await house.people(2)) as [Person, Person];
    for (const [i, path] of ['/messages', '/send-message'].entries()) {
      const body = { sender_id: ann.userId, receiver_id: bob.userId, content: 'hi' };
      const sent = await house.ask(`POST ${path}`, { token: ann.token, body });
      assert.equal(sent.status, 201);
      assert.deepEqual(Object.keys(sent.json).sort(), [
        'conversation_id',
        'created_at',
        'message_id',
        'sequence',
        'status',
      ]);
      assert.equal(sent.json['sequence'], i + 1);
      assert.equal(sent.json['status'], 'stored');
      assert.match(String(sent.json['created_at']), /^\d{4}-\d\d-\d\dT.*Z$/);
      const listed = await house.ask(
        `GET /v1/conversations/${String(sent.json['conversation_id'])}/messages/${i + 1}`,
        ann,
      );
      const [resource] = rowsOf(listed.json);
      assert.equal(resource?.['messageId'], sent.json['message_id']);
    }
  });

  it('R120: a foreign sender_id is SENDER_MISMATCH and appends nothing (case 13)', async () => {
    const [ann, bob] = (await house.people(2)) as [Person, Person];
    const body = { sender_id: bob.userId, receiver_id: bob.userId, content: 'hi' };
    const refused = await house.ask('POST /messages', { token: ann.token, body });
    assert.deepEqual([refused.status, refused.json['reason']], [403, 'SENDER_MISMATCH']);
    assert.equal(house.running.broker.conversations.size, 0);
  });

  it('R120: refusals name what is wrong; an Idempotency-Key repeats the answer', async () => {
    const [ann, bob] = (await house.people(2)) as [Person, Person];
    const cases: [object, string][] = [
      [{ content: 'x' }, 'BAD_FIELD'],
      [{ receiver_id: bob.userId, group_id: 'cnv_x', content: 'x' }, 'BAD_FIELD'],
      [{ receiver_id: bob.userId }, 'BAD_TEXT'],
      [{ receiver_id: bob.userId, content: 'x', priority: 1 }, 'UNKNOWN_FIELD'],
      [{ receiver_id: bob.userId, content: 'x', message_type: 'poem' }, 'UNKNOWN_FIELD'],
      [{ receiver_id: bob.userId, message_type: 'media' }, 'BAD_FIELD'],
      [{ receiver_id: 'bob', content: 'x' }, 'BAD_ID'],
      [
        {
          receiver_id: bob.userId,
          message_type: 'media',
          media_id: bob.userId.replace('usr', 'med'),
        },
        'MEDIA_UNKNOWN',
      ],
    ];
    for (const [body, reason] of cases) {
      const refused = await house.ask('POST /messages', { token: ann.token, body });
      assert.equal(refused.json['reason'], reason, JSON.stringify(body));
    }
    const body = { receiver_id: bob.userId, content: 'x' };
    const headers = { 'idempotency-key': 'k' };
    await house.ask('POST /messages', { token: ann.token, body, headers });
    const again = await house.ask('POST /messages', { token: ann.token, body, headers });
    assert.equal(again.json['sequence'], 1);
    assert.equal(again.headers.get('idempotent-replayed'), 'true');
  });

  it('R121, R152-R154: history has every column and the status of each message', async () => {
    const [ann, bob] = (await house.people(2)) as [Person, Person];
    const { conversation_id: id } = await send(ann, bob, 'one');
    await send(bob, ann, 'two');
    for (const path of ['/messages', '/get-chat-history']) {
      const { json } = await house.ask(`GET ${path}?user_id=${bob.userId}`, ann);
      const [one, two] = rowsOf(json);
      assert.deepEqual(Object.keys(one ?? {}).sort(), [
        'chat_id',
        'content',
        'conversation_id',
        'created_at',
        'media_url',
        'message_body',
        'message_id',
        'message_type',
        'read',
        'receiver_id',
        'sender_id',
        'sequence',
        'status',
        'timestamp',
      ]);
      assert.deepEqual(
        [one?.['status'], one?.['receiver_id'], one?.['content']],
        ['stored', bob.userId, 'one'],
      );
      assert.deepEqual(
        [two?.['status'], two?.['receiver_id'], two?.['read']],
        ['sent', ann.userId, false],
      );
      assert.equal(json['unread_count'], 1);
    }
    const epoch = 1_700_000_000;
    const report = { read: [{ conversationId: id, epoch, sequence: 1 }] };
    await house.ask('POST /v1/receipts', { token: bob.token, body: report });
    const after = await house.ask(
      `GET /messages?conversation_id=${String(id)}&limit=1&before=2`,
      ann,
    );
    assert.deepEqual(
      rowsOf(after.json).map((row) => [row['sequence'], row['status'], row['read']]),
      [[1, 'read', true]],
    );
    const unread = await house.ask(
      `GET /messages?conversation_id=${String(id)}&filter=unread`,
      ann,
    );
    assert.deepEqual(
      rowsOf(unread.json).map((row) => row['sequence']),
      [2],
    );
  });

  it('R121: without a conversation it is all that is unread', async () => {
    const [ann, bob, cid] = (await house.people(3)) as [Person, Person, Person];
    await send(bob, ann, 'from bob');
    await send(cid, ann, 'from cid');
    await send(ann, cid, 'mine');
    const { json } = await house.ask('GET /messages', ann);
    assert.deepEqual(
      rowsOf(json)
        .map((row) => row['content'])
        .toSorted((a, b) => String(a).localeCompare(String(b))),
      ['from bob', 'from cid'],
    );
    assert.equal(json['unread_count'], 2);
    const empty = await house.ask(`GET /messages?user_id=${bob.userId}`, cid);
    assert.deepEqual(empty.json, { messages: [], unread_count: 0 });
  });

  it('R125: GET /get-messages hands out until its ack comes back', async () => {
    const [ann, bob] = (await house.people(2)) as [Person, Person];
    await send(ann, bob, '1');
    await send(ann, bob, '2');
    const first = await house.ask('GET /get-messages?limit=1', bob);
    assert.deepEqual(
      rowsOf(first.json).map((row) => row['content']),
      ['1'],
    );
    const again = await house.ask('GET /get-messages', bob);
    assert.deepEqual(
      rowsOf(again.json).map((row) => row['content']),
      ['1', '2'],
    );
    const before = await house.ask(`GET /messages?user_id=${bob.userId}`, ann);
    assert.deepEqual(
      rowsOf(before.json).map((row) => row['status']),
      ['stored', 'stored'],
    );
    const next = await house.ask(`GET /get-messages?ack=${String(first.json['ack'])}`, bob);
    assert.deepEqual(
      rowsOf(next.json).map((row) => row['content']),
      ['2'],
    );
    const told = await house.ask(`GET /messages?user_id=${bob.userId}`, ann);
    assert.deepEqual(
      rowsOf(told.json).map((row) => row['status']),
      ['delivered', 'stored'],
    );
    const done = await house.ask(`GET /get-messages?ack=${String(again.json['ack'])}`, bob);
    assert.deepEqual(done.json, { messages: [], ack: '' });
    const bad = await house.ask('GET /get-messages?ack=nonsense', bob);
    assert.equal(bad.json['reason'], 'BAD_CURSOR');
  });

  it('R159, R160: GET /conversations lists them newest first in their columns', async () => {
    const [ann, bob, cid] = (await house.people(3)) as [Person, Person, Person];
    await send(ann, bob, 'first');
    const last = await send(cid, ann, 'x'.repeat(300));
    const { json } = await house.ask('GET /conversations?limit=1', ann);
    const [row] = rowsOf(json, 'conversations');
    assert.equal(row?.['last_message_id'], last['message_id']);
    assert.equal(String(row?.['last_message_preview']).length, 160);
    assert.equal(row?.['type'], '1:1');
    assert.equal(row?.['user_id'], ann.userId);
    assert.match(String(row?.['last_message_at']), /Z$/);
    const next = await house.ask(
      `GET /conversations?page_token=${String(json['next_page_token'])}`,
      ann,
    );
    assert.equal(rowsOf(next.json, 'conversations').length, 1);
  });

  it('R124: sign-up, log-in and refresh answer with tokens in seconds', async () => {
    await house.people(0);
    const body = { username: 'dora', password: 'long enough' };
    const made = await house.ask('POST /signup', { body });
    assert.equal(made.status, 201);
    assert.equal(made.json['expires_in'], 3600);
    const { status } = await house.ask('GET /v1/users/me', {
      token: String(made.json['access_token']),
    });
    assert.equal(status, 200);
    const inside = await house.ask('POST /login', { body });
    assert.equal(inside.status, 200);
    assert.equal(inside.json['user_id'], made.json['user_id']);
    const fresh = await house.ask('POST /refresh-token', {
      body: { refresh_token: inside.json['refresh_token'] },
    });
    assert.equal(fresh.status, 200);
    assert.match(String(fresh.json['device_id']), /^dev_/);
    const wrong = await house.ask('POST /login', { body: { ...body, username: 'nobody' } });
    assert.deepEqual([wrong.status, wrong.json['reason']], [401, 'LOGIN_FAILED']);
    assert.equal(
      (await house.ask('POST /login', { body: { username: 'dora' } })).json['reason'],
      'BAD_FIELD',
    );
  });

  it('R126: a status is kept and read', async () => {
    const [ann, bob] = (await house.people(2)) as [Person, Person];
    const body = { status: 'busy', status_text: 'at sea' };
    const set = await house.ask('POST /update-status', { token: ann.token, body });
    assert.equal(set.json['status'], 'busy');
    const got = await house.ask(`GET /get-status?user_id=${ann.userId}`, bob);
    assert.deepEqual(
      [got.json['user_id'], got.json['status'], got.json['status_text']],
      [ann.userId, 'busy', 'at sea'],
    );
    assert.match(String(got.json['last_seen']), /Z$/);
    const odd = await house.ask('POST /update-status', {
      token: ann.token,
      body: { status: 'odd' },
    });
    assert.equal(odd.json['reason'], 'UNKNOWN_FIELD');
  });

  it('R127, R156, R157: groups are created, members added and removed', async () => {
    const [ann, bob, cid] = (await house.people(3)) as [Person, Person, Person];
    const { token } = ann;
    const body = { group_name: 'Crew', member_ids: [bob.userId] };
    const made = await house.ask('POST /create-group', { token, body });
    assert.equal(made.status, 201);
    assert.deepEqual(Object.keys(made.json).sort(), [
      'created_at',
      'creator_id',
      'group_id',
      'group_name',
      'updated_at',
    ]);
    assert.equal(made.json['creator_id'], ann.userId);
    const member = { group_id: made.json['group_id'], user_id: cid.userId };
    const added = await house.ask('POST /add-member', {
      token,
      body: { ...member, role: 'admin' },
    });
    assert.deepEqual([added.json['user_id'], added.json['role']], [cid.userId, 'admin']);
    assert.match(String(added.json['joined_at']), /Z$/);
    const removed = await house.ask('POST /remove-member', { token, body: member });
    assert.deepEqual([removed.status, removed.json['role']], [200, 'admin']);
    const gone = await house.ask(`GET /messages?conversation_id=${String(member.group_id)}`, cid);
    assert.equal(gone.json['reason'], 'NOT_A_MEMBER');
    const sent = await house.ask('POST /messages', {
      token,
      body: { channel_id: member.group_id, content: 'hi' },
    });
    assert.equal(sent.status, 201);
    const missing = await house.ask('POST /add-member', { token, body: { user_id: cid.userId } });
    assert.equal(missing.json['reason'], 'BAD_FIELD');
  });
});
