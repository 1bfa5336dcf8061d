/** Between SQL values and ours. SQL shows UUIDs and timestamps, we speak ids and milliseconds. */
import {
  decodeId,
  decodeUuid,
  encodeId,
  encodeUuid,
  type DeviceId,
  type IdPrefix,
  type SessionId,
  type UserId,
} from '../../../core/ids.ts';
import { invariant } from '../../../core/invariant.ts';
import type { Row } from './database.ts';

export function uuidOf(prefix: IdPrefix, id: string): string {
  const raw = decodeId(prefix, id);
  invariant(raw !== undefined, 'identity-rows.id', { prefix });
  return encodeUuid(raw);
}

export function userIdIn(row: Row, column = 'user_id'): UserId {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- decode boundary
  return idIn('usr', row, column) as UserId;
}

export function deviceIdIn(row: Row): DeviceId {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- decode boundary
  return idIn('dev', row, 'device_id') as DeviceId;
}

export function sessionIdIn(row: Row): SessionId {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- decode boundary
  return idIn('ses', row, 'session_id') as SessionId;
}

export function idIn(prefix: IdPrefix, row: Row, column: string): string {
  const raw = decodeUuid(textIn(row, column));
  invariant(raw !== undefined, 'identity-rows.uuid', { column });
  return encodeId(prefix, raw);
}

export function textIn(row: Row, column: string): string {
  const value = row[column];
  invariant(typeof value === 'string', 'identity-rows.text', { column });
  return value;
}

/** One of a closed set. A value that a newer version wrote reads as the first, its default. */
export function oneOfIn<T extends string>(row: Row, column: string, set: readonly [T, ...T[]]): T {
  const value = textIn(row, column);
  return set.find((each) => each === value) ?? set[0];
}

/** Integers and, as text, 64-bit ones. */
export function numberIn(row: Row, column: string): number {
  const value = Number(row[column]);
  invariant(Number.isSafeInteger(value), 'identity-rows.number', { column });
  return value;
}

export function timeIn(row: Row, column: string): number {
  const time = optionalTimeIn(row, column);
  invariant(time !== undefined, 'identity-rows.time', { column });
  return time;
}

export function optionalTimeIn(row: Row, column: string): number | undefined {
  const value = row[column];
  return value instanceof Date ? value.getTime() : undefined;
}

export function bytesIn(row: Row, column: string): Uint8Array {
  const value = row[column];
  invariant(value instanceof Uint8Array, 'identity-rows.bytes', { column });
  return value;
}
