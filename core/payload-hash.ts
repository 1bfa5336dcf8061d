/**
 * Keyed hash of what a send holds: recognises the same content under the same number, and lets
 * audits check a redacted row without its text. 16 bytes of SHA-256 over key, name and body.
 */
import { hash } from 'node:crypto';

const KEY_BYTES = 32;
/** What is hashed of a usual message, put together here instead of in memory of its own. */
const SCRATCH: Buffer = Buffer.alloc(4096);

export function payloadHash(
  key: Uint8Array,
  clientMessageId: Uint8Array,
  body: Uint8Array,
): Uint8Array {
  const length = KEY_BYTES + clientMessageId.length + body.length;
  const input = length > SCRATCH.length ? Buffer.alloc(length) : SCRATCH.subarray(0, length);
  input.set(key, 0);
  input.set(clientMessageId, KEY_BYTES);
  input.set(body, KEY_BYTES + clientMessageId.length);
  return hash('sha256', input, 'buffer').subarray(0, 16);
}
