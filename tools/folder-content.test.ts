import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'mocha';
import { contentDifferences, readFolder } from './folder-content.ts';

describe('generated folders', () => {
  it('equal content is no difference, whatever the order of the files', () => {
    const made = new Map([
      ['a.ts', '1'],
      ['b/c.ts', '2'],
    ]);
    assert.deepEqual(contentDifferences(made, new Map([...made].reverse())), []);
  });

  it('a file that is missing, left over or not current is named once, in order', () => {
    const made = new Map([
      ['new.ts', '1'],
      ['changed.ts', '2'],
    ]);
    const committed = new Map([
      ['old.ts', '1'],
      ['changed.ts', '3'],
    ]);
    assert.deepEqual(contentDifferences(made, committed), [
      { path: 'changed.ts', is: 'not current' },
      { path: 'new.ts', is: 'missing' },
      { path: 'old.ts', is: 'left over' },
    ]);
  });

  it('a folder is read with everything below it, and one that is absent is empty', () => {
    const folder = mkdtempSync(join(tmpdir(), 'parley-folder-'));
    try {
      mkdirSync(join(folder, 'x/y'), { recursive: true });
      writeFileSync(join(folder, 'x/y/z.ts'), 'text');
      writeFileSync(join(folder, 'top.ts'), '');
      assert.deepEqual(
        readFolder(folder),
        new Map([
          ['top.ts', ''],
          ['x/y/z.ts', 'text'],
        ]),
      );
      assert.equal(readFolder(join(folder, 'absent')).size, 0);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
