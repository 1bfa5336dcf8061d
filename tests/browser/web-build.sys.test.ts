/** What the production build of the web client may be: its budgets, and nothing inline or foreign. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { before, describe, it } from 'mocha';

const DIST = fileURLToPath(new URL('../../../clients/web/dist', import.meta.url));
const KB = 1_000;
/** CLIENT §2, gzip. Sign-in is what the page asks for by itself; chat is everything. */
const BUDGET = { signIn: 80 * KB, chat: 150 * KB, css: 14 * KB, font: 40 * KB };

function assets(ending: string): string[] {
  return readdirSync(join(DIST, 'assets'))
    .filter((file) => file.endsWith(ending))
    .map((file) => join(DIST, 'assets', file));
}

function gzipped(files: readonly string[]): number {
  return files.reduce((sum, file) => sum + gzipSync(readFileSync(file)).length, 0);
}

function page(): string {
  return readFileSync(join(DIST, 'index.html'), 'utf8');
}

describe('the build of the web client', () => {
  before(() => assert.ok(existsSync(DIST), 'clients/web/dist is not built: npm run build'));

  it('sign-in stays below 80 kB of script', () => {
    const asked = [...page().matchAll(/(?:src|href)="(\/assets\/[^"]+\.js)"/g)].map((match) =>
      join(DIST, match[1] ?? ''),
    );
    assert.ok(asked.length > 0);
    assert.ok(gzipped(asked) <= BUDGET.signIn, `${gzipped(asked)} bytes`);
  });

  it('chat stays below 150 kB of script, 14 of styles and 40 of fonts', () => {
    assert.ok(gzipped(assets('.js')) <= BUDGET.chat, `${gzipped(assets('.js'))} bytes of script`);
    assert.ok(gzipped(assets('.css')) <= BUDGET.css, `${gzipped(assets('.css'))} bytes of styles`);
    const fonts = assets('.woff2').reduce((sum, file) => sum + readFileSync(file).length, 0);
    assert.ok(fonts > 0 && fonts <= BUDGET.font, `${fonts} bytes of fonts`);
  });

  it('the page has no inline script, style or handler', () => {
    assert.doesNotMatch(page(), /<script(?![^>]*\bsrc=)/);
    assert.doesNotMatch(page(), /<style|\sstyle=|\son\w+=/);
  });

  it('styles and page ask nobody else for anything', () => {
    const foreign = /(?:src|href)="https?:|url\(\s*["']?(?:https?:)?\/\//;
    assert.doesNotMatch(page(), foreign);
    for (const file of assets('.css')) assert.doesNotMatch(readFileSync(file, 'utf8'), foreign);
  });

  it('scripts make no code out of text', () => {
    for (const file of assets('.js'))
      assert.doesNotMatch(readFileSync(file, 'utf8'), /\beval\(|new Function\(/);
  });

  it('the scripted workspace of development is not in it', () => {
    for (const file of assets('.js'))
      assert.doesNotMatch(readFileSync(file, 'utf8'), /scripted workspace/);
  });
});
