import assert from 'node:assert/strict';
import { create, toBinary, type DescMessage } from '@bufbuild/protobuf';
import { describe, it } from 'mocha';
import { codecOf } from './codec.ts';
import { DecodeError } from './decode-error.ts';
import {
  ClientFrameSchema,
  RowsSchema,
  ServerFrameSchema,
} from './gen/parley/client/v1/session_pb.ts';
import { ViewMessagesSchema, ViewsAnswerSchema } from './gen/parley/broker/v1/link_pb.ts';
import {
  ListConversationsResponseSchema,
  RecentMessagesSchema,
} from './gen/parley/client/v1/sync_pb.ts';
import { ListMessagesRequestSchema } from './gen/parley/client/v1/messages_pb.ts';
import { ContentSchema } from './gen/parley/v1/content_pb.ts';
import { UserSchema } from './gen/parley/v1/types_pb.ts';

const frames = codecOf(ClientFrameSchema);
const pushes = codecOf(ServerFrameSchema);
const contents = codecOf(ContentSchema);
const rows = codecOf(RowsSchema);

const SEND = {
  id: 2,
  send: {
    to: 'cnv_a',
    outboxId: 'x',
    clientSeq: 7,
    after: 6,
    clientMessageId: 'm',
    body: { message: { text: { body: 'yo 👋🏽 é', entities: [{ type: 'bold', length: 2 }] } } },
  },
};

describe('codec', () => {
  it('reads the JSON of the contract and writes it back the same', () => {
    const frame = frames.fromJson(SEND);
    assert.equal(frame.send?.clientSeq, 7);
    assert.equal(frame.hello, undefined);
    assert.deepEqual(frames.toJson(frame), SEND);
  });
  it('turns JSON into protobuf and back without a difference', () => {
    const frame = frames.decode(frames.encode(frames.fromJson(SEND)));
    assert.deepEqual(frames.toJson(frame), SEND);
  });
  it('writes the bytes that protobuf-es writes', () => {
    const theirs = toBinary(
      ListMessagesRequestSchema,
      create(ListMessagesRequestSchema, { conversationId: 'cnv_a', before: 2n ** 40n, limit: 50 }),
    );
    const ours = codecOf(ListMessagesRequestSchema).encode({
      conversationId: 'cnv_a',
      before: 2 ** 40,
      limit: 50,
    });
    assert.deepEqual(Buffer.from(ours), Buffer.from(theirs));
  });
  it('refuses an unknown field in both encodings and says where', () => {
    const bad = { id: 1, send: { to: 'a', body: { message: { text: { body: 'x', colour: 1 } } } } };
    assert.throws(() => frames.fromJson(bad), {
      fault: 'unknown-field',
      path: 'send.body.message.text.colour',
    });
    const bytes = Buffer.from([...frames.encode({ id: 1 }), 0xfa, 0x01, 0x00]);
    assert.throws(() => frames.decode(bytes), { fault: 'unknown-field', path: '#31' });
  });
  it('reads 64-bit integers as numbers and as digits, and refuses what is not exact', () => {
    assert.equal(frames.fromJson({ id: '9007199254740991' }).id, Number.MAX_SAFE_INTEGER);
    for (const id of [2 ** 53, 1.5, '9007199254740993', 'x', true, {}])
      assert.throws(() => frames.fromJson({ id }), { fault: 'bad-field', path: 'id' });
  });
  it('refuses bytes that are not UTF-8', () => {
    const bytes = Buffer.from(frames.encode({ send: { to: 'AB' } }));
    bytes[bytes.indexOf(0x41)] = 0xff;
    assert.throws(() => frames.decode(bytes), { fault: 'bad-text', path: 'send.to' });
  });
  it('splices messages that are already encoded', () => {
    const body = contents.encode({ message: { text: { body: 'hi' } } });
    const spliced = pushes.encode({
      rows: { items: [{ conversationId: 'c', head: 1, rows: [{ sequence: 1, body }] }] },
    });
    const decoded = pushes.decode(spliced);
    assert.equal(decoded.rows?.items[0]?.rows[0]?.body?.message?.text?.body, 'hi');
    assert.deepEqual(pushes.toJson({ rows: { items: [{ rows: [{ sequence: 1, body }] }] } }), {
      rows: { items: [{ rows: [{ sequence: 1, body: { message: { text: { body: 'hi' } } } }] }] },
    });
  });
  it('opens the outermost message and leaves those inside as their bytes', () => {
    const frame = {
      id: 7,
      rows: { items: [{ conversationId: 'c', head: 1, rows: [{ sequence: 1 }] }] },
    };
    const bytes = pushes.encode(frame);
    const opened = pushes.open(bytes);
    assert.equal(opened.id, 7);
    assert.ok(opened.rows instanceof Uint8Array);
    assert.equal(opened.ready, undefined);
    assert.deepEqual(pushes.encode({ id: opened.id, rows: opened.rows }), bytes);
    const page = rows.open(opened.rows);
    assert.deepEqual(
      page.items.map((item) => item.length),
      [9],
    );
    assert.deepEqual(pushes.toJson({ id: 7, rows: { items: page.items } }), frame);
  });
  it('refuses to open what is broken outside, and does not look inside', () => {
    const unknown = Buffer.from([...pushes.encode({ id: 1 }), 0xfa, 0x3f, 0x00]);
    assert.throws(() => pushes.open(unknown), { fault: 'unknown-field' });
    const cut = pushes.encode({ rows: { items: [{ conversationId: 'c' }] } }).subarray(0, 4);
    assert.throws(() => pushes.open(cut), { fault: 'malformed' });
    const field = pushes.encode({ rows: new Uint8Array([255, 255]) });
    assert.throws(() => pushes.decode(field), { fault: 'malformed' });
    assert.deepEqual(pushes.open(field).rows, new Uint8Array([255, 255]));
  });
  it('recent messages of a listing are the bytes of the broker’s: both messages have the same fields', () => {
    const fieldsOf = ({ fields }: DescMessage): object[] =>
      fields.map(({ number, name, fieldKind, message }) => ({
        number,
        name,
        fieldKind,
        of: message?.typeName,
      }));
    assert.deepEqual(fieldsOf(ViewMessagesSchema), fieldsOf(RecentMessagesSchema));
    assert.deepEqual(
      fieldsOf(ViewsAnswerSchema)[0],
      fieldsOf(ListConversationsResponseSchema)[0],
      'and so are its conversations',
    );
  });
  it('keeps explicit presence: an optional zero is not an absent one', () => {
    const users = codecOf(UserSchema);
    assert.deepEqual(users.toJson({ lastSeenTimeMs: 0 }), { lastSeenTimeMs: 0 });
    assert.equal(users.decode(users.encode({ lastSeenTimeMs: 0 })).lastSeenTimeMs, 0);
    assert.equal(users.decode(users.encode({})).lastSeenTimeMs, undefined);
  });
  it('keeps the request of a call as JSON in JSON and as bytes in protobuf', () => {
    const call = { id: 9, call: { method: 'Messages.List', request: { limit: 5 } } };
    assert.deepEqual(frames.toJson(frames.fromJson(call)), call);
    const request = codecOf(ListMessagesRequestSchema).encode({ limit: 5 });
    assert.deepEqual(
      frames.decode(frames.encode({ call: { method: 'x', request } })).call?.request,
      request,
    );
  });
  it('never throws anything but a DecodeError on random bytes', () => {
    let refused = 0;
    for (let i = 0; i < 3000; i++) {
      const bytes = Uint8Array.from({ length: i % 60 }, () => Math.floor(Math.random() * 256));
      try {
        frames.decode(bytes);
      } catch (error) {
        assert.ok(error instanceof DecodeError);
        refused++;
      }
    }
    assert.ok(refused > 1000);
  });
});
