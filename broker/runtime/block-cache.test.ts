import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { idOf } from '../conversation/test-kit.ts';
import { BlockCache } from './block-cache.ts';
import type { StoredOverlay } from './overlays.ts';

function overlays(count: number, bytes: number): Map<number, StoredOverlay> {
  return new Map(
    Array.from({ length: count }, (_, i) => [
      i + 1,
      { changeSequence: i + 1, value: new Uint8Array(bytes) },
    ]),
  );
}

describe('block cache', () => {
  it('edited texts count against its bound, and the least recently read go', () => {
    const cache = new BlockCache(100_000);
    for (let n = 0; n < 50; n++) cache.keepOverlays(cache.of(idOf(n)), overlays(10, 1000));
    assert.ok(cache.bytes <= 100_000);
    assert.equal(cache.get(idOf(0)), undefined);
    assert.equal(cache.get(idOf(49))?.overlays?.size, 10);
  });

  it('so do those that a flush adds, and a text that grew', () => {
    const cache = new BlockCache(100_000);
    const kept = cache.of(idOf(1));
    cache.keepOverlays(kept, overlays(1, 10));
    const before = cache.bytes;
    cache.overlaid(idOf(1), 1, { changeSequence: 5, value: new Uint8Array(510) });
    assert.equal(cache.bytes, before + 500);
    cache.overlaid(idOf(1), 2, { changeSequence: 6, value: new Uint8Array(0) });
    assert.equal(kept.overlays?.get(1)?.changeSequence, 5);
    assert.ok(cache.bytes > before + 500);
    cache.overlaid(idOf(1), 3, { changeSequence: 7, value: new Uint8Array(200_000) });
    assert.equal(cache.get(idOf(1)), undefined);
    assert.equal(cache.bytes, 0);
  });

  it('conversations cost something even without a block', () => {
    const cache = new BlockCache(100_000);
    for (let n = 0; n < 10_000; n++) cache.of(idOf(n));
    assert.ok(cache.bytes <= 100_000);
    assert.equal(cache.get(idOf(0)), undefined);
  });
});
