/** Ids of this service's resources: minted for new ones, given their type where a caller's text enters. */
import {
  newId,
  parseId,
  type DeviceId,
  type IdPrefix,
  type SessionId,
  type UserId,
} from '../../core/ids.ts';

// Decode and mint boundary of ids: the form is proven by newId or parseId right here.
/* oxlint-disable typescript/no-unsafe-type-assertion */
export function newUserId(nowMs: number): UserId {
  return newId('usr', nowMs) as UserId;
}

export function newDeviceId(nowMs: number): DeviceId {
  return newId('dev', nowMs) as DeviceId;
}

export function newSessionId(nowMs: number): SessionId {
  return newId('ses', nowMs) as SessionId;
}

export function userIdOf(text: unknown, field: string): UserId {
  return idOf('usr', text, field) as UserId;
}

export function deviceIdOf(text: unknown, field: string): DeviceId {
  return idOf('dev', text, field) as DeviceId;
}

export function sessionIdOf(text: unknown, field: string): SessionId {
  return idOf('ses', text, field) as SessionId;
}
/* oxlint-enable typescript/no-unsafe-type-assertion */

/** The text itself; throws BAD_ID, naming the field, unless it is an id with that prefix. */
export function idOf(prefix: IdPrefix, text: unknown, field: string): string {
  const given = typeof text === 'string' ? text : '';
  parseId(prefix, given, field);
  return given;
}
