import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { SeenRows } from './seen-rows.ts';

describe('seen rows', () => {
  it('a row counts as read once it was in view for 500 ms, not before (S9)', () => {
    const seen = new SeenRows();
    seen.entered(7, 1_000);
    assert.equal(seen.nextMs(), 1_500);
    assert.equal(seen.readThrough(1_499), 0);
    assert.equal(seen.readThrough(1_500), 7);
    assert.equal(seen.nextMs(), undefined);
  });

  it('rows that follow put none of those before them off', () => {
    const seen = new SeenRows();
    const read: string[] = [];
    for (let nowMs = 0; nowMs <= 2_000; nowMs += 100) {
      seen.entered(1 + nowMs / 100, nowMs);
      if (nowMs === seen.nextMs()) read.push(`${seen.readThrough(nowMs)} at ${nowMs}`);
    }
    assert.deepEqual(read.slice(0, 3), ['1 at 500', '2 at 600', '3 at 700']);
    assert.equal(read.at(-1), '16 at 2000');
  });

  it('what left the view in time is not read', () => {
    const seen = new SeenRows();
    seen.entered(1, 0);
    seen.entered(2, 0);
    seen.left(2);
    assert.equal(seen.readThrough(500), 1);
  });

  it('a row told again to be in view keeps its time; a window looked at again starts it anew', () => {
    const seen = new SeenRows();
    seen.entered(1, 0);
    seen.entered(1, 400);
    assert.equal(seen.nextMs(), 500);
    assert.equal(seen.readThrough(500), 1);
    seen.restart(700);
    assert.equal(seen.nextMs(), 1_200);
    assert.equal(seen.readThrough(1_199), 0);
  });
});
