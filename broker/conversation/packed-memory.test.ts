import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import fc from 'fast-check';
import { newChunk } from '../../core/bytes.ts';
import { Arena } from './arena.ts';
import { IdTable } from './id-table.ts';
import { IdWords, readU48, U48_MAX, writeU48 } from './packed.ts';
import { RecencyList } from './recency-list.ts';
import { RowSpace } from './row-space.ts';

describe('an arena', () => {
  it('hands out blocks that do not overlap and are large enough, and takes them back', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.integer({ min: 1, max: 40_000 }), fc.boolean()), { maxLength: 60 }),
        (steps) => {
          const arena = new Arena();
          const held: { ref: number; bytes: number; fill: number }[] = [];
          for (const [i, [bytes, frees]] of steps.entries()) {
            if (frees && held.length > 0) {
              const gone = held.splice(i % held.length, 1)[0];
              arena.free(gone?.ref ?? 0);
            }
            const ref = arena.allocate(bytes);
            const at = arena.offsetOf(ref);
            assert.ok(arena.capacityOf(ref) >= bytes);
            assert.equal(at % 8, 0);
            arena.chunkOf(ref).bytes.fill(i & 255, at, at + bytes);
            held.push({ ref, bytes, fill: i & 255 });
          }
          for (const { ref, bytes, fill } of held) {
            const at = arena.offsetOf(ref);
            const block = arena.chunkOf(ref).bytes.subarray(at, at + bytes);
            assert.ok(block.every((byte) => byte === fill));
          }
          for (const { ref } of held) arena.free(ref);
          assert.equal(arena.usedBytes, 0);
        },
      ),
      { numRuns: 60 },
    );
  });

  it('wastes at most a fifth of a block', () => {
    const arena = new Arena();
    for (let bytes = 64; bytes <= 16_384; bytes += 13) {
      const capacity = arena.capacityOf(arena.allocate(bytes));
      assert.ok(capacity >= bytes && capacity <= bytes * 1.26 + 16, `${bytes}: ${capacity}`);
    }
  });
});

describe('an id table', () => {
  it('is a map, over any insertions and removals, also when all keys collide', () => {
    const key = fc.tuple(fc.nat(40), fc.nat(1));
    fc.assert(
      fc.property(fc.array(fc.tuple(key, fc.boolean()), { maxLength: 300 }), (steps) => {
        const table = new IdTable();
        const map = new Map<string, number>();
        const words = new IdWords();
        for (const [i, [[id, scope], inserts]] of steps.entries()) {
          const raw = new Uint8Array(16);
          raw[9] = id;
          words.read(raw, 0);
          const name = `${id}/${scope}`;
          if (inserts && !map.has(name)) {
            table.insert(words, scope, i);
            map.set(name, i);
          } else if (!inserts) assert.equal(table.remove(words, scope), map.delete(name));
          assert.equal(table.size, map.size);
        }
        for (let id = 0; id <= 40; id++)
          for (const scope of [0, 1]) {
            const raw = new Uint8Array(16);
            raw[9] = id;
            assert.equal(table.find(words.read(raw, 0), scope), map.get(`${id}/${scope}`) ?? -1);
          }
      }),
      { numRuns: 100 },
    );
  });
});

describe('packed numbers', () => {
  it('keep 48 bits and refuse more', () => {
    const view = new DataView(new ArrayBuffer(8));
    for (const value of [0, 1, 2 ** 32 - 1, 2 ** 32, 2 ** 40 - 1, U48_MAX]) {
      writeU48(view, 1, value);
      assert.equal(readU48(view, 1), value);
    }
    assert.throws(() => writeU48(view, 0, U48_MAX + 1), /packed.u48-range/);
    assert.throws(() => writeU48(view, 0, -1), /packed.u48-range/);
  });
});

describe('a recency list', () => {
  it('tells numbers from the least recently used on', () => {
    const list = new RecencyList();
    for (let number = 1; number <= 100; number++) list.add(number);
    list.touch(1);
    list.touch(100);
    list.touch(50);
    list.remove(2);
    const order: number[] = [];
    list.eachOldest((number) => order.push(number) > 0);
    assert.deepEqual(order.slice(0, 3), [3, 4, 5]);
    assert.deepEqual(order.slice(-4), [99, 1, 100, 50]);
    assert.equal(order.length, 99);
  });
});

describe('the space of rows', () => {
  it('gives zeros that nobody else has, large rows buffers of their own', () => {
    const space = new RowSpace(newChunk);
    for (const bytes of [100, 16_384, 16_384, 16_384, 16_384, 60_000, 300]) {
      space.take(bytes);
      const taken = space.chunk.bytes.subarray(space.at, space.at + bytes);
      assert.equal(taken.length, bytes);
      assert.ok(taken.every((byte) => byte === 0));
      taken.fill(255);
    }
  });
});
