import assert from 'node:assert/strict';
import fc from 'fast-check';
import { describe, it } from 'mocha';
import {
  NOTHING_UNREAD,
  type Unread,
  unreadCount,
  withArrival,
  withRead,
  withServerCount,
} from './unread.ts';

function server(
  count: number,
  head: number,
  readThrough: number,
): Parameters<typeof withServerCount>[1] {
  return { count, mentions: 0, head, readThrough };
}

function arrival(sequence: number, n = 1, mentions = 0): Parameters<typeof withArrival>[1] {
  return { sequence, n, mentions };
}

describe('unread', () => {
  it('is the server’s number plus what came above its head (S8)', () => {
    let unread: Unread = withServerCount(NOTHING_UNREAD, server(4, 10, 3));
    unread = withArrival(unread, arrival(11));
    unread = withArrival(unread, arrival(12, 1, 1));
    assert.deepEqual(unreadCount(unread), { messages: 6, mentions: 1 });
    // A server's newer number holds what it counts itself.
    unread = withServerCount(unread, server(5, 11, 3));
    assert.deepEqual(unreadCount(unread), { messages: 6, mentions: 1 });
    // An older one knows less.
    unread = withServerCount(unread, server(1, 4, 3));
    assert.deepEqual(unreadCount(unread), { messages: 6, mentions: 1 });
  });

  it('an answer asked for before a mark does not take back what was pushed after it (S8)', () => {
    const pushed = withServerCount(withRead(NOTHING_UNREAD, 14), server(33, 50, 14));
    const unread = withServerCount(pushed, server(44, 50, 1));
    assert.deepEqual(unreadCount(unread), { messages: 33, mentions: 0 });
    assert.equal(unreadCount(withServerCount(unread, server(30, 50, 17))).messages, 30);
  });

  it('a server that fell and forgot a mark counts again, with what came since (S8, S9)', () => {
    let unread: Unread = withServerCount(NOTHING_UNREAD, server(36, 50, 14));
    unread = withServerCount(unread, server(50, 60, 10));
    assert.equal(unreadCount(unread).messages, 50);
    unread = withServerCount(unread, server(46, 60, 14));
    assert.equal(unreadCount(unread).messages, 46);
  });

  it('read to the head it is 0, and marks only rise (S8)', () => {
    let unread: Unread = withServerCount(NOTHING_UNREAD, server(4, 10, 3));
    unread = withRead(unread, 10);
    assert.equal(unreadCount(unread).messages, 0);
    assert.equal(withRead(unread, 2), unread);
    unread = withServerCount(unread, server(4, 10, 3));
    assert.equal(unread.readThrough, 10);
    assert.equal(unreadCount(unread).messages, 0);
    unread = withArrival(unread, arrival(11));
    assert.equal(unreadCount(unread).messages, 1);
  });

  it('a row heard of twice counts once', () => {
    let unread: Unread = withServerCount(NOTHING_UNREAD, server(0, 10, 10));
    for (const sequence of [11, 11, 12, 11]) unread = withArrival(unread, arrival(sequence));
    assert.equal(unreadCount(unread).messages, 2);
  });

  it('heads count by the rise of messageCount', () => {
    const unread = withArrival(withServerCount(NOTHING_UNREAD, server(2, 10, 8)), arrival(40, 25));
    assert.equal(unreadCount(unread).messages, 27);
  });

  it('a flood neither grows it nor loses a count (S14)', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 3_000 }), (count) => {
        let unread: Unread = NOTHING_UNREAD;
        for (let n = 1; n <= count; n++) unread = withArrival(unread, arrival(n));
        assert.equal(unreadCount(unread).messages, count);
        assert.ok(unread.since.length <= 256);
      }),
      { numRuns: 20 },
    );
  });
});
