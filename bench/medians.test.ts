import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { medians } from './medians.ts';

describe('medians of runs', () => {
  it('are taken number by number, whatever run each comes from', () => {
    const runs = [
      { rate: 10, ack: { p50: 3, p99: 90 }, all: [1, 2], name: 'a' },
      { rate: 30, ack: { p50: 1, p99: 70 }, all: [3, 4], name: 'a' },
      { rate: 20, ack: { p50: 2, p99: 80 }, all: [5, 6], name: 'a' },
    ];
    assert.deepEqual(medians(runs), {
      rate: 20,
      ack: { p50: 2, p99: 80 },
      all: [1, 2],
      name: 'a',
    });
  });
  it('of one run are its own figures; of two the lower', () => {
    assert.deepEqual(medians([{ lost: 0 }]), { lost: 0 });
    assert.deepEqual(medians([{ rate: 9 }, { rate: 7 }]), { rate: 7 });
  });
});
