import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { viewOf } from '../../core/bytes.ts';
import { KeptRows } from './kept-rows.ts';
import { blankRow } from './testing/blank-row.ts';

/** Rows of 100 bytes one behind the other in one chunk. */
function chunkOf(rows: number, offset = 0): Uint8Array[] {
  const chunk = new Uint8Array(offset + rows * 100);
  return Array.from({ length: rows }, (_, n) => {
    const row = chunk.subarray(offset + n * 100, offset + (n + 1) * 100);
    row.set(blankRow(100, n + 1));
    return row;
  });
}

describe('kept rows', () => {
  it('come back as they were, from whichever chunk, and a chunk goes with its last row', () => {
    const kept = new KeptRows();
    const rows = [...chunkOf(3), ...chunkOf(2), blankRow(70_000, 9)];
    const places = rows.map((row) => kept.keep(row));
    assert.equal(new Set(places).size, rows.length);
    for (const [i, place] of places.entries()) {
      assert.deepEqual(kept.row(place), rows[i]);
      assert.equal(kept.lengthOf(place), rows[i]?.length);
    }
    assert.equal(kept.chunks, 3);
    const [first = 0, second = 0, third = 0, ...others] = places;
    kept.drop(second);
    kept.drop(first);
    assert.deepEqual(kept.row(third), rows[2]);
    assert.equal(kept.chunks, 3);
    const seen = kept.row(third);
    kept.drop(third);
    assert.equal(kept.chunks, 2);
    // Its number serves another chunk; what was handed out stays what it was.
    const again = kept.keep(blankRow(50, 7));
    assert.deepEqual(seen, rows[2]);
    assert.equal(kept.row(again).length, 50);
    for (const [i, place] of others.entries()) assert.deepEqual(kept.row(place), rows[i + 3]);
  });

  it('a chunk that was let go is taken anew', () => {
    const kept = new KeptRows();
    const [one, two] = chunkOf(2);
    assert.ok(one !== undefined && two !== undefined);
    kept.drop(kept.keep(one));
    assert.equal(kept.chunks, 0);
    const place = kept.keep(two);
    assert.deepEqual(kept.row(place), two);
    assert.equal(kept.chunks, 1);
  });

  it('one that begins far in its chunk, as no place can say, is copied', () => {
    const kept = new KeptRows();
    const [far] = chunkOf(1, 1_000_000);
    assert.ok(far !== undefined);
    const place = kept.keep(far);
    assert.deepEqual(kept.row(place), far);
    assert.equal(kept.row(place).buffer.byteLength, 100);
  });

  it('a row that does not tell its length, or is dropped twice, is a fault', () => {
    const kept = new KeptRows();
    const row = blankRow(100);
    viewOf(row).setUint32(0, 99, true);
    assert.throws(() => kept.keep(row), /kept-rows.length-told/);
    const place = kept.keep(blankRow(100));
    kept.drop(place);
    assert.throws(() => kept.drop(place), /kept-rows/);
    assert.throws(() => kept.row(place), /kept-rows.chunk-there/);
  });
});
