import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { newRawId } from '../core/ids.ts';
import { SILENT } from '../core/observe.ts';
import { LastSeen, SEEN_BATCH_MS } from './last-seen.ts';
import type { Sighting } from './ports.ts';
import { callerOf } from './testing/scripted-session.ts';
import { VirtualTime } from './testing/virtual-time.ts';

function house(isDown = false): {
  time: VirtualTime;
  told: (readonly Sighting[])[];
  seen: LastSeen;
} {
  const time = new VirtualTime();
  const told: (readonly Sighting[])[] = [];
  const recordSeen = (some: readonly Sighting[]): Promise<void> => {
    told.push(some);
    return isDown ? Promise.reject(new TypeError('away')) : Promise.resolve();
  };
  const seen = new LastSeen({ identity: { recordSeen }, clock: time, timers: time, log: SILENT });
  return { time, told, seen };
}

describe('last seen (R051)', () => {
  const ann = callerOf(newRawId(1));
  const bob = { ...callerOf(newRawId(2)), deviceId: 'dev_bob' };

  it('is told in batches, the latest of each device', () => {
    const { time, told, seen } = house();
    seen.saw(ann);
    time.pass(SEEN_BATCH_MS / 2);
    seen.left(ann);
    seen.saw(bob);
    assert.equal(told.length, 0);
    time.pass(SEEN_BATCH_MS);
    assert.equal(told.length, 1);
    const [batch] = told;
    assert.deepEqual(
      batch?.map(({ deviceId }) => deviceId),
      [ann.deviceId, bob.deviceId],
    );
    assert.equal(batch?.[0]?.timeMs, batch?.[1]?.timeMs);
  });

  it('is told of a device once a minute at most, but for its leaving', () => {
    const { time, told, seen } = house();
    for (let second = 0; second < 59; second++) {
      seen.saw(ann);
      time.pass(1000);
    }
    assert.equal(told.length, 1);
    seen.left(ann);
    time.pass(SEEN_BATCH_MS);
    assert.equal(told.length, 2);
    time.pass(60_000);
    seen.saw(ann);
    time.pass(SEEN_BATCH_MS);
    assert.equal(told.length, 3);
  });

  it('of who is here when a gateway stops is told at once', async () => {
    const { time, told, seen } = house();
    seen.left(ann);
    await seen.settled();
    assert.deepEqual(
      told.map((batch) => batch.map(({ deviceId }) => deviceId)),
      [[ann.deviceId]],
    );
    time.pass(SEEN_BATCH_MS);
    assert.equal(told.length, 1);
    await house(true).seen.settled();
  });

  it('that cannot be told is dropped, and the next is told', async () => {
    const { time, told, seen } = house(true);
    seen.saw(ann);
    time.pass(SEEN_BATCH_MS);
    await Promise.resolve();
    seen.left(ann);
    time.pass(SEEN_BATCH_MS);
    assert.equal(told.length, 2);
  });
});
