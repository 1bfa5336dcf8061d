/**
 * The sync token: all that a device needs to resume (DESIGN §4). It says how far each shard's feed
 * and the account log had been told to the device when it was written. It is opaque and unsigned: it
 * can only fool its owner. It may over-report changes and never under-report them.
 *
 *   u8 version   u53 epoch   8 bytes user check   u53 timeMs   u53 account sequence
 *   u16 count, then count × (u16 shard, u53 index); a shard that is not in it counts as 0
 */
import { ByteReader, ByteWriter, sameBytes } from '../../core/bytes.ts';

export const SYNC_TOKEN_VERSION = 1;
export const SYNC_TOKEN_CHARS_MAX = 4096;
const SHARDS_MAX = 256;

/** How far a device has been told. `indexes[shard]`; absent = 0. */
export interface Position {
  readonly accountSequence: number;
  readonly indexes: readonly number[];
}

export const NOWHERE: Position = { accountSequence: 0, indexes: [] };

export interface SyncToken {
  readonly epoch: number;
  readonly timeMs: number;
  readonly position: Position;
}

export function encodeSyncToken(token: SyncToken, user: Uint8Array): string {
  const { indexes, accountSequence } = token.position;
  const out = new ByteWriter(64 + indexes.length * 10);
  out.u8(SYNC_TOKEN_VERSION).u53(token.epoch).raw(userCheck(user));
  out.u53(token.timeMs).u53(accountSequence);
  writeIndexes(out, indexes);
  return base64Url(out.finish());
}

/** undefined = not a token of this user that this version can read. */
export function decodeSyncToken(text: string, user: Uint8Array): SyncToken | undefined {
  const bytes = text.length > SYNC_TOKEN_CHARS_MAX ? undefined : fromBase64Url(text);
  if (bytes === undefined || bytes.length < 35 || bytes[0] !== SYNC_TOKEN_VERSION) return undefined;
  const input = new ByteReader(bytes, 1);
  const epoch = input.u53();
  if (!sameBytes(input.raw(8), userCheck(user))) return undefined;
  const timeMs = input.u53();
  const accountSequence = input.u53();
  const indexes = readIndexes(input);
  if (indexes === undefined || input.remaining !== 0) return undefined;
  // What no token of ours has: no 64-bit integer of the contract is above 2^53 - 1.
  if (![epoch, timeMs, accountSequence].every(Number.isSafeInteger)) return undefined;
  return { epoch, timeMs, position: { accountSequence, indexes } };
}

/** The farther of both in each shard. */
export function farther(a: Position, b: Position): Position {
  const length = Math.max(a.indexes.length, b.indexes.length);
  return {
    accountSequence: Math.max(a.accountSequence, b.accountSequence),
    indexes: Array.from({ length }, (_, i) => Math.max(a.indexes[i] ?? 0, b.indexes[i] ?? 0)),
  };
}

export function writeIndexes(out: ByteWriter, indexes: readonly number[]): void {
  out.u16(indexes.reduce((count, index) => (index > 0 ? count + 1 : count), 0));
  for (const [shard, index] of indexes.entries()) if (index > 0) out.u16(shard).u53(index);
}

/** undefined = they do not stand there. */
export function readIndexes(input: ByteReader): number[] | undefined {
  if (input.remaining < 2) return undefined;
  const count = input.u16();
  if (count > SHARDS_MAX || input.remaining < count * 10) return undefined;
  const indexes: number[] = [];
  for (let i = 0; i < count; i++) {
    const shard = input.u16();
    if (shard >= SHARDS_MAX) return undefined;
    while (indexes.length <= shard) indexes.push(0);
    const index = input.u53();
    if (!Number.isSafeInteger(index)) return undefined;
    indexes[shard] = index;
  }
  return indexes;
}

/** The last 8 bytes of the user's id: enough to tell that a token is another's. */
function userCheck(user: Uint8Array): Uint8Array {
  return user.subarray(8, 16);
}

const LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';

export function base64Url(bytes: Uint8Array): string {
  let text = '';
  for (let i = 0; i < bytes.length; i += 3) {
    const word = ((bytes[i] ?? 0) << 16) | ((bytes[i + 1] ?? 0) << 8) | (bytes[i + 2] ?? 0);
    const count = Math.min(4, bytes.length - i + 1);
    for (let c = 0; c < count; c++) text += LETTERS[(word >>> (18 - 6 * c)) & 63];
  }
  return text;
}

export function fromBase64Url(text: string): Uint8Array | undefined {
  if (text.length % 4 === 1) return undefined;
  const bytes = new Uint8Array(Math.floor((text.length * 3) / 4));
  let word = 0;
  let bits = 0;
  let at = 0;
  for (const letter of text) {
    const value = LETTERS.indexOf(letter);
    if (value < 0) return undefined;
    word = ((word << 6) | value) & 0xffffff;
    bits += 6;
    if (bits >= 8) {
      bits -= 8;
      bytes[at++] = (word >>> bits) & 255;
    }
  }
  return bytes;
}
