import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { ParleyError } from '../core/errors.ts';
import { secretWrap } from './key-wrap.ts';

const SECRET = Uint8Array.from({ length: 32 }, (_, i) => i);

describe('wrapping small secrets', () => {
  it('opens what it sealed, each time under another nonce', () => {
    const { wrap, unwrap } = secretWrap(SECRET);
    const bytes = Buffer.from('a private key');
    const sealed = wrap(bytes);
    assert.deepEqual(unwrap(sealed), bytes);
    assert.notDeepEqual(wrap(bytes), sealed);
    assert.ok(!Buffer.from(sealed).includes(bytes));
    assert.equal(sealed.length, 1 + 12 + bytes.length + 16);
  });

  it('golden bytes: what was sealed once stays readable', () => {
    const golden = '01000000000000000000000000be95beebdf8fa48082a1ff6bf8acb149c563adc159';
    assert.equal(
      Buffer.from(secretWrap(SECRET).unwrap(Buffer.from(golden, 'hex'))).toString(),
      'hello',
    );
  });

  it('one changed bit, another key, another version or a stump is refused', () => {
    const { wrap, unwrap } = secretWrap(SECRET);
    const sealed = wrap(Buffer.from('x'));
    for (let i = 0; i < sealed.length; i++) {
      const damaged = Uint8Array.from(sealed);
      damaged[i] = (damaged[i] ?? 0) ^ 1;
      assert.throws(() => unwrap(damaged), ParleyError);
    }
    assert.throws(() => unwrap(sealed.subarray(0, 20)), ParleyError);
    assert.throws(() => unwrap(new Uint8Array(0)), ParleyError);
    assert.throws(() => secretWrap(new Uint8Array(32)).unwrap(sealed), ParleyError);
  });
});
