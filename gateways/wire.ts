/**
 * The two encodings of frames. `parley.v1.json`: a frame or an array of frames per WebSocket
 * message; `parley.v1.proto`: one or more varint-delimited frames. Outgoing frames are encoded once
 * and shared by all connections of a format; a batch joins what is due to one socket.
 */
import { ParleyError } from '../core/errors.ts';
import { encodeId, messageIdRaw } from '../core/ids.ts';
import { codecOf } from '../proto/codec.ts';
import { ClientFrameSchema, ServerFrameSchema } from '../proto/gen/parley/client/v1/session_pb.ts';
import { commitFrameJson, commitFrameProto, resultFrameProto } from './hot-frames.ts';
import { methodNamed, refusalOf } from './methods.ts';
import type { MethodName } from './session/method-names.ts';
import { FRAME_BYTES_MAX } from './session/limits.ts';
import type { Commit } from './session/caller.ts';
import type { ClientFrame, Response, ServerFrame } from './session/session-contract.ts';

export type Format = 'json' | 'proto';

export interface FrameReader {
  /** Nothing more is wanted: the rest of a message costs nothing. */
  isOver(): boolean;
  frame(frame: ClientFrame): void;
  /** `id` is 0 when not even that could be read. */
  unreadable(error: ParleyError, id: number): void;
}

const clientFrames = codecOf(ClientFrameSchema);
const serverFrames = codecOf(ServerFrameSchema);

/** Reads one WebSocket message. Stops at the first part that cannot be read at all. */
export function readMessage(format: Format, data: Buffer, reader: FrameReader): void {
  if (format === 'json') readJson(data, reader);
  else readProto(data, reader);
}

/** A frame in the form in which batches carry it. */
export function encodeFrame(format: Format, frame: ServerFrame): Buffer {
  if (format === 'json') return Buffer.from(JSON.stringify(serverFrames.toJson(frame)));
  return delimited(serverFrames.encode(frame));
}

/** The reply to a call. Without a method it is empty. */
export function encodeResult(
  format: Format,
  id: number,
  method: MethodName | undefined,
  response: Response,
): Buffer {
  if (method === undefined)
    return format === 'json'
      ? Buffer.from(`{"id":${id},"result":{}}`)
      : encodeFrame(format, { id, result: { response: new Uint8Array(0) } });
  const { output } = methodNamed(method);
  if (format === 'json') {
    const json = output.toJson(response as Uint8Array);
    return Buffer.from(`{"id":${id},"result":${JSON.stringify(json)}}`);
  }
  const bytes = response instanceof Uint8Array ? response : output.encode(response as Uint8Array);
  return resultFrameProto(id, bytes);
}

export interface CommitFrame {
  readonly id: number;
  readonly conversation: Uint8Array;
  readonly conversationId: string;
  readonly commit: Commit;
}

/** The reply to a send. */
export function encodeCommit(format: Format, frame: CommitFrame): Buffer {
  const { conversationId, id, commit } = frame;
  const { sequence, timeMs, queued, replayed } = commit;
  const messageId = encodeId('msg', messageIdRaw(timeMs, sequence, frame.conversation));
  const parts = { id, conversationId, sequence, messageId, timeMs, queued, replayed };
  return format === 'proto' ? commitFrameProto(parts) : commitFrameJson(parts);
}

function readJson(data: Buffer, reader: FrameReader): void {
  let value: unknown;
  try {
    value = JSON.parse(data.toString('utf8'));
  } catch {
    reader.unreadable(malformed('the message is not JSON'), 0);
    return;
  }
  const frames: readonly unknown[] = Array.isArray(value) ? value : [value];
  for (const frame of frames) {
    if (reader.isOver()) return;
    try {
      reader.frame(clientFrames.fromJson(frame));
    } catch (error) {
      reader.unreadable(refusalOf(error), idOfJson(frame));
    }
  }
}

function readProto(data: Buffer, reader: FrameReader): void {
  let at = 0;
  while (at < data.length && !reader.isOver()) {
    const { value: length, next } = readVarint(data, at);
    if (next === 0 || next + length > data.length)
      return reader.unreadable(malformed('the message is not a row of delimited frames'), 0);
    if (length > FRAME_BYTES_MAX)
      return reader.unreadable(new ParleyError('FRAME_TOO_LARGE', 'a frame is too large'), 0);
    const bytes = data.subarray(next, next + length);
    at = next + length;
    try {
      reader.frame(clientFrames.decode(bytes));
    } catch (error) {
      reader.unreadable(refusalOf(error), idOfProto(bytes));
    }
  }
}

function malformed(why: string): ParleyError {
  return new ParleyError('MALFORMED', why);
}

function idOfJson(frame: unknown): number {
  if (typeof frame !== 'object' || frame === null) return 0;
  const { id } = frame as { id?: unknown };
  // An object may say of itself how it becomes a number, and throw.
  const number = typeof id === 'object' ? 0 : Number(id);
  return Number.isSafeInteger(number) && number > 0 ? number : 0;
}

/** Writers put the id first; a frame that has it elsewhere is answered without one. */
function idOfProto(bytes: Buffer): number {
  return bytes[0] === 0x08 ? readVarint(bytes, 1).value : 0;
}

/** `next` 0 = there is none. */
function readVarint(bytes: Buffer, at: number): { value: number; next: number } {
  let value = 0;
  for (let i = 0; i < 7; i++) {
    const byte = bytes[at + i];
    if (byte === undefined) break;
    value += (byte & 127) * 2 ** (7 * i);
    if (byte < 128) return { value, next: at + i + 1 };
  }
  return { value: 0, next: 0 };
}

export function delimited(bytes: Uint8Array): Buffer {
  const length = bytes.length;
  const width = length < 128 ? 1 : length < 16_384 ? 2 : length < 2_097_152 ? 3 : 4;
  const out = Buffer.allocUnsafe(width + length);
  let left = length;
  for (let i = 0; i < width - 1; i++) {
    out[i] = (left & 127) | 128;
    left >>>= 7;
  }
  out[width - 1] = left;
  out.set(bytes, width);
  return out;
}

const OPEN = Buffer.from('[');
const COMMA = Buffer.from(',');
const CLOSE = Buffer.from(']');
const BRANCHES_MAX = 4;

/**
 * What is due to a socket in this turn, as a path in a tree: sockets that get the same frames in the
 * same order walk the same path, so that joining and framing are done once for all of them.
 */
export class Batch {
  readonly format: Format;
  readonly #before: Batch | undefined;
  readonly #chunk: Buffer | undefined;
  readonly #count: number;
  /** Bytes of the frames, without what joins them. */
  readonly size: number;
  #branches: Batch[] | undefined;
  #payload: Buffer | undefined;
  #framed: Buffer | undefined;

  private constructor(format: Format, before: Batch | undefined, chunk: Buffer | undefined) {
    this.format = format;
    this.#before = before;
    this.#chunk = chunk;
    this.#count = before === undefined ? 0 : before.#count + 1;
    this.size = before === undefined ? 0 : before.size + (chunk?.length ?? 0);
  }

  /** The empty path. One for each format and turn. */
  static root(format: Format): Batch {
    return new Batch(format, undefined, undefined);
  }

  append(chunk: Buffer): Batch {
    this.#branches ??= [];
    for (const branch of this.#branches) if (branch.#chunk === chunk) return branch;
    const branch = new Batch(this.format, this, chunk);
    if (this.#branches.length < BRANCHES_MAX) this.#branches.push(branch);
    return branch;
  }

  /** The WebSocket message's payload. */
  payload(): Buffer {
    this.#payload ??= this.#join();
    return this.#payload;
  }

  /** The payload as one unmasked WebSocket frame. */
  framed(): Buffer {
    this.#framed ??= webSocketFrame(this.payload(), this.format === 'json' ? 1 : 2);
    return this.#framed;
  }

  #join(): Buffer {
    const chunks: Buffer[] = [];
    let before = this.#before;
    if (this.#chunk !== undefined) chunks.push(this.#chunk);
    while (before !== undefined) {
      if (before.#chunk !== undefined) chunks.push(before.#chunk);
      before = before.#before;
    }
    chunks.reverse();
    const [only] = chunks;
    if (chunks.length === 1 && only !== undefined) return only;
    if (this.format === 'proto') return Buffer.concat(chunks);
    const parts: Buffer[] = [OPEN];
    for (const [i, chunk] of chunks.entries()) {
      if (i > 0) parts.push(COMMA);
      parts.push(chunk);
    }
    parts.push(CLOSE);
    return Buffer.concat(parts);
  }
}

function webSocketFrame(payload: Buffer, opcode: number): Buffer {
  const { length } = payload;
  const head = length < 126 ? 2 : length < 65_536 ? 4 : 10;
  const frame = Buffer.allocUnsafe(head + length);
  frame[0] = 0x80 | opcode;
  if (head === 2) frame[1] = length;
  else if (head === 4) {
    frame[1] = 126;
    frame.writeUInt16BE(length, 2);
  } else {
    frame[1] = 127;
    frame.writeUInt32BE(0, 2);
    frame.writeUInt32BE(length, 6);
  }
  payload.copy(frame, head);
  return frame;
}
