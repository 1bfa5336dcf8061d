/**
 * Records: what a Link carries. A fixed 48-byte header, then an opaque payload, padded to 8 bytes;
 * many of them packed into a slab, one transferable buffer that is shipped once per loop turn.
 *
 *  0 u32 length, header and padding included     16 u16 shard   18 u16 count
 *  4 u16 kind   6 u8 flags   7 u8 padding         20 u32 extra
 *  8 u32 request (0 = none: a push)               24 u53 position (an index, a sequence)
 * 12 u32 handle (a user's or socket's number)     32 16 bytes: conversation or user
 *                                                 48 payload
 * A slab's first word is the count of its used bytes; records start at byte 8.
 */
import { invariant } from './invariant.ts';

export const RECORD_HEADER_BYTES = 48;
export const SLAB_BYTES = 65_536;
const SLAB_START = 8;
const FREE_SLABS_MAX = 64;

export const RECORD = {
  /** Gateway → store. Payload: (u32 handle, 16 bytes user)*; flags 1 = these are all there are. */
  routes: 1,
  /** Gateway → store. Payload: u32 handle*. */
  unroutes: 2,
  /** Gateway → store. Payload: an encoded command (command.ts); answered by commit or error unless request = 0. */
  command: 3,
  /** Gateway → store. `extra` = method number (query.ts); payload: 16 bytes caller, 16 bytes device, protobuf request; answered by result or error. */
  query: 4,
  /** Gateway → store, not logged. 32: conversation; payload: 16 bytes user, u8 state (1 typing, 0 stopped). */
  typing: 5,
  /** Gateway → store, for internal services. Payload: 16 bytes conversation*; their rows then come as `row` with flags 2 and no handles. */
  subscribe: 6,
  /** Gateway → store. Payload: 16 bytes conversation*. */
  unsubscribe: 7,
  /** Store → gateway. position = sequence; count = queued recipients (65,535 = that or more); flags 1 = replayed; payload: u53 timeMs, u53 index, u53 head. 32: conversation. */
  commit: 16,
  /** Store → gateway. Payload: the protobuf response of the public contract. position = the shard index it was read at. */
  result: 17,
  /** Store → gateway. Payload: encodeError (wire-error.ts). */
  error: 18,
  /** Store → gateway. 32: conversation; position = head; extra = epoch; count = handles (65,535 = see payload); payload: u32 n, u32 handle*, then the row (row.ts). flags 1 = group of 100 or more; 2 = for this Link's subscription. */
  row: 19,
  /** Store → gateway. handle; payload: parley.v1.Conversation as this user sees it. flags 1 = removed (payload empty). */
  conversation: 20,
  /** Store → gateway. 32: conversation; payload: u32 n, u32 handle*, then receipts (receipt-record.ts). */
  receipts: 21,
  /** Store → gateway. shard; position = index through which everything planned for this Link has been sent. */
  progress: 22,
  /** Store → gateway. shard: the feed has a hole; the Link's sessions run Resume for it. */
  resync: 23,
  /** Store → gateway. handle; payload: account event (account-record.ts), e.g. session revoked. */
  account: 24,
  /** Store → gateway, as `typing`, with payload: u32 n, u32 handle*, 16 bytes user, u8 state. */
  typingOut: 25,
} as const;

export type RecordKind = (typeof RECORD)[keyof typeof RECORD];

/**
 * One transferable buffer with its views. Whoever holds it owns it; posting it gives it away, and
 * every view of it is empty from then on.
 */
export class Slab {
  readonly buffer: ArrayBuffer;
  readonly bytes: Uint8Array;
  readonly words: Uint32Array;
  readonly view: DataView;
  used: number;
  /** Who still needs what is in it: its reader, and each payload that was kept. */
  holds = 0;
  /** Payloads were kept: it serves again elsewhere only, where posting it has emptied every view of it. */
  isKept = false;

  constructor(buffer: ArrayBuffer) {
    this.buffer = buffer;
    this.bytes = new Uint8Array(buffer);
    this.words = new Uint32Array(buffer);
    this.view = new DataView(buffer);
    this.used = Math.max(this.words[0] ?? 0, SLAB_START);
    invariant(this.used <= buffer.byteLength, 'slab.used-within', { used: this.used });
  }

  get isEmpty(): boolean {
    return this.used === SLAB_START;
  }

  /** Nothing is in it any more. */
  empty(): void {
    this.used = SLAB_START;
    this.words[0] = SLAB_START;
  }
}

/** Calls `each` with the byte offset of every record. Offsets are multiples of 8. */
export function eachRecord(slab: Slab, each: (at: number, slab: Slab) => void): void {
  const end = slab.words[0] ?? SLAB_START;
  for (let at = SLAB_START; at < end; ) {
    const length = slab.words[at >>> 2] ?? 0;
    invariant(length >= RECORD_HEADER_BYTES && at + length <= end, 'slab.record-within', {
      at,
      length,
      end,
    });
    each(at, slab);
    at += length;
  }
}

export const kindAt = (slab: Slab, at: number): number => slab.view.getUint16(at + 4, true);
export const flagsAt = (slab: Slab, at: number): number => slab.bytes[at + 6] ?? 0;
export const requestAt = (slab: Slab, at: number): number => slab.words[(at >>> 2) + 2] ?? 0;
export const handleAt = (slab: Slab, at: number): number => slab.words[(at >>> 2) + 3] ?? 0;
export const shardAt = (slab: Slab, at: number): number => slab.view.getUint16(at + 16, true);
export const countAt = (slab: Slab, at: number): number => slab.view.getUint16(at + 18, true);
export const extraAt = (slab: Slab, at: number): number => slab.words[(at >>> 2) + 5] ?? 0;
export const positionAt = (slab: Slab, at: number): number =>
  (slab.words[(at >>> 2) + 6] ?? 0) + (slab.words[(at >>> 2) + 7] ?? 0) * 2 ** 32;
/** The 16 bytes at 32: a view, valid while the slab is held. */
export const idAt = (slab: Slab, at: number): Uint8Array => slab.bytes.subarray(at + 32, at + 48);
/** The payload without padding: a view, valid while the slab is held. */
export const payloadAt = (slab: Slab, at: number): Uint8Array =>
  slab.bytes.subarray(
    at + RECORD_HEADER_BYTES,
    at + (slab.words[at >>> 2] ?? 0) - (slab.bytes[at + 7] ?? 0),
  );

const keptParts = new WeakMap<Uint8Array, Slab>();

/**
 * The payload for a reader who needs it beyond the call. Its slab does not serve again before that
 * reader says so (`lettingGo`); who never does leaves the slab to the garbage collector.
 */
export function keptPayloadAt(slab: Slab, at: number): Uint8Array {
  const payload = payloadAt(slab, at);
  slab.holds++;
  slab.isKept = true;
  keptParts.set(payload, slab);
  return payload;
}

/**
 * A kept payload with `before` bytes before it, which are the caller's to write: from now on this is
 * what is kept, and the payload itself nobody else's. undefined = it is not kept, or there is no room.
 */
export function keptAround(payload: Uint8Array, before: number): Buffer | undefined {
  const slab = keptParts.get(payload);
  if (slab === undefined || before > RECORD_HEADER_BYTES) return undefined;
  keptParts.delete(payload);
  const { buffer, byteOffset, length } = payload;
  const around = Buffer.from(buffer, byteOffset - before, before + length);
  keptParts.set(around, slab);
  return around;
}

/** Nobody needs this part any more. The slab, if that was the last of it. */
export function lettingGo(part: Uint8Array): Slab | undefined {
  const slab = keptParts.get(part);
  if (slab === undefined) return undefined;
  keptParts.delete(part);
  return --slab.holds === 0 ? slab : undefined;
}

export interface RecordHeader {
  readonly kind: RecordKind;
  readonly flags?: number;
  readonly request?: number;
  readonly handle?: number;
  readonly shard?: number;
  readonly count?: number;
  readonly extra?: number;
  readonly position?: number;
  readonly id?: Uint8Array;
}

/**
 * Packs records and ships the slab when it is full or when the loop's turn ends (`schedule` decides
 * when that is; it is called once per slab begun). Slabs received from the other side serve again by
 * `recycle`, and where there are more of them than this side sends they are given back, so that a
 * steady flow allocates nothing.
 */
export class SlabWriter {
  readonly #ship: (slab: Slab) => void;
  readonly #schedule: (flush: () => void) => void;
  #current: Slab | undefined;
  #free: Slab[] = [];
  #armed = false;

  constructor(ship: (slab: Slab) => void, schedule: (flush: () => void) => void) {
    this.#ship = ship;
    this.#schedule = schedule;
  }

  /** Writes the header, zeroes the padding and returns the offset of the payload in `slab`. */
  begin(header: RecordHeader, payloadBytes: number): number {
    const length = (RECORD_HEADER_BYTES + payloadBytes + 7) & ~7;
    const slab = this.#room(length);
    const at = slab.used;
    slab.used = at + length;
    const word = at >>> 2;
    const words = slab.words;
    const padding = length - RECORD_HEADER_BYTES - payloadBytes;
    words[word] = length;
    words[word + 1] = header.kind | ((header.flags ?? 0) << 16) | (padding << 24);
    words[word + 2] = header.request ?? 0;
    words[word + 3] = header.handle ?? 0;
    words[word + 4] = (header.shard ?? 0) | ((header.count ?? 0) << 16);
    words[word + 5] = header.extra ?? 0;
    const position = header.position ?? 0;
    words[word + 6] = position >>> 0;
    words[word + 7] = Math.floor(position / 2 ** 32);
    if (header.id === undefined) words.fill(0, word + 8, word + 12);
    else slab.bytes.set(header.id, at + 32);
    if (padding > 0) slab.bytes.fill(0, at + length - padding, at + length);
    return at + RECORD_HEADER_BYTES;
  }

  /** The slab that `begin` last wrote to. */
  get slab(): Slab {
    invariant(this.#current !== undefined, 'slab.none-begun');
    return this.#current;
  }

  write(header: RecordHeader, payload: Uint8Array): void {
    const at = this.begin(header, payload.length);
    this.slab.bytes.set(payload, at);
  }

  /** Ships what has been packed. Does nothing when that is nothing. */
  flush(): void {
    this.#armed = false;
    const slab = this.#current;
    if (slab === undefined || slab.used === SLAB_START) return;
    this.#current = undefined;
    slab.words[0] = slab.used;
    this.#ship(slab);
  }

  /** Takes a slab that nobody needs any more; false = there are enough. */
  recycle(slab: Slab): boolean {
    if (slab.buffer.byteLength !== SLAB_BYTES || this.#free.length >= FREE_SLABS_MAX) return false;
    slab.used = SLAB_START;
    this.#free.push(slab);
    return true;
  }

  #room(length: number): Slab {
    const current = this.#current;
    if (current !== undefined && current.used + length <= current.buffer.byteLength) return current;
    if (current !== undefined) this.flush();
    const large = length + SLAB_START > SLAB_BYTES;
    const slab = large
      ? new Slab(new ArrayBuffer(length + SLAB_START))
      : (this.#free.pop() ?? new Slab(new ArrayBuffer(SLAB_BYTES)));
    slab.used = SLAB_START;
    this.#current = slab;
    if (!this.#armed) {
      this.#armed = true;
      this.#schedule(() => this.flush());
    }
    return slab;
  }
}
