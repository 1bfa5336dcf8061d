import { viewOf } from '../../../core/bytes.ts';

/** A row of so many bytes that says nothing but its length. */
export function blankRow(bytes: number, filled = 0): Uint8Array {
  const row = new Uint8Array(bytes).fill(filled);
  viewOf(row).setUint32(0, bytes, true);
  return row;
}
