/** How a suite of `npm test` ended, from its exit and from what mocha said. */

export interface SuiteEnd {
  readonly name: string;
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** Its output, or the end of it. */
  readonly said: string;
}

const REPORT_CHARS_MAX = 16 * 1024;
const PASSING = /^ *\d+ passing \(/gm;
const FAILING = /^ *\d+ failing$/m;

/** What is to be said of a suite that failed; undefined = it passed. */
export function failureOf({ name, code, signal, said }: SuiteEnd): string | undefined {
  const summary = [...said.matchAll(PASSING)].at(-1)?.index;
  // A test, or what it runs, that ends the process with 0 takes all tests behind it along.
  if (code === 0 && summary !== undefined) return undefined;
  const how = code === 0 ? 'before its summary' : `with ${code ?? signal}`;
  return `\n== ${name}: ended ${how}\n${worthRepeating(said, summary)}\n`;
}

/** The failures as mocha lists them; of a suite that did not come to that, what it said last. */
function worthRepeating(said: string, summary: number | undefined): string {
  const listed = said.slice(summary ?? said.length);
  const from = listed.search(FAILING);
  return from === -1
    ? said.slice(-REPORT_CHARS_MAX)
    : listed.slice(from, from + REPORT_CHARS_MAX).trimStart();
}
