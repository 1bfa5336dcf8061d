import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import fc from 'fast-check';
import { hex } from '../core/bytes.ts';
import { InvariantViolation } from '../core/invariant.ts';
import {
  BLOCK_BYTES_MAX,
  BLOCK_ROWS_MAX,
  decodeBlock,
  encodeBlock,
  mergeBlocks,
  packBlocks,
  sharedSpace,
} from './block.ts';

/** Rows of these lengths, each of bytes of its own. */
const rowsOf = (lengths: readonly number[]): Uint8Array[] =>
  lengths.map((length, i) => new Uint8Array(length).fill(7 + i));

const blockOf = (first: number, lengths: readonly number[]): Uint8Array =>
  encodeBlock(first, rowsOf(lengths));

describe('blocks', () => {
  it('have golden bytes', () => {
    const value = encodeBlock(258, [Uint8Array.of(1, 2, 3), Uint8Array.of(), Uint8Array.of(9)]);
    assert.equal(
      hex(value),
      '01000300' +
        '04000000' +
        '0201000000000000' +
        '03000000' +
        '00000000' +
        '01000000' +
        '010203' +
        '09',
    );
  });

  it('give back their rows, by place and by sequence', () => {
    const block = decodeBlock(blockOf(7, [3, 0, 5]));
    assert.deepEqual([block.first, block.last, block.rows], [7, 9, 3]);
    assert.equal(hex(block.row(0)), '070707');
    assert.equal(hex(block.rowAt(9) ?? new Uint8Array()), '0909090909');
    assert.equal(block.rowAt(6), undefined);
    assert.equal(block.rowAt(10), undefined);
    assert.throws(() => block.row(3), InvariantViolation);
  });

  it('packing keeps every row, in order, within 64 rows and 64 KiB a block', () => {
    const lengths = fc.array(fc.oneof(fc.nat(2000), fc.nat(70_000)), {
      minLength: 1,
      maxLength: 150,
    });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 2 ** 39 }), lengths, (first, sizes) => {
        const rows = rowsOf(sizes);
        const blocks = [...packBlocks(first, rows)];
        let next = first;
        for (const packed of blocks) {
          const block = decodeBlock(packed.value);
          assert.equal(packed.first, next);
          assert.equal(block.first, next);
          assert.equal(packed.rows, block.rows);
          assert.ok(block.rows <= BLOCK_ROWS_MAX);
          assert.ok(block.rows === 1 || packed.value.length <= BLOCK_BYTES_MAX);
          for (let i = 0; i < block.rows; i++)
            assert.deepEqual(block.row(i), rows[next + i - first]);
          next += block.rows;
        }
        assert.equal(next, first + sizes.length);
        const total = sizes.reduce((sum, size) => sum + size + 4, 16);
        if (total <= BLOCK_BYTES_MAX && sizes.length <= BLOCK_ROWS_MAX)
          assert.equal(blocks.length, 1);
      }),
      { numRuns: 50 },
    );
  });

  it('blocks in a shared space are those in spaces of their own, each until the next', () => {
    const space = sharedSpace();
    fc.assert(
      fc.property(fc.array(fc.nat(70_000), { minLength: 1, maxLength: 40 }), (sizes) => {
        const rows = rowsOf(sizes);
        const own = [...packBlocks(7, rows)];
        let i = 0;
        for (const { first, value } of packBlocks(7, rows, space)) {
          assert.equal(first, own[i]?.first);
          assert.deepEqual(value, own[i++]?.value);
        }
        assert.equal(i, own.length);
      }),
      { numRuns: 30 },
    );
  });

  it('merging neighbours gives the same rows in fewer blocks', () => {
    const values = [blockOf(1, [10]), blockOf(2, [10, 10]), blockOf(4, [10])];
    const merged = mergeBlocks(values);
    assert.equal(merged.length, 1);
    assert.deepEqual([merged[0]?.first, merged[0]?.rows], [1, 4]);
    const full = mergeBlocks([
      blockOf(1, Array<number>(60).fill(1)),
      blockOf(61, Array<number>(10).fill(1)),
    ]);
    assert.deepEqual(
      full.map(({ first, rows }) => [first, rows]),
      [
        [1, 64],
        [65, 6],
      ],
    );
  });

  it('a gap between blocks, and more or fewer rows than a block holds, break an invariant', () => {
    assert.throws(() => encodeBlock(1, []), InvariantViolation);
    assert.throws(() => mergeBlocks([blockOf(1, [1]), blockOf(3, [1])]), InvariantViolation);
    assert.throws(() => blockOf(1, Array<number>(65).fill(1)), InvariantViolation);
  });

  it('bytes that are no block break an invariant, whatever they are', () => {
    const value = blockOf(5, [4, 4]);
    for (const at of [0, 1, 2, 4, 16]) {
      const wrong = value.slice();
      wrong[at] = (wrong[at] ?? 0) + 90;
      assert.throws(() => decodeBlock(wrong), InvariantViolation, `byte ${at}`);
    }
    assert.throws(() => decodeBlock(value.subarray(0, 10)), InvariantViolation);
    assert.throws(() => decodeBlock(value.subarray(0, value.length - 1)), InvariantViolation);
  });
});
