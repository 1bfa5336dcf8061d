/**
 * Pages of messages in protobuf, written by hand: a page of history is the read that everybody does
 * all the time, and the general codec costs five times as much. The bytes are those of the codec
 * (message-writer.test.ts compares them); bodies are spliced as they were logged.
 */
import { messageIdRaw } from '../../core/ids.ts';
import { ROW_AT, ROW_FIXED_BYTES, ROW_FLAG, RowView } from '../../core/row.ts';
import type { StandingRow } from '../runtime/contract.ts';
import { encodeMessage } from './render.ts';

/** Field numbers of parley.v1.Message. */
const FIELD = {
  sequence: 1,
  timeMs: 2,
  sender: 3,
  device: 4,
  outbox: 5,
  clientSeq: 6,
  clientMessageId: 7,
  content: 8,
  changeSequence: 13,
  messageId: 14,
} as const;

const VARINT = 0;
const BYTES = 2;
const ID_TEXT_BYTES = 30;
const UUID_TEXT_BYTES = 36;
/** More than everything of a message but its body can take. */
const HEAD_BYTES_MAX = 320;
const HYPHEN = 45;
const ALPHABET = new Uint8Array(32);
for (let i = 0; i < 32; i++) ALPHABET[i] = '0123456789abcdefghjkmnpqrstvwxyz'.charCodeAt(i);
const PREFIX = { usr: prefix('usr_'), dev: prefix('dev_'), msg: prefix('msg_') };

function prefix(text: string): Uint8Array {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

/** The two characters of a byte in hexadecimal, the first in the low half. */
const HEX = new Uint16Array(256);
for (let i = 0; i < 256; i++) {
  const digits = i.toString(16).padStart(2, '0');
  HEX[i] = digits.charCodeAt(0) | (digits.charCodeAt(1) << 8);
}

/** Most pages fit; a larger one gets a buffer of its own. */
const SCRATCH_BYTES = 512 * 1024;
const SCRATCH = new Uint8Array(SCRATCH_BYTES);

/**
 * `repeated Message` under the given field number, one behind the other, then `rest`. The bytes are
 * valid until the next call: a buffer for each page was most of what the collector had to free.
 */
export function encodeMessages(
  field: number,
  conversation: Uint8Array,
  rows: readonly StandingRow[],
  rest: Uint8Array,
): Uint8Array {
  const heads = rows.length * (HEAD_BYTES_MAX - ROW_FIXED_BYTES) + HEAD_BYTES_MAX;
  const out = new PageWriter(rows.reduce((sum, { row }) => sum + row.length, heads + rest.length));
  for (const standing of rows) {
    // What was edited or deleted is rare, and takes the general way.
    const isPlain = standing.overlay.length === 0;
    if (isPlain) out.message(field, conversation, new RowView(standing.row));
    else out.bytes(field, encodeMessage(conversation, standing));
  }
  out.raw(rest);
  return out.finish();
}

class PageWriter {
  #out: Uint8Array;
  #at = 0;

  constructor(size: number) {
    this.#out = size <= SCRATCH_BYTES ? SCRATCH : new Uint8Array(size);
  }

  finish(): Uint8Array {
    return this.#out.subarray(0, this.#at);
  }

  bytes(field: number, value: Uint8Array): void {
    this.#room(value.length + 16);
    this.#tag(field, BYTES);
    this.#varint(value.length);
    this.#copy(value);
  }

  raw(value: Uint8Array): void {
    this.#room(value.length);
    this.#copy(value);
  }

  message(field: number, conversation: Uint8Array, row: RowView): void {
    const body = row.has(ROW_FLAG.redacted) ? undefined : row.body;
    this.#room((body?.length ?? 0) + HEAD_BYTES_MAX);
    this.#tag(field, BYTES);
    // The length is written behind a gap of three bytes and moved up when it takes fewer.
    const lengthAt = this.#at;
    this.#at += 3;
    this.#head(row);
    if (body !== undefined) {
      this.#tag(FIELD.content, BYTES);
      this.#varint(body.length);
      this.#copy(body);
    } else this.#number(11, 1);
    this.#number(FIELD.changeSequence, row.sequence);
    const messageId = messageIdRaw(row.timeMs, row.sequence, conversation);
    this.#id(FIELD.messageId, PREFIX.msg, messageId, 0);
    this.#close(lengthAt);
  }

  #head(row: RowView): void {
    this.#number(FIELD.sequence, row.sequence);
    this.#number(FIELD.timeMs, row.timeMs);
    const { bytes } = row;
    this.#id(FIELD.sender, PREFIX.usr, bytes, ROW_AT.sender);
    this.#id(FIELD.device, PREFIX.dev, bytes, ROW_AT.device);
    if (row.has(ROW_FLAG.outbox)) {
      this.#uuid(FIELD.outbox, bytes, ROW_AT.outbox);
      this.#number(FIELD.clientSeq, row.clientSeq);
    }
    if (!isZeroAt(bytes, ROW_AT.clientMessageId))
      this.#uuid(FIELD.clientMessageId, bytes, ROW_AT.clientMessageId);
  }

  #close(lengthAt: number): void {
    const start = lengthAt + 3;
    const length = this.#at - start;
    const end = this.#at;
    this.#at = lengthAt;
    this.#varint(length);
    const moved = start - this.#at;
    if (moved > 0) this.#out.copyWithin(this.#at, start, end);
    this.#at = end - moved;
  }

  #room(count: number): void {
    if (this.#at + count <= this.#out.length) return;
    const grown = new Uint8Array(Math.max(this.#out.length * 2, this.#at + count));
    grown.set(this.#out);
    this.#out = grown;
  }

  #tag(field: number, wire: number): void {
    this.#varint(field * 8 + wire);
  }

  #number(field: number, value: number): void {
    if (value === 0) return;
    this.#tag(field, VARINT);
    this.#varint(value);
  }

  #varint(value: number): void {
    let rest = value;
    while (rest >= 0x80000000) {
      this.#out[this.#at++] = (rest % 128) | 128;
      rest = Math.floor(rest / 128);
    }
    while (rest >= 128) {
      this.#out[this.#at++] = (rest & 127) | 128;
      rest >>>= 7;
    }
    this.#out[this.#at++] = rest;
  }

  #copy(value: Uint8Array): void {
    this.#out.set(value, this.#at);
    this.#at += value.length;
  }

  /** The text of the id (core/ids.ts) at `from`, without making a string of it. None if it is zero. */
  #id(field: number, prefixBytes: Uint8Array, raw: Uint8Array, from: number): void {
    if (isZeroAt(raw, from)) return;
    this.#tag(field, BYTES);
    this.#varint(ID_TEXT_BYTES);
    for (let i = 0; i < prefixBytes.length; i++) this.#out[this.#at++] = prefixBytes[i] ?? 0;
    let at = this.#at;
    let buffer = 0;
    let bits = 2;
    for (let i = from; i < from + 16; i++) {
      buffer = ((buffer << 8) | (raw[i] ?? 0)) & 0xffff;
      bits += 8;
      while (bits >= 5) {
        bits -= 5;
        this.#out[at++] = ALPHABET[(buffer >>> bits) & 31] ?? 0;
      }
    }
    this.#at = at;
  }

  /** The text of the UUID at `from`. */
  #uuid(field: number, raw: Uint8Array, from: number): void {
    this.#tag(field, BYTES);
    this.#varint(UUID_TEXT_BYTES);
    let at = this.#at;
    for (let i = 0; i < 16; i++) {
      if (i === 4 || i === 6 || i === 8 || i === 10) this.#out[at++] = HYPHEN;
      const digits = HEX[raw[from + i] ?? 0] ?? 0;
      this.#out[at++] = digits & 0xff;
      this.#out[at++] = digits >>> 8;
    }
    this.#at = at;
  }
}

function isZeroAt(raw: Uint8Array, from: number): boolean {
  for (let i = from; i < from + 16; i++) if (raw[i] !== 0) return false;
  return true;
}
