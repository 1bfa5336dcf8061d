/**
 * The frames that every message passes through (a plain text in, rows and commits out), written by
 * hand. The bytes are those of the codec, which hot-frames.test.ts proves; measured per 1 KiB row:
 * protobuf 13 to 2 µs, JSON 9 to 3 µs, content 5 to 1 µs.
 */
import { isUtf8 } from 'node:buffer';
import { encodeId } from '../core/ids.ts';
import type { ReceiptsPayload } from '../core/link-payload.ts';
import { keptAround } from '../core/record.ts';

/** A row frame's parts, as both encodings need them. */
export interface RowFrameParts {
  readonly conversationId: string;
  readonly epoch: number;
  readonly head: number;
  readonly sequence: number;
  readonly timeMs: number;
  readonly senderUserId: string;
  readonly senderDeviceId: string;
  readonly outboxId: string;
  readonly clientSeq: number;
  readonly clientMessageId: string;
  /** parley.v1.Content in protobuf; undefined = a row without a body. */
  readonly body: Uint8Array | undefined;
}

export interface CommitParts {
  readonly id: number;
  readonly conversationId: string;
  readonly sequence: number;
  readonly messageId: string;
  readonly timeMs: number;
  readonly queued: number;
  readonly replayed: boolean;
}

/** Ids, numbers and tags of one row frame, without its body. */
const SCRATCH_BYTES = 1024;
/** Holds nothing between two calls: every writer fills what it copies out before it returns. */
const SCRATCH: Buffer = Buffer.alloc(SCRATCH_BYTES);
const LENGTH_DELIMITED = 2;
const VARINT_MAX_BYTES = 8;

/** Content{message{text{body}}} in protobuf. */
export function encodeTextContent(text: string): Uint8Array {
  const length = Buffer.byteLength(text, 'utf8');
  const inText = 1 + varintBytes(length) + length;
  const inMessage = 1 + varintBytes(inText) + inText;
  const bytes = Buffer.allocUnsafe(1 + varintBytes(inMessage) + inMessage);
  let at = writeTag(bytes, 0, 1, inMessage);
  at = writeTag(bytes, at, 1, inText);
  at = writeTag(bytes, at, 1, length);
  bytes.write(text, at, 'utf8');
  return bytes;
}

/** The text of a Content that is nothing but a text; undefined = it is something else or more. */
export function textOfContent(body: Uint8Array): string | undefined {
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.length);
  let at = 0;
  for (let depth = 0; depth < 3; depth++) {
    if (bytes[at] !== 0x0a) return undefined;
    at++;
    let length = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = bytes[at++];
      if (byte === undefined || shift > 21) return undefined;
      length |= (byte & 127) << shift;
      if (byte < 128) break;
    }
    // Something follows at this depth: more than a text.
    if (at + length !== bytes.length) return undefined;
  }
  const text = bytes.subarray(at);
  return isUtf8(text) ? text.toString('utf8') : undefined;
}

/** `{"rows":{"items":[…]}}` with one row. `bodyJson` undefined = no body. */
export function rowFrameJson(parts: RowFrameParts, bodyJson: string | undefined): Buffer {
  const { conversationId, epoch, head, sequence, timeMs, clientSeq } = parts;
  const row =
    number('sequence', sequence) +
    number('timeMs', timeMs) +
    plain('senderUserId', parts.senderUserId) +
    plain('senderDeviceId', parts.senderDeviceId) +
    plain('outboxId', parts.outboxId) +
    number('clientSeq', clientSeq) +
    plain('clientMessageId', parts.clientMessageId) +
    (bodyJson === undefined ? '' : `,"body":${bodyJson}`);
  const item =
    plain('conversationId', conversationId) + number('epoch', epoch) + number('head', head);
  return Buffer.from(`{"rows":{"items":[{${item.slice(1)},"rows":[{${row.slice(1)}}]}]}}`, 'utf8');
}

/** The same as a varint-delimited ServerFrame. */
export function rowFrameProto(parts: RowFrameParts): Buffer {
  const { body } = parts;
  const row = SCRATCH;
  let rowLength = writeNumber(row, 0, 1, parts.sequence);
  rowLength = writeNumber(row, rowLength, 2, parts.timeMs);
  rowLength = writeAscii(row, rowLength, 3, parts.senderUserId);
  rowLength = writeAscii(row, rowLength, 4, parts.senderDeviceId);
  rowLength = writeAscii(row, rowLength, 5, parts.outboxId);
  rowLength = writeNumber(row, rowLength, 6, parts.clientSeq);
  rowLength = writeAscii(row, rowLength, 7, parts.clientMessageId);
  const bodyLength = body === undefined ? 0 : 1 + varintBytes(body.length) + body.length;
  const inRow = rowLength + bodyLength;
  const itemStart = rowLength;
  let at = writeAscii(row, itemStart, 1, parts.conversationId);
  at = writeNumber(row, at, 2, parts.epoch);
  at = writeNumber(row, at, 3, parts.head);
  const itemHead = at - itemStart;
  const inItem = itemHead + 1 + varintBytes(inRow) + inRow;
  const inRows = 1 + varintBytes(inItem) + inItem;
  const inFrame = 1 + varintBytes(inRows) + inRows;
  const out = Buffer.allocUnsafe(varintBytes(inFrame) + inFrame);
  at = writeVarint(out, 0, inFrame);
  at = writeTag(out, at, 6, inRows);
  at = writeTag(out, at, 1, inItem);
  at += row.copy(out, at, itemStart, itemStart + itemHead);
  at = writeTag(out, at, 4, inRow);
  at += row.copy(out, at, 0, rowLength);
  if (body === undefined) return out;
  at = writeTag(out, at, 8, body.length);
  out.set(body, at);
  return out;
}

export function commitFrameJson(parts: CommitParts): Buffer {
  const { id, conversationId, sequence, messageId, timeMs, queued, replayed } = parts;
  const commit =
    plain('conversationId', conversationId) +
    number('sequence', sequence) +
    plain('messageId', messageId) +
    number('timeMs', timeMs) +
    number('queued', queued) +
    (replayed ? ',"replayed":true' : '');
  return Buffer.from(`{"id":${id},"commit":{${commit.slice(1)}}}`, 'latin1');
}

export function commitFrameProto(parts: CommitParts): Buffer {
  const commit = SCRATCH;
  let length = writeAscii(commit, 0, 1, parts.conversationId);
  length = writeNumber(commit, length, 2, parts.sequence);
  length = writeAscii(commit, length, 3, parts.messageId);
  length = writeNumber(commit, length, 4, parts.timeMs);
  length = writeNumber(commit, length, 5, parts.queued);
  length = writeNumber(commit, length, 6, parts.replayed ? 1 : 0);
  const idLength = parts.id === 0 ? 0 : 1 + varintBytes(parts.id);
  const inFrame = idLength + 1 + varintBytes(length) + length;
  const out = Buffer.allocUnsafe(varintBytes(inFrame) + inFrame);
  let at = writeVarint(out, 0, inFrame);
  at = writeNumber(out, at, 1, parts.id);
  at = writeTag(out, at, 3, length);
  commit.copy(out, at, 0, length);
  return out;
}

/**
 * The reply to a call around its response, which may be a page of history: where the bytes before
 * the response are free the frame is made around it, and nothing is copied.
 */
export function resultFrameProto(id: number, response: Uint8Array): Buffer {
  const { length } = response;
  // An empty response is left out, as a default is.
  const inResult = length === 0 ? 0 : 1 + varintBytes(length) + length;
  const idLength = id === 0 ? 0 : 1 + varintBytes(id);
  const inFrame = idLength + 1 + varintBytes(inResult) + inResult;
  const size = varintBytes(inFrame) + inFrame;
  const around = keptAround(response, size - length);
  const out = around ?? Buffer.allocUnsafe(size);
  let at = writeVarint(out, 0, inFrame);
  at = writeNumber(out, at, 1, id);
  at = writeTag(out, at, 4, inResult);
  if (length === 0) return out;
  at = writeTag(out, at, 1, length);
  if (around === undefined) out.set(response, at);
  return out;
}

/** `receipts` with the peer's marks or one's own; counts of groups take the codec. */
export function receiptsFrameProto(
  conversationId: string,
  receipts: Exclude<ReceiptsPayload, { is: 'counts' }>,
): Buffer {
  const marks = SCRATCH;
  let length = 0;
  if (receipts.is === 'peer') {
    length = writeAscii(marks, length, 1, encodeId('usr', receipts.user));
    length = writeNumber(marks, length, 2, receipts.deliveredThrough);
    length = writeNumber(marks, length, 3, receipts.readThrough);
    length = writeNumber(marks, length, 4, receipts.timeMs);
  } else {
    length = writeNumber(marks, length, 1, receipts.readThrough);
    length = writeNumber(marks, length, 2, receipts.deliveredThrough);
    length = writeNumber(marks, length, 3, receipts.unreadCount);
    length = writeNumber(marks, length, 4, receipts.mentionCount);
    length = writeNumber(marks, length, 5, receipts.head);
  }
  const inReceipts = 2 + conversationId.length + 1 + varintBytes(length) + length;
  const inFrame = 1 + varintBytes(inReceipts) + inReceipts;
  const out = Buffer.allocUnsafe(varintBytes(inFrame) + inFrame);
  let at = writeVarint(out, 0, inFrame);
  at = writeTag(out, at, 9, inReceipts);
  at = writeAscii(out, at, 1, conversationId);
  at = writeTag(out, at, receipts.is === 'peer' ? 2 : 4, length);
  marks.copy(out, at, 0, length);
  return out;
}

function varintBytes(value: number): number {
  let count = 1;
  for (let rest = value; rest >= 128; count++) rest = Math.floor(rest / 128);
  return count;
}

function writeVarint(bytes: Buffer, at: number, value: number): number {
  let rest = value;
  let end = at;
  for (let i = 0; i < VARINT_MAX_BYTES && rest >= 128; i++) {
    bytes[end++] = (rest % 128) + 128;
    rest = Math.floor(rest / 128);
  }
  bytes[end++] = rest;
  return end;
}

function writeTag(bytes: Buffer, at: number, field: number, length: number): number {
  bytes[at] = field * 8 + LENGTH_DELIMITED;
  return writeVarint(bytes, at + 1, length);
}

/** Defaults are left out. */
function writeNumber(bytes: Buffer, at: number, field: number, value: number): number {
  if (value === 0) return at;
  bytes[at] = field * 8;
  return writeVarint(bytes, at + 1, value);
}

/** Ids and UUIDs: one byte a character, at most 127 of them. */
function writeAscii(bytes: Buffer, at: number, field: number, text: string): number {
  if (text === '') return at;
  const start = writeTag(bytes, at, field, text.length);
  return start + bytes.write(text, start, 'latin1');
}

function number(name: string, value: number): string {
  return value === 0 ? '' : `,"${name}":${value}`;
}

/** Ids and UUIDs have nothing that JSON would escape. */
function plain(name: string, value: string): string {
  return value === '' ? '' : `,"${name}":"${value}"`;
}
