/**
 * Segments: files of the WAL, `wal/<id, 12 digits>.wal`, ids dense and rising. A process appends
 * only to segments that it began itself, under its own data key. The head chains a segment to the
 * one before it and says where that one ended, which settles for ever what a torn tail was.
 *
 * Head, little-endian: 0 'PWS1' · 4 u8 version · 8 u64 id · 16 u32 number of the data key ·
 * 24 u64 created ms · 32 u64 where the segment before ended · 40 u64 frames in it · 48 zeros ·
 * 60 u32 crc32 of all before. Frames follow; the first carries what each shard needs (carried,
 * hardState, snapshot records) so that older segments can go.
 */
import { crc32 } from 'node:zlib';
import { readU53, viewOf, writeU53 } from '../../core/bytes.ts';

export const SEGMENT_HEAD_BYTES = 64;
export const SEGMENT_VERSION = 1;
export const WAL_DIRECTORY = 'wal';

export interface SegmentHead {
  readonly id: number;
  readonly keyNumber: number;
  readonly createdMs: number;
  /** Of segment id - 1; both 0 when there is none. */
  readonly previousEndOffset: number;
  readonly previousFrames: number;
}

const MAGIC = 0x31535750;
const NAME = /^(\d{12})\.wal$/;

export function segmentPath(id: number): string {
  return `${WAL_DIRECTORY}/${String(id).padStart(12, '0')}.wal`;
}

/** Ids of the segments among the names of a directory, ascending. */
export function segmentIds(names: readonly string[]): number[] {
  const ids: number[] = [];
  for (const name of names) {
    const match = NAME.exec(name);
    if (match !== null) ids.push(Number(match[1]));
  }
  return ids.sort((a, b) => a - b);
}

export function encodeSegmentHead(head: SegmentHead): Uint8Array {
  const bytes = new Uint8Array(SEGMENT_HEAD_BYTES);
  const view = viewOf(bytes);
  view.setUint32(0, MAGIC, true);
  bytes[4] = SEGMENT_VERSION;
  writeU53(view, 8, head.id);
  view.setUint32(16, head.keyNumber, true);
  writeU53(view, 24, head.createdMs);
  writeU53(view, 32, head.previousEndOffset);
  writeU53(view, 40, head.previousFrames);
  view.setUint32(60, crc32(bytes.subarray(0, 60)), true);
  return bytes;
}

/** The head, or undefined if it is not whole. */
export function decodeSegmentHead(bytes: Uint8Array): SegmentHead | undefined {
  if (bytes.length < SEGMENT_HEAD_BYTES) return undefined;
  const view = viewOf(bytes);
  const isWhole = view.getUint32(60, true) === crc32(bytes.subarray(0, 60));
  if (!isWhole || view.getUint32(0, true) !== MAGIC || bytes[4] !== SEGMENT_VERSION)
    return undefined;
  return {
    id: readU53(view, 8),
    keyNumber: view.getUint32(16, true),
    createdMs: readU53(view, 24),
    previousEndOffset: readU53(view, 32),
    previousFrames: readU53(view, 40),
  };
}
