/** Pages of history on every way out of the server, many at once: each reader gets his own. */
import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { TestClient } from '../../../gateways/testing/test-client.ts';
import { people } from './accounts.ts';
import { Speaker, speaker } from './carriers.ts';
import { sharedServer } from './house.ts';

const MESSAGES = 60;
const PAGE = 50;
const ROUNDS = 25;
const AT_ONCE = 4;

/** What nobody but this conversation has, in every kilobyte of it. */
function bodyOf(conversation: number, sequence: number): string {
  return `${conversation}/${sequence} `.repeat(150).slice(0, 1024);
}

describe('pages of many readers at once (R004, R100)', () => {
  const server = sharedServer();

  it('hold what was written in their own conversation, on both ports in both subprotocols', async function () {
    this.timeout(60_000);
    const { url } = server();
    const meta = (await (await fetch(new URL('/v1/meta', url))).json()) as { webSocketUrl: string };
    const ways = [meta.webSocketUrl, `${url.replace('http', 'ws')}/v1/ws`].flatMap((to) =>
      (['json', 'proto'] as const).map((format) => ({ to, format })),
    );
    const users = await people(url, 2 * ways.length);
    const readers = await Promise.all(
      ways.map(async ({ to, format }, i) => {
        const [writer, reader] = users.slice(2 * i, 2 * i + 2);
        assert.ok(writer !== undefined && reader !== undefined);
        const author = await speaker(url, writer, 'rest');
        let conversationId = '';
        for (let n = 1; n <= MESSAGES; n++)
          ({ conversationId } = await author.say(`direct:${reader.userId}`, bodyOf(i, n)));
        const socket = await new TestClient({ url: to, format }).opened();
        await socket.hello(reader.accessToken, {});
        const by = new Speaker(url, reader, format, socket);
        return { by, author, conversationId, i, socket };
      }),
    );
    const read = async ({ by, author, conversationId, i }: (typeof readers)[number]) => {
      for (let round = 0; round < ROUNDS; round++) {
        const befores = Array.from(
          { length: AT_ONCE },
          (_, k) => PAGE + 1 + ((round + 3 * k) % 10),
        );
        const pages = await Promise.all([
          ...befores.map((before) => by.do('Messages.List', { conversationId, before })),
          // Rows that are pushed share buffers with answers.
          author.say(conversationId, 'meanwhile'),
        ]);
        for (const [k, before] of befores.entries()) {
          const page = pages[k];
          assert.ok(page !== undefined && 'messages' in page);
          assert.deepEqual(
            page.messages.map(({ content }) => content?.message?.text?.body),
            Array.from({ length: PAGE }, (_, n) => bodyOf(i, before - PAGE + n)),
          );
        }
      }
    };
    await Promise.all(readers.map(read));
    for (const { socket } of readers) socket.close();
  });

  it('of the largest messages, forty asked for at once by who then reads nothing for a while, all come', async function () {
    this.timeout(60_000);
    const { url } = server();
    const meta = (await (await fetch(new URL('/v1/meta', url))).json()) as { webSocketUrl: string };
    const [writer, reader] = await people(url, 2);
    assert.ok(writer !== undefined && reader !== undefined);
    const author = await speaker(url, writer, 'rest');
    let conversationId = '';
    for (let n = 0; n < MESSAGES; n++)
      ({ conversationId } = await author.say(`direct:${reader.userId}`, '語'.repeat(8000)));
    for (const to of [meta.webSocketUrl, `${url.replace('http', 'ws')}/v1/ws`])
      for (const format of ['json', 'proto'] as const) {
        const socket = await new TestClient({ url: to, format }).opened();
        await socket.hello(reader.accessToken, {});
        const by = new Speaker(url, reader, format, socket);
        const pages = Array.from({ length: 40 }, () =>
          by.do('Messages.List', { conversationId, limit: 200 }),
        );
        socket.socket.pause();
        // Time for all of them to be read and to wait.
        for (let n = 0; n < 5; n++) await author.say(`direct:${writer.userId}`, 'meanwhile');
        await new Promise((go) => setTimeout(go, 500));
        socket.socket.resume();
        const told = await Promise.race([Promise.all(pages), socket.ended]);
        assert.ok(!('code' in told), `closed: ${JSON.stringify(told)}`);
        for (const { messages, cut } of told) {
          assert.ok(cut && messages.length > 0);
          const [first] = messages;
          const found = messages.map(({ sequence }) => sequence);
          assert.deepEqual(
            found,
            Array.from(
              { length: MESSAGES + 1 - (first?.sequence ?? 0) },
              (_, i) => (first?.sequence ?? 0) + i,
            ),
          );
        }
        socket.close();
      }
  });

  it('of the largest messages are whole by the plain names, which have no word for a cut one', async function () {
    this.timeout(30_000);
    const { url } = server();
    const [writer, reader] = await people(url, 2);
    assert.ok(writer !== undefined && reader !== undefined);
    const author = await speaker(url, writer, 'rest');
    for (let n = 1; n <= MESSAGES; n++)
      await author.say(`direct:${reader.userId}`, `${n}/${'語'.repeat(7000)}`);
    const authorization = `Bearer ${reader.accessToken}`;
    const asked = async (path: string): Promise<number[]> => {
      const answer = await fetch(new URL(path, url), { headers: { authorization } });
      const { messages } = (await answer.json()) as { messages: { content: string }[] };
      return messages.map(({ content }) => Number.parseInt(content, 10));
    };
    const all = Array.from({ length: MESSAGES }, (_, i) => i + 1);
    const history = `/get-chat-history?user_id=${writer.userId}`;
    assert.deepEqual(await asked(`${history}&limit=200`), all);
    assert.deepEqual(await asked(`${history}&limit=30&before=51`), all.slice(20, 50));
    assert.deepEqual(await asked(`${history}&limit=200&filter=unread`), all);
    assert.deepEqual(await asked('/get-messages?limit=200'), all);
  });
});
