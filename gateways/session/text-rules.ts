/**
 * Rules for text (CONTRACT §1): verbatim, well-formed UTF-16, no U+0000, of C0 only newline and tab,
 * lengths in code points. Text is checked and never changed.
 */
import { ParleyError } from '../../core/errors.ts';

// Control characters but \t \n, and all surrogates: text without them needs no closer look.
// oxlint-disable-next-line no-control-regex
const SUSPECT = /[\u0000-\u0008\u000b-\u001f\ud800-\udfff]/;

export interface TextRule {
  readonly field: string;
  readonly max: number;
  readonly mayBeEmpty?: boolean;
}

/** Refuses with BAD_TEXT, naming the field. */
export function checkText(text: string, rule: TextRule): void {
  if (text.length === 0) {
    if (rule.mayBeEmpty === true) return;
    throw badText(rule.field, 'is empty');
  }
  const points = SUSPECT.test(text) ? codePoints(text, rule.field) : text.length;
  if (points > rule.max) throw badText(rule.field, `is longer than ${rule.max} code points`);
}

/** Whether cutting before `offset` (in UTF-16 units) would split a surrogate pair. */
export function splitsPair(text: string, offset: number): boolean {
  if (offset <= 0 || offset >= text.length) return false;
  return isHigh(text.charCodeAt(offset - 1)) && isLow(text.charCodeAt(offset));
}

function codePoints(text: string, field: string): number {
  let count = 0;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit < 32 && unit !== 10 && unit !== 9)
      throw badText(field, 'has a control character other than newline and tab');
    if (isLow(unit)) throw badText(field, 'has a lone surrogate');
    if (isHigh(unit)) {
      if (!isLow(text.charCodeAt(i + 1))) throw badText(field, 'has a lone surrogate');
      i++;
    }
    count++;
  }
  return count;
}

const isHigh = (unit: number): boolean => unit >= 0xd800 && unit <= 0xdbff;
const isLow = (unit: number): boolean => unit >= 0xdc00 && unit <= 0xdfff;

function badText(field: string, what: string): ParleyError {
  return new ParleyError('BAD_TEXT', `${field} ${what}`, { field });
}
