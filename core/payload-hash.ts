/**
 * Keyed hash of what a send holds: recognises the same content under the same number, and lets
 * audits check a redacted row without its text. 16 bytes of SHA-256 over key, name and body.
 */
import { hash } from 'node:crypto';

const KEY_BYTES = 32;

export function payloadHash(
  key: Uint8Array,
  clientMessageId: Uint8Array,
  body: Uint8Array,
): Uint8Array {
  const input = new Uint8Array(KEY_BYTES + clientMessageId.length + body.length);
  input.set(key, 0);
  input.set(clientMessageId, KEY_BYTES);
  input.set(body, KEY_BYTES + clientMessageId.length);
  return new Uint8Array(hash('sha256', input, 'buffer').subarray(0, 16));
}
