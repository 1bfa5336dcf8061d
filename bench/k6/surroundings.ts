/** What k6 gives to scripts and @types/k6 does not name, and what the scripts are asked for. */

interface RandomIds {
  randomUUID(): string;
}

declare global {
  var crypto: RandomIds;
}

/** `-e NAME=value` on k6's command line. */
export function setting(name: string, fallback: string): string {
  const value: string | undefined = __ENV[name];
  return value === undefined || value === '' ? fallback : value;
}

export function count(name: string, fallback: number): number {
  const value = Number(setting(name, String(fallback)));
  if (!Number.isInteger(value) || value < 1) throw new TypeError(`${name} is a number from 1 on`);
  return value;
}

export const URL_BASE: string = setting('URL', 'http://127.0.0.1:8080');
export const SECONDS: number = count('SECONDS', 10);
/** Text of every message, behind the time of sending that it begins with. */
export const FILLING: string = '.'.repeat(count('BYTES', 1024));
