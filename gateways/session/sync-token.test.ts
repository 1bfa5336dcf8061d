import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { newRawId } from '../../core/ids.ts';
import {
  base64Url,
  decodeSyncToken,
  encodeSyncToken,
  farther,
  fromBase64Url,
  SYNC_TOKEN_CHARS_MAX,
} from './sync-token.ts';

const USER = newRawId(1);

describe('sync token', () => {
  it('says what was written into it, to its own user', () => {
    const token = {
      epoch: 1_700_000_000,
      timeMs: 1_800_000_000_000,
      position: { accountSequence: 2 ** 40, indexes: [0, 7, 0, 2 ** 52] },
    };
    const text = encodeSyncToken(token, USER);
    assert.match(text, /^[A-Za-z0-9_-]+$/);
    assert.deepEqual(decodeSyncToken(text, USER), token);
    assert.equal(decodeSyncToken(text, newRawId(2)), undefined);
  });
  it('is at most 4 KiB with all 256 shards', () => {
    const indexes = Array.from({ length: 256 }, () => Number.MAX_SAFE_INTEGER);
    const token = { epoch: 1, timeMs: 1, position: { accountSequence: 1, indexes } };
    const text = encodeSyncToken(token, USER);
    assert.ok(text.length <= SYNC_TOKEN_CHARS_MAX, String(text.length));
    assert.deepEqual(decodeSyncToken(text, USER), token);
  });
  it('that is cut, changed or of another version is unknown, never an exception', () => {
    const token = { epoch: 1, timeMs: 1, position: { accountSequence: 1, indexes: [3, 4] } };
    const text = encodeSyncToken(token, USER);
    for (let end = 0; end < text.length; end++)
      assert.equal(decodeSyncToken(text.slice(0, end), USER), undefined);
    let seed = 7;
    for (let i = 0; i < 20_000; i++) {
      seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
      const bytes = fromBase64Url(text) ?? new Uint8Array(0);
      bytes[seed % bytes.length] = seed >>> 24;
      const read = decodeSyncToken(base64Url(bytes), USER);
      if (read === undefined) continue;
      const { epoch, timeMs, position } = read;
      for (const number of [epoch, timeMs, position.accountSequence, ...position.indexes])
        assert.ok(
          Number.isSafeInteger(number),
          'a changed token asked the store for the impossible',
        );
    }
    assert.equal(decodeSyncToken('x'.repeat(5000), USER), undefined);
    assert.equal(decodeSyncToken('täst', USER), undefined);
  });
  it('the farther of two positions is the farther in each shard', () => {
    const a = { accountSequence: 1, indexes: [5, 0, 9] };
    const b = { accountSequence: 4, indexes: [3, 2] };
    assert.deepEqual(farther(a, b), { accountSequence: 4, indexes: [5, 2, 9] });
  });
  it('its letters stand for the same bytes as everybody’s base64url', () => {
    for (let length = 0; length < 40; length++) {
      const bytes = Uint8Array.from({ length }, (_, i) => (i * 37 + length) & 255);
      assert.equal(base64Url(bytes), Buffer.from(bytes).toString('base64url'));
      assert.deepEqual(fromBase64Url(base64Url(bytes)), bytes);
    }
  });
});
