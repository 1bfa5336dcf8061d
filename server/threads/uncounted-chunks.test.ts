import assert from 'node:assert/strict';
import v8 from 'node:v8';
import vm from 'node:vm';
import { describe, it } from 'mocha';
import { uncountedChunks, watchCollections } from './uncounted-chunks.ts';

const MIB: number = 1 << 20;
const isCounted = (chunk: Uint8Array): boolean => chunk.buffer instanceof ArrayBuffer;

/** External memory that V8 knows of. */
function externalBytes(): number {
  return v8.getHeapStatistics().external_memory;
}

function collectAll(): void {
  v8.setFlagsFromString('--expose-gc');
  vm.runInNewContext('gc()');
}

describe('chunks that V8 does not count', () => {
  it('are zeros of their own, 64 MiB between two whole collections; then V8 is told', () => {
    let collected = (): void => undefined;
    const newChunk = uncountedChunks((listen) => {
      collected = listen;
    });
    for (let round = 0; round < 3; round++) {
      const before = externalBytes();
      const chunks = Array.from({ length: 64 }, () => newChunk(MIB));
      assert.ok(chunks.every((chunk) => !isCounted(chunk)));
      assert.ok(chunks.every((chunk) => chunk.length === MIB && chunk[0] === 0));
      assert.equal(new Set(chunks.map((chunk) => chunk.buffer)).size, 64);
      assert.ok(externalBytes() - before < 8 * MIB, 'V8 does not count them');
      const later = newChunk(MIB);
      assert.ok(isCounted(later));
      assert.equal(later.length, MIB);
      assert.equal(chunks.length, 64);
      collected();
    }
  });

  it('are there again after a whole collection of this thread', async () => {
    const newChunk = uncountedChunks(watchCollections);
    const chunks: Uint8Array[] = [];
    do chunks.push(newChunk(MIB));
    while (chunks.length < 300 && !isCounted(newChunk(MIB)));
    assert.ok(chunks.length < 300, 'they end');
    assert.ok(isCounted(newChunk(1)));
    // Told behind the one above, which was there first.
    await new Promise<void>((resolve) => {
      watchCollections(resolve);
      collectAll();
    });
    assert.ok(!isCounted(newChunk(MIB)));
  });
});
