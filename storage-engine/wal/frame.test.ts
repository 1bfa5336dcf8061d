import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import fc from 'fast-check';
import { hex } from '../../core/bytes.ts';
import { InvariantViolation } from '../../core/invariant.ts';
import { RECORD_KIND } from '../contract.ts';
import { TEST_KEYS, seededRandom, testDataKey } from '../testing.ts';
import { FRAME_CAPACITY_MIN, FrameWriter, frameBody, readRecords } from './frame.ts';
import { FRAME_KIND, FrameSealer, isFrameAt, openFrame, findFrameAfter } from './sealed-frame.ts';
import { decodeSegmentHead, encodeSegmentHead, segmentIds, segmentPath } from './segment.ts';

const counting = (count: number): Uint8Array => Uint8Array.from({ length: count }, (_, i) => i);

function sealed(sealer: FrameSealer, number: number, offset: number, body: Uint8Array): Uint8Array {
  const place = { kind: FRAME_KIND.data, segment: 7, number, syncedOffset: offset };
  return Uint8Array.from(Buffer.concat(sealer.seal(place, body)));
}

describe('frame buffers', () => {
  it('have golden bytes', () => {
    const writer = new FrameWriter(64);
    writer.add(RECORD_KIND.entry, 258, { term: 3, index: 2 ** 33 + 5 }, counting(3));
    writer.add(RECORD_KIND.hardState, 1, { term: 4, index: 6 }, counting(0));
    assert.equal(
      hex(frameBody(writer.take())),
      '4000000002000000' + // bytes used, records
        '0300000001010201' + // payload bytes, version, kind, shard
        '0500000002000000' + // index
        '0300000000000000' + // term
        '0001020000000000' + // payload, padded
        '0000000001020100' +
        '0600000000000000' +
        '0400000000000000',
    );
  });

  it('give back every record, in order, aligned, whatever they grew through', () => {
    const record = fc.record(
      {
        kind: fc.constantFrom(...Object.values(RECORD_KIND)),
        shard: fc.nat(65_535),
        index: fc.maxSafeNat(),
        term: fc.maxSafeNat(),
        payload: fc.uint8Array({ maxLength: 300 }),
      },
      { noNullPrototype: true },
    );
    fc.assert(
      fc.property(fc.array(record, { minLength: 1, maxLength: 40 }), (records) => {
        const writer = new FrameWriter(64);
        for (const { kind, shard, index, term, payload } of records)
          writer.add(kind, shard, { term, index }, payload);
        assert.equal(writer.records, records.length);
        const found = [...readRecords(frameBody(writer.take()))];
        assert.ok(found.every(({ payload }) => payload.byteOffset % 8 === 0));
        assert.deepEqual(found, records);
      }),
    );
  });

  it('a reserved payload is written in place', () => {
    const writer = new FrameWriter(64);
    const at = writer.reserve(RECORD_KIND.entry, 1, { term: 1, index: 1 }, 100);
    writer.view(at, 100).fill(7);
    const [record] = readRecords(frameBody(writer.take()));
    assert.ok(record?.payload.length === 100 && record.payload.every((byte) => byte === 7));
  });

  it('a recycled buffer shows nothing of its former frame', () => {
    const writer = new FrameWriter();
    writer.add(RECORD_KIND.entry, 1, { term: 1, index: 1 }, new Uint8Array(64).fill(255));
    const used = writer.take();
    assert.equal(used.byteLength, FRAME_CAPACITY_MIN);
    writer.recycle(used);
    writer.add(RECORD_KIND.entry, 1, { term: 1, index: 1 }, counting(1));
    writer.take();
    writer.add(RECORD_KIND.entry, 1, { term: 1, index: 1 }, counting(1));
    const again = writer.take();
    assert.equal(again, used);
    assert.equal(hex(frameBody(again)).slice(-16), '0000000000000000');
  });

  it('an empty frame, a cut one and unknown kinds break an invariant', () => {
    assert.throws(() => new FrameWriter().take(), InvariantViolation);
    const writer = new FrameWriter(64);
    writer.add(RECORD_KIND.entry, 1, { term: 1, index: 1 }, counting(20));
    const body = frameBody(writer.take()).slice();
    assert.throws(() => [...readRecords(body.subarray(0, body.length - 8))], InvariantViolation);
    for (const [at, value] of [
      [8, 60],
      [12, 9],
      [13, 7],
      [4, 2],
      [22, 255],
    ] as const) {
      const wrong = body.slice();
      wrong[at] = value;
      assert.throws(() => [...readRecords(wrong)], InvariantViolation, `byte ${at}`);
    }
  });
});

describe('sealed frames', () => {
  const key = testDataKey('wal', 1);
  const body = counting(24);

  it('have golden bytes', () => {
    const fixed = { purpose: 'wal', number: 9, secret: counting(32) } as const;
    assert.equal(
      hex(sealed(new FrameSealer(fixed), 3, 4096, body)),
      '5057463101010000' + // magic, version, kind
        '18000000' +
        '160e0128' + // crc32
        '0700000000000000' + // segment
        '0300000000000000' + // frame number
        '0010000000000000' + // synced offset
        '0000000000000000' + // nonce counter
        '952fa9e16d78d8434a63dfb895cda80d' + // tag
        '2e5b44309e1a00ce5659d6db6e082614b6f73c984449dd81',
    );
  });

  it('open at their own place only', () => {
    const bytes = sealed(new FrameSealer(key), 3, 0, body);
    const opened = openFrame(bytes, 0, { segment: 7, number: 3, key });
    assert.deepEqual(Uint8Array.from(opened?.body ?? []), body);
    assert.equal(opened?.end, bytes.length);
    assert.equal(openFrame(bytes, 0, { segment: 8, number: 3, key }), undefined);
    assert.equal(openFrame(bytes, 0, { segment: 7, number: 4, key }), undefined);
    const other = TEST_KEYS.find('wal', 2) ?? key;
    assert.equal(openFrame(bytes, 0, { segment: 7, number: 3, key: other }), undefined);
  });

  it('no flipped bit and no cut goes unseen', () => {
    const bytes = sealed(new FrameSealer(key), 0, 0, body);
    for (let at = 0; at < bytes.length; at++) {
      for (let bit = 0; bit < 8; bit++) {
        const wrong = bytes.slice();
        wrong[at] = (wrong[at] ?? 0) ^ (1 << bit);
        assert.equal(openFrame(wrong, 0, { segment: 7, number: 0, key }), undefined, `byte ${at}`);
      }
    }
    for (let end = 0; end < bytes.length; end++)
      assert.equal(isFrameAt(bytes.subarray(0, end), 0, 7), false);
  });

  it('a whole frame is found behind any rubbish', () => {
    const sealer = new FrameSealer(key);
    const frame = sealed(sealer, 5, 0, body);
    const noise = seededRandom(2).bytes(800);
    const bytes = Uint8Array.from(Buffer.concat([noise, frame, noise]));
    assert.equal(findFrameAfter(bytes, 0, 7), 800);
    assert.equal(findFrameAfter(bytes, 800, 7), -1);
    assert.equal(findFrameAfter(bytes, 0, 6), -1);
  });

  it('the same body twice gives other ciphertexts: nonces are not reused', () => {
    const sealer = new FrameSealer(key);
    const a = sealed(sealer, 0, 0, body);
    const b = sealed(sealer, 0, 0, body);
    assert.notEqual(hex(a.subarray(40, 48)), hex(b.subarray(40, 48)));
    assert.notEqual(hex(a.subarray(64)), hex(b.subarray(64)));
  });
});

describe('segment heads', () => {
  const head = {
    id: 258,
    keyNumber: 3,
    createdMs: 1_700_000_000_000,
    previousEndOffset: 65_536,
    previousFrames: 12,
  };

  it('have golden bytes and are read back', () => {
    const bytes = encodeSegmentHead(head);
    assert.equal(
      hex(bytes),
      '5057533101000000' + // magic, version
        '0201000000000000' + // id
        '0300000000000000' + // data key
        '0068e5cf8b010000' + // created
        '0000010000000000' + // end of the segment before
        '0c00000000000000' + // its frames
        '000000000000000000000000' +
        '5f13fab0',
    );
    assert.deepEqual(decodeSegmentHead(bytes), head);
  });

  it('no flipped bit goes unseen', () => {
    const bytes = encodeSegmentHead(head);
    for (let at = 0; at < bytes.length; at++) {
      const wrong = bytes.slice();
      wrong[at] = (wrong[at] ?? 0) ^ 1;
      assert.equal(decodeSegmentHead(wrong), undefined, `byte ${at}`);
    }
    assert.equal(decodeSegmentHead(bytes.subarray(1)), undefined);
  });

  it('names sort as ids do, and other files are no segments', () => {
    assert.equal(segmentPath(12), 'wal/000000000012.wal');
    const names = ['spare', '000000000010.wal', '000000000009.wal', 'x.wal', 'fresh.tmp'];
    assert.deepEqual(segmentIds(names), [9, 10]);
  });
});
