import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import fc from 'fast-check';
import { compareBytes, hex } from '../core/bytes.ts';
import { slotOf } from '../core/ids.ts';
import { InvariantViolation } from '../core/invariant.ts';
import * as keys from './keys.ts';

const CONVERSATION: Uint8Array = Uint8Array.from({ length: 16 }, (_, i) => 0xa0 + i);
const USER: Uint8Array = Uint8Array.from({ length: 16 }, (_, i) => 0x10 + i);

const isIn = (key: Uint8Array, { gte, lt }: keys.KeyRange): boolean =>
  compareBytes(key, gte) >= 0 && compareBytes(key, lt) < 0;

describe('keys of the state store', () => {
  it('have golden bytes', () => {
    const id = 'a0a1a2a3a4a5a6a7a8a9aaabacadaeaf';
    const user = '101112131415161718191a1b1c1d1e1f';
    const slot = slotOf(CONVERSATION).toString(16).padStart(4, '0');
    assert.equal(slot, '0eaf');
    assert.equal(hex(keys.headerKey(CONVERSATION)), `68${slot}${id}00`);
    assert.equal(hex(keys.memberPageKey(CONVERSATION, 258)), `68${slot}${id}0100000102`);
    assert.equal(hex(keys.senderRecordKey(CONVERSATION, USER)), `68${slot}${id}02${user}`);
    assert.equal(
      hex(keys.blockKey(0x1234, CONVERSATION, 2 ** 40 - 1)),
      `421234${slot}${id}00ffffffffff`,
    );
    assert.equal(hex(keys.overlayKey(1, CONVERSATION, 65)), `6f0001${slot}${id}000000000041`);
    assert.equal(hex(keys.changeKey(CONVERSATION, 7)), `63${slot}${id}000000000007`);
    assert.equal(hex(keys.reactionKey(CONVERSATION, 7, USER)), `72${slot}${id}000000000007${user}`);
    assert.equal(
      hex(keys.expiryKey(1_700_000_000_000, CONVERSATION, 9)),
      `78018bcfe56800${id}000000000009`,
    );
    assert.equal(hex(keys.journalKey(15, 2 ** 33)), '6a000f000200000000');
    assert.equal(hex(keys.accountKey(USER, 1, 3)), `610e1f${user}0100000003`);
    assert.equal(hex(keys.shardKey(3, 1)), '73000301');
    assert.equal(hex(keys.ringKey(16_383)), '623fff');
  });

  it('sort as their numbers do', () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), fc.maxSafeNat(), (a, b) => {
        const [x, y] = [a % 2 ** 40, b % 2 ** 40];
        const order = Math.sign(
          compareBytes(keys.blockKey(1, CONVERSATION, x), keys.blockKey(1, CONVERSATION, y)),
        );
        assert.equal(order, Math.sign(x - y));
        assert.equal(
          Math.sign(compareBytes(keys.journalKey(1, x), keys.journalKey(1, y))),
          Math.sign(x - y),
        );
      }),
    );
  });

  it('are read back', () => {
    assert.deepEqual(keys.readBlockKey(keys.blockKey(652, CONVERSATION, 2 ** 39 + 5)), {
      bucket: 652,
      conversation: CONVERSATION,
      first: 2 ** 39 + 5,
    });
    assert.equal(keys.readChangeKey(keys.changeKey(CONVERSATION, 2 ** 39)), 2 ** 39);
    assert.equal(keys.readJournalKey(keys.journalKey(4, 2 ** 47)), 2 ** 47);
    assert.deepEqual(keys.readShardKey(keys.shardKey(255, 2)), { shard: 255, part: 2 });
    assert.deepEqual(keys.readExpiryKey(keys.expiryKey(5, CONVERSATION, 6)), {
      timeMs: 5,
      conversation: CONVERSATION,
      sequence: 6,
    });
  });

  it('ranges hold all of their own and nothing of a neighbour', () => {
    const other = CONVERSATION.slice();
    other[15] = 0xb0;
    const units = keys.headerUnitsRange(CONVERSATION);
    assert.ok(isIn(keys.headerKey(CONVERSATION), units));
    assert.ok(isIn(keys.memberPageKey(CONVERSATION, 2 ** 32 - 1), units));
    assert.ok(isIn(keys.senderRecordKey(CONVERSATION, new Uint8Array(16).fill(255)), units));
    assert.ok(!isIn(keys.headerKey(other), units));
    const blocks = keys.blockRange(3, CONVERSATION, 10, 20);
    assert.deepEqual(
      [9, 10, 19, 20].map((first) => isIn(keys.blockKey(3, CONVERSATION, first), blocks)),
      [false, true, true, false],
    );
    assert.ok(!isIn(keys.blockKey(4, CONVERSATION, 15), blocks));
    const changes = keys.changeRange(CONVERSATION, 5, 7);
    assert.deepEqual(
      [5, 6, 7, 8].map((sequence) => isIn(keys.changeKey(CONVERSATION, sequence), changes)),
      [false, true, true, false],
    );
    const due = keys.expiryRangeBefore(100);
    assert.ok(isIn(keys.expiryKey(99, other, 2 ** 40 - 1), due));
    assert.ok(!isIn(keys.expiryKey(100, new Uint8Array(16), 0), due));
    assert.ok(isIn(keys.shardKey(255, 255), keys.shardRange()));
    assert.ok(isIn(keys.accountKey(USER, 255, 2 ** 32 - 1), keys.accountRange(USER)));
    assert.ok(isIn(keys.reactionKey(CONVERSATION, 3, USER), keys.reactionRange(CONVERSATION, 3)));
    assert.ok(!isIn(keys.reactionKey(CONVERSATION, 4, USER), keys.reactionRange(CONVERSATION, 3)));
    assert.ok(isIn(keys.journalKey(3, 9), keys.journalRange(3)));
    assert.ok(isIn(keys.overlayKey(3, CONVERSATION, 9), keys.overlayRange(3, CONVERSATION)));
  });

  it('a prefix of only 0xff has no range, and the key after one is the very next', () => {
    assert.throws(() => keys.prefixRange(Uint8Array.of(0xff, 0xff)), InvariantViolation);
    assert.equal(hex(keys.prefixRange(Uint8Array.of(1, 0xff)).lt), '02');
    assert.equal(hex(keys.keyAfter(Uint8Array.of(1))), '0100');
  });

  it('numbers and ids out of range break an invariant', () => {
    assert.throws(() => keys.blockKey(-1, CONVERSATION, 1), InvariantViolation);
    assert.throws(() => keys.blockKey(1, CONVERSATION, 1.5), InvariantViolation);
    assert.throws(() => keys.headerKey(new Uint8Array(15)), InvariantViolation);
    assert.throws(() => keys.journalKey(65_536, 1), InvariantViolation);
  });

  it('a bucket is 30 days of stamps', () => {
    assert.equal(keys.bucketOf(0), 0);
    assert.equal(keys.bucketOf(keys.BUCKET_MS - 1), 0);
    assert.equal(keys.bucketOf(keys.BUCKET_MS), 1);
  });
});
