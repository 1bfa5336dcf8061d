/**
 * Memory for packed units: blocks of size classes inside big ArrayBuffers that never move, named by
 * a number (a ref). A resident conversation is a few refs, not a tree of objects (DESIGN §3: a full
 * collection over 10^6 residents takes 4 ms, over objects 500 ms).
 *
 * A ref is class × 2^25 + slot; 0 is none. Blocks above the largest class are buffers of their own
 * (pages of large groups full of mentions, senders with many outboxes): few, so objects are fine.
 */
import { invariant } from '../../core/invariant.ts';
import { chunkOver, type Chunk } from './packed.ts';

const CLASS_BITS = 25;
const SLOT_MASK: number = 2 ** CLASS_BITS - 1;
const CHUNK_BYTES = 256 * 1024;
const LARGE_CLASS = 60;
/** 64 bytes to 16 KiB, four steps a doubling: at most a fifth of a block is unused. */
const SIZES: readonly number[] = sizeClasses(64, 16_384);

interface SizeClass {
  readonly bytes: number;
  /** Slots per chunk are a power of two. */
  readonly shift: number;
  readonly chunks: Chunk[];
  readonly free: number[];
  next: number;
}

export class Arena {
  readonly #classes: readonly SizeClass[] = SIZES.map((bytes) => ({
    bytes,
    shift: Math.floor(Math.log2(CHUNK_BYTES / bytes)),
    chunks: [],
    free: [],
    next: 0,
  }));
  readonly #large: (Chunk | undefined)[] = [];
  readonly #largeFree: number[] = [];
  #usedBytes = 0;

  /** Bytes of blocks handed out. */
  get usedBytes(): number {
    return this.#usedBytes;
  }

  /** A block of at least so many bytes; its contents are whatever was there. */
  allocate(bytes: number): number {
    const number = classOf(bytes);
    if (number === undefined) return this.#allocateLarge(bytes);
    const sized = this.#class(number);
    const slot = sized.free.pop() ?? sized.next++;
    invariant(slot <= SLOT_MASK, 'arena.slots-within', { slot, bytes });
    const chunk = slot >>> sized.shift;
    if (chunk === sized.chunks.length)
      sized.chunks.push(chunkOver(new Uint8Array(sized.bytes << sized.shift)));
    this.#usedBytes += sized.bytes;
    return (number + 1) * 2 ** CLASS_BITS + slot;
  }

  free(ref: number): void {
    this.#usedBytes -= this.capacityOf(ref);
    const number = ref >>> CLASS_BITS;
    const slot = ref & SLOT_MASK;
    if (number !== LARGE_CLASS) {
      this.#class(number - 1).free.push(slot);
      return;
    }
    this.#large[slot] = undefined;
    this.#largeFree.push(slot);
  }

  chunkOf(ref: number): Chunk {
    const number = ref >>> CLASS_BITS;
    const slot = ref & SLOT_MASK;
    const sized = this.#classes[number - 1];
    const chunk = sized === undefined ? this.#large[slot] : sized.chunks[slot >>> sized.shift];
    invariant(chunk !== undefined, 'arena.ref-valid', () => ({ ref }));
    return chunk;
  }

  offsetOf(ref: number): number {
    const sized = this.#classes[(ref >>> CLASS_BITS) - 1];
    if (sized === undefined) return 0;
    return (ref & SLOT_MASK & ((1 << sized.shift) - 1)) * sized.bytes;
  }

  /** Bytes that the block may hold. */
  capacityOf(ref: number): number {
    const sized = this.#classes[(ref >>> CLASS_BITS) - 1];
    return sized === undefined ? this.chunkOf(ref).bytes.length : sized.bytes;
  }

  #class(number: number): SizeClass {
    const sized = this.#classes[number];
    invariant(sized !== undefined, 'arena.class-known', { number });
    return sized;
  }

  #allocateLarge(bytes: number): number {
    const rounded = (Math.ceil(bytes * 1.25) + 15) & ~15;
    const slot = this.#largeFree.pop() ?? this.#large.length;
    this.#large[slot] = chunkOver(new Uint8Array(rounded));
    this.#usedBytes += rounded;
    return LARGE_CLASS * 2 ** CLASS_BITS + slot;
  }
}

function sizeClasses(smallest: number, largest: number): number[] {
  const sizes: number[] = [];
  for (let size = smallest; size < largest; size *= 2)
    for (let step = 4; step < 8; step++) sizes.push((size * step) / 4);
  sizes.push(largest);
  return sizes;
}

/** Number of the smallest class that holds the bytes; undefined = larger than all. */
function classOf(bytes: number): number | undefined {
  const largest = SIZES[SIZES.length - 1] ?? 0;
  if (bytes > largest) return undefined;
  if (bytes <= 64) return 0;
  const doubling = 31 - Math.clz32(bytes - 1);
  const base = 2 ** doubling;
  const step = Math.ceil(((bytes - base) * 4) / base);
  return (doubling - 6) * 4 + step;
}
