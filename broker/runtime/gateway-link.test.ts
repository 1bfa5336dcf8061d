import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { LINK_QUEUE_BYTES_MAX, type Link, type LinkEvents } from '../../core/link.ts';
import { SILENT } from '../../core/observe.ts';
import { RECORD, SlabWriter, eachRecord, kindAt, type Slab } from '../../core/record.ts';
import { Routes } from '../fanout/routes.ts';
import { GatewayLink } from './gateway-link.ts';
import type { QueryReply } from './query-handler.ts';

/** A gateway that takes nothing in: everything that was sent stays under way. */
class StalledLink implements Link {
  isWritable = true;
  bytesUnderWay = 0;
  largest = 0;
  readonly kinds: number[] = [];
  events!: LinkEvents;

  listen(events: LinkEvents): void {
    this.events = events;
  }
  send(slab: Slab): void {
    this.bytesUnderWay += slab.used;
    this.largest = Math.max(this.largest, this.bytesUnderWay);
    eachRecord(slab, (at) => this.kinds.push(kindAt(slab, at)));
  }
  giveBack(): void {}
  close(): void {}
}

describe('a gateway’s link at the store', () => {
  it('large pages for a gateway that stalls are refused before its link overruns', () => {
    const link = new StalledLink();
    const replies: QueryReply[] = [];
    const gateway = new GatewayLink({
      link,
      shards: 1,
      routes: new Routes(),
      queries: { query: (_question, reply) => void replies.push(reply) },
      log: SILENT,
      schedule: () => undefined,
      command: () => undefined,
      typing: () => undefined,
      closed: () => undefined,
    });
    gateway.listen();
    const asking = new SlabWriter(
      (slab) => link.events.slab(slab),
      () => undefined,
    );
    for (let request = 1; request <= 40; request++)
      asking.write({ kind: RECORD.query, request }, new Uint8Array(32));
    asking.flush();
    const page = new Uint8Array(12 * 1024 * 1024);
    for (const reply of replies) reply.result(page, 1);
    gateway.out.flush();
    assert.equal(replies.length, 40);
    assert.equal(link.kinds.length, 40, 'each is answered');
    assert.ok(link.kinds.includes(RECORD.error));
    assert.ok(link.largest < LINK_QUEUE_BYTES_MAX, String(link.largest));
  });
});
