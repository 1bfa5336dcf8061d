/** What every carrier of Links must do; both run it (links.test.ts). */
import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { ParleyError } from '../../core/errors.ts';
import { LINK_QUEUE_BYTES_MAX, LINK_WINDOW_BYTES, type Link } from '../../core/link.ts';
import {
  RECORD,
  SLAB_BYTES,
  Slab,
  SlabWriter,
  eachRecord,
  payloadAt,
  requestAt,
} from '../../core/record.ts';

export interface LinkPair {
  readonly a: Link;
  readonly b: Link;
  close(): Promise<void>;
}

export function suite(name: string, sharesMemory: boolean, make: () => Promise<LinkPair>): void {
  describe(name, () => {
    it('carries slabs whole and in order, both ways', async () => {
      const pair = await make();
      const heard: number[] = [];
      const back = new Promise<void>((done) => {
        pair.a.listen(listener({ slab: () => done() }));
      });
      const all = new Promise<void>((done) => {
        pair.b.listen(
          listener({
            slab: (slab) => {
              eachRecord(slab, (at) => {
                heard.push(requestAt(slab, at));
                assert.equal(payloadAt(slab, at).length, requestAt(slab, at) % 9);
              });
              if (heard.length === 500) {
                pair.b.send(filled(64));
                done();
              }
            },
          }),
        );
      });
      const writer = new SlabWriter(
        (slab) => pair.a.send(slab),
        (flush) => setImmediate(flush),
      );
      for (let i = 1; i <= 500; i++)
        writer.write({ kind: RECORD.query, request: i }, new Uint8Array(i % 9));
      await all;
      await back;
      assert.deepEqual(
        heard,
        Array.from({ length: 500 }, (_, i) => i + 1),
      );
      await pair.close();
    });

    it('keeps what arrives before anybody listens', async () => {
      const pair = await make();
      pair.a.send(filled(64));
      await new Promise((done) => setTimeout(done, 20));
      await new Promise<void>((done) => pair.b.listen(listener({ slab: () => done() })));
      await pair.close();
    });

    it('turns unwritable when the window is used up, and writable again by credits', async () => {
      const pair = await make();
      const writable = new Promise<void>((done) =>
        pair.a.listen(listener({ writable: () => done() })),
      );
      const chunk = 1024 * 1024;
      for (let i = 0; i <= LINK_WINDOW_BYTES / chunk; i++) pair.a.send(filled(chunk));
      assert.equal(pair.a.isWritable, false);
      pair.b.listen(listener({}));
      await writable;
      assert.equal(pair.a.isWritable, true);
      await pair.close();
    });

    it('what is given back comes to the other side empty or not at all, and never comes round again', async () => {
      const pair = await make();
      const back: Slab[] = [];
      const again: Slab[] = [];
      pair.a.listen(
        listener({
          slab: (slab) => {
            back.push(slab);
            pair.a.giveBack(slab);
          },
        }),
      );
      await new Promise<void>((done) => {
        let arrived = 0;
        pair.b.listen(
          listener({
            slab: (slab) => {
              if (slab.isEmpty) again.push(slab);
              else pair.b.giveBack(slab);
              if (++arrived === 20) done();
            },
          }),
        );
        for (let i = 0; i < 20; i++) pair.a.send(filled(SLAB_BYTES));
      });
      await new Promise((done) => setTimeout(done, 20));
      assert.ok(back.every((slab) => slab.isEmpty && slab.buffer.byteLength === SLAB_BYTES));
      assert.equal(again.length, 0);
      assert.equal(back.length, sharesMemory ? 16 : 0, 'eight at once');
      await pair.close();
    });

    it('gives the other side the reason it was closed for, once', async () => {
      const pair = await make();
      pair.a.listen(listener({}));
      const reasons: (ParleyError | undefined)[] = [];
      const closed = new Promise<void>((done) =>
        pair.b.listen(
          listener({
            closed: (reason) => {
              reasons.push(reason);
              done();
            },
          }),
        ),
      );
      pair.a.close(new ParleyError('DRAINING', 'going down', { field: 'x' }, { retryAfterMs: 7 }));
      pair.a.close();
      await closed;
      assert.equal(reasons[0]?.reason, 'DRAINING');
      assert.equal(reasons[0]?.retryAfterMs, 7);
      assert.equal(pair.a.isWritable, false);
      pair.a.send(filled(64));
      await pair.close();
      assert.equal(reasons.length, 1);
    });

    it('closes itself with SLOW_CONSUMER instead of growing without bound', async () => {
      const pair = await make();
      let reason: ParleyError | undefined;
      pair.a.listen(listener({ closed: (why) => (reason = why) }));
      const chunk = 16 * 1024 * 1024;
      for (let i = 0; i <= LINK_QUEUE_BYTES_MAX / chunk; i++) pair.a.send(filled(chunk));
      assert.equal(reason?.reason, 'SLOW_CONSUMER');
      await pair.close();
    }).timeout(20_000);
  });
}

function listener(some: {
  slab?: (slab: Slab) => void;
  writable?: () => void;
  closed?: (reason: ParleyError | undefined) => void;
}): Parameters<Link['listen']>[0] {
  const nothing = (): void => undefined;
  return {
    slab: some.slab ?? nothing,
    writable: some.writable ?? nothing,
    closed: some.closed ?? nothing,
  };
}

function filled(bytes: number): Slab {
  const slab = new Slab(new ArrayBuffer(bytes));
  slab.used = bytes;
  slab.words[0] = bytes;
  // One record that fills the slab.
  slab.words[2] = bytes - 8;
  return slab;
}
