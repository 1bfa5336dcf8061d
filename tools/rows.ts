/**
 * `npm run rows`: every row of docs/REQUIREMENTS.md, every case of docs/PROTOCOL.md §9, every invariant
 * and case of docs/CLIENT.md with the tests that cite it, and what nobody cites. `--brief` prints the counts alone. Always exits 0: it
 * tells what is proven, it does not judge.
 */
import { readFileSync, readdirSync } from 'node:fs';
import { join, posix } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  acceptanceCases,
  citationsOf,
  conformanceCases,
  mayCite,
  requirementRows,
  sdkInvariants,
} from './citations.ts';
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
  say(`\n## ${heading}`);
  if (process.argv.includes('--brief')) return;
  say('');
  for (const { row, text } of rows) {
    const places = index.get(row) ?? [];
    say(`${row.padEnd(14)} ${String(places.length).padStart(3)}  ${shortened(text)}`);
    for (const place of places) say(`                     ${place}`);
  }
}

function summary(rows: readonly RequirementRow[], index: Index): void {
  const without = rows.filter(({ row }) => !index.has(row)).map(({ row }) => row);
  say(`\n${rows.length} in all, ${rows.length - without.length} cited, ${without.length} not.`);
  if (without.length > 0) say(`Not cited: ${without.join(' ').replaceAll(/(CLIENT )?case /g, '')}`);
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
  const client = read('docs/CLIENT.md');
  const lists = [
    { heading: 'Requirements', rows: requirementRows(read('docs/REQUIREMENTS.md')) },
    { heading: 'Conformance (PROTOCOL §9)', rows: conformanceCases(read('docs/PROTOCOL.md')) },
    { heading: 'SDK invariants (CLIENT §1)', rows: sdkInvariants(client) },
    { heading: 'Acceptance (CLIENT §4)', rows: acceptanceCases(client) },
  ];
  for (const { heading, rows } of lists) {
    table(heading, rows, index);
    summary(rows, index);
  }
  const known = new Set(lists.flatMap(({ rows }) => rows.map(({ row }) => row)));
  const unknown = [...index.keys()].filter((what) => !known.has(what));
  if (unknown.length > 0) say(`\nCited, but in no document: ${unknown.join(', ')}`);
}

main();
