/** What an HTTP request says: its body, its query with dotted names, its headers. */
import { createHash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { ParleyError } from '../../core/errors.ts';
import { decodeUuid, encodeUuid } from '../../core/ids.ts';
import { FRAME_BYTES_MAX } from '../session/limits.ts';
import { badField } from '../session/refusals.ts';

export type Fields = Record<string, unknown>;

const KEY = /^[\x20-\x7e]{1,128}$/;
const REQUEST_ID = /^[A-Za-z0-9_.:-]{1,128}$/;
const FORBIDDEN_KEYS: ReadonlySet<string> = new Set(['__proto__', 'constructor', 'prototype']);

const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** The body as JSON; {} when there is none. Refuses PAYLOAD_TOO_LARGE, BAD_TEXT, MALFORMED. */
export async function readBody(request: IncomingMessage): Promise<Fields> {
  const tooLarge = new ParleyError('PAYLOAD_TOO_LARGE', 'the body is larger than 256 KiB');
  if (Number(request.headers['content-length'] ?? 0) > FRAME_BYTES_MAX) throw tooLarge;
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of request) {
      // Without an encoding set, a request's chunks are Buffers.
      const bytes = chunk as Buffer;
      size += bytes.length;
      if (size > FRAME_BYTES_MAX) throw tooLarge;
      chunks.push(bytes);
    }
  } catch (error) {
    if (error === tooLarge) throw error;
    throw new ParleyError('CANCELED', 'the request was not sent to its end', {}, { cause: error });
  }
  if (size === 0) return {};
  let value: unknown;
  const text = utf8(Buffer.concat(chunks));
  try {
    value = JSON.parse(text);
  } catch {
    throw new ParleyError('MALFORMED', 'the body is not JSON');
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new ParleyError('MALFORMED', 'the body is not a JSON object');
  return value as Fields;
}

/** Bytes that are no UTF-8 are refused: read leniently, text would be kept that nobody wrote. */
function utf8(bytes: Buffer): string {
  try {
    return UTF8.decode(bytes);
  } catch {
    throw new ParleyError('BAD_TEXT', 'the body is not UTF-8', { field: 'body' });
  }
}

/** `cursor.epoch=1&userIds=a&userIds=b` as an object. Refuses UNKNOWN_FIELD, BAD_FIELD. */
export function readQuery(query: URLSearchParams): Fields {
  const fields: Fields = {};
  for (const [name, value] of query) {
    const path = name.split('.');
    const last = path.pop() ?? '';
    let at = fields;
    for (const step of path) at = descend(at, step, name);
    if (FORBIDDEN_KEYS.has(last)) throw unknownField(name);
    const known = at[last];
    at[last] =
      known === undefined
        ? value
        : Array.isArray(known)
          ? [...(known as unknown[]), value]
          : [known, value];
  }
  return fields;
}

/** Adds what the path says; it must agree with what the body says. */
export function withPath(fields: Fields, path: Readonly<Record<string, string>>): Fields {
  const all = { ...fields };
  for (const [name, value] of Object.entries(path)) {
    const given = all[name];
    const isSame = given === value || (typeof given === 'number' && String(given) === value);
    if (given !== undefined && given !== null && !isSame)
      throw badField(name, 'differs between path and body');
    all[name] = value;
  }
  return all;
}

/** The caller's name for the request, or a new one. */
export function requestIdOf(request: IncomingMessage, fresh: () => string): string {
  const given = headerOf(request, 'x-request-id');
  return REQUEST_ID.test(given) ? given : fresh();
}

export function headerOf(request: IncomingMessage, name: string): string {
  const value = request.headers[name];
  return Array.isArray(value) ? (value[0] ?? '') : (value ?? '');
}

/** The key as a UUID: itself if it is one, else a hash of it. '' = none was given. */
export function idempotencyKeyOf(request: IncomingMessage): string {
  const key = headerOf(request, 'idempotency-key');
  if (key === '' && request.headers['idempotency-key'] === undefined) return '';
  if (!KEY.test(key)) throw badField('Idempotency-Key', 'is not 1 to 128 printable characters');
  const uuid = decodeUuid(key);
  if (uuid !== undefined) return encodeUuid(uuid);
  const raw = createHash('sha256').update('parley.key.v1\0').update(key).digest().subarray(0, 16);
  raw[6] = ((raw[6] ?? 0) & 15) | 0x80;
  raw[8] = ((raw[8] ?? 0) & 63) | 0x80;
  return encodeUuid(raw);
}

/**
 * Adds what If-Match says. A method whose request has no such field refuses it as unknown: ignored, it
 * would not hold back what it was to hold back. An empty field means any, so an empty etag stays in
 * its quotes: nothing has it.
 */
export function withCondition(fields: Fields, request: IncomingMessage): Fields {
  if (request.headers['if-match'] === undefined) return fields;
  return { ...fields, ifMatch: etagIn(request, 'if-match') || '""' };
}

/** The etag inside If-Match or If-None-Match; '' = none. */
export function etagIn(request: IncomingMessage, name: 'if-match' | 'if-none-match'): string {
  return headerOf(request, name).replace(/^W\//, '').replaceAll('"', '');
}

/** Refuses with TOKEN_INVALID when there is none. */
export function bearerOf(request: IncomingMessage): string {
  const [, token] = /^Bearer (\S+)$/i.exec(headerOf(request, 'authorization')) ?? [];
  if (token === undefined)
    throw new ParleyError('TOKEN_INVALID', 'an access token is needed: Authorization: Bearer …');
  return token;
}

function descend(fields: Fields, step: string, name: string): Fields {
  if (FORBIDDEN_KEYS.has(step)) throw unknownField(name);
  const next = (fields[step] ??= {});
  if (typeof next !== 'object' || next === null || Array.isArray(next))
    throw badField(name, 'is given both as a value and with parts');
  return next as Fields;
}

function unknownField(path: string): ParleyError {
  return new ParleyError('UNKNOWN_FIELD', `${path} is not known to this version`, { path });
}
