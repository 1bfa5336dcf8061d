import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, it } from 'mocha';
import { ClientError } from './errors.ts';
import {
  decodeId,
  directConversationId,
  encodeId,
  groupConversationId,
  isId,
  newUuid,
} from './ids.ts';
import { ANA, BO } from '../test/world.ts';

function derived(label: string, ...parts: Uint8Array[]): string {
  const hash = createHash('sha256').update(label);
  for (const part of parts) hash.update(part);
  const raw = Uint8Array.from(hash.digest().subarray(0, 16));
  raw[6] = ((raw[6] ?? 0) & 15) | 0x80;
  raw[8] = ((raw[8] ?? 0) & 63) | 0x80;
  return encodeId('cnv', raw);
}

describe('ids', () => {
  it('text and bytes carry the same, and nothing else is an id', () => {
    const raw = Uint8Array.from({ length: 16 }, (_, i) => i * 16 + 7);
    const text = encodeId('usr', raw);
    assert.match(text, /^usr_[0-7][0-9a-hjkmnp-tv-z]{25}$/);
    assert.deepEqual(decodeId('usr', text), raw);
    assert.equal(isId('dev', text), false);
    assert.equal(isId('usr', `${text}0`), false);
    assert.equal(isId('usr', text.replace(/.$/, 'u')), false);
    assert.equal(isId('usr', `usr_8${text.slice(5)}`), false);
  });

  it('a direct’s id is that of both users, whoever computes it (CONTRACT §1)', () => {
    const low = decodeId('usr', ANA) as Uint8Array;
    const high = decodeId('usr', BO) as Uint8Array;
    assert.equal(directConversationId(ANA, BO), derived('parley.direct.v1\0', low, high));
    assert.equal(directConversationId(BO, ANA), directConversationId(ANA, BO));
    assert.notEqual(directConversationId(ANA, ANA), directConversationId(ANA, BO));
  });

  it('a group’s id is that of its creator and the request (CONTRACT §1)', () => {
    const requestId = '00112233-4455-4677-8899-aabbccddeeff';
    const uuid = Uint8Array.from(Buffer.from(requestId.replaceAll('-', ''), 'hex'));
    const creator = decodeId('usr', ANA) as Uint8Array;
    assert.equal(groupConversationId(ANA, requestId), derived('parley.group.v1\0', creator, uuid));
  });

  it('no id of a malformed user', () => {
    assert.throws(
      () => directConversationId('usr_x', ANA),
      (error) => error instanceof ClientError && error.reason === 'BAD_ID',
    );
  });

  it('new UUIDs are version 4', () => {
    const uuid = newUuid((count) => crypto.getRandomValues(new Uint8Array(count)));
    assert.match(uuid, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  });
});
