/** Sends under way together, and sends whose answer was lost: each is there once, in order. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { describe, it } from 'mocha';
import { people, person } from './accounts.ts';
import { closeAfterEach, connect, restCall, SOCKETS, speaker, text } from './carriers.ts';
import { sharedServer } from './house.ts';
import { directId, outboxSend, rows, bodies } from './said.ts';

describe('conformance of pipelines', () => {
  const server = sharedServer();
  closeAfterEach();

  it('over REST, too: the first is refused, the rest is OUT_OF_ORDER and goes through when resent (case 10)', async () => {
    const { url } = server();
    const [anna, ben] = await Promise.all(
      (await people(url, 2)).map((one) => speaker(url, one, 'rest')),
    );
    assert.ok(anna !== undefined && ben !== undefined);
    const { conversationId: to, sequence } = await ben.say(`direct:${anna.userId}`, 'hands off');
    const outbox = randomUUID();
    const message = { text: { body: 'mine now' } };
    const edit = {
      ...outboxSend(to, outbox, 1),
      body: { edit: { target: { sequence }, message } },
    };
    const [second, third] = [outboxSend(to, outbox, 2), outboxSend(to, outbox, 3)];
    assert.equal(await anna.refused('Messages.Send', edit), 'ROLE_REQUIRED');
    assert.equal(await anna.refused('Messages.Send', second), 'OUT_OF_ORDER');
    assert.equal(await anna.refused('Messages.Send', third), 'OUT_OF_ORDER');
    await anna.send({ ...second, after: 0 });
    await anna.send(third);
    assert.deepEqual(await bodies(ben, to), ['hands off', '2', '3']);
  });

  it('a REST request whose answer never came, retried: each once (case 12, R022)', async () => {
    const { url } = server();
    const [anna, ben] = await people(url, 2);
    assert.ok(anna !== undefined && ben !== undefined);
    const request = (n: number): Parameters<typeof restCall>[1] => ({
      method: 'Messages.Send',
      fields: { to: `direct:${ben.userId}`, body: text(`${n}`) },
      token: anna.accessToken,
      headers: { 'idempotency-key': `retried ${n}` },
    });
    // Cut at different moments: before the request is read, while it is worked on, after its commit.
    for (let n = 0; n < 10; n++) {
      const cut = new AbortController();
      const lost = fetch(new URL(`/v1/conversations/direct:${ben.userId}/messages`, url), {
        method: 'POST',
        headers: { authorization: `Bearer ${anna.accessToken}`, ...request(n).headers },
        body: JSON.stringify({ body: text(`${n}`) }),
        signal: cut.signal,
      }).catch(() => undefined);
      setTimeout(() => cut.abort(), n);
      await lost;
      const { status, body } = await restCall(url, request(n));
      assert.deepEqual([status, body['sequence']], [201, n + 1]);
    }
    const reader = await speaker(url, ben, 'rest');
    assert.equal((await rows(reader, `direct:${anna.userId}`)).length, 10);
  });

  for (const format of SOCKETS) {
    it(`the first of a pipeline is refused: the rest is OUT_OF_ORDER and goes through when resent, over ${format} (case 10)`, async () => {
      const { url } = server();
      const [anna, ben] = await Promise.all(
        (await people(url, 2)).map((one) => speaker(url, one, format)),
      );
      assert.ok(anna !== undefined && ben !== undefined);
      const theirs = await ben.say(`direct:${anna.userId}`, 'hands off');
      const to = theirs.conversationId;
      const outbox = randomUUID();
      const target = { sequence: theirs.sequence };
      const edit = {
        ...outboxSend(to, outbox, 1),
        body: { edit: { target, message: { text: { body: 'mine now' } } } },
      };
      const second = outboxSend(to, outbox, 2);
      const third = outboxSend(to, outbox, 3);
      const reasons = await Promise.all(
        [edit, second, third].map((one) => anna.refused('Messages.Send', one)),
      );
      assert.deepEqual(reasons, ['ROLE_REQUIRED', 'OUT_OF_ORDER', 'OUT_OF_ORDER']);
      await Promise.all([anna.send({ ...second, after: 0 }), anna.send(third)]);
      assert.deepEqual(await bodies(ben, to), ['hands off', '2', '3']);
    });

    it(`a connection cut before its commits, retried on the next: each once, in order, over ${format} (case 12, R022)`, async () => {
      const { url } = server();
      const [anna, ben] = await people(url, 2);
      assert.ok(anna !== undefined && ben !== undefined);
      const outbox = randomUUID();
      const sends = Array.from({ length: 20 }, (_, i) =>
        outboxSend(`direct:${ben.userId}`, outbox, i + 1),
      );
      const cut = await connect(url, format);
      await cut.hello(anna.accessToken);
      for (const [i, send] of sends.entries()) cut.tell({ id: 100 + i, send });
      await cut.until((frame) => frame.commit !== undefined);
      cut.close();
      const next = await speaker(url, anna, format);
      const commits = await Promise.all(sends.map((send) => next.send(send)));
      assert.deepEqual(
        commits.map(({ sequence }) => sequence),
        sends.map((_, i) => i + 1),
      );
      assert.ok(commits[0]?.replayed);
      const reader = await speaker(url, ben, 'rest');
      assert.equal((await rows(reader, commits[0].conversationId)).length, 20);
    });
  }

  it('Idempotency-Key twice is one row, and the second answer says so (case 7)', async () => {
    const { url } = server();
    const [anna, ben] = await people(url, 2);
    assert.ok(anna !== undefined && ben !== undefined);
    for (const key of [randomUUID(), 'order 4711/confirmation']) {
      const request = {
        method: 'Messages.Send' as const,
        fields: { to: `direct:${ben.userId}`, body: text('once') },
        token: anna.accessToken,
        headers: { 'idempotency-key': key },
      };
      const first = await restCall(url, request);
      const again = await restCall(url, request);
      assert.equal(first.status, 201);
      assert.equal(first.headers.get('idempotent-replayed'), null);
      assert.equal(again.status, 201);
      assert.equal(again.headers.get('idempotent-replayed'), 'true');
      assert.equal(again.body['sequence'], first.body['sequence']);
    }
    const reader = await speaker(url, ben, 'rest');
    assert.equal((await rows(reader, `direct:${anna.userId}`)).length, 2);
  });

  it('a foreign sender_id is SENDER_MISMATCH and appends nothing (case 13)', async () => {
    const { url } = server();
    const [anna, ben] = await people(url, 2);
    assert.ok(anna !== undefined && ben !== undefined);
    const response = await fetch(new URL('/send-message', url), {
      method: 'POST',
      headers: { authorization: `Bearer ${anna.accessToken}` },
      body: JSON.stringify({ sender_id: ben.userId, receiver_id: ben.userId, content: 'x' }),
    });
    assert.equal(response.status, 403);
    assert.match(await response.text(), /"reason":"SENDER_MISMATCH"/);
    const reader = await speaker(url, ben, 'rest');
    assert.deepEqual(await rows(reader, `direct:${anna.userId}`), []);
  });

  it('a note to oneself is a direct of one', async () => {
    const { url } = server();
    const anna = await speaker(url, await person(url), 'json');
    const { conversationId } = await anna.say(`direct:${anna.userId}`, 'milk');
    assert.equal(conversationId, directId(anna, anna));
    assert.deepEqual(await bodies(anna, conversationId), ['milk']);
    const conversation = await anna.do('Conversations.Get', { conversationId });
    assert.equal(conversation.memberCount, 1);
    assert.equal(conversation.me?.unreadCount, 0);
  });
});
