import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { encodeBlock } from '../../storage-engine/block.ts';
import type { StateEntry, StateStore } from '../../storage-engine/contract.ts';
import { blockKey } from '../../storage-engine/keys.ts';
import { idOf } from '../conversation/test-kit.ts';
import { BlockCache } from './block-cache.ts';
import { BlockReads, type Extent } from './block-reads.ts';
import { HotTail } from './hot-tail.ts';
import { encodeStoredOverlay, storedOverlayKey } from './overlays.ts';

const CONVERSATION = idOf(1, 4);
const EXTENT: Extent = {
  conversation: CONVERSATION,
  head: 1,
  buckets: [{ bucket: 0, firstSequence: 1, firstTimeMs: 0 }],
  overlayCount: 1,
};

function blockOf(text: string): StateEntry {
  const value = encodeBlock(1, [Buffer.from(text)]);
  return { key: blockKey(0, CONVERSATION, 1), value };
}

function overlayOf(text: string): StateEntry {
  const value = encodeStoredOverlay({ changeSequence: 1, value: Buffer.from(text) });
  return { key: storedOverlayKey(CONVERSATION, 1), value };
}

/** Reads over a state store that answers when it is told to, with what it is told. */
function bench(): {
  readonly reads: BlockReads;
  readonly cache: BlockCache;
  answer(...entries: StateEntry[]): void;
} {
  const waiting: ((entries: StateEntry[]) => void)[] = [];
  const range = (): Promise<StateEntry[]> => new Promise((resolve) => waiting.push(resolve));
  const cache = new BlockCache(1e6);
  const reads = new BlockReads({
    state: { range } as unknown as StateStore,
    hotTail: new HotTail({ shards: 1, bytesMax: 1 }),
    cache,
    wantMerge: () => undefined,
  });
  const answer = (...entries: StateEntry[]): void => (waiting.shift() ?? assert.fail())(entries);
  return { reads, cache, answer };
}

describe('reads of rows that are gone', () => {
  it('say so at once: a block that vanished is neither waited for nor skipped', async () => {
    const { reads, answer } = bench();
    const none = reads.rows({ ...EXTENT, head: 9 }, 1, 9);
    answer();
    await assert.rejects(none, { reason: 'CORRUPT_ENTRY' });
    const hole = reads.rows({ ...EXTENT, head: 2 }, 2, 2);
    answer(blockOf('the one before it'));
    await assert.rejects(hole, { reason: 'CORRUPT_ENTRY' });
  });
});

describe('reads that a flush overtakes', () => {
  it('what was read before a body was erased is not kept for later readers', async () => {
    const { reads, cache, answer } = bench();
    const early = reads.rows(EXTENT, 1, 1);
    // The flush that rewrote the block ends first.
    cache.forget(CONVERSATION);
    answer(blockOf('secret'));
    await early;
    assert.equal(reads.rowsNow(EXTENT, 1, 1), undefined);
    const late = reads.rows(EXTENT, 1, 1);
    answer(blockOf('gone'));
    assert.deepEqual(await late, [new Uint8Array(Buffer.from('gone'))]);
    assert.equal(reads.rowsNow(EXTENT, 1, 1)?.length, 1);
  });

  it('overlays that were read before others were stored are not kept', async () => {
    const { reads, cache, answer } = bench();
    const early = reads.overlays(EXTENT, 1, 1);
    cache.generation++;
    answer(overlayOf('old'));
    await early;
    const late = reads.overlays(EXTENT, 1, 1);
    answer(overlayOf('new'));
    const kept = await late;
    assert.equal(await reads.overlays(EXTENT, 1, 1), kept);
    assert.equal(Buffer.from(kept.get(1)?.value ?? []).toString(), 'new');
  });
});
