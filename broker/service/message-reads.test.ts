import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { encodeId } from '../../core/ids.ts';
import { BODY_KIND } from '../../core/row.ts';
import { codecOf, type Plain } from '../../proto/codec.ts';
import {
  ListMessagesRequestSchema,
  ListMessagesResponseSchema,
  ListRowsRequestSchema,
  ListRowsResponseSchema,
  type ListMessagesResponse,
} from '../../proto/gen/parley/client/v1/messages_pb.ts';
import {
  SyncConversationRequestSchema,
  SyncConversationResponseSchema,
} from '../../proto/gen/parley/client/v1/sync_pb.ts';
import { ContentSchema } from '../../proto/gen/parley/v1/content_pb.ts';
import { BO, DIRECT, hello } from '../runtime/testing/talk.ts';
import { TestNode } from '../runtime/testing/test-node.ts';
import { PAGE_BYTES_MAX, PAGE_MAX } from './message-reads.ts';
import { ask } from './testing/ask.ts';

const LIST = {
  method: 'Messages.List',
  request: ListMessagesRequestSchema,
  response: ListMessagesResponseSchema,
} as const;
const ROWS = {
  method: 'Messages.ListRows',
  request: ListRowsRequestSchema,
  response: ListRowsResponseSchema,
} as const;
const SYNC = {
  method: 'Sync.SyncConversation',
  request: SyncConversationRequestSchema,
  response: SyncConversationResponseSchema,
} as const;

const conversationId: string = encodeId('cnv', DIRECT);
/** Of the largest content there may be, nearly. */
const LARGE = 60_000;
const COUNT = 40;
const EPOCH = 1_700_000_000;
/** Of changed messages, each edited to be large. */
const LAST_OF_PAGE: number = Math.floor(PAGE_BYTES_MAX / LARGE);
const contents = codecOf(ContentSchema);
const text = (bytes: number): { text: { body: string } } => ({ text: { body: 'x'.repeat(bytes) } });

/** Ana writes messages of that size to Bo, and then makes each of them `edited` bytes large. */
async function talk(bytes: number, edited = 0, limits = {}): Promise<TestNode> {
  const node = await TestNode.started({ limits });
  const gateway = node.gateway();
  const message = contents.encode({ message: text(bytes) });
  for (let n = 1; n <= COUNT; n++) gateway.command(hello(n, { body: message }));
  await node.time.settle();
  for (let n = 1; n <= COUNT && edited > 0; n++) {
    gateway.command(editOf(n, COUNT + n, edited));
    await node.time.settle();
  }
  return node;
}

function editOf(target: number, clientSeq: number, bytes: number): Uint8Array {
  const body = contents.encode({ edit: { target: { sequence: target }, message: text(bytes) } });
  return hello(clientSeq, { bodyKind: BODY_KIND.edit, target, body });
}

const sequences = (page: Pick<Plain<ListMessagesResponse>, 'messages'>): number[] =>
  page.messages.map(({ sequence }) => sequence);

const range = (from: number, through: number): number[] =>
  Array.from({ length: through - from + 1 }, (_, i) => from + i);

describe('pages of large messages', () => {
  it('end short of what was asked for, say so, and the next begins where they end', async () => {
    const node = await talk(LARGE);
    const within = Math.floor(PAGE_BYTES_MAX / LARGE);
    const newest = await ask(node, BO, LIST, { conversationId, limit: PAGE_MAX });
    assert.deepEqual(sequences(newest), range(COUNT - within + 1, COUNT));
    assert.deepEqual([newest.cut, newest.head, newest.first], [true, COUNT, 1]);
    let seen = sequences(newest);
    for (let isCut = true; isCut; ) {
      const [before] = seen;
      const page = await ask(node, BO, LIST, { conversationId, before: before ?? 0, limit: 200 });
      isCut = page.cut;
      assert.ok(page.messages.length > 0);
      seen = [...sequences(page), ...seen];
    }
    assert.deepEqual(seen, range(1, COUNT));
    let upwards = [1];
    for (let isCut = true; isCut; ) {
      const after = upwards.at(-1) ?? 0;
      const page = await ask(node, BO, LIST, { conversationId, after, limit: 200 });
      isCut = page.cut;
      upwards = [...upwards, ...sequences(page)];
    }
    assert.deepEqual(upwards, range(1, COUNT));
    const around = await ask(node, BO, LIST, { conversationId, around: 20, limit: 200 });
    assert.ok(around.cut && around.messages.length <= within);
    const found = sequences(around);
    assert.deepEqual(found, range(found[0] ?? 0, found.at(-1) ?? 0));
    assert.ok(found.includes(20) && found.includes(21));
  });

  it('are whole below the bound', async () => {
    const node = await talk(1_000);
    const page = await ask(node, BO, LIST, { conversationId, limit: PAGE_MAX });
    assert.deepEqual([page.messages.length, page.cut], [COUNT, false]);
  });

  it('of rows end at their cursor', async () => {
    const node = await talk(LARGE);
    const seen: number[] = [];
    for (let sequence = 0; sequence < COUNT; ) {
      const cursor = { epoch: EPOCH, sequence };
      const page = await ask(node, BO, ROWS, { conversationId, cursor, limit: PAGE_MAX });
      assert.ok(page.rows.length > 0 && page.rows.length * LARGE <= PAGE_BYTES_MAX);
      seen.push(...page.rows.map((row) => row.sequence));
      sequence = page.cursor?.sequence ?? COUNT;
      assert.equal(sequence, seen.at(-1));
    }
    assert.deepEqual(seen, range(1, COUNT));
  });

  it('a sync leaves the rest as a hole', async () => {
    const node = await talk(LARGE);
    const sync = await ask(node, BO, SYNC, { conversationId, limit: PAGE_MAX });
    const [oldest] = sequences(sync);
    assert.ok(sync.messages.length * LARGE <= PAGE_BYTES_MAX);
    assert.deepEqual([sync.hole?.after, sync.hole?.before], [0, oldest]);
    assert.equal(sync.cursor?.sequence, COUNT);
  });

  it('a sync tells changed messages page by page, each once', async () => {
    const node = await talk(10, LARGE);
    const cursor = { epoch: EPOCH, sequence: COUNT };
    const changed: number[] = [];
    let pageToken = '';
    do {
      const page = await ask(node, BO, SYNC, { conversationId, cursor, pageToken });
      assert.ok(page.changed.length > 0 && page.changed.length * LARGE <= PAGE_BYTES_MAX);
      changed.push(...page.changed.map(({ sequence }) => sequence));
      pageToken = page.nextPageToken;
    } while (pageToken !== '');
    assert.deepEqual(changed, range(1, COUNT));
  });

  it('a sync loses no change to one that is made while its page is read', async () => {
    // Every row is read from the disk.
    const limits = { blockCacheBytesMax: 1000, hotTailBytesMax: 1000 };
    for (let steps = 0; steps < 16; steps++) {
      const node = await talk(10, LARGE, limits);
      await node.flushed();
      await node.restart();
      const gateway = node.gateway();
      const cursor = { epoch: EPOCH, sequence: COUNT };
      const first = ask(node, BO, SYNC, { conversationId, cursor });
      // Each look at the disk is let through by itself: the change comes between two of them.
      let release = node.holdState();
      for (let step = 0; step < 30; step++) {
        if (step === steps) gateway.command(editOf(LAST_OF_PAGE, COUNT + COUNT + 1, LARGE));
        await node.time.settle();
        release();
        release = node.holdState();
      }
      release();
      const told = new Set<number>();
      for (let page = await first; ; ) {
        for (const { sequence } of page.changed) told.add(sequence);
        if (page.nextPageToken === '') break;
        const pageToken = page.nextPageToken;
        page = await ask(node, BO, SYNC, { conversationId, cursor, pageToken });
      }
      assert.deepEqual(
        [...told].sort((a, b) => a - b),
        range(1, COUNT),
        `after ${steps} looks`,
      );
    }
  });

  it('no more changed rows are read than a page holds, but one', async () => {
    const node = await talk(10, LARGE);
    const range = { above: COUNT, through: COUNT, limit: 256, bytesMax: 3 * LARGE };
    const { rows, through, isWhole } = await node.until(node.store.reads.changed(DIRECT, range));
    assert.deepEqual([rows.length, through, isWhole], [2, COUNT + 2, false]);
    const rest = { ...range, above: through, bytesMax: COUNT * 2 * LARGE };
    const others = await node.until(node.store.reads.changed(DIRECT, rest));
    assert.deepEqual([others.rows.length, others.through], [COUNT - 2, 2 * COUNT]);
    assert.ok(others.isWhole);
  });
});
