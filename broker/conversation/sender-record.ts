/**
 * What a conversation remembers of a user who wrote: own counts and send windows. Disk format,
 * version 1; golden bytes guard it.
 *
 *  0 u8 version   1 u8 windows   2 u8 key ring capacity   3 u8 keys   4 u8 next key   5 u8 0 ×3
 *  8 u53 own countable rows   16 u53 of those with mention-all   24 u53 newest own countable row
 * 32 u53 stamp of the newest own message (slow mode)
 * 40 windows, one per outbox: 0 outbox (16)   16 u53 last accepted clientSeq   24 u53 its stamp
 *    32 u8 capacity   33 u8 entries   34 u8 next entry   35 u8 0
 *    36 entries (28 each): u53 clientSeq, 8 bytes of hash, u48 sequence, u48 time
 *    then the key ring, entries (36 each): clientMessageId (16), 8 bytes of hash, u48 sequence, u48 time
 *
 * Windows and the ring are rings in place: `next` is where the next entry goes once full.
 */
import { readU53, writeU53 } from '../../core/bytes.ts';
import { invariant } from '../../core/invariant.ts';
import { EMPTY_CHUNK, type Chunk } from './packed.ts';

export const SENDER_VERSION = 1;
export const SENDER_FIXED_BYTES = 40;
export const WINDOW_FIXED_BYTES = 36;
export const WINDOW_ENTRY_BYTES = 28;
export const KEY_ENTRY_BYTES = 36;

/** Reads and writes a sender record in place; aimed anew after anything that may move it. */
export class SenderCursor {
  view: DataView = EMPTY_CHUNK.view;
  bytes: Uint8Array = EMPTY_CHUNK.bytes;
  at = 0;
  /** 0 = the user has no sender record. */
  ref = 0;

  aim(chunk: Chunk, at: number, ref: number): void {
    this.view = chunk.view;
    this.bytes = chunk.bytes;
    this.at = at;
    this.ref = ref;
    invariant(this.bytes[at] === SENDER_VERSION, 'sender.version-known', () => ({
      version: this.bytes[at] ?? 0,
    }));
  }

  get windowCount(): number {
    return this.bytes[this.at + 1] ?? 0;
  }
  set windowCount(value: number) {
    this.bytes[this.at + 1] = value;
  }
  get keyCapacity(): number {
    return this.bytes[this.at + 2] ?? 0;
  }
  set keyCapacity(value: number) {
    this.bytes[this.at + 2] = value;
  }
  get keyCount(): number {
    return this.bytes[this.at + 3] ?? 0;
  }
  set keyCount(value: number) {
    this.bytes[this.at + 3] = value;
  }
  get keyNext(): number {
    return this.bytes[this.at + 4] ?? 0;
  }
  set keyNext(value: number) {
    this.bytes[this.at + 4] = value;
  }
  get own(): number {
    return readU53(this.view, this.at + 8);
  }
  set own(value: number) {
    writeU53(this.view, this.at + 8, value);
  }
  get ownMentionAll(): number {
    return readU53(this.view, this.at + 16);
  }
  set ownMentionAll(value: number) {
    writeU53(this.view, this.at + 16, value);
  }
  get lastOwnSequence(): number {
    return readU53(this.view, this.at + 24);
  }
  set lastOwnSequence(value: number) {
    writeU53(this.view, this.at + 24, value);
  }
  get lastMessageTimeMs(): number {
    return readU53(this.view, this.at + 32);
  }
  set lastMessageTimeMs(value: number) {
    writeU53(this.view, this.at + 32, value);
  }

  /** Bytes of a window that begins at the offset. */
  windowBytes(offset: number): number {
    return WINDOW_FIXED_BYTES + (this.bytes[this.at + offset + 32] ?? 0) * WINDOW_ENTRY_BYTES;
  }

  /** Offset behind the last window: where the key ring begins. */
  get keysOffset(): number {
    let offset = SENDER_FIXED_BYTES;
    for (let left = this.windowCount; left > 0; left--) offset += this.windowBytes(offset);
    return offset;
  }

  /** All the bytes that the unit must have. */
  get lengthBytes(): number {
    return this.keysOffset + this.keyCapacity * KEY_ENTRY_BYTES;
  }
}
