/**
 * Random histories of one node with power cuts at any turn: during a sync, a flush, a load, a start.
 * The model is what clients were told.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { text } from '../../core/bytes.ts';
import { directConversationRaw } from '../../core/ids.ts';
import { RECORD } from '../../core/record.ts';
import { BODY_KIND, ROW_FLAG, RowView } from '../../core/row.ts';
import { seededRandom } from '../../storage-engine/testing.ts';
import { isDeleted } from '../conversation/overlay.ts';
import { idOf, markCommand, sendCommand } from '../conversation/test-kit.ts';
import type { TestGateway } from './testing/test-gateway.ts';
import { TestNode } from './testing/test-node.ts';

const PAIRS = 5;
const IN_FLIGHT_MAX = 8;
const ALL = { from: 1, through: 1e9, limit: 1e9, newest: false };

interface Sent {
  readonly clientSeq: number;
  readonly kind: 'message' | 'delete';
  readonly text: string;
  readonly target: number;
  /** Sequence that was acknowledged; 0 = unknown. */
  sequence: number;
}

interface Talk {
  readonly from: Uint8Array;
  readonly to: Uint8Array;
  readonly conversation: Uint8Array;
  readonly outbox: Uint8Array;
  readonly sent: Sent[];
  readThrough: number;
}

class History {
  readonly node: TestNode;
  readonly random: () => number;
  readonly talks: Talk[];
  gateway!: TestGateway;
  #asked = new Map<number, Sent>();
  #marks = new Map<number, { readonly talk: Talk; readonly through: number }>();

  constructor(node: TestNode, seed: number) {
    this.node = node;
    const random = seededRandom(seed);
    this.random = () => random.unit();
    this.talks = Array.from({ length: PAIRS }, (_, i) => {
      const [from, to] = [idOf(2 * i + 1), idOf(2 * i + 2)];
      const conversation = directConversationRaw(from, to);
      return { from, to, conversation, outbox: idOf(i, 7), sent: [], readThrough: 0 };
    });
  }

  connect(): void {
    this.gateway = this.node.gateway();
    this.gateway.routes(
      this.talks.flatMap(({ from, to }, i) => [[2 * i, from] as const, [2 * i + 1, to] as const]),
      true,
    );
    this.#asked.clear();
    this.#marks.clear();
    for (const talk of this.talks)
      for (const sent of talk.sent) if (sent.sequence === 0) this.#ask(talk, sent);
  }

  act(): void {
    const talk = this.talks[Math.floor(this.random() * PAIRS)];
    assert.ok(talk !== undefined);
    const known = talk.sent.filter(({ sequence }) => sequence > 0);
    if (this.random() < 0.15 && known.length > 0) {
      const through = known[Math.floor(this.random() * known.length)]?.sequence ?? 1;
      const request = this.gateway.command(
        markCommand(talk.conversation, talk.to, { read: through }),
      );
      this.#marks.set(request, { talk, through });
      return;
    }
    if (talk.sent.length - known.length >= IN_FLIGHT_MAX) return;
    const clientSeq = talk.sent.length + 1;
    const messages = known.filter(({ kind }) => kind === 'message');
    const victim =
      this.random() < 0.1 ? messages[Math.floor(this.random() * messages.length)] : undefined;
    const sent: Sent =
      victim === undefined
        ? { clientSeq, kind: 'message', text: `m${clientSeq}`, target: 0, sequence: 0 }
        : { clientSeq, kind: 'delete', text: '', target: victim.sequence, sequence: 0 };
    talk.sent.push(sent);
    this.#ask(talk, sent);
  }

  /** Takes in what was acknowledged. */
  hear(): void {
    for (const record of this.gateway.got.splice(0)) {
      const sent = this.#asked.get(record.request);
      if (record.request !== 0 && sent !== undefined) {
        assert.equal(record.kind, RECORD.commit, 'a send of this history is never refused');
        assert.ok(sent.sequence === 0 || sent.sequence === record.position);
        sent.sequence = record.position;
      }
      const mark = this.#marks.get(record.request);
      if (mark !== undefined && record.kind === RECORD.commit)
        mark.talk.readThrough = Math.max(mark.talk.readThrough, mark.through);
    }
  }

  async check(): Promise<void> {
    for (const talk of this.talks) {
      const rows = await this.node.until(this.node.store.reads.rows(talk.conversation, ALL));
      const bySequence = new Map(rows.map((row) => [row.sequence, row]));
      assert.deepEqual(
        [...bySequence.keys()],
        rows.map((_, i) => i + 1),
      );
      const deleted = new Set<number>();
      let last = 0;
      for (const sent of talk.sent) {
        if (sent.sequence === 0) continue;
        const standing = bySequence.get(sent.sequence);
        assert.ok(standing !== undefined, `acknowledged ${sent.text} is lost`);
        const row = new RowView(standing.row);
        if (sent.kind === 'delete') {
          // A delete of what is deleted answers the first one's row.
          deleted.add(sent.target);
          continue;
        }
        assert.equal(row.clientSeq, sent.clientSeq);
        assert.ok(sent.sequence > last, 'order of the outbox');
        last = sent.sequence;
      }
      for (const sent of talk.sent) {
        const standing = bySequence.get(sent.sequence);
        if (standing === undefined || sent.kind === 'delete') continue;
        const row = new RowView(standing.row);
        if (deleted.has(sent.sequence)) {
          assert.ok(isDeleted(standing.overlay) && row.has(ROW_FLAG.redacted));
          assert.equal(row.body.length, 0);
        } else if (!isDeleted(standing.overlay)) assert.equal(text(row.body), sent.text);
      }
      await this.#checkCounts(talk, rows.length);
    }
  }

  async #checkCounts(talk: Talk, head: number): Promise<void> {
    const { reads } = this.node.store;
    const view = await this.node.until(reads.conversation(talk.conversation));
    if (view === undefined) {
      assert.equal(head, 0);
      return;
    }
    const me = view.me(talk.to);
    assert.ok(me !== undefined && me.readThrough >= talk.readThrough);
    const { readThrough, unreadCount } = me;
    const rows = await this.node.until(reads.rows(talk.conversation, ALL));
    const unread = rows.filter(
      ({ row, sequence }) =>
        sequence > readThrough && new RowView(row).bodyKind === BODY_KIND.message,
    );
    assert.equal(unreadCount, unread.length);
  }

  #ask(talk: Talk, sent: Sent): void {
    const { from, to, conversation, outbox } = talk;
    const { clientSeq, target } = sent;
    const request = this.gateway.command(
      sendCommand({
        to: conversation,
        from,
        peer: to,
        outbox,
        clientSeq,
        after: clientSeq - 1,
        clientMessageId: idOf(clientSeq, 9),
        text: sent.text,
        target,
        bodyKind: sent.kind === 'delete' ? BODY_KIND.delete : BODY_KIND.message,
      }),
    );
    this.#asked.set(request, sent);
  }
}

async function run(seed: number): Promise<void> {
  const limits = {
    flushIntervalMs: 200,
    hotTailBytesMax: 20_000,
    blockCacheBytesMax: 20_000,
    residentBytesMax: 2000,
  };
  const node = new TestNode({ seed, limits });
  const history = new History(node, seed);
  for (let life = 0; life < 8; life++) {
    await node.start();
    history.connect();
    const steps = 10 + Math.floor(history.random() * 40);
    for (let step = 0; step < steps; step++) {
      for (let i = Math.floor(history.random() * 6); i > 0; i--) history.act();
      if (history.random() < 0.3) node.time.skip(Math.floor(history.random() * 120));
      await node.time.turns(Math.floor(history.random() * 4));
      history.hear();
    }
    if (history.random() < 0.3) await node.time.advance(300);
    history.hear();
    assert.equal(node.fatal, undefined);
    node.crash();
    if (history.random() < 0.3) {
      // The power goes again while it starts.
      const started = node.store.start();
      started.catch(() => undefined);
      await node.time.turns(Math.floor(history.random() * 12));
      node.crash();
    }
  }
  await node.start();
  history.connect();
  await node.time.advance(100);
  history.hear();
  for (const { sent } of history.talks)
    for (const { sequence } of sent)
      assert.ok(sequence > 0, 'everything is acknowledged in the end');
  await history.check();
  await node.flushed();
  await node.restart();
  await history.check();
}

describe('a store whose power is cut at any turn', () => {
  for (let first = 1; first <= 13; first += 6)
    it(`keeps what it acknowledged, once and in order (R138, R139, R144; seeds ${first}–${first + 5})`, async function () {
      this.timeout(90_000);
      for (let seed = first; seed < first + 6; seed++) {
        try {
          await run(seed);
        } catch (error) {
          throw new assert.AssertionError({
            message: `seed ${seed}: ${String(error)}`,
            operator: (error as Error).stack ?? '',
          });
        }
      }
    });
});
