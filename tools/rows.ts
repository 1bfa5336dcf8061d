/**
 * `npm run rows`: every row of docs/REQUIREMENTS.md and every case of docs/PROTOCOL.md §9 with the
 * tests that cite it, then what nobody cites. `--brief` prints the counts alone. Always exits 0: it
 * tells what is proven, it does not judge.
 */
import { readFileSync, readdirSync } from 'node:fs';
import { join, posix } from 'node:path';
import { fileURLToPath } from 'node:url';
import { citationsOf, conformanceCases, mayCite, requirementRows } from './citations.ts';
import type { RequirementRow } from './citations.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const SKIPPED = /^(node_modules|dist.*|data|gen|\..*)$/;
const TEXT_COLUMNS = 76;

type Index = ReadonlyMap<string, readonly string[]>;

function sources(folder: string): string[] {
  return readdirSync(join(ROOT, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = posix.join(folder, entry.name);
    if (entry.isDirectory()) return SKIPPED.test(entry.name) ? [] : sources(path);
    return mayCite(path) ? [path] : [];
  });
}

/** What is cited → places that cite it. */
function indexTests(): Index {
  const index = new Map<string, string[]>();
  // The tests of this very tool cite for practice.
  for (const path of sources('.').toSorted())
    for (const { what, title } of path.startsWith('tools/') ? [] : citationsOf(path, read(path))) {
      const places = index.get(what) ?? [];
      places.push(title === '' ? path : `${path}: ${title}`);
      index.set(what, places);
    }
  return index;
}

function table(heading: string, rows: readonly RequirementRow[], index: Index): void {
  say(`\n## ${heading}\n`);
  if (process.argv.includes('--brief')) return;
  for (const { row, text } of rows) {
    const places = index.get(row) ?? [];
    say(`${row.padEnd(8)} ${String(places.length).padStart(3)}  ${shortened(text)}`);
    for (const place of places) say(`              ${place}`);
  }
}

function summary(rows: readonly RequirementRow[], index: Index): void {
  const without = rows.filter(({ row }) => !index.has(row)).map(({ row }) => row);
  say(`\n${rows.length} in all, ${rows.length - without.length} cited, ${without.length} not.`);
  if (without.length > 0) say(`Not cited: ${without.join(' ').replaceAll('case ', '')}`);
}

function others(index: Index, known: ReadonlySet<string>): void {
  const named = (prefix: RegExp): string =>
    [...index.keys()]
      .filter((what) => prefix.test(what))
      .toSorted((a, b) => numberOf(a) - numberOf(b))
      .map((what) => `${what.replace('CLIENT case ', '')} (${index.get(what)?.length ?? 0})`)
      .join(' ');
  say(`\nSDK invariants cited: ${named(/^S/)}`);
  say(`Cases of docs/CLIENT.md §4 cited: ${named(/^CLIENT/)}`);
  const unknown = [...index.keys()].filter((what) => /^(R|case)/.test(what) && !known.has(what));
  if (unknown.length > 0) say(`Cited, but in no document: ${unknown.join(', ')}`);
}

function numberOf(what: string): number {
  return Number(/\d+/.exec(what)?.[0] ?? 0);
}

function shortened(text: string): string {
  return text.length <= TEXT_COLUMNS ? text : `${text.slice(0, TEXT_COLUMNS - 1)}…`;
}

function read(path: string): string {
  return readFileSync(join(ROOT, path), 'utf8');
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

function main(): void {
  const index = indexTests();
  const requirements = requirementRows(read('docs/REQUIREMENTS.md'));
  const cases = conformanceCases(read('docs/PROTOCOL.md'));
  table('Requirements', requirements, index);
  summary(requirements, index);
  table('Conformance cases', cases, index);
  summary(cases, index);
  others(index, new Set([...requirements, ...cases].map(({ row }) => row)));
}

main();
