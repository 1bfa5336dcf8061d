import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'mocha';
import { checkUsedParts, recordUsedParts } from './used-parts.ts';

describe('parts of a data directory that were used', () => {
  let dataDir = '';
  beforeEach(() => {
    dataDir = mkdtempSync(join(tmpdir(), 'parley-used-'));
  });
  afterEach(() => rmSync(dataDir, { recursive: true, force: true }));

  function make(...files: readonly string[]): void {
    for (const file of files) {
      mkdirSync(join(dataDir, dirname(file)), { recursive: true });
      writeFileSync(join(dataDir, file), '');
    }
  }

  const STORE = ['store-0/keys/00000001.state.key', 'store-0/wal/000000000001.wal'];

  it('nothing was used: whatever is not there may be made', () => {
    checkUsedParts(dataDir);
    make(...STORE);
    checkUsedParts(dataDir);
  });

  for (const [part, left] of [
    ['store-0', undefined],
    ['store-0/keys', undefined],
    ['store-0/keys', 'store-0/keys/lost+found'],
    ['store-0/wal', 'store-0/wal/spare'],
    ['postgres', undefined],
  ] as const)
    it(`${part} gone${left === undefined ? '' : ` but for ${left}`}: refused by name, nothing is made`, () => {
      make(...STORE, 'postgres/PG_VERSION');
      recordUsedParts(dataDir);
      checkUsedParts(dataDir);
      rmSync(join(dataDir, part), { recursive: true });
      if (left !== undefined) make(left);
      assert.throws(
        () => checkUsedParts(dataDir),
        new RegExp(`${part}\\S* is missing or not whole.*put it back.*backup`),
      );
      recordUsedParts(dataDir);
      assert.throws(() => checkUsedParts(dataDir), /is missing/, 'it stays on record');
    });

  it('accounts elsewhere at first, then embedded: what is added is on record from then on', () => {
    make(...STORE);
    recordUsedParts(dataDir);
    make('postgres/PG_VERSION');
    checkUsedParts(dataDir);
    recordUsedParts(dataDir);
    rmSync(join(dataDir, 'postgres'), { recursive: true });
    assert.throws(() => checkUsedParts(dataDir), /postgres is missing/);
  });

  it('golden bytes of the record; a damaged one is named', () => {
    make(...STORE, 'postgres/PG_VERSION');
    recordUsedParts(dataDir);
    const path = join(dataDir, 'used.json');
    const golden = '{"version":1,"parts":["store-0/keys","store-0/wal","postgres"]}\n';
    assert.equal(readFileSync(path, 'utf8'), golden);
    assert.ok(!existsSync(`${path}.tmp`));
    for (const text of ['', '{', '[]', '{"parts":1}']) {
      writeFileSync(path, text);
      assert.throws(
        () => checkUsedParts(dataDir),
        /used\.json is damaged; restore it from a backup/,
      );
    }
  });
});
