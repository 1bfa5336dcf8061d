/**
 * The ring of batches: batch n writes, with its own operations, the entry `b/<n mod 16,384> = n`.
 * A log of the engine that was replayed with a hole therefore lacks a number, or holds an older one
 * in its place, and opening sees it. It sees 16,384 batches back; the engine's log never reaches
 * further, because a memtable flush is forced every 8,192.
 *
 * Value, not sealed (it says nothing): 0 u64 number · 8 u32 crc32 of slot (u32) and number.
 */
import { crc32 } from 'node:zlib';
import { readU53, viewOf, writeU53 } from '../core/bytes.ts';
import type { ParleyError } from '../core/errors.ts';
import type { StateEntry } from './contract.ts';
import { PREFIX, prefixRange, readRingKey, ringKey, type KeyRange } from './keys.ts';
import { storageError } from './storage-error.ts';

export const RING_SLOTS = 16_384;
export const FLUSH_EVERY_BATCHES = 8_192;

const VALUE_BYTES = 12;

export function ringEntry(batch: number): StateEntry {
  const slot = batch % RING_SLOTS;
  const value = new Uint8Array(VALUE_BYTES);
  writeU53(viewOf(value), 0, batch);
  viewOf(value).setUint32(8, checksum(slot, value), true);
  return { key: ringKey(slot), value };
}

export function ringRange(): KeyRange {
  return prefixRange(Uint8Array.of(PREFIX.ring));
}

/** The number of the last batch. Throws CORRUPT_ENTRY if one of the batches before it is missing. */
export function verifyRing(entries: readonly StateEntry[], where: string): number {
  let last = 0;
  const numbers = entries.map(({ key, value }) => {
    const slot = readRingKey(key);
    const number = value.length === VALUE_BYTES ? readU53(viewOf(value), 0) : -1;
    const isWhole =
      value.length === VALUE_BYTES && viewOf(value).getUint32(8, true) === checksum(slot, value);
    if (!isWhole || number % RING_SLOTS !== slot) throw hole(where, `entry ${slot} is damaged`);
    last = Math.max(last, number);
    return number;
  });
  const first = Math.max(1, last - RING_SLOTS + 1);
  const have = new Set(numbers);
  for (let number = first; number <= last; number++)
    if (!have.has(number)) throw hole(where, `batch ${number} of ${last} is missing`);
  if (have.size !== last - first + 1) throw hole(where, 'an entry is older than the ring');
  return last;
}

function hole(where: string, what: string): ParleyError {
  return storageError(
    'corrupt',
    `the state store in ${where} has a hole: ${what}; it is not served; remove that directory and start again: it is rebuilt from the log if that reaches back, else restore a backup`,
    { file: where },
  );
}

function checksum(slot: number, value: Uint8Array): number {
  return crc32(value.subarray(0, 8), slot);
}
