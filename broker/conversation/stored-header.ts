/**
 * The value under a conversation's header key. Disk format, version 2; golden bytes guard it. A small
 * conversation is this one value, so that a flush writes it, and a load reads it, in one piece:
 *
 *   header (header.ts), then the sender records (sender-record.ts), the smallest slot first, each
 *   behind u16 slot of the sender · u16 bytes of the record
 *
 * Records that together take more than 2 KiB (two full windows fit), and those of a group whose
 * members are in pages, have keys of their own; the header's flag says so. In version 1 all had.
 */
import { EMPTY, viewOf } from '../../core/bytes.ts';
import { ID_BYTES } from '../../core/ids.ts';
import { invariant } from '../../core/invariant.ts';
import { HEADER_FIXED_BYTES, HEADER_FLAG, HEADER_VERSION, HeaderCursor } from './header.ts';
import { MEMBER_BYTES } from './member.ts';
import { chunkOver } from './packed.ts';

/** Rewriting more than this with every change costs more than values of their own do. */
export const INSIDE_BYTES_MAX = 2048;
export const INSIDE_PREFIX_BYTES = 4;

const VERSION_APART = 1;

export interface StoredHeader {
  /** The header alone, of the present version. */
  readonly header: Uint8Array;
  readonly senders: readonly InsideSender[];
}

export interface InsideSender {
  readonly slot: number;
  readonly user: Uint8Array;
  readonly value: Uint8Array;
}

/** Refuses what lost bytes or is of a later version. */
export function readStoredHeader(value: Uint8Array): StoredHeader {
  const cursor = aimed(value);
  const length = cursor.lengthBytes;
  const senders: InsideSender[] = [];
  let at = length;
  while (at + INSIDE_PREFIX_BYTES <= value.length && !cursor.areSendersApart) {
    const slot = viewOf(value).getUint16(at, true);
    const begin = at + INSIDE_PREFIX_BYTES;
    at = begin + viewOf(value).getUint16(at + 2, true);
    invariant(slot < cursor.slotCount, 'header.sender-has-a-slot', { slot });
    const user = userOf(cursor, slot);
    senders.push({ slot, user, value: value.subarray(begin, at) });
  }
  invariant(at === value.length, 'header.length-matches', { length: value.length, at });
  return { header: cursor.bytes.subarray(0, length), senders };
}

/**
 * Users, 16 bytes each, whose sender records may be stored beside this header: none if they are in
 * it; undefined = it has pages of them.
 */
export function sendersBeside(value: Uint8Array): Uint8Array | undefined {
  const cursor = aimed(value);
  if (cursor.isPaged) return undefined;
  if (!cursor.areSendersApart) return EMPTY;
  const users = new Uint8Array(cursor.slotCount * ID_BYTES);
  for (let slot = 0; slot < cursor.slotCount; slot++)
    users.set(userOf(cursor, slot), slot * ID_BYTES);
  return users;
}

/** What stands before a sender record. */
export function putInside(value: Uint8Array, at: number, slot: number, bytes: number): void {
  const view = viewOf(value);
  view.setUint16(at, slot, true);
  view.setUint16(at + 2, bytes, true);
}

function aimed(value: Uint8Array): HeaderCursor {
  const cursor = new HeaderCursor();
  let bytes = value;
  if (value[0] === VERSION_APART) {
    bytes = value.slice();
    bytes[0] = HEADER_VERSION;
    bytes[2] = (bytes[2] ?? 0) | HEADER_FLAG.sendersApart;
  }
  cursor.aim(chunkOver(bytes), 0);
  return cursor;
}

function userOf(cursor: HeaderCursor, slot: number): Uint8Array {
  const at = HEADER_FIXED_BYTES + slot * MEMBER_BYTES;
  return cursor.bytes.subarray(at, at + ID_BYTES);
}
