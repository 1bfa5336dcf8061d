/** What becomes of a message: receipts, edits, deletes, cursors, pages. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { describe, it } from 'mocha';
import { device, people, type Account } from './accounts.ts';
import {
  CARRIERS,
  closeAfterEach,
  nameOf,
  online,
  rawRest,
  speaker,
  type Carrier,
  type Speaker,
} from './carriers.ts';
import { ownServer, sharedServer } from './house.ts';

const EDIT_WINDOW_MS = 600;
const EDITS_MAX = 100;

for (const carrier of CARRIERS) {
  describe(`conformance of receipts and changes on ${nameOf(carrier)}`, () => {
    const server = sharedServer();
    closeAfterEach();
    const two = async (): Promise<[Account, Account]> => {
      const [anna, ben] = await people(server().url, 2);
      assert.ok(anna !== undefined && ben !== undefined);
      return [anna, ben];
    };

    it('read on the phone: the laptop has 0 unread, live and after a restart (case 43, R019)', async () => {
      const { url } = server();
      const [anna, ben] = await two();
      const writer = await speaker(url, anna, 'rest');
      const laptop = await online(url, await device(url, ben, 'laptop'), carrier);
      const phone = await speaker(url, ben, carrier);
      let last = await writer.say(`direct:${ben.userId}`, 'one');
      last = await writer.say(`direct:${ben.userId}`, 'two');
      const { conversationId, sequence } = last;
      const before = await laptop.do('Conversations.Get', { conversationId });
      assert.equal(before.me?.unreadCount, 2);
      await phone.do('Messages.Report', {
        read: [{ conversationId, epoch: before.epoch, sequence }],
      });
      const told = await laptop.socket.until(
        ({ receipts }) => receipts?.conversationId === conversationId && receipts.me !== undefined,
      );
      assert.deepEqual(told.receipts?.me, {
        readThrough: sequence,
        deliveredThrough: sequence,
        unreadCount: 0,
        mentionCount: 0,
        head: sequence,
      });
      laptop.socket.close();
      const restarted = await online(url, laptop.account, carrier);
      const { conversations } = await restarted.do('Sync.ListConversations', {});
      assert.equal(conversations[0]?.me?.unreadCount, 0);
    });

    it('a peer who is offline, connects and opens: stored, delivered, read, live (case 44, R003, R014, R017, R018)', async () => {
      const { url } = server();
      const [anna, ben] = await two();
      const author = await online(url, anna, carrier);
      const sender = carrier === 'rest' ? await speaker(url, anna, 'rest') : author;
      const sent = await sender.say(`direct:${ben.userId}`, 'are you there?');
      const { conversationId, sequence } = sent;
      assert.equal(sent.queued, 1, 'STORED');
      const counts = async (): Promise<unknown> =>
        (await sender.do('Messages.ListReceipts', { conversationId, sequence })).counts;
      assert.deepEqual(await counts(), { sequence, of: 1, queued: 1, delivered: 0, read: 0 });

      const peer = await speaker(url, ben, carrier);
      const listed = await peer.do('Sync.ListConversations', { messages: 5 });
      const [recent] = listed.recent;
      assert.equal(recent?.messages[0]?.content?.message?.text?.body, 'are you there?');
      const epoch = listed.conversations[0]?.epoch ?? 0;
      await peer.do('Messages.Report', { delivered: [{ conversationId, epoch, sequence }] });
      const heard = (wanted: 'deliveredThrough' | 'readThrough'): Promise<unknown> =>
        author.socket.until(
          ({ receipts }) =>
            receipts?.conversationId === conversationId && receipts.peer?.[wanted] === sequence,
        );
      await heard('deliveredThrough');
      assert.deepEqual(await counts(), { sequence, of: 1, queued: 0, delivered: 1, read: 0 });
      await peer.do('Messages.Report', { read: [{ conversationId, epoch, sequence }] });
      await heard('readThrough');
      assert.deepEqual(await counts(), { sequence, of: 1, queued: 0, delivered: 1, read: 1 });
      const conversation = await author.do('Conversations.Get', { conversationId });
      const { peerDeliveredThrough, peerReadThrough } = conversation;
      assert.deepEqual([peerDeliveredThrough, peerReadThrough], [sequence, sequence]);
    });

    it('an older receipt takes nothing back, one above the head is clamped, another epoch ignored (case 45)', async () => {
      const { url } = server();
      const [anna, ben] = await two();
      const writer = await speaker(url, anna, 'rest');
      const reader = await speaker(url, ben, carrier);
      const { conversationId } = await writer.say(`direct:${ben.userId}`, '1');
      for (const n of [2, 3, 4]) await writer.say(conversationId, `${n}`);
      const { epoch } = await reader.do('Conversations.Get', { conversationId });
      const marks = async (): Promise<unknown> => {
        const { me } = await reader.do('Conversations.Get', { conversationId });
        return [me?.deliveredThrough, me?.readThrough, me?.unreadCount];
      };
      const report = (kind: 'read' | 'delivered', sequence: number, of = epoch): Promise<unknown> =>
        reader.do('Messages.Report', { [kind]: [{ conversationId, epoch: of, sequence }] });
      await report('read', 3);
      assert.deepEqual(await marks(), [3, 3, 1], 'read implies delivered');
      await report('read', 1);
      await report('delivered', 2);
      assert.deepEqual(await marks(), [3, 3, 1]);
      await report('read', 4, epoch - 1);
      assert.deepEqual(await marks(), [3, 3, 1]);
      await report('read', 1_000_000);
      assert.deepEqual(await marks(), [4, 4, 0]);
      await writer.say(conversationId, '5');
      assert.deepEqual(await marks(), [4, 4, 1], 'what comes later is not read');
    });

    it('another’s message is ROLE_REQUIRED to edit, a deleted one TARGET_DELETED (case 35)', async () => {
      const { url } = server();
      const [anna, ben] = await two();
      const mine = await speaker(url, anna, carrier);
      const theirs = await speaker(url, ben, 'rest');
      const { conversationId, sequence } = await mine.say(`direct:${ben.userId}`, 'first');
      assert.equal(
        await theirs.refused('Messages.Send', edit(conversationId, sequence, 'ha')),
        'ROLE_REQUIRED',
      );
      assert.equal(
        await theirs.refused('Messages.Send', remove(conversationId, sequence)),
        'ROLE_REQUIRED',
      );
      await mine.do('Messages.Send', edit(conversationId, sequence, 'second'));
      const [message] = (await theirs.do('Messages.List', { conversationId, sequence })).messages;
      assert.equal(message?.content?.message?.text?.body, 'second');
      assert.deepEqual([message.editCount, message.sequence, message.changeSequence], [1, 1, 2]);
      await mine.do('Messages.Send', remove(conversationId, sequence));
      assert.equal(
        await mine.refused('Messages.Send', edit(conversationId, sequence, 'third')),
        'TARGET_DELETED',
      );
      const again = await mine.do('Messages.Send', remove(conversationId, sequence));
      assert.equal(again.sequence, 3, 'deleted again answers the old sequence');
      const { head } = await mine.do('Conversations.Get', { conversationId });
      assert.equal(head, 3);
    });

    it('a deleted message and its edits are gone everywhere, its sequence stays (case 36)', async () => {
      const { url } = server();
      const [anna, ben] = await two();
      const author = await speaker(url, anna, carrier);
      const { conversationId, sequence } = await author.say(`direct:${ben.userId}`, 'SECRET-one');
      await author.do('Messages.Send', edit(conversationId, sequence, 'SECRET-two'));
      await author.do('Messages.Send', remove(conversationId, sequence));
      const reader = await speaker(url, ben, carrier);
      const list = await reader.do('Messages.List', { conversationId });
      const [tombstone] = list.messages;
      assert.deepEqual([tombstone?.sequence, tombstone?.deleted], [sequence, true]);
      assert.equal(tombstone?.content, undefined);
      const rows = await reader.do('Messages.ListRows', { conversationId });
      assert.deepEqual(
        rows.rows.map((row) => row.sequence),
        [1, 2, 3],
      );
      const { epoch } = await reader.do('Conversations.Get', { conversationId });
      const sync = await reader.do('Sync.SyncConversation', { conversationId });
      const changed = await reader.do('Sync.SyncConversation', {
        conversationId,
        cursor: { epoch, sequence: 1 },
      });
      assert.deepEqual(
        changed.changed.map((one) => [one.sequence, one.deleted]),
        [[1, true]],
      );
      const everywhere = [
        list,
        rows,
        sync,
        changed,
        await reader.do('Sync.ListConversations', { messages: 5 }),
      ];
      for (const token of [anna.accessToken, ben.accessToken]) {
        const target = new URL(`/get-chat-history?conversation_id=${conversationId}`, url);
        const headers = { authorization: `Bearer ${token}` };
        everywhere.push((await rawRest(target, { method: 'GET', headers })).body as never);
      }
      for (const said of everywhere) assert.doesNotMatch(JSON.stringify(said), /SECRET/);
    });

    it('around, before, after and at a time neither leave a hole nor overlap (case 40, R100)', async () => {
      const { url } = server();
      const [anna, ben] = await two();
      const author = await online(url, anna);
      const times: number[] = [];
      let conversationId = '';
      for (let n = 1; n <= 60; n++) {
        const commit = (await author.socket.say(`direct:${ben.userId}`, `${n}`)).commit;
        times[n] = commit?.timeMs ?? 0;
        conversationId = commit?.conversationId ?? '';
      }
      const reader = await speaker(url, ben, carrier);
      const page = async (range: object): Promise<number[]> =>
        (await reader.do('Messages.List', { conversationId, limit: 7, ...range })).messages.map(
          ({ sequence }) => sequence,
        );
      const walk = async (from: readonly number[]): Promise<number[]> => {
        const found = [...from];
        for (let more = found; more.length > 0; found.unshift(...more))
          more = await page({ before: found[0] });
        for (let more = found; more.length > 0; found.push(...more))
          more = await page({ after: found.at(-1) });
        return found;
      };
      const whole = Array.from({ length: 60 }, (_, i) => i + 1);
      for (const around of [1, 2, 30, 59, 60]) {
        const middle = await page({ around });
        assert.ok(middle.includes(around));
        assert.deepEqual(await walk(middle), whole, `around ${around}`);
      }
      const at = await page({ atTimeMs: times[30] });
      assert.ok(
        at.some((n) => times[n] === times[30]),
        'at that time',
      );
      assert.deepEqual(await walk(at), whole);
      assert.deepEqual(await walk(await page({})), whole);
      assert.deepEqual(await page({ before: 8 }), whole.slice(0, 7));
      assert.deepEqual(await page({ after: 53 }), whole.slice(53));
    }).timeout(20_000);

    it('a cursor of another epoch is CURSOR_TRUNCATED and says where to begin (case 42)', async () => {
      const { url } = server();
      const [anna, ben] = await two();
      const reader = await speaker(url, anna, carrier);
      const { conversationId } = await reader.say(`direct:${ben.userId}`, 'x');
      const { epoch } = await reader.do('Conversations.Get', { conversationId });
      for (const method of ['Messages.ListRows', 'Sync.SyncConversation'] as const)
        for (const other of [epoch - 1, epoch + 1]) {
          const cursor = { epoch: other, sequence: 1 };
          const refusal = await reader.refusal(method, { conversationId, cursor });
          assert.equal(refusal.reason, 'CURSOR_TRUNCATED');
          assert.deepEqual(refusal.details, { epoch: String(epoch), first: '1' });
        }
    });
  });
}

describe('conformance of late edits', () => {
  const server = ownServer({ PARLEY_EDIT_WINDOW_MS: String(EDIT_WINDOW_MS) });
  closeAfterEach();

  it('a late edit is EDIT_WINDOW_PASSED, a late delete is not (case 35)', async () => {
    const { url } = server();
    const [anna, ben] = await people(url, 2);
    assert.ok(anna !== undefined && ben !== undefined);
    const late = async (carrier: Carrier, to: string, sequence: number): Promise<Speaker> => {
      const one = await speaker(url, anna, carrier);
      const refused = await one.refused('Messages.Send', edit(to, sequence, 'too late'));
      assert.equal(refused, 'EDIT_WINDOW_PASSED', nameOf(carrier));
      return one;
    };
    const author = await online(url, anna);
    const { conversationId, sequence } = await author.say(`direct:${ben.userId}`, 'old');
    await author.do('Messages.Send', edit(conversationId, sequence, 'in time'));
    await new Promise((done) => setTimeout(done, EDIT_WINDOW_MS + 100));
    for (const carrier of CARRIERS) await late(carrier, conversationId, sequence);
    const rest = await speaker(url, anna, 'rest');
    await rest.do('Messages.Send', remove(conversationId, sequence));
  });
});

describe('conformance of many edits', () => {
  const server = sharedServer();
  closeAfterEach();

  it('a message is edited a hundred times, not once more (case 35)', async () => {
    const { url } = server();
    const [anna, ben] = await people(url, 2);
    assert.ok(anna !== undefined && ben !== undefined);
    const author = await online(url, anna);
    const { conversationId, sequence } = await author.say(`direct:${ben.userId}`, '0');
    for (let n = 1; n <= EDITS_MAX; n++)
      await author.do('Messages.Send', edit(conversationId, sequence, `${n}`));
    const once = edit(conversationId, sequence, 'more');
    assert.equal(await author.refused('Messages.Send', once), 'EDIT_WINDOW_PASSED');
    const [message] = (await author.do('Messages.List', { conversationId })).messages;
    assert.deepEqual(
      [message?.content?.message?.text?.body, message?.editCount],
      [String(EDITS_MAX), EDITS_MAX],
    );
  }).timeout(20_000);
});

function edit(to: string, sequence: number, body: string): object {
  const content = { edit: { target: { sequence }, message: { text: { body } } } };
  return { to, clientMessageId: randomUUID(), body: content };
}

function remove(to: string, sequence: number): object {
  return { to, clientMessageId: randomUUID(), body: { delete: { target: { sequence } } } };
}
