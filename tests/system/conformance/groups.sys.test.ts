/** Who is in a group, what he may see of it, and how many have it. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { before, describe, it } from 'mocha';
import { device, people, type Account } from './accounts.ts';
import {
  CARRIERS,
  closeAfterEach,
  nameOf,
  online,
  speaker,
  text,
  type Speaker,
} from './carriers.ts';
import { sharedServer } from './house.ts';

const FULL = 500;
const JOINED_AT = 500;
const GROUP = 50;
const ONLINE = 30;

for (const carrier of CARRIERS) {
  describe(`conformance of membership on ${nameOf(carrier)}`, () => {
    const server = sharedServer();
    closeAfterEach();

    it('joined at 500 with from_join: 1-499 are invisible everywhere (case 41, R004)', async () => {
      const { url } = server();
      const [anna, ben] = await people(url, 2);
      assert.ok(anna !== undefined && ben !== undefined);
      const owner = await online(url, anna);
      const { conversationId, epoch } = await owner.group([]);
      for (let sent = 0; sent < JOINED_AT - 2; sent += 30) {
        const count = Math.min(30, JOINED_AT - 2 - sent);
        await Promise.all(
          Array.from({ length: count }, () => owner.socket.say(conversationId, 'before')),
        );
      }
      const { sequence } = await owner.do('Conversations.AddMembers', {
        conversationId,
        userIds: [ben.userId],
      });
      assert.equal(sequence, JOINED_AT);
      const after = await owner.say(conversationId, 'after');
      const joined = await speaker(url, ben, carrier);
      const mine = await joined.do('Conversations.Get', { conversationId });
      assert.equal(mine.me?.historyFrom, JOINED_AT);
      assert.deepEqual([mine.me.unreadCount, mine.me.readThrough], [1, JOINED_AT]);
      const places = [JOINED_AT, after.sequence];
      const asked: object[] = [{}, { before: JOINED_AT + 5 }, { after: 3 }, { around: 250 }];
      asked.push({ atTimeMs: 1 }, { before: 400 }, { limit: 200 });
      for (const range of asked) {
        const page = await joined.do('Messages.List', { conversationId, ...range });
        const seen = page.messages.map((message) => message.sequence);
        assert.ok(
          seen.every((n) => places.includes(n)),
          `${JSON.stringify(range)}: ${seen.join()}`,
        );
        assert.equal(page.first, JOINED_AT);
      }
      for (const n of [1, 250, 499]) {
        const one = { conversationId, sequence: n };
        assert.equal(await joined.refused('Messages.List', one), 'MESSAGE_UNKNOWN');
        assert.equal(await joined.refused('Messages.ListReceipts', one), 'MESSAGE_UNKNOWN');
        const target = { sequence: n };
        const edit = {
          to: conversationId,
          clientMessageId: randomUUID(),
          body: { delete: { target } },
        };
        assert.ok(
          ['MESSAGE_UNKNOWN', 'ROLE_REQUIRED'].includes(
            await joined.refused('Messages.Send', edit),
          ),
        );
      }
      const cursor = { epoch, sequence: 10 };
      assert.equal(
        await joined.refused('Messages.ListRows', { conversationId, cursor }),
        'CURSOR_TRUNCATED',
      );
      const { rows } = await joined.do('Messages.ListRows', { conversationId });
      assert.deepEqual(
        rows.map((row) => row.sequence),
        places,
      );
      const sync = await joined.do('Sync.SyncConversation', { conversationId });
      assert.deepEqual(
        [...sync.messages, ...sync.changed].map((one) => one.sequence),
        places,
      );
      const listed = await joined.do('Sync.ListConversations', { messages: 50 });
      assert.deepEqual(
        listed.recent[0]?.messages.map((one) => one.sequence),
        places,
      );
    }).timeout(20_000);

    it('removed under traffic: nothing after that row, sends are NOT_A_MEMBER (case 49, R008)', async () => {
      const { url } = server();
      const [anna, ben, cleo] = await people(url, 3);
      assert.ok(anna !== undefined && ben !== undefined && cleo !== undefined);
      const owner = await speaker(url, anna, carrier);
      const writer = await online(url, cleo);
      const gone = await online(url, ben, carrier);
      const { conversationId } = await owner.group([ben, cleo]);
      let isOver = false;
      const traffic = (async (): Promise<void> => {
        while (!isOver) await writer.socket.say(conversationId, 'talk');
      })();
      await gone.socket.row(conversationId, 5);
      const { sequence } = await owner.do('Conversations.RemoveMember', {
        conversationId,
        userId: ben.userId,
      });
      await writer.socket.row(conversationId, sequence + 5);
      isOver = true;
      await traffic;
      await gone.socket.until(
        ({ conversations }) => conversations?.removed.includes(conversationId) ?? false,
      );
      const last = gone.socket.rows(conversationId).at(-1)?.sequence ?? 0;
      assert.equal(
        last,
        sequence - 1,
        'the row before the removal is the last, `removed` says the rest',
      );
      const { userId } = ben;
      const rest = await speaker(url, ben, 'rest');
      for (const one of [gone, rest]) {
        const mine = { conversationId };
        const send = { to: conversationId, clientMessageId: randomUUID(), body: text('still?') };
        assert.equal(await one.refused('Messages.Send', send), 'NOT_A_MEMBER');
        assert.equal(await one.refused('Messages.List', mine), 'NOT_A_MEMBER');
        assert.equal(await one.refused('Messages.ListRows', mine), 'NOT_A_MEMBER');
        assert.equal(await one.refused('Sync.SyncConversation', mine), 'NOT_A_MEMBER');
        assert.equal(await one.refused('Conversations.Get', mine), 'NOT_A_MEMBER');
        assert.equal(await one.refused('Conversations.ListMembers', mine), 'NOT_A_MEMBER');
        const { conversations } = await one.do('Sync.ListConversations', {});
        assert.deepEqual(conversations, []);
      }
      const { members } = await owner.do('Conversations.ListMembers', { conversationId });
      assert.ok(!members.some((member) => member.userId === userId));
      await owner.do('Conversations.AddMembers', { conversationId, userIds: [userId] });
      const back = await rest.do('Conversations.Get', { conversationId });
      assert.ok((back.me?.historyFrom ?? 0) > sequence, 'coming back opens nothing older');
    }).timeout(20_000);
  });
}

describe('conformance of large groups', () => {
  const server = sharedServer();
  closeAfterEach();
  let crowd: readonly Account[] = [];
  before(async function () {
    this.timeout(60_000);
    crowd = await people(server().url, FULL + 2);
  });

  it('the 500th joins, the 501st is GROUP_FULL, of two for the last place one gets it (case 48, R009)', async () => {
    const { url } = server();
    const [first, ...others] = crowd;
    assert.ok(first !== undefined);
    for (const carrier of CARRIERS) {
      const owner = await speaker(url, first, carrier);
      const group = await owner.group(others.slice(0, FULL - 2));
      const { conversationId } = group;
      assert.deepEqual([group.memberCount, group.membersMax], [FULL - 1, FULL]);
      const [x, y, z] = others.slice(FULL - 2).map(({ userId }) => userId);
      assert.ok(x !== undefined && y !== undefined && z !== undefined);
      const add = async (userId: string): Promise<string> => {
        const reply = await owner.call('Conversations.AddMembers', {
          conversationId,
          userIds: [userId],
        });
        return 'done' in reply ? 'joined' : reply.refusal.reason;
      };
      const raced = await Promise.all([add(x), add(y)]);
      assert.deepEqual(raced.toSorted(compare), ['GROUP_FULL', 'joined']);
      assert.equal(await add(z), 'GROUP_FULL');
      const after = await owner.do('Conversations.Get', { conversationId });
      assert.equal(after.memberCount, FULL);
      assert.equal(
        await owner.refused('Conversations.Create', {
          requestId: randomUUID(),
          name: 'too many',
          members: others.slice(0, FULL).map(({ userId }) => userId),
        }),
        'GROUP_FULL',
      );
      const listed = new Set<string>();
      for (let pageToken = ''; ; ) {
        const page = await owner.do('Conversations.ListMembers', {
          conversationId,
          pageSize: 200,
          pageToken,
        });
        for (const member of page.members) listed.add(member.userId);
        ({ nextPageToken: pageToken } = page);
        if (pageToken === '') break;
      }
      assert.equal(listed.size, FULL);
    }
  }).timeout(60_000);

  it('50 members, 30 online: pushed to these, stored once, counts are exact (case 46, R020, R184)', async () => {
    const { url } = server();
    const members = crowd.slice(0, GROUP);
    const devices = await Promise.all(
      members.slice(0, ONLINE).map((one, i) => online(url, one, CARRIERS[i % 2])),
    );
    const [author, ...readers] = devices;
    assert.ok(author !== undefined);
    const { conversationId, epoch } = await author.group(members.slice(1));
    const { sequence, queued } = await author.say(conversationId, 'to all of you');
    assert.equal(queued, GROUP - ONLINE);
    await Promise.all(readers.map(({ socket }) => socket.row(conversationId, sequence)));
    const mark = { conversationId, epoch, sequence };
    for (const { socket } of readers) socket.tell({ receipt: { delivered: [mark] } });
    for (const { socket } of readers.slice(0, 10)) socket.tell({ receipt: { read: [mark] } });
    const counts = { of: GROUP - 1, queued: GROUP - ONLINE, delivered: ONLINE - 1, read: 10 };
    const pushed = await author.socket.until(
      ({ receipts }) =>
        receipts?.conversationId === conversationId &&
        receipts.counts.some(
          (one) => one.sequence === sequence && one.read === 10 && one.delivered === ONLINE - 1,
        ),
    );
    assert.deepEqual(pushed.receipts?.counts, [{ sequence, ...counts }]);
    const elsewhere = await Promise.all(
      CARRIERS.slice(1).map(async (carrier) =>
        speaker(url, await device(url, author.account, carrier), carrier),
      ),
    );
    for (const asking of [author, ...elsewhere]) {
      const told = await asking.do('Messages.ListReceipts', { conversationId, sequence });
      assert.deepEqual(told.counts, { sequence, ...counts });
      const have = told.receipts.filter((one) => one.deliveredThrough >= sequence);
      const read = told.receipts.filter((one) => one.readThrough >= sequence);
      assert.deepEqual([have.length, read.length], [ONLINE - 1, 10]);
    }
    const offline = await Promise.all(members.slice(ONLINE).map((one) => online(url, one)));
    for (const { socket } of offline) {
      const { result } = await socket.call('Sync.ListConversations', { messages: 5 });
      assert.ok(result !== undefined);
      socket.tell({ receipt: { delivered: [mark] } });
    }
    await author.socket.until(
      ({ receipts }) =>
        receipts?.counts.some((one) => one.sequence === sequence && one.delivered === GROUP - 1) ??
        false,
    );
    await Promise.all(devices.slice(1, 4).map((one) => sees(one, conversationId, sequence)));
    const after = await author.do('Messages.ListReceipts', { conversationId, sequence });
    assert.deepEqual(after.counts, { sequence, of: 49, queued: 0, delivered: 49, read: 10 });
  }).timeout(30_000);

  it('a group of 100 and more tells who does not look at it its head; who looks gets bodies (R007)', async () => {
    const { url } = server();
    const members = crowd.slice(0, 120);
    const [a, b, c] = await Promise.all(members.slice(0, 3).map((one) => online(url, one)));
    assert.ok(a !== undefined && b !== undefined && c !== undefined);
    const { conversationId } = await a.group(members.slice(1));
    b.socket.tell({ focus: { conversations: [conversationId] } });
    await b.socket.ask({ ping: {} });
    const { sequence } = await a.say(conversationId, 'hear ye');
    await b.socket.row(conversationId, sequence);
    const head = await c.socket.until(
      ({ heads }) =>
        heads?.items.some(
          (one) => one.conversationId === conversationId && one.head === sequence,
        ) ?? false,
    );
    const [item] = head.heads?.items ?? [];
    assert.equal(item?.lastMessage?.content?.message?.text?.body, 'hear ye');
    assert.deepEqual(
      c.socket.rows(conversationId).filter((row) => row.sequence === sequence),
      [],
    );
  });
});

async function sees(one: Speaker, conversationId: string, sequence: number): Promise<void> {
  const { messages } = await one.do('Messages.List', { conversationId });
  assert.ok(messages.some((message) => message.sequence === sequence));
}

function compare(a: string, b: string): number {
  return a < b ? -1 : 1;
}
