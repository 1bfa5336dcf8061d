import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, it } from 'mocha';
import { createFirst } from './first-file.ts';

describe('a file that is made once', () => {
  const { linkSync, fsyncSync } = fs;
  let directory: string;
  let file: string;
  beforeEach(() => {
    directory = fs.mkdtempSync(path.join(os.tmpdir(), 'parley-first-'));
    file = path.join(directory, 'it');
  });
  afterEach(() => {
    Object.assign(fs, { linkSync, fsyncSync });
    fs.rmSync(directory, { recursive: true, force: true });
  });

  for (const [where, refusal] of [
    ['', undefined],
    [' without hard links', 'EPERM'],
  ] as const) {
    it(`is the first one's${where}, for its owner alone, and nothing lies beside it`, () => {
      if (refusal !== undefined) fs.linkSync = () => refuse(refusal);
      assert.equal(createFirst(file, 'first'), true);
      assert.equal(createFirst(file, 'second'), false);
      assert.equal(fs.readFileSync(file, 'utf8'), 'first');
      assert.equal(fs.statSync(file).mode & 0o777, 0o600);
      assert.deepEqual(fs.readdirSync(directory), ['it']);
    });

    it(`that cannot be written is not there at all${where}`, () => {
      if (refusal !== undefined) fs.linkSync = () => refuse(refusal);
      let syncs = 0;
      fs.fsyncSync = (descriptor) =>
        syncs++ === (refusal === undefined ? 0 : 1) ? refuse('EIO') : fsyncSync(descriptor);
      assert.throws(() => createFirst(file, 'first'), { code: 'EIO' });
      assert.deepEqual(fs.readdirSync(directory), []);
    });
  }

  it('what else keeps it from its name is not taken for a file system without links', () => {
    fs.linkSync = () => refuse('EIO');
    assert.throws(() => createFirst(file, 'first'), { code: 'EIO' });
    assert.deepEqual(fs.readdirSync(directory), []);
  });
});

function refuse(code: string): never {
  throw Object.assign(new Error(code), { code });
}
