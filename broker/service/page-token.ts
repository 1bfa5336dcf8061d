/**
 * Where the next page of a read begins, bound to who asked and for what (CONTRACT §1): a token that
 * is another's, or of another question, is refused rather than read as a place in the wrong list.
 *
 *   u8 version   u32 FNV-1a of the question   the place, as the list writes it
 */
import { ByteReader, ByteWriter } from '../../core/bytes.ts';
import { ParleyError } from '../../core/errors.ts';

const VERSION = 1;
const HEAD_BYTES = 5;

/** What a token is good for: names of the list, ids, arguments; in one order. */
export type Question = readonly (string | number | Uint8Array)[];

export function encodePageToken(question: Question, place: Uint8Array): string {
  const out = new ByteWriter(HEAD_BYTES + place.length);
  const bytes = out.u8(VERSION).u32(hashOf(question)).raw(place).finish();
  return Buffer.from(bytes).toString('base64url');
}

/** The place. Refuses with BAD_PAGE_TOKEN what is not a token of this question with so long a place. */
export function decodePageToken(text: string, question: Question, placeBytes: number): Uint8Array {
  const bytes = Buffer.from(text, 'base64url');
  const isWhole = bytes.length === HEAD_BYTES + placeBytes && bytes[0] === VERSION;
  const input = new ByteReader(bytes, 1);
  if (!isWhole || input.u32() !== hashOf(question))
    throw new ParleyError('BAD_PAGE_TOKEN', 'the page token is not of this list', {
      field: 'pageToken',
    });
  return input.rest();
}

function hashOf(question: Question): number {
  let hash = 0x811c9dc5;
  const add = (byte: number): void => {
    hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  };
  for (const part of question) {
    const bytes = part instanceof Uint8Array ? part : Buffer.from(String(part));
    for (const byte of bytes) add(byte);
    add(bytes.length);
  }
  return hash;
}
