import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it } from 'mocha';
import { newRawId } from '../../core/ids.ts';
import { decodePageToken, encodePageToken } from './page-token.ts';

const USER = newRawId(1);
const PLACE = newRawId(2);
const REFUSED = { reason: 'BAD_PAGE_TOKEN' };

describe('page token', () => {
  const token = encodePageToken(['members', USER, 7], PLACE);

  it('gives the place back to the question that it was made for', () => {
    assert.match(token, /^[\w-]+$/);
    assert.deepEqual(new Uint8Array(decodePageToken(token, ['members', USER, 7], 16)), PLACE);
  });

  it('is refused for another list, another caller, other arguments, another kind of place', () => {
    const other = newRawId(3);
    for (const question of [['rows', USER, 7], ['members', other, 7], ['members', USER, 8], []])
      assert.throws(() => decodePageToken(token, question, 16), REFUSED);
    assert.throws(() => decodePageToken(token, ['members', USER, 7], 8), REFUSED);
  });

  it('is refused when cut, made up or random, and nothing else is thrown', () => {
    for (let end = 0; end < token.length; end++)
      assert.throws(() => decodePageToken(token.slice(0, end), ['members', USER, 7], 16), REFUSED);
    for (let i = 0; i < 2000; i++) {
      const text = randomBytes(i % 40).toString('base64url');
      assert.throws(() => decodePageToken(text, ['members', USER, 7], 16), REFUSED);
    }
  });
});
