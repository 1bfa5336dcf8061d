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
});
