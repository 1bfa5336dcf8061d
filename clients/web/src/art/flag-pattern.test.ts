import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { flagOf, HUES, hueOf, PATTERNS } from './flag-pattern.ts';

/** The last four base32 characters of an id whose last two bytes are these. */
function idEndingIn(second: number, last: number): string {
  const alphabet = '0123456789abcdefghjkmnpqrstvwxyz';
  const bits = (second << 8) | last;
  const tail = [15, 10, 5, 0].map((shift) => alphabet[(bits >>> shift) & 31]).join('');
  return `usr_${'0'.repeat(22)}${tail}`;
}

describe('signal flags', () => {
  it('the last byte but one chooses the pattern, the last the hue', () => {
    for (let byte = 0; byte < 256; byte++) {
      assert.equal(flagOf(idEndingIn(byte, 5)).pattern, PATTERNS[byte % 12]);
      assert.equal(flagOf(idEndingIn(7, byte)).hue, byte % HUES);
    }
  });

  it('one id always flies the same flag, and its spine has the flag’s hue', () => {
    const id = idEndingIn(200, 13);
    assert.deepEqual(flagOf(id), flagOf(id));
    assert.equal(hueOf(id), 'var(--hue-5)');
  });

  it('there are twelve patterns', () => {
    assert.equal(new Set(PATTERNS).size, 12);
  });
});
