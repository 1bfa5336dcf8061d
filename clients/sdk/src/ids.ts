/**
 * Names of things (CONTRACT §1): `<prefix>_` and 26 lower-case Crockford base32 characters of a
 * 16-byte UUID. Conversation ids are derived, so a 1:1 and a group have theirs before any server
 * heard of them.
 */
import { sha256 } from '@noble/hashes/sha2.js';
import type { ConversationId, UserId } from './contract.ts';
import { ClientError } from './errors.ts';

const ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz';
const ID_BYTES = 16;
const TEXT_CHARS = 26;

export function encodeId(prefix: string, raw: Uint8Array): string {
  let text = `${prefix}_`;
  let buffer = 0;
  let bits = 2;
  for (let i = 0; i < ID_BYTES; i++) {
    buffer = ((buffer << 8) | (raw[i] ?? 0)) & 0xffff;
    bits += 8;
    while (bits >= 5) {
      bits -= 5;
      text += ALPHABET[(buffer >>> bits) & 31];
    }
  }
  return text;
}

/** Raw bytes of an id, or undefined if it is not one with this prefix. */
export function decodeId(prefix: string, text: string): Uint8Array | undefined {
  const start = prefix.length + 1;
  if (text.length !== start + TEXT_CHARS || !text.startsWith(`${prefix}_`)) return undefined;
  const raw = new Uint8Array(ID_BYTES);
  let buffer = 0;
  let bits = -2;
  let at = 0;
  for (let i = start; i < text.length; i++) {
    const digit = ALPHABET.indexOf(text[i] ?? '?');
    if (digit < 0 || (i === start && digit > 7)) return undefined;
    buffer = ((buffer << 5) | digit) & 0x1fff;
    bits += 5;
    if (bits >= 8) {
      bits -= 8;
      raw[at++] = (buffer >>> bits) & 255;
    }
  }
  return raw;
}

export function isId(prefix: string, text: string): boolean {
  return decodeId(prefix, text) !== undefined;
}

/** The 1:1 of two users; the same twice = notes to self. */
export function directConversationId(a: UserId, b: UserId): ConversationId {
  // Ids' text sorts as their bytes do.
  const [low, high] = a <= b ? [a, b] : [b, a];
  return derived('parley.direct.v1\0', rawUser(low), rawUser(high));
}

export function groupConversationId(creator: UserId, requestId: string): ConversationId {
  return derived('parley.group.v1\0', rawUser(creator), uuidBytes(requestId));
}

/** A random UUID (version 4), hyphenated. */
export function newUuid(randomBytes: (count: number) => Uint8Array): string {
  const raw = randomBytes(ID_BYTES);
  raw[6] = ((raw[6] ?? 0) & 15) | 0x40;
  raw[8] = ((raw[8] ?? 0) & 63) | 0x80;
  const hex = Array.from(raw, (byte) => byte.toString(16).padStart(2, '0')).join('');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

function uuidBytes(text: string): Uint8Array {
  const hex = text.replaceAll('-', '');
  return Uint8Array.from({ length: ID_BYTES }, (_, i) =>
    Number.parseInt(hex.slice(2 * i, 2 * i + 2), 16),
  );
}

function rawUser(id: UserId): Uint8Array {
  const raw = decodeId('usr', id);
  if (raw === undefined) throw new ClientError('BAD_ID', 'not a user id');
  return raw;
}

function derived(prefix: string, a: Uint8Array, b: Uint8Array): ConversationId {
  const label = new TextEncoder().encode(prefix);
  const input = new Uint8Array(label.length + 2 * ID_BYTES);
  input.set(label, 0);
  input.set(a, label.length);
  input.set(b, label.length + ID_BYTES);
  const raw = sha256(input).slice(0, ID_BYTES);
  raw[6] = ((raw[6] ?? 0) & 15) | 0x80;
  raw[8] = ((raw[8] ?? 0) & 63) | 0x80;
  return encodeId('cnv', raw);
}
