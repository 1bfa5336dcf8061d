/** Gates: what the core may name (S18), how large its bundle is, how much memory many conversations take (S14). */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { gzipSync } from 'node:zlib';
import { describe, it } from 'mocha';
import { rolldown } from 'rolldown';
import { memoryStore } from './stores/memory.ts';
import { ANA, userId, World } from '../test/world.ts';
import { methodsOf } from '../test/store-methods.ts';

const SRC = fileURLToPath(new URL('../../src/', import.meta.url));
/** A compiled test runs in dist-test/src. */
const DIST = fileURLToPath(new URL('./', import.meta.url));

async function gzipBytes(entry: string, names: string): Promise<number> {
  const bundle = await rolldown({
    input: 'entry',
    plugins: [
      {
        name: 'entry',
        resolveId: (id: string) => (id === 'entry' ? id : undefined),
        load: (id: string) =>
          id === 'entry'
            ? `export { ${names} } from ${JSON.stringify(`${DIST}${entry}`)};`
            : undefined,
      },
    ],
  });
  const { output } = await bundle.generate({ format: 'esm', minify: true });
  await bundle.close();
  return gzipSync(output.map((chunk) => ('code' in chunk ? chunk.code : '')).join('')).length;
}

describe('size', function () {
  this.timeout(30_000);

  it('core, WebSocket, codec and memory store are at most 38 kB gzip', async () => {
    const bytes = await gzipBytes('index.js', 'createClient, webSocketTransport, memoryStore');
    assert.ok(bytes <= 38_000, `${bytes} bytes`);
  });

  it('the IndexedDB store is at most 5 kB gzip', async () => {
    const bytes = await gzipBytes('stores/idb.js', 'indexedDbStore');
    assert.ok(bytes <= 5_000, `${bytes} bytes`);
  });

  it('the core names no window, document, process or Buffer, and imports only its own and two packages (S18)', () => {
    const files = readdirSync(SRC, { recursive: true, encoding: 'utf8' }).filter(
      (path) => path.endsWith('.ts') && !path.endsWith('.test.ts'),
    );
    assert.ok(files.length > 30);
    for (const path of files) {
      const text = readFileSync(SRC + path, 'utf8');
      const code = text.replaceAll(/\/\*[\s\S]*?\*\/|\/\/.*/g, '');
      assert.doesNotMatch(code, /(?<![\w'-])(window|document|process|Buffer)\s*[.[(]/, path);
      for (const [, from] of code.matchAll(/from '([^']+)'/g))
        assert.match(from ?? '', /^(\.{1,2}\/.*\.ts|idb|@noble\/hashes\/sha2\.js)$/, path);
    }
  });

  it('10,000 conversations are listed and held in less than 80 MB of heap (S14)', async () => {
    const world = new World();
    const count = 10_000;
    const conversations = Array.from({ length: count }, (_, i) => {
      const peer = userId(i % 250);
      return {
        conversationId: `cnv_${String(i).padStart(26, '0')}`,
        kind: 'direct' as const,
        peerUserId: peer,
        epoch: 7,
        head: 100 + i,
        messageCount: 90 + i,
        createTimeMs: 1,
        lastMessage: {
          sequence: 100 + i,
          timeMs: i,
          senderUserId: peer,
          clientMessageId: `00000000-0000-4000-8000-${String(i).padStart(12, '0')}`,
          content: {
            message: { text: { body: `the last message of conversation ${i}, as long as most` } },
          },
        },
        me: { role: 'member' as const, readThrough: 90 + i, unreadCount: 3, historyFrom: 1 },
      };
    });
    world.server.onRequest = (frame) => {
      if (frame.call?.method !== 'Sync.ListConversations') return undefined;
      const { pageToken = '0', pageSize = 50 } = frame.call.request as {
        pageToken?: string;
        pageSize?: number;
      };
      const from = Number(pageToken);
      const page = conversations.slice(from, from + pageSize);
      const next = from + pageSize;
      return {
        result:
          next < count
            ? { conversations: page, nextPageToken: String(next) }
            : { conversations: page, syncToken: 't0' },
      };
    };
    // Storage is not the client's heap.
    const ana = await world.started(ANA, { store: forgetful() });
    await world.advance(3_000);
    const list = ana.client.conversations({ filter: 'all' });
    assert.equal(list.get().total, count);
    conversations.length = 0;
    world.server.onRequest = () => undefined;
    collectGarbage();
    const heapMb = process.memoryUsage().heapUsed / 2 ** 20;
    assert.ok(heapMb < 80, `${heapMb.toFixed(0)} MB`);
    assert.equal(list.get().rows.length, 50);
    await ana.client.stop();
  });
});

/** What earlier tests left behind is not the client's. */
function collectGarbage(): void {
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
}

function forgetful(): ReturnType<typeof memoryStore> {
  return {
    ...methodsOf(memoryStore()),
    readCache: async () => [],
    writeCache: async () => undefined,
  };
}
