import assert from 'node:assert/strict';
import fc from 'fast-check';
import { describe, it } from 'mocha';
import { hex } from '../core/bytes.ts';
import { InvariantViolation } from '../core/invariant.ts';
import { decodeSparse, encodeSparse, SPARSE } from './sparse.ts';

/** Bytes like those of units: stretches of zeros and of noise, of any length. */
const values = fc
  .array(
    fc.oneof(
      fc.nat(40).map((length) => new Uint8Array(length)),
      fc.uint8Array({ maxLength: 40 }),
      fc.nat(5000).map((length) => new Uint8Array(length)),
      fc.nat(5000).map((length) => new Uint8Array(length).fill(7)),
    ),
    { maxLength: 12 },
  )
  .map((parts) => Uint8Array.of(1, ...parts.flatMap((part) => [...part])));

const bytes = (digits: string): Uint8Array => new Uint8Array(Buffer.from(digits, 'hex'));

describe('sparse values', () => {
  it('are what was encoded, whatever it holds', () => {
    fc.assert(
      fc.property(values, (value) => {
        const sparse = encodeSparse(value);
        assert.ok(sparse.length <= 5 + value.length + 2 * Math.ceil(value.length / 8));
        assert.deepEqual(decodeSparse(sparse), value);
      }),
      { numRuns: 300 },
    );
  });

  it('golden bytes: tags, runs of zeros and of full words, the rest as it is', () => {
    const golden: readonly (readonly [string, string])[] = [
      ['', 'f000000000'],
      ['0100', 'f0020000000100'],
      ['0100000000000002', 'f008000000810102'],
      // One word, two of zeros behind a third, a rest of three bytes.
      [`01${'00'.repeat(7)}${'00'.repeat(24)}0a000b`, 'f0230000000101' + '0002' + '0a000b'],
      [`01${'02'.repeat(23)}00`, `f019000000ff01${'02'.repeat(7)}02${'02'.repeat(16)}00`],
      [`01${'00'.repeat(8 * 300 - 1)}`, 'f060090000' + '0101' + '00ff' + '002a'],
    ];
    for (const [value, sparse] of golden) {
      assert.equal(hex(encodeSparse(bytes(value))), sparse);
      assert.deepEqual(decodeSparse(bytes(sparse)), bytes(value));
    }
  });

  it('are half as long where half is zeros', () => {
    const value = new Uint8Array(1024).map((_, i) => (i % 8 < 3 ? 1 : 0));
    assert.equal(encodeSparse(value).length, 5 + 4 * 128);
  });

  it('what was stored without is read as it is', () => {
    const value = Uint8Array.of(2, 0, 0, 0, 5);
    assert.equal(decodeSparse(value), value);
    assert.throws(() => encodeSparse(Uint8Array.of(SPARSE, 1)), InvariantViolation);
  });

  it('that lost an end, or tell of more than they hold, are refused', () => {
    const value = Uint8Array.from({ length: 203 }, (_, i) => (i % 3 === 0 ? i + 1 : 0));
    const sparse = encodeSparse(value).slice();
    for (let length = 1; length < sparse.length; length++)
      assert.throws(() => decodeSparse(sparse.subarray(0, length)), InvariantViolation);
    const longer = Uint8Array.of(...sparse, 0);
    assert.throws(() => decodeSparse(longer), InvariantViolation);
    for (const digits of ['f0ffffffff0101', 'f0080000000001', 'f008000000ff010101010101010101'])
      assert.throws(() => decodeSparse(bytes(digits)), InvariantViolation, digits);
  });
});
