/** Refusals of requests by their form (CONTRACT §8): each names the field. */
import { ParleyError } from '../../core/errors.ts';

export function badField(field: string, why: string): ParleyError {
  return new ParleyError('BAD_FIELD', `${field} ${why}`, { field });
}

/** A constant that is not one of the closed set. */
export function unknownConstant(field: string): ParleyError {
  return new ParleyError('UNKNOWN_FIELD', `${field} is not one of the known values`, {
    path: field,
  });
}

export function tooLarge(field: string, max: number): ParleyError {
  return new ParleyError('PAYLOAD_TOO_LARGE', `${field} is larger than ${max} bytes`, { field });
}

/** The value, or the first of the set for an absent one; refuses others. */
export function oneOf<T extends string>(
  value: string,
  set: readonly [T, ...T[]],
  field: string,
): T {
  if (value === '') return set[0];
  for (const known of set) if (known === value) return known;
  throw unknownConstant(field);
}

export function checkCount(value: number, field: string): void {
  if (value < 0) throw badField(field, 'is negative');
}
