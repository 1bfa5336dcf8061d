import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import {
  AT_END,
  around,
  follow,
  growNewer,
  growOlder,
  pin,
  SHOWN_MAX,
  sliceOf,
} from './shown-rows.ts';

function rows(from: number, through: number): { key: string }[] {
  return Array.from({ length: through - from + 1 }, (_, i) => ({ key: `m${from + i}` }));
}

describe('shown rows', () => {
  it('following shows the newest sixty and lets arrivals in', () => {
    assert.deepEqual(sliceOf(rows(1, 200), AT_END), { from: 140, to: 200 });
    assert.deepEqual(sliceOf(rows(1, 201), AT_END), { from: 141, to: 201 });
  });

  it('following never holds more than the most rows', () => {
    const shown = follow(rows(1, 60), AT_END);
    assert.deepEqual(sliceOf(rows(1, 200), shown), { from: 200 - SHOWN_MAX, to: 200 });
  });

  it('pinned, arrivals stay out of the page', () => {
    const shown = pin(rows(1, 100), AT_END);
    assert.deepEqual(sliceOf(rows(1, 150), shown), { from: 40, to: 100 });
  });

  it('rows loaded above the page do not change what is in it', () => {
    const shown = pin(rows(51, 150), AT_END);
    const slice = sliceOf(rows(1, 150), shown);
    assert.equal(rows(1, 150)[slice.from]?.key, 'm91');
    assert.equal(slice.to, 150);
  });

  it('grows by steps at either edge and stops at what is loaded', () => {
    const all = rows(1, 200);
    const older = growOlder(all, pin(all, AT_END));
    assert.deepEqual(sliceOf(all, older), { from: 110, to: 200 });
    const top = growOlder(all, growOlder(all, { from: 'm40', to: 'm80' }));
    assert.deepEqual(sliceOf(all, top), { from: 0, to: 80 });
    assert.deepEqual(sliceOf(all, growNewer(all, { from: 'm40', to: 'm180' })).to, 200);
  });

  it('growing while following keeps following', () => {
    assert.equal(growOlder(rows(1, 100), AT_END).to, undefined);
  });

  it('a step that would be too many takes as many out at the other edge', () => {
    const all = rows(1, 200);
    assert.deepEqual(sliceOf(all, growOlder(all, { from: 'm61', to: 'm180' })), {
      from: 30,
      to: 30 + SHOWN_MAX,
    });
    assert.deepEqual(sliceOf(all, growNewer(all, { from: 'm1', to: 'm120' })), {
      from: 30,
      to: 150,
    });
  });

  it('following and grown to the most, the reader is far from the end: it pins', () => {
    const all = rows(1, 200);
    assert.equal(growOlder(all, { from: 'm81', to: undefined }).to, 'm170');
  });

  it('a last row that left the device’s memory pins to the last one there', () => {
    assert.deepEqual(sliceOf(rows(1, 50), { from: 'm10', to: 'm90' }), { from: 9, to: 50 });
  });

  it('opening at an unread line far above the end pins around it; near the end it follows', () => {
    const all = rows(1, 200);
    const far = around(all, 'm60');
    assert.equal(sliceOf(all, far).from, 29);
    assert.notEqual(far.to, undefined);
    assert.equal(around(all, 'm190').to, undefined);
    assert.ok(sliceOf(all, around(all, 'm150')).from <= 149);
  });
});
