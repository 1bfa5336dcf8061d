import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { readPages } from './read-pages.ts';

describe('reading pages', () => {
  it('every page is read, however many they are', async () => {
    const read: string[] = [];
    await readPages(async (pageToken) => {
      read.push(pageToken);
      return read.length < 5_000 ? String(read.length) : '';
    });
    assert.deepEqual(
      read,
      Array.from({ length: 5_000 }, (_, i) => (i === 0 ? '' : String(i))),
    );
  });

  it('pages that go in a circle end with a named error, whatever its length and where it begins', async () => {
    for (const [begins, length] of [
      [0, 1],
      [0, 2],
      [5, 1],
      [100, 3],
      [7, 200],
    ] as const) {
      let count = 0;
      const reading = readPages(async () => {
        const place = count++;
        return String(place < begins ? place : begins + ((place - begins) % length));
      });
      await assert.rejects(reading, { name: 'ClientError', reason: 'INVARIANT' });
      assert.ok(count <= 4 * (begins + length), `${begins} and ${length}: ${count} pages`);
    }
  });
});
