/** What names, passwords and other text may be (CONTRACT §1). Refusals name the field, not its value. */
import { ParleyError } from '../../core/errors.ts';

const USERNAME = /^[a-z0-9._-]{3,50}$/;
const NAME_CODE_POINTS_MAX = 100;
const URL_BYTES_MAX = 2_000;
export const PASSWORD_MIN = 8;
export const PASSWORD_MAX = 128;
const LONE_SURROGATE = /\p{Surrogate}/u;
/** U+0000 and the other C0 controls but tab and newline; DEL and C1 are text like any other. */
// oxlint-disable-next-line no-control-regex -- they are what is looked for
const CONTROL = /[\u0000-\u0008\u000b-\u001f]/;

export function checkUsername(username: unknown): string {
  if (typeof username !== 'string' || !USERNAME.test(username))
    throw badText('username', 'a user name has 3 to 50 characters of a-z 0-9 . _ -');
  return username;
}

/** 8 to 128 code points; anything goes, for it is never shown. */
export function checkPassword(password: unknown, field = 'password'): string {
  if (typeof password !== 'string' || LONE_SURROGATE.test(password)) throw weak(field);
  const count = codePointsOf(password);
  if (count < PASSWORD_MIN || count > PASSWORD_MAX) throw weak(field);
  return password;
}

/** A name or status text of at most 100 code points, kept verbatim. */
export function checkName(text: unknown, field: string): string {
  if (typeof text !== 'string') throw badText(field, `${field} must be text`);
  if (LONE_SURROGATE.test(text) || CONTROL.test(text))
    throw badText(field, `${field} has a lone surrogate or a control character`);
  if (codePointsOf(text) > NAME_CODE_POINTS_MAX)
    throw badText(field, `${field} has more than ${NAME_CODE_POINTS_MAX} characters`);
  return text;
}

/** An http(s) URL, or a path on this server. Empty = none. */
export function checkUrl(text: unknown, field: string): string {
  const isUrl =
    typeof text === 'string' &&
    text.length <= URL_BYTES_MAX &&
    (text === '' || /^(https?:\/\/[^\s/]+|\/(?!\/))[^\s]*$/.test(text)) &&
    !CONTROL.test(text);
  if (!isUrl) throw new ParleyError('BAD_FIELD', `${field} is not an http or https URL`, { field });
  return text;
}

/** For search: case, accents and width do not matter. Also folds what is searched for. */
export function foldName(text: string): string {
  return text
    .normalize('NFKC')
    .toLowerCase()
    .normalize('NFD')
    .replaceAll(/\p{M}/gu, '')
    .normalize('NFC')
    .trim();
}

function codePointsOf(text: string): number {
  let count = 0;
  for (const _ of text) count += 1;
  return count;
}

function badText(field: string, message: string): ParleyError {
  return new ParleyError('BAD_TEXT', message, { field });
}

function weak(field: string): ParleyError {
  return new ParleyError(
    'WEAK_PASSWORD',
    `a password has ${PASSWORD_MIN} to ${PASSWORD_MAX} characters`,
    { field },
  );
}
