import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { ByteReader, ByteWriter } from './bytes.ts';

describe('a byte writer', () => {
  it('grows in the middle of any number without losing it', () => {
    for (let hint = 1; hint < 40; hint++) {
      const out = new ByteWriter(hint);
      out
        .u8(1)
        .u16(0x0203)
        .u32(0x04050607)
        .u53(2 ** 53 - 1)
        .text('ä')
        .bytes(new Uint8Array(3));
      const input = new ByteReader(out.finish());
      assert.equal(input.u8(), 1);
      assert.equal(input.u16(), 0x0203);
      assert.equal(input.u32(), 0x04050607);
      assert.equal(input.u53(), 2 ** 53 - 1);
      assert.equal(input.text(), 'ä');
      assert.equal(input.bytes().length, 3);
      assert.equal(input.remaining, 0);
    }
  });
});
