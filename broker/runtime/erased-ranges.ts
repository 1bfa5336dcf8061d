/**
 * Where bodies were erased: the newest state holds them no more, older files of the store do until
 * their key range is compacted, which must be within a day (DESIGN §3 Control rows). Remembered per
 * shard in the batch of the flush that rewrote the blocks, so that no restart forgets one. Disk format:
 *
 *   u8 version · u8 everything (1 = all blocks) · u32 ranges, each: u16 bucket · conversation 16
 */
import { ByteReader, ByteWriter } from '../../core/bytes.ts';
import { SEQUENCE_MAX } from '../../core/ids.ts';
import { invariant } from '../../core/invariant.ts';
import { allBlocksRanges, blockRange, type KeyRange } from '../../storage-engine/keys.ts';
import type { Erasure } from './erasures.ts';
import { storedOverlayRange } from './overlays.ts';

/** Ranges remembered one by one, per shard; beyond it all blocks are compacted at once. */
export const ERASED_RANGES_MAX = 1024;

const VERSION = 1;

interface ErasedRange {
  readonly bucket: number;
  readonly conversation: Uint8Array;
}

interface Erased {
  isAll: boolean;
  readonly ranges: Map<string, ErasedRange>;
}

export interface DueRange {
  readonly shard: number;
  /** Of blocks, and of overlays, which held what edits said. */
  readonly ranges: readonly KeyRange[];
  /** Removed by `done`: undefined = everything. */
  readonly name: string | undefined;
}

export class ErasedRanges {
  readonly #shards = new Map<number, Erased>();

  get isEmpty(): boolean {
    return this.#shards.size === 0;
  }

  /** What an earlier process left to do. */
  restore(shard: number, value: Uint8Array): void {
    const input = new ByteReader(value);
    const version = input.u8();
    invariant(version === VERSION, 'erased-ranges.version-known', { version });
    const erased = this.#of(shard);
    erased.isAll = input.u8() === 1;
    for (let left = input.u32(); left > 0; left--)
      put(erased, { bucket: input.u16(), conversation: input.raw(16).slice() });
  }

  /** These are being erased. What comes back is to be stored in the same batch. */
  add(shard: number, erasures: readonly Erasure[]): Uint8Array {
    const erased = this.#of(shard);
    for (const { bucket, conversation } of erasures) put(erased, { bucket, conversation });
    return encode(erased);
  }

  next(): DueRange | undefined {
    for (const [shard, erased] of this.#shards) {
      if (erased.isAll) return { shard, ranges: allBlocksRanges(), name: undefined };
      for (const [name, { bucket, conversation }] of erased.ranges) {
        const overlays = storedOverlayRange(conversation, 0, SEQUENCE_MAX);
        return { shard, ranges: [blockRange(bucket, conversation), overlays], name };
      }
    }
    return undefined;
  }

  /** It was compacted. What comes back is to be stored; undefined = nothing is left of the shard. */
  done({ shard, name }: DueRange): Uint8Array | undefined {
    const erased = this.#of(shard);
    if (name === undefined) {
      // Whatever shard asked for it: all blocks are one key space.
      erased.isAll = false;
      erased.ranges.clear();
    } else erased.ranges.delete(name);
    if (erased.isAll || erased.ranges.size > 0) return encode(erased);
    this.#shards.delete(shard);
    return undefined;
  }

  #of(shard: number): Erased {
    let erased = this.#shards.get(shard);
    if (erased === undefined) {
      erased = { isAll: false, ranges: new Map() };
      this.#shards.set(shard, erased);
    }
    return erased;
  }
}

function put(erased: Erased, range: ErasedRange): void {
  if (erased.isAll) return;
  erased.ranges.set(`${range.bucket} ${range.conversation.join()}`, range);
  if (erased.ranges.size <= ERASED_RANGES_MAX) return;
  erased.isAll = true;
  erased.ranges.clear();
}

function encode({ isAll, ranges }: Erased): Uint8Array {
  const out = new ByteWriter(8 + ranges.size * 18);
  out
    .u8(VERSION)
    .u8(isAll ? 1 : 0)
    .u32(ranges.size);
  for (const { bucket, conversation } of ranges.values()) out.u16(bucket).raw(conversation);
  return out.finish();
}
