import assert from 'node:assert/strict';
import { MessageChannel, type MessagePort } from 'node:worker_threads';
import { describe, it } from 'mocha';
import { ParleyError } from '../../core/errors.ts';
import { RECORD, SlabWriter, eachRecord, kindAt } from '../../core/record.ts';
import type { Link } from '../../core/link.ts';
import { linkSource } from './link-source.ts';
import { MessagePortLink } from './message-port-link.ts';

function say(link: Link): void {
  const writer = new SlabWriter(
    (slab) => link.send(slab),
    () => undefined,
  );
  writer.write({ kind: RECORD.progress }, new Uint8Array(0));
  writer.flush();
}

/** Resolves with the kind of the first record that arrives. */
function heard(port: MessagePort): Promise<number> {
  return new Promise((resolve) =>
    new MessagePortLink(port).listen({
      slab: (slab) => eachRecord(slab, (at) => resolve(kindAt(slab, at))),
      writable: () => undefined,
      closed: () => undefined,
    }),
  );
}

describe('the links of a thread', () => {
  it('when one broke the next goes to the store anew, and what was said at once arrives', async () => {
    const first = new MessageChannel();
    const attached: MessagePort[] = [];
    const next = linkSource(first.port1, async (port) => void attached.push(port));
    const one = next();
    say(one);
    assert.equal(await heard(first.port2), RECORD.progress);
    const closed = new Promise((resolve) =>
      one.listen({ slab: () => undefined, writable: () => undefined, closed: resolve }),
    );
    one.close(new ParleyError('SLOW_CONSUMER', 'the other side of a link stopped reading'));
    await closed;
    const two = next();
    say(two);
    const [port] = attached;
    assert.ok(port !== undefined);
    assert.equal(await heard(port), RECORD.progress);
    two.close();
  });
  it('a store that cannot be reached ends the link, so that it is tried again', async () => {
    const first = new MessageChannel();
    const next = linkSource(first.port1, () =>
      Promise.reject(new ParleyError('SHARD_UNAVAILABLE', 'gone')),
    );
    next().close();
    await new Promise((closed) =>
      next().listen({
        slab: () => undefined,
        writable: () => undefined,
        closed: () => closed(undefined),
      }),
    );
  });
});
