import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { SLICE_MS, SLICE_MS_MAX, Slices } from './slices.ts';

describe('work in slices', () => {
  it('ends a slice after 2 ms, later when work waits behind, and never beyond its bound', () => {
    let nowMs = 0;
    let behind = 0;
    const clock = { monotonicMs: () => nowMs, nowMs: () => nowMs };
    const timers = { soon: () => undefined } as unknown as ConstructorParameters<typeof Slices>[1];
    const slices = new Slices(clock, timers, () => behind);
    const endsAt = (): number => {
      slices.begin();
      const begun = nowMs;
      while (!slices.isOver) nowMs += 0.5;
      return nowMs - begun;
    };
    assert.equal(endsAt(), SLICE_MS);
    behind = 3;
    assert.equal(endsAt(), 4 * SLICE_MS);
    behind = 1000;
    assert.equal(endsAt(), SLICE_MS_MAX);
  });
});
