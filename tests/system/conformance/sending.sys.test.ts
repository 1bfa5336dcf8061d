/** Conversations come to be, sends are ordered, repeated and refused: on every carrier alike. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { describe, it } from 'mocha';
import {
  encodeId,
  groupConversationRaw,
  newRawId,
  parseId,
  decodeUuid,
} from '../../../core/ids.ts';
import { people } from './accounts.ts';
import {
  CARRIERS,
  closeAfterEach,
  nameOf,
  speaker,
  text,
  type Carrier,
  type Refusal,
  type Speaker,
} from './carriers.ts';
import { sharedServer } from './house.ts';
import { directId, outboxSend, rows, bodies } from './said.ts';

type Committed = Awaited<ReturnType<Speaker['say']>>;

for (const carrier of CARRIERS) {
  describe(`conformance of sending on ${nameOf(carrier)}`, () => {
    const server = sharedServer();
    closeAfterEach();
    const speakers = async (count: number): Promise<Speaker[]> => {
      const { url } = server();
      return Promise.all((await people(url, count)).map((one) => speaker(url, one, carrier)));
    };

    it('both write first at once: one conversation of the computed id, both rows, one order (case 1)', async () => {
      const [anna, ben] = await pair(speakers);
      const [a, b] = await Promise.all([
        anna.say(`direct:${ben.userId}`, 'from anna'),
        ben.say(`direct:${anna.userId}`, 'from ben'),
      ]);
      assert.equal(a.conversationId, directId(anna, ben));
      assert.equal(b.conversationId, a.conversationId);
      assert.deepEqual(
        [a.sequence, b.sequence].toSorted((x, y) => x - y),
        [1, 2],
      );
      const seen = await Promise.all([anna, ben].map((one) => bodies(one, a.conversationId)));
      assert.deepEqual(seen[0], seen[1]);
      assert.equal(seen[0]?.[a.sequence - 1], 'from anna');
    });

    it('a group created twice with one requestId is one conversation, also at once (case 2, R005)', async () => {
      const [anna, ben] = await pair(speakers);
      const requestId = randomUUID();
      const request = { requestId, name: 'walkers', members: [ben.userId] };
      const [first, second] = await Promise.all([
        anna.do('Conversations.Create', request),
        anna.do('Conversations.Create', request),
      ]);
      const id = groupConversationRaw(
        parseId('usr', anna.userId, 'user'),
        decodeUuid(requestId) ?? new Uint8Array(16),
      );
      assert.equal(first.conversationId, encodeId('cnv', id));
      assert.equal(second.conversationId, first.conversationId);
      assert.equal(first.creatorUserId, anna.userId);
      await anna.do('Conversations.Update', {
        conversationId: first.conversationId,
        conversation: { name: 'runners' },
      });
      const third = await anna.do('Conversations.Create', request);
      assert.equal(third.name, 'runners', 'again = as it stands');
      assert.equal((await rows(anna, first.conversationId)).length, 2);
    });

    it('sends that waited for their offline-made group arrive in order once it was created (case 3)', async () => {
      const [anna, ben] = await pair(speakers);
      const requestId = randomUUID();
      const id = encodeId(
        'cnv',
        groupConversationRaw(
          parseId('usr', anna.userId, 'user'),
          decodeUuid(requestId) ?? new Uint8Array(16),
        ),
      );
      const outboxId = randomUUID();
      const send = (n: number): object => ({
        to: id,
        outboxId,
        clientSeq: n,
        after: n - 1,
        clientMessageId: randomUUID(),
        body: text(`queued ${n}`),
      });
      assert.equal(await anna.refused('Messages.Send', send(1)), 'CONVERSATION_UNKNOWN');
      await anna.do('Conversations.Create', { requestId, name: 'g', members: [ben.userId] });
      for (const n of [1, 2, 3]) await anna.do('Messages.Send', send(n));
      assert.deepEqual(await bodies(ben, id), ['queued 1', 'queued 2', 'queued 3']);
    });

    it('a stranger learns nothing: a real and a random conversation answer the same (case 4, R004)', async () => {
      const [anna, ben, eve] = await speakers(3);
      assert.ok(anna !== undefined && ben !== undefined && eve !== undefined);
      const { conversationId } = await anna.say(`direct:${ben.userId}`, 'private');
      const group = await anna.group([ben]);
      const nobodys = groupConversationRaw(newRawId(Date.now()), newRawId(Date.now()));
      const random = encodeId('cnv', nobodys);
      const asked = async (id: string): Promise<Refusal[]> => [
        await eve.refusal('Conversations.Get', { conversationId: id }),
        await eve.refusal('Conversations.ListMembers', { conversationId: id }),
        await eve.refusal('Messages.List', { conversationId: id }),
        await eve.refusal('Messages.ListRows', { conversationId: id }),
        await eve.refusal('Messages.ListReceipts', { conversationId: id, sequence: 1 }),
        await eve.refusal('Sync.SyncConversation', { conversationId: id }),
        await eve.refusal('Messages.Send', {
          to: id,
          clientMessageId: randomUUID(),
          body: text('x'),
        }),
        await eve.refusal('Conversations.AddMembers', {
          conversationId: id,
          userIds: [eve.userId],
        }),
        await eve.refusal('Conversations.SetMyState', { conversationId: id, me: { pinned: true } }),
        await eve.refusal('Conversations.Close', { conversationId: id }),
        await eve.refusal('Conversations.Update', {
          conversationId: id,
          conversation: { name: 'mine' },
        }),
        await eve.refusal('Conversations.UpdateMember', {
          conversationId: id,
          userId: ben.userId,
          role: 'admin',
        }),
        await eve.refusal('Conversations.RemoveMember', {
          conversationId: id,
          userId: ben.userId,
        }),
        await eve.refusal('Messages.Send', {
          to: id,
          clientMessageId: randomUUID(),
          body: { delete: { target: { sequence: 1 } } },
        }),
      ];
      const unknown = await asked(random);
      for (const { reason } of unknown) assert.equal(reason, 'CONVERSATION_UNKNOWN');
      assert.deepEqual(
        await asked(group.conversationId),
        unknown,
        'reason, code, text and details',
      );
      assert.deepEqual(await asked(conversationId), unknown);
      const { sequence } = await anna.say(group.conversationId, 'for members');
      const mark = { epoch: group.epoch, sequence };
      for (const id of [random, group.conversationId])
        await eve.do('Messages.Report', { read: [{ conversationId: id, ...mark }] });
      const receipts = { conversationId: group.conversationId, sequence };
      const { counts } = await anna.do('Messages.ListReceipts', receipts);
      assert.deepEqual([counts?.of, counts?.read], [1, 0], 'a stranger’s mark counts for nothing');
    });

    it('the same number again, also over another connection, is the original commit (case 6, R138)', async () => {
      const { url } = server();
      const [anna, ben] = await pair(speakers);
      const sent = outboxSend(`direct:${ben.userId}`, randomUUID(), 1);
      const first = await anna.send(sent);
      const again = await anna.send(sent);
      assert.equal(first.replayed, false);
      isReplay(again, first);
      const other: Carrier = carrier === 'rest' ? 'json' : 'rest';
      const elsewhere = await speaker(url, anna.account, other);
      isReplay(await elsewhere.send(sent), first);
      assert.deepEqual(await bodies(ben, first.conversationId), ['1']);
    });

    it('a name used twice without an outbox is one row; other content a conflict (cases 7, 8)', async () => {
      const [anna, ben] = await pair(speakers);
      const to = `direct:${ben.userId}`;
      const clientMessageId = randomUUID();
      const first = await anna.send({ to, clientMessageId, body: text('once') });
      const again = await anna.send({ to, clientMessageId, body: text('once') });
      isReplay(again, first);
      const changed = { to, clientMessageId, body: text('twice') };
      assert.equal(await anna.refused('Messages.Send', changed), 'IDEMPOTENCY_CONFLICT');
      assert.deepEqual(await bodies(ben, first.conversationId), ['once']);
    });

    it('the same number with other content is IDEMPOTENCY_CONFLICT, and nothing is appended (case 8)', async () => {
      const [anna, ben] = await pair(speakers);
      const sent = outboxSend(`direct:${ben.userId}`, randomUUID(), 1);
      const { conversationId } = await anna.send(sent);
      const otherText = { ...sent, body: text('other') };
      const otherName = { ...sent, clientMessageId: randomUUID() };
      assert.equal(await anna.refused('Messages.Send', otherText), 'IDEMPOTENCY_CONFLICT');
      assert.equal(await anna.refused('Messages.Send', otherName), 'IDEMPOTENCY_CONFLICT');
      assert.deepEqual(await bodies(ben, conversationId), ['1']);
    });

    it('what names a missing number as before it is OUT_OF_ORDER; in order both go through (case 9)', async () => {
      const [anna, ben] = await pair(speakers);
      const to = `direct:${ben.userId}`;
      const outbox = randomUUID();
      const second = outboxSend(to, outbox, 2);
      const third = outboxSend(to, outbox, 3);
      const { conversationId } = await anna.send(outboxSend(to, outbox, 1));
      const refusal = await anna.refusal('Messages.Send', third);
      assert.equal(refusal.reason, 'OUT_OF_ORDER');
      assert.equal(refusal.details['lastAccepted'], '1');
      await anna.send(second);
      await anna.send(third);
      assert.equal(
        await anna.refused('Messages.Send', outboxSend(to, randomUUID(), 5)),
        'OUT_OF_ORDER',
        'a new outbox begins with after 0',
      );
      assert.deepEqual(await bodies(ben, conversationId), ['1', '2', '3']);
    });

    it('numbers may skip, and one that was skipped is used no more (case 9)', async () => {
      const [anna, ben] = await pair(speakers);
      const to = `direct:${ben.userId}`;
      const outbox = randomUUID();
      await anna.send({ ...outboxSend(to, outbox, 4), after: 0 });
      await anna.send({ ...outboxSend(to, outbox, 9), after: 4 });
      const skipped = { ...outboxSend(to, outbox, 6), after: 4 };
      assert.equal(await anna.refused('Messages.Send', skipped), 'OUT_OF_ORDER');
    });

    it('a restored phone meets IDEMPOTENCY_CONFLICT in the window and TOO_OLD below it (case 11)', async () => {
      const [anna, ben] = await pair(speakers);
      const to = `direct:${ben.userId}`;
      const outbox = randomUUID();
      let conversationId = '';
      for (let n = 1; n <= 40; n++)
        ({ conversationId } = await anna.send(outboxSend(to, outbox, n)));
      const restored = (n: number): object => ({
        ...outboxSend(to, outbox, n),
        body: text('after the backup'),
      });
      assert.equal(await anna.refused('Messages.Send', restored(40)), 'IDEMPOTENCY_CONFLICT');
      assert.equal(await anna.refused('Messages.Send', restored(9)), 'IDEMPOTENCY_CONFLICT');
      assert.equal(await anna.refused('Messages.Send', restored(8)), 'TOO_OLD');
      await anna.send(outboxSend(to, randomUUID(), 1));
      assert.equal((await rows(ben, conversationId)).length, 41);
    });

    it('a send retried after a removal is still the original commit, a new one is not (case 12, G5)', async () => {
      const [anna, ben] = await pair(speakers);
      const { conversationId } = await anna.group([ben]);
      const sent = outboxSend(conversationId, randomUUID(), 1);
      const named = { to: conversationId, clientMessageId: randomUUID(), body: text('by name') };
      const first = await ben.send(sent);
      const second = await ben.send(named);
      await anna.do('Conversations.RemoveMember', { conversationId, userId: ben.userId });
      isReplay(await ben.send(sent), first);
      isReplay(await ben.send(named), second);
      const next = outboxSend(conversationId, sent.outboxId, 2);
      assert.equal(await ben.refused('Messages.Send', next), 'NOT_A_MEMBER');
      assert.deepEqual(await bodies(anna, conversationId), ['1', 'by name']);
    });

    it('8,000 code points go through, 8,001 are BAD_TEXT, 65 KiB PAYLOAD_TOO_LARGE (case 14)', async () => {
      const [anna, ben] = await pair(speakers);
      const to = `direct:${ben.userId}`;
      const full = '👋'.repeat(8000);
      const { conversationId } = await anna.say(to, full);
      const send = (body: string): object => ({
        to,
        clientMessageId: randomUUID(),
        body: text(body),
      });
      assert.equal(await anna.refused('Messages.Send', send('x'.repeat(8001))), 'BAD_TEXT');
      assert.equal(await anna.refused('Messages.Send', send(`${full}!`)), 'BAD_TEXT');
      assert.equal(
        await anna.refused('Messages.Send', send('x'.repeat(65 * 1024))),
        'PAYLOAD_TOO_LARGE',
      );
      assert.deepEqual(await bodies(ben, conversationId), [full]);
    });

    it('joiners, right-to-left marks and decomposed letters come back byte for byte (case 15)', async () => {
      const [anna, ben] = await pair(speakers);
      const odd = ['👩‍👩‍👧', '\u202eabc\u202c', 'e\u0301', '\u00e9', 'a\tb\nc', '\ufeffx', ' x '];
      const commits = [];
      for (const one of odd) commits.push(await anna.say(`direct:${ben.userId}`, one));
      assert.deepEqual(await bodies(ben, commits[0]?.conversationId ?? ''), odd);
    });

    it('a conversation is in the lists of both right after its first commit (G8)', async () => {
      for (let n = 0; n < 15; n++) {
        const [anna, ben] = await pair(speakers);
        const { conversationId } = await anna.say(`direct:${ben.userId}`, 'first');
        for (const one of [ben, anna]) {
          const { conversations } = await one.do('Sync.ListConversations', {});
          assert.deepEqual(
            conversations.map((conversation) => conversation.conversationId),
            [conversationId],
          );
        }
      }
    });

    it('what is sent after another’s commit has a larger sequence and no earlier time (case 18, G4)', async () => {
      const [anna, ben] = await pair(speakers);
      const { conversationId } = await anna.group([ben]);
      let last = { sequence: 1, timeMs: 0 };
      for (let i = 0; i < 20; i++) {
        const commit = await (i % 2 === 0 ? anna : ben).say(conversationId, `${i}`);
        assert.equal(commit.sequence, last.sequence + 1);
        assert.ok(commit.timeMs >= last.timeMs);
        last = commit;
      }
    });
  });
}

async function pair(speakers: (count: number) => Promise<Speaker[]>): Promise<[Speaker, Speaker]> {
  const [anna, ben] = await speakers(2);
  assert.ok(anna !== undefined && ben !== undefined);
  return [anna, ben];
}

/** How many have no connection is of the moment; all else is the original commit. */
function isReplay(again: Committed, first: Committed): void {
  assert.deepEqual({ ...again, queued: 0 }, { ...first, queued: 0, replayed: true });
}
