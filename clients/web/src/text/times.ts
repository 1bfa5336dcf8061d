/** How times read. Server times only: a device's clock never labels or orders a row (CLIENT S2). */

const time = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' });
const day = new Intl.DateTimeFormat(undefined, {
  weekday: 'short',
  day: 'numeric',
  month: 'short',
});
const dayAndYear = new Intl.DateTimeFormat(undefined, {
  weekday: 'short',
  day: 'numeric',
  month: 'short',
  year: 'numeric',
});
const date = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'short' });
const dateAndYear = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium' });
const moment = new Intl.DateTimeFormat(undefined, { dateStyle: 'full', timeStyle: 'short' });

export function timeOf(timeMs: number): string {
  return time.format(timeMs);
}

/** Of a day line. The year stands where it is not the current one. */
export function dayOf(timeMs: number, nowMs: number): string {
  return (sameYear(timeMs, nowMs) ? day : dayAndYear).format(timeMs);
}

/** Of a list row: the time today, else the date. */
export function shortOf(timeMs: number, nowMs: number): string {
  if (dayKeyOf(timeMs) === dayKeyOf(nowMs)) return time.format(timeMs);
  return (sameYear(timeMs, nowMs) ? date : dateAndYear).format(timeMs);
}

export function momentOf(timeMs: number): string {
  return moment.format(timeMs);
}

/** The reader's calendar day, as a key. */
export function dayKeyOf(timeMs: number): string {
  const at = new Date(timeMs);
  return `${at.getFullYear()}-${at.getMonth() + 1}-${at.getDate()}`;
}

function sameYear(a: number, b: number): boolean {
  return new Date(a).getFullYear() === new Date(b).getFullYear();
}
