import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { describe, it } from 'mocha';
import { receiptsFrame } from './receipt-frames.ts';
import { encodeId, newRawId } from '../core/ids.ts';
import { RECORD, SlabWriter, eachRecord, keptPayloadAt } from '../core/record.ts';
import { codecOf } from '../proto/codec.ts';
import { ServerFrameSchema } from '../proto/gen/parley/client/v1/session_pb.ts';
import { ContentSchema } from '../proto/gen/parley/v1/content_pb.ts';
import * as hot from './hot-frames.ts';
import { delimited } from './wire.ts';

const frames = codecOf(ServerFrameSchema);
const contents = codecOf(ContentSchema);

const TEXTS = [
  'hi',
  'é ✓ 👨‍👩‍👧',
  'a "quoted" \\ back\nslash\t',
  'x'.repeat(200),
  'ü'.repeat(9000),
];

/** The payload of a record behind another, kept with its slab. */
function keptAnswer(response: Uint8Array): Uint8Array {
  let answer: Uint8Array | undefined;
  const writer = new SlabWriter(
    (slab) => eachRecord(slab, (at) => (answer = keptPayloadAt(slab, at))),
    () => undefined,
  );
  if (response.length < 1000) writer.write({ kind: RECORD.result }, new Uint8Array(13).fill(9));
  writer.write({ kind: RECORD.result }, response);
  writer.flush();
  assert.ok(answer !== undefined);
  return answer;
}

describe('hot frames', () => {
  it('a text’s content is what the codec writes, and is read back as that text', () => {
    for (const body of TEXTS) {
      const bytes = hot.encodeTextContent(body);
      assert.deepEqual(
        Buffer.from(bytes),
        Buffer.from(contents.encode({ message: { text: { body } } })),
      );
      assert.equal(hot.textOfContent(bytes), body);
    }
  });
  it('a content with more than a text, or broken bytes, is left to the codec', () => {
    const more = [
      { message: { text: { body: 'x', entities: [{ type: 'bold', length: 1 }] } } },
      { message: { text: { body: 'x' }, silent: true } },
      { edit: { target: { sequence: 1 }, message: { text: { body: 'x' } } } },
      { reaction: { target: { sequence: 1 }, emoji: 'x' } },
    ];
    for (const content of more)
      assert.equal(hot.textOfContent(contents.encode(content)), undefined);
    assert.equal(hot.textOfContent(Buffer.from([0x0a, 3, 0x0a, 1, 0xff])), undefined);
    assert.equal(hot.textOfContent(Buffer.from([0x0a, 5, 0x0a, 3, 0x0a, 1, 0xff])), undefined);
    assert.equal(hot.textOfContent(new Uint8Array(0)), undefined);
  });
  it('rows are the bytes and the JSON of the codec, with and without bodies and numbers', () => {
    const conversationId = encodeId('cnv', newRawId(1));
    for (const text of TEXTS)
      for (const sequence of [1, 127, 128, 2 ** 31, 2 ** 40 - 1])
        for (const isBare of [true, false]) {
          const body = isBare ? undefined : hot.encodeTextContent(text);
          const row = {
            sequence,
            timeMs: 1_800_000_000_000 + sequence,
            senderUserId: encodeId('usr', newRawId(2)),
            senderDeviceId: isBare ? '' : encodeId('dev', newRawId(3)),
            outboxId: isBare ? '' : randomUUID(),
            clientSeq: isBare ? 0 : sequence,
            clientMessageId: randomUUID(),
            body,
          };
          const frame = {
            rows: {
              items: [{ conversationId, epoch: 1_700_000_000, head: sequence, rows: [row] }],
            },
          };
          const parts = { conversationId, epoch: 1_700_000_000, head: sequence, ...row };
          assert.deepEqual(hot.rowFrameProto(parts), delimited(frames.encode(frame)));
          const json = isBare ? undefined : JSON.stringify({ message: { text: { body: text } } });
          assert.equal(
            hot.rowFrameJson(parts, json).toString(),
            JSON.stringify(frames.toJson(frame)),
          );
        }
  });
  it('commits are the bytes and the JSON of the codec', () => {
    for (const replayed of [true, false])
      for (const [id, sequence, queued] of [
        [1, 1, 0],
        [300, 2 ** 33, 499],
        [2 ** 52, 128, 1],
      ] as const) {
        const commit = {
          conversationId: encodeId('cnv', newRawId(1)),
          sequence,
          messageId: encodeId('msg', newRawId(2)),
          timeMs: 1_800_000_000_000,
          queued,
          replayed,
        };
        assert.deepEqual(
          hot.commitFrameProto({ id, ...commit }),
          delimited(frames.encode({ id, commit })),
        );
        const json = JSON.stringify(frames.toJson({ id, commit }));
        assert.equal(hot.commitFrameJson({ id, ...commit }).toString(), json);
      }
  });
  it('replies to calls are the bytes of the codec', () => {
    for (const id of [0, 1, 300, 2 ** 31])
      for (const length of [0, 1, 127, 128, 70_000]) {
        const response = new Uint8Array(length).fill(7);
        const theirs = delimited(frames.encode({ id, result: { response } }));
        assert.deepEqual(hot.resultFrameProto(id, response), theirs);
        const around = hot.resultFrameProto(id, keptAnswer(response));
        assert.deepEqual(around, theirs);
      }
  });
  it('receipts are the bytes of the codec', () => {
    const conversationId = encodeId('cnv', newRawId(1));
    const user = newRawId(2);
    const peer = {
      is: 'peer',
      user,
      deliveredThrough: 300,
      readThrough: 0,
      timeMs: 1_800_000_000_000,
    } as const;
    const me = {
      is: 'me',
      deliveredThrough: 2 ** 33,
      readThrough: 7,
      unreadCount: 0,
      mentionCount: 1,
      head: 2 ** 33,
    } as const;
    const nothing = {
      is: 'me',
      deliveredThrough: 0,
      readThrough: 0,
      unreadCount: 0,
      mentionCount: 0,
      head: 0,
    } as const;
    for (const receipts of [peer, me, nothing])
      assert.deepEqual(
        hot.receiptsFrameProto(conversationId, receipts),
        delimited(frames.encode(receiptsFrame(conversationId, receipts))),
      );
  });
});
