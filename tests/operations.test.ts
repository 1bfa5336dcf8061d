/** docs/OPERATIONS.md says what the program says: an operator searches it for the words of a line. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, it } from 'mocha';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const ROOMS = ['server', 'storage-engine', 'broker', 'gateways', 'services', 'core'];
/** Shorter pieces between two … prove nothing. */
const PIECE_CHARACTERS_MIN = 6;

function sourcesOf(room: string): string[] {
  return readdirSync(join(ROOT, room), { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.ts') && !path.endsWith('.test.ts'))
    .map((path) => readFileSync(join(ROOT, room, path), 'utf8'));
}

function rowsBelow(document: string, heading: string): string[][] {
  const section = document.split(`\n## ${heading}\n`)[1]?.split('\n## ')[0] ?? '';
  return section
    .split('\n')
    .filter((line) => line.startsWith('| ') && !line.startsWith('| ---'))
    .slice(1)
    .map((line) => line.split('|').slice(1, -1));
}

function quoted(cell: string | undefined): string[] {
  return [...(cell ?? '').matchAll(/`([^`]+)`/g)].map(([, text = '']) => text);
}

describe('docs/OPERATIONS.md', () => {
  const document = readFileSync(join(ROOT, 'docs/OPERATIONS.md'), 'utf8');
  const sources = ROOMS.flatMap(sourcesOf).join('\n');

  it('every line that it explains at 3 a.m. is one that the program says', () => {
    const rows = rowsBelow(document, 'At 3 a.m.');
    assert.ok(rows.length > 15);
    for (const row of rows)
      for (const line of quoted(row[0]).filter((text) => text.includes(' ')))
        for (const piece of line.split(/…|process N|[()]/).map((text) => text.trim()))
          if (piece.length >= PIECE_CHARACTERS_MIN) assert.ok(sources.includes(piece), piece);
  });

  it('every metric that it names is measured, every setting it names exists', () => {
    const names = rowsBelow(document, 'Logs, health, metrics').flatMap((row) => quoted(row[0]));
    assert.ok(names.length > 10);
    for (const name of names.filter((one) => !one.includes('*'))) {
      const short = name.replace(/^parley_(store|gateway)_/, '').replace(/(_total)?(\{.*\})?$/, '');
      assert.ok(sources.includes(short), name);
    }
    const table = readFileSync(join(ROOT, 'docs/CONFIG.md'), 'utf8');
    for (const [setting] of document.matchAll(/PARLEY_[A-Z_]+[A-Z]/g))
      assert.ok(table.includes(`### \`${setting}\``), setting);
  });
});
