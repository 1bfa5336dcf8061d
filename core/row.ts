/**
 * A row as it is logged, stored and fanned out: a fixed part that the broker reads, then the body,
 * which it never decodes: protobuf `parley.v1.Content`, also in the rows that the broker makes
 * itself (facts.ts).
 *
 *   0 u32 length of the whole row     4 u8 version   5 u8 body kind   6 u16 flags
 *   8 u53 sequence     16 u53 timeMs     24 u53 ordinal (countable rows through this one)
 *  32 u53 mention-all ordinal     40 u53 clientSeq     48 u53 target sequence (edit, delete, …)
 *  56 sender (16)   72 device (16)   88 outbox (16)   104 clientMessageId (16)   120 payloadHash (16)
 * 136 u16 mentions   138 u16 0   140 u32 0     144 mentioned users (16 each)     then the body
 */
import { invariant } from './invariant.ts';
import { u16At, u32At, u53At, viewOf, writeU53 } from './bytes.ts';

export const ROW_VERSION = 1;
export const ROW_FIXED_BYTES = 144;

/** Numbers are on disk: never reuse one. Below 16: sent by users; from 16: made by the server. */
export const BODY_KIND = {
  message: 1,
  edit: 2,
  delete: 3,
  reaction: 4,
  pin: 5,
  sealed: 6,
  created: 16,
  member: 17,
  update: 18,
  trim: 19,
} as const;
export type BodyKind = (typeof BODY_KIND)[keyof typeof BODY_KIND];

export const ROW_FLAG = {
  /** Raises the ordinal: it counts as a message to others. */
  countable: 1,
  silent: 2,
  mentionAll: 4,
  /** The body was erased by a later delete or trim; fixed part and hash stay. */
  redacted: 8,
  /** outbox and clientSeq are set. */
  outbox: 16,
  /** Made by the broker itself (facts.ts). */
  server: 32,
} as const;

export interface RowFields {
  readonly bodyKind: BodyKind;
  readonly flags: number;
  readonly sequence: number;
  readonly timeMs: number;
  readonly ordinal: number;
  readonly mentionAllOrdinal: number;
  readonly clientSeq: number;
  readonly target: number;
  readonly sender: Uint8Array;
  readonly device: Uint8Array;
  readonly outbox: Uint8Array;
  readonly clientMessageId: Uint8Array;
  readonly payloadHash: Uint8Array;
  /** 16 bytes a user, one after another. */
  readonly mentions: Uint8Array;
  readonly body: Uint8Array;
}

export function encodeRow(row: RowFields): Uint8Array {
  const bytes = new Uint8Array(ROW_FIXED_BYTES + row.mentions.length + row.body.length);
  const view = viewOf(bytes);
  view.setUint32(0, bytes.length, true);
  bytes[4] = ROW_VERSION;
  bytes[5] = row.bodyKind;
  view.setUint16(6, row.flags, true);
  writeU53(view, 8, row.sequence);
  writeU53(view, 16, row.timeMs);
  writeU53(view, 24, row.ordinal);
  writeU53(view, 32, row.mentionAllOrdinal);
  writeU53(view, 40, row.clientSeq);
  writeU53(view, 48, row.target);
  bytes.set(row.sender, 56);
  bytes.set(row.device, 72);
  bytes.set(row.outbox, 88);
  bytes.set(row.clientMessageId, 104);
  bytes.set(row.payloadHash, 120);
  view.setUint16(136, row.mentions.length / 16, true);
  bytes.set(row.mentions, ROW_FIXED_BYTES);
  bytes.set(row.body, ROW_FIXED_BYTES + row.mentions.length);
  return bytes;
}

/** Where the fixed fields begin that readers copy as they are. */
export const ROW_AT = { sender: 56, device: 72, outbox: 88, clientMessageId: 104 } as const;

/** Bytes of the row that begins there. */
export function rowLengthAt(bytes: Uint8Array, at: number): number {
  return u32At(bytes, at);
}

/**
 * Reads fields of a row in place. Valid while the bytes are. It makes no DataView: every push and
 * every row of a page passes here, and making one costs more than all reads of it.
 */
export class RowView {
  readonly bytes: Uint8Array;

  /** `bytes` may be longer than the row; `at` is where it begins. */
  constructor(bytes: Uint8Array, at = 0) {
    const length = at + 4 <= bytes.length ? u32At(bytes, at) : 0;
    invariant(length >= ROW_FIXED_BYTES && at + length <= bytes.length, 'row.length-within', {
      at,
      length,
    });
    this.bytes = length === bytes.length ? bytes : bytes.subarray(at, at + length);
    invariant(this.bytes[4] === ROW_VERSION, 'row.version-known', () => ({
      version: this.bytes[4] ?? 0,
    }));
  }

  get bodyKind(): BodyKind {
    return this.bytes[5] as BodyKind;
  }
  get flags(): number {
    return u16At(this.bytes, 6);
  }
  has(flag: number): boolean {
    return (this.flags & flag) !== 0;
  }
  get sequence(): number {
    return u53At(this.bytes, 8);
  }
  get timeMs(): number {
    return u53At(this.bytes, 16);
  }
  get ordinal(): number {
    return u53At(this.bytes, 24);
  }
  get mentionAllOrdinal(): number {
    return u53At(this.bytes, 32);
  }
  get clientSeq(): number {
    return u53At(this.bytes, 40);
  }
  get target(): number {
    return u53At(this.bytes, 48);
  }
  get sender(): Uint8Array {
    return this.bytes.subarray(56, 72);
  }
  get device(): Uint8Array {
    return this.bytes.subarray(72, 88);
  }
  get outbox(): Uint8Array {
    return this.bytes.subarray(88, 104);
  }
  get clientMessageId(): Uint8Array {
    return this.bytes.subarray(104, 120);
  }
  get payloadHash(): Uint8Array {
    return this.bytes.subarray(120, 136);
  }
  get mentionCount(): number {
    return u16At(this.bytes, 136);
  }
  get mentions(): Uint8Array {
    return this.bytes.subarray(ROW_FIXED_BYTES, ROW_FIXED_BYTES + this.mentionCount * 16);
  }
  get body(): Uint8Array {
    return this.bytes.subarray(ROW_FIXED_BYTES + this.mentionCount * 16);
  }
}
