/** Splits a text into plain runs and links. Only http and https: anything else stays text. */

export interface Run {
  readonly text: string;
  /** Absent: plain text. */
  readonly href?: string;
}

const LINK = /\bhttps?:\/\/[^\s<>"']+/giu;
/** Punctuation that ends a sentence, not an address. */
const TRAILING = /[.,;:!?)\]}'"»”’]+$/u;

export function splitLinks(text: string): Run[] {
  const runs: Run[] = [];
  let from = 0;
  for (const match of text.matchAll(LINK)) {
    const address = match[0].replace(TRAILING, '');
    const href = safeHref(address);
    if (href === undefined) continue;
    if (match.index > from) runs.push({ text: text.slice(from, match.index) });
    runs.push({ text: address, href });
    from = match.index + address.length;
  }
  if (from < text.length || runs.length === 0) runs.push({ text: text.slice(from) });
  return runs;
}

function safeHref(address: string): string | undefined {
  if (!URL.canParse(address)) return undefined;
  const url = new URL(address);
  return url.protocol === 'https:' || url.protocol === 'http:' ? url.href : undefined;
}
