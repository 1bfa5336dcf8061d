/** Request fields under the seeds' names. Refusals name them as the caller wrote them. */
import { ParleyError } from '../../core/errors.ts';
import { badField } from '../session/refusals.ts';
import type { Fields } from './request-input.ts';

/** Refuses with UNKNOWN_FIELD. */
export function onlyFields(fields: Fields, known: readonly string[]): void {
  for (const name of Object.keys(fields))
    if (!known.includes(name))
      throw new ParleyError('UNKNOWN_FIELD', `${name} is not known to this version`, {
        path: name,
      });
}

/** '' when absent. */
export function textField(fields: Fields, name: string): string {
  const value = fields[name];
  if (value === undefined || value === null) return '';
  if (typeof value !== 'string') throw badField(name, 'is not text');
  return value;
}

export function need(fields: Fields, name: string): string {
  const value = textField(fields, name);
  if (value === '') throw badField(name, 'is missing');
  return value;
}

/** 0 when absent. Both JSON forms are read. */
export function countField(fields: Fields, name: string): number {
  const value = fields[name];
  if (value === undefined || value === null || value === '') return 0;
  // An object of the query may say of itself how it becomes a number, and throw.
  const count = typeof value === 'string' || typeof value === 'number' ? Number(value) : Number.NaN;
  if (!Number.isSafeInteger(count) || count < 0) throw badField(name, 'is not a count');
  return count;
}

const CONVERSATION_NAMES = ['group_id', 'chat_id', 'channel_id', 'conversation_id'] as const;
const USER_NAMES = ['receiver_id', 'user_id'] as const;

export const PLACE_FIELDS: readonly string[] = [...CONVERSATION_NAMES, ...USER_NAMES];

/** group_id, chat_id, channel_id and conversation_id name the same; exactly one of them. */
export function conversationOf(fields: Fields): string {
  const place = placeOf({ ...fields, user_id: undefined, receiver_id: undefined });
  if (place === '') throw badField('group_id', 'is missing');
  return place;
}

/** The conversation that is meant: by its id, or a user as `direct:usr_x`. '' = none. */
export function placeOf(fields: Fields): string {
  const given: string[] = [];
  for (const name of CONVERSATION_NAMES) given.push(textField(fields, name));
  for (const name of USER_NAMES) {
    const user = textField(fields, name);
    given.push(user === '' ? '' : `direct:${user}`);
  }
  const named = given.filter((place) => place !== '');
  if (named.length > 1) throw badField('receiver_id', 'and a conversation id exclude each other');
  return named[0] ?? '';
}
