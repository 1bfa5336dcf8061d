/**
 * Which signal flag an id flies (CLIENT §3): the last two bytes of its 16, the first of them choosing
 * the pattern (mod 12) and the second the hue (mod 8), so that the two vary independently.
 */
export const PATTERNS = [
  'border',
  'halves-vertical',
  'halves-horizontal',
  'quarters',
  'diagonal',
  'cross',
  'saltire',
  'stripes-vertical',
  'stripes-horizontal',
  'disc',
  'lozenge',
  'chevron',
] as const;

export type Pattern = (typeof PATTERNS)[number];
export const HUES = 8;

export interface Flag {
  readonly pattern: Pattern;
  /** 0–7: index of the hue tokens. */
  readonly hue: number;
}

const ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz';

export function flagOf(id: string): Flag {
  const { second, last } = lastBytes(id);
  return { pattern: PATTERNS[second % PATTERNS.length] ?? 'border', hue: last % HUES };
}

/** CSS colour of the id's spine, name and flag. */
export function hueOf(id: string): string {
  return `var(--hue-${flagOf(id).hue})`;
}

/** The last 16 of an id's 128 bits: its last four base32 characters hold 20. */
function lastBytes(id: string): { second: number; last: number } {
  let bits = 0;
  for (const char of id.slice(-4)) bits = (bits << 5) | Math.max(0, ALPHABET.indexOf(char));
  return { second: (bits >>> 8) & 255, last: bits & 255 };
}
