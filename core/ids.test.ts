import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it } from 'mocha';
import {
  decodeId,
  decodeUuid,
  directConversationRaw,
  encodeId,
  encodeUuid,
  messageIdRaw,
  newRawId,
  parseId,
  sequenceOfMessageId,
  slotOf,
} from './ids.ts';

describe('ids', () => {
  it('round-trip and sort as their bytes do', () => {
    const raws = Array.from({ length: 200 }, () => new Uint8Array(randomBytes(16)));
    const texts = raws.map((raw) => encodeId('usr', raw));
    for (const [i, text] of texts.entries()) assert.deepEqual(decodeId('usr', text), raws[i]);
    const byBytes = [...raws].sort(Buffer.compare).map((raw) => encodeId('usr', raw));
    assert.deepEqual([...texts].sort(), byBytes);
  });
  it('of another prefix, length, alphabet or overflow are refused with BAD_ID', () => {
    const good = encodeId('usr', new Uint8Array(16).fill(255));
    assert.equal(good, 'usr_7zzzzzzzzzzzzzzzzzzzzzzzzz');
    for (const bad of [
      good.replace('usr', 'dev'),
      `${good}0`,
      good.slice(0, -1),
      good.replace('7', '8'),
      `${good.slice(0, -1)}u`,
      '',
    ])
      assert.throws(() => parseId('usr', bad, 'userId'), {
        reason: 'BAD_ID',
        code: 'invalid_argument',
      });
  });
  it('golden: a direct conversation is the same from both sides', () => {
    const a = new Uint8Array(16).fill(1);
    const b = new Uint8Array(16).fill(2);
    assert.deepEqual(directConversationRaw(a, b), directConversationRaw(b, a));
    assert.equal(encodeUuid(directConversationRaw(a, b)), '5d4deb42-bcde-847a-96ea-a6f555942d9e');
  });
  it('of messages hold the sequence and sort by time, then sequence (R142)', () => {
    const conversation = new Uint8Array(randomBytes(16));
    const sequences = [1, 2, 2 ** 22, 2 ** 28 - 1, 2 ** 28, 2 ** 40 - 1];
    const raws = sequences.map((s) => messageIdRaw(1_700_000_000_000, s, conversation));
    for (const [i, raw] of raws.entries()) {
      assert.equal(sequenceOfMessageId(raw), sequences[i]);
      assert.equal(slotOf(raw), slotOf(conversation));
      assert.equal((raw[6] ?? 0) >>> 4, 7);
      assert.equal((raw[8] ?? 0) >>> 6, 2);
      if (i > 0) assert.ok(Buffer.compare(raws[i - 1] as Uint8Array, raw) < 0);
    }
  });
  it('that are zero but for their slot are nobody’s: what asked for one made the store look without end', () => {
    const raw = new Uint8Array(16);
    for (const slot of [0, 1, 0xfff]) {
      raw[14] = slot >>> 8;
      raw[15] = slot & 255;
      assert.throws(() => parseId('cnv', encodeId('cnv', raw), 'to'), /to is not a cnv_ id/);
    }
  });
  it('of another version than their kind has are refused: 8 for conversations, 7 for all else', () => {
    const user = newRawId(1);
    const conversation = directConversationRaw(user, user);
    assert.deepEqual(parseId('usr', encodeId('usr', user), 'id'), user);
    assert.deepEqual(parseId('cnv', encodeId('cnv', conversation), 'id'), conversation);
    assert.throws(() => parseId('cnv', encodeId('cnv', user), 'id'), { reason: 'BAD_ID' });
    assert.throws(() => parseId('usr', encodeId('usr', conversation), 'id'), { reason: 'BAD_ID' });
    const random = new Uint8Array(user);
    random[6] = 0x4f;
    assert.throws(() => parseId('ses', encodeId('ses', random), 'id'), { reason: 'BAD_ID' });
    const variant = new Uint8Array(user);
    variant[8] = 0xc0;
    assert.throws(() => parseId('msg', encodeId('msg', variant), 'id'), { reason: 'BAD_ID' });
  });
  it('that are new are UUIDv7 of their time', () => {
    const raw = newRawId(0x0123456789ab);
    assert.match(encodeUuid(raw), /^01234567-89ab-7/);
    assert.deepEqual(decodeUuid(encodeUuid(raw)), raw);
  });
});
