import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { CLOCK_CONFIRM_MS, StampClock } from './stamp-clock.ts';

class Hands {
  wall = 1_700_000_000_000;
  mono = 0;
  nowMs(): number {
    return this.wall;
  }
  monotonicMs(): number {
    return this.mono;
  }
  pass(ms: number): void {
    this.wall += ms;
    this.mono += ms;
  }
}

const MONTH = 31 * 24 * 3_600_000;

describe('the stamp clock', () => {
  it('follows the wall clock through small corrections and never falls', () => {
    const hands = new Hands();
    const clock = new StampClock(hands);
    const start = clock.now();
    hands.pass(1000);
    hands.wall -= 300;
    assert.equal(clock.now(), start + 700);
    hands.wall -= 300;
    assert.equal(clock.now(), start + 700);
    assert.ok(clock.isConfirmed);
  });

  it('a clock set 31 days ahead and back leaves no trace', () => {
    const hands = new Hands();
    const clock = new StampClock(hands);
    const start = clock.now();
    hands.wall += MONTH;
    hands.pass(5000);
    assert.equal(clock.now(), start + 5000);
    assert.equal(clock.isConfirmed, false);
    hands.wall -= MONTH;
    hands.pass(5000);
    assert.equal(clock.now(), start + 10_000);
    assert.ok(clock.isConfirmed);
  });

  it('a jump that stands is followed: the machine slept', () => {
    const hands = new Hands();
    const clock = new StampClock(hands);
    const start = clock.now();
    hands.wall += 3_600_000;
    clock.now();
    hands.pass(CLOCK_CONFIRM_MS + 1);
    assert.equal(clock.now(), start + 3_600_000 + CLOCK_CONFIRM_MS + 1);
    assert.ok(clock.isConfirmed);
  });

  it('stamps found in the log are a floor', () => {
    const hands = new Hands();
    const clock = new StampClock(hands);
    clock.raise(hands.wall + 9999);
    assert.equal(clock.now(), hands.wall + 9999);
    hands.pass(20_000);
    assert.equal(clock.now(), hands.wall);
  });
});
