/**
 * Values of which many bytes are zero (units: counters far below their width, empty places), without
 * them. Half of a small conversation's value is zeros, and every byte of it is paid for again in each
 * file that RocksDB writes it to. The scheme is Cap'n Proto's packing (its encoding specification,
 * "Packing"). Layout, little-endian:
 *
 *   0 u8 SPARSE · 1 u32 length · 5 for each 8 bytes: a tag, bit i = byte i is not zero, then those that
 *   are not; behind the tag 0 how many words of zeros follow, behind the tag 255 how many words follow
 *   as they are · the rest of less than 8 bytes as it is
 */
import { u32At } from '../core/bytes.ts';
import { invariant } from '../core/invariant.ts';

/** First byte of a sparse value. Versions of what is written without it stay below. */
export const SPARSE = 0xf0;

const HEAD_BYTES = 5;
const WORD = 8;
const RUN_MAX = 255;

/** At most so many bytes come out: a tag and a count with every word. */
function boundOf(length: number): number {
  return HEAD_BYTES + length + 2 * Math.ceil(length / WORD);
}

let space: Uint8Array = new Uint8Array(boundOf(65_536));

/** Valid until the next one. */
export function encodeSparse(value: Uint8Array): Uint8Array {
  invariant((value[0] ?? 0) < SPARSE, 'sparse.version-below', () => ({ version: value[0] ?? 0 }));
  const { length } = value;
  if (boundOf(length) > space.length) space = new Uint8Array(2 * boundOf(length));
  const out = space;
  out[0] = SPARSE;
  out[1] = length;
  out[2] = length >>> 8;
  out[3] = length >>> 16;
  out[4] = length >>> 24;
  const whole = length - (length % WORD);
  let at = HEAD_BYTES;
  let i = 0;
  while (i < whole) {
    const tagAt = at;
    at = putWord(out, tagAt, value, i);
    i += WORD;
    const tag = out[tagAt];
    if (tag !== 0 && tag !== 0xff) continue;
    const run = tag === 0 ? zerosAt(value, i, whole) : fullAt(value, i, whole);
    out[at++] = run;
    const end = i + run * WORD;
    if (tag === 0xff) while (i < end) out[at++] = value[i++] ?? 0;
    i = end;
  }
  for (; i < length; i++) out[at++] = value[i] ?? 0;
  return out.subarray(0, at);
}

/** What was encoded, in memory of its own; a value that was never sparse as it is. */
export function decodeSparse(sparse: Uint8Array): Uint8Array {
  if (sparse[0] !== SPARSE) return sparse;
  const value = new Uint8Array(lengthOf(sparse));
  const whole = value.length - (value.length % WORD);
  let at = HEAD_BYTES;
  let i = 0;
  while (i < whole) {
    const tag = sparse[at++] ?? 0;
    for (let left = tag; left !== 0; left &= left - 1)
      value[i + lowestBit(left)] = sparse[at++] ?? 0;
    i += WORD;
    if (tag !== 0 && tag !== 0xff) continue;
    const run = (sparse[at++] ?? 0) * WORD;
    invariant(i + run <= whole, 'sparse.run-within');
    const end = i + run;
    if (tag === 0xff) while (i < end) value[i++] = sparse[at++] ?? 0;
    i = end;
  }
  while (i < value.length) value[i++] = sparse[at++] ?? 0;
  invariant(at === sparse.length, 'sparse.fills-it');
  return value;
}

/** A tag and the bytes that are not zero; returns where they end. No branches: the bytes are noise. */
function putWord(out: Uint8Array, tagAt: number, value: Uint8Array, i: number): number {
  let at = tagAt + 1;
  let tag = 0;
  for (let bit = 0; bit < WORD; bit++) {
    const byte = value[i + bit] ?? 0;
    const one = byte === 0 ? 0 : 1;
    out[at] = byte;
    at += one;
    tag |= one << bit;
  }
  out[tagAt] = tag;
  return at;
}

function lowestBit(bits: number): number {
  return 31 - Math.clz32(bits & -bits);
}

/** Words of zeros from here on. */
function zerosAt(value: Uint8Array, from: number, whole: number): number {
  const end = Math.min(whole, from + RUN_MAX * WORD);
  let at = from;
  while (at < end && value[at] === 0) at++;
  return Math.floor((at - from) / WORD);
}

/** Words without a zero from here on. */
function fullAt(value: Uint8Array, from: number, whole: number): number {
  const end = Math.min(whole, from + RUN_MAX * WORD);
  let at = from;
  while (at < end && value[at] !== 0) at++;
  return Math.floor((at - from) / WORD);
}

/** Two bytes stand for a run of zeros at most: a length that no runs could make up is refused. */
function lengthOf(sparse: Uint8Array): number {
  const length = u32At(sparse, 1);
  const most = (sparse.length - HEAD_BYTES) * ((RUN_MAX + 1) * (WORD / 2)) + WORD;
  invariant(sparse.length >= HEAD_BYTES && length <= most, 'sparse.length-possible', { length });
  return length;
}
