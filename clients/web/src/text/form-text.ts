/** Reading a submitted form. */

export function fieldText(form: HTMLFormElement, name: string): string {
  const value = new FormData(form).get(name);
  return typeof value === 'string' ? value : '';
}

/** CONTRACT §1 counts code points, not UTF-16 units. */
export function codePoints(text: string): number {
  return Array.from(text).length;
}
