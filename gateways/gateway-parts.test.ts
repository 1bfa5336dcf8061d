import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { ParleyError } from '../core/errors.ts';
import { newRawId } from '../core/ids.ts';
import { Feed } from './feed.ts';
import { KnownUsers } from './known-users.ts';
import { Origins } from './origins.ts';
import { RequestRate } from './rest/rate.ts';
import { REAL_TIMERS } from './testing/real-time.ts';
import { Batch } from './wire.ts';
import { Wheel } from './wheel.ts';

describe('batch', () => {
  it('sockets that get the same frames share one payload and one WebSocket frame', () => {
    const root = Batch.root('json');
    const [a, b, c] = [Buffer.from('{"a":1}'), Buffer.from('{"b":2}'), Buffer.from('{"c":3}')];
    const first = root.append(a).append(b);
    assert.equal(root.append(a).append(b), first);
    assert.equal(first.payload(), root.append(a).append(b).payload());
    assert.equal(first.payload().toString(), '[{"a":1},{"b":2}]');
    assert.equal(root.append(c).append(b).payload().toString(), '[{"c":3},{"b":2}]');
    assert.equal(root.append(a).payload(), a);
    assert.equal(first.size, 14);
  });
  it('protobuf frames stand one behind the other', () => {
    const [a, b] = [Buffer.from([1, 7]), Buffer.from([2, 8, 9])];
    assert.deepEqual(
      Batch.root('proto').append(a).append(b).payload(),
      Buffer.from([1, 7, 2, 8, 9]),
    );
  });
  it('many different ways from one place stay apart, also beyond those it remembers', () => {
    const root = Batch.root('proto');
    for (let i = 0; i < 20; i++) {
      const chunk = Buffer.from([i]);
      assert.deepEqual(root.append(chunk).payload(), chunk);
    }
  });
  it('WebSocket frames of every length class have the right head (RFC 6455 §5.2)', () => {
    for (const [length, head] of [
      [5, [0x82, 5]],
      [126, [0x82, 126, 0, 126]],
      [65_536, [0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]],
    ] as const) {
      const framed = Batch.root('proto').append(Buffer.alloc(length)).framed();
      assert.deepEqual([...framed.subarray(0, head.length)], head);
      assert.equal(framed.length, head.length + length);
    }
    assert.equal(Batch.root('json').append(Buffer.from('{}')).framed()[0], 0x81);
  });
});

describe('wheel', () => {
  it('wakes each at its time, within a slot, once', () => {
    const wheel = new Wheel<{ wheelSlot: number; name: string }>(0);
    const woken: string[] = [];
    const item = (name: string): { wheelSlot: number; name: string } => ({ wheelSlot: 0, name });
    const [soon, late, far, never] = [item('soon'), item('late'), item('far'), item('never')];
    wheel.schedule(soon, 250);
    wheel.schedule(late, 5000);
    wheel.schedule(late, 900);
    wheel.schedule(far, 300_000);
    wheel.schedule(never, 400);
    wheel.cancel(never);
    const advance = (nowMs: number): string[] => {
      woken.length = 0;
      wheel.advance(nowMs, ({ name }) => woken.push(name));
      return [...woken];
    };
    assert.deepEqual(advance(299), []);
    assert.deepEqual(advance(300), ['soon']);
    assert.deepEqual(advance(900), ['late']);
    assert.deepEqual(advance(30_000), ['far'], 'what is beyond the wheel is looked at early');
    wheel.schedule(far, 300_000);
    assert.deepEqual(advance(10_000_000), ['far'], 'a stall passes every slot once');
  });
  it('what fires may schedule itself again', () => {
    const wheel = new Wheel<{ wheelSlot: number }>(0);
    const item = { wheelSlot: 0 };
    let count = 0;
    wheel.schedule(item, 100);
    for (let nowMs = 0; nowMs <= 1000; nowMs += 100)
      wheel.advance(nowMs, (one) => {
        count++;
        wheel.schedule(one, nowMs + 100);
      });
    assert.ok(count >= 9 && count <= 10, String(count));
  });
});

describe('known users', () => {
  const [ann, bob, eve] = [newRawId(1), newRawId(2), newRawId(3)];
  it('are asked for together, once; who does not exist is asked for again', async () => {
    const asked: number[] = [];
    const users = new KnownUsers(
      {
        unknownUsers: (wanted) => {
          asked.push(wanted.length);
          return Promise.resolve(wanted.filter((user) => user === eve));
        },
      },
      REAL_TIMERS,
    );
    const look = (wanted: Uint8Array[]): Promise<readonly Uint8Array[] | ParleyError> =>
      new Promise((resolve) => users.unknown(wanted, resolve));
    const answers = await Promise.all([look([ann, bob]), look([bob, eve]), look([ann])]);
    assert.deepEqual(answers, [[], [eve], []]);
    assert.deepEqual(asked, [3]);
    assert.deepEqual(await look([ann, bob]), []);
    assert.deepEqual(await look([eve]), [eve]);
    assert.deepEqual(asked, [3, 1]);
  });
  it('an outage is told to all who asked, and the next question is asked anew', async () => {
    let isDown = true;
    const users = new KnownUsers(
      {
        unknownUsers: () =>
          isDown
            ? Promise.reject(new ParleyError('BACKEND_UNAVAILABLE', 'away'))
            : Promise.resolve([]),
      },
      REAL_TIMERS,
    );
    const look = (): Promise<readonly Uint8Array[] | ParleyError> =>
      new Promise((resolve) => users.unknown([ann], resolve));
    const refused = await Promise.all([look(), look()]);
    for (const outcome of refused)
      assert.ok(outcome instanceof ParleyError && outcome.reason === 'BACKEND_UNAVAILABLE');
    isDown = false;
    assert.deepEqual(await look(), []);
  });
});

describe('origins', () => {
  it('own, listed and absent ones may connect; other ports of the host may not', () => {
    const origins = new Origins({ allowed: ['https://App.example'], httpPort: () => 8080 });
    for (const [origin, host, may] of [
      ['', 'h:1', true],
      ['http://h:1', 'h:1', true],
      ['https://h', 'h', true],
      ['http://h:8080', 'h:9001', true],
      ['http://h:3000', 'h:9001', false],
      ['http://evil', 'h:1', false],
      ['https://app.example', 'h:1', true],
      ['null', 'h:1', false],
      ['http://h:1', '', false],
      ['http://[::1]:8080', '[::1]:9001', true],
    ] as const)
      assert.equal(origins.mayConnect(origin, host), may, `${origin} at ${host}`);
  });
});

describe('request rate', () => {
  it('grants the quota of a window and then the next one’s (case 57)', () => {
    const rate = new RequestRate(600);
    for (let i = 0; i < 600; i++) assert.ok(rate.take('u', 0).isGranted);
    const refused = rate.take('u', 30_000);
    assert.deepEqual([refused.isGranted, refused.resetMs], [false, 30_000]);
    assert.ok(rate.take('v', 30_000).isGranted);
    assert.ok(rate.take('u', 60_000).isGranted);
  });
  it('a crowd of others resets nobody’s count but of those whose windows are the oldest', () => {
    const rate = new RequestRate(1);
    const crowd = (name: string, count: number): void => {
      for (let i = 0; i < count; i++) rate.take(`${name}${i}`, 1);
    };
    crowd('first', 50_000);
    rate.take('u', 1);
    // By then there are more than both halves hold.
    crowd('second', 50_000);
    assert.ok(!rate.take('u', 2).isGranted);
    assert.ok(rate.take('first0', 2).isGranted);
    assert.ok(!rate.take('second49999', 2).isGranted);
  });
  it('a window that is over is none, whether it was dropped or not', () => {
    const rate = new RequestRate(1);
    for (const nowMs of [0, 59_999, 60_000, 119_999, 120_000, 300_000]) {
      rate.take('other', nowMs);
      assert.equal(rate.take('u', nowMs).isGranted, nowMs % 60_000 === 0, `${nowMs}`);
    }
  });
});

describe('feed', () => {
  it('positions only rise; the oldest are forgotten first and count as unseen', () => {
    const feed = new Feed(2);
    feed.progress(1, 7);
    feed.progress(1, 5);
    feed.progress(9, 1);
    assert.deepEqual(feed.positions, [0, 7]);
    const [c, d] = [newRawId(1), newRawId(2)];
    feed.saw(c, 10, true);
    feed.saw(c, 9, false);
    assert.deepEqual([feed.lastSeenMs(c), feed.isLargeGroup(c), feed.lastSeenMs(d)], [10, true, 0]);
    feed.saw(d, 30, true);
    const other = new Uint8Array(16);
    for (let i = 1; i <= 1_000_000; i++) {
      new DataView(other.buffer).setUint32(12, i, true);
      feed.saw(other, 20, false);
    }
    assert.deepEqual([feed.lastSeenMs(c), feed.isLargeGroup(c)], [0, false]);
    assert.deepEqual([feed.lastSeenMs(d), feed.isLargeGroup(d)], [30, true]);
  });
});
