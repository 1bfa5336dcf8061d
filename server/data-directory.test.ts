import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'mocha';
import { takeDataDirectory } from './data-directory.ts';

describe('the data directory', () => {
  const root = mkdtempSync(join(tmpdir(), 'parley-data-'));
  after(() => rmSync(root, { recursive: true, force: true }));

  it('is made, is new once, and is given up', () => {
    const path = join(root, 'a', 'b');
    const first = takeDataDirectory(path);
    assert.equal(first.isNew, true);
    writeFileSync(join(path, 'something'), '');
    first.release();
    first.release();
    const second = takeDataDirectory(path);
    assert.equal(second.isNew, false);
    second.release();
    assert.equal(existsSync(join(path, 'lock')), false);
  });
  it('in use by a running process is refused, with the process and what to do', () => {
    const path = join(root, 'used');
    const owner = takeDataDirectory(path);
    assert.throws(
      () => takeDataDirectory(path),
      (error: Error) => {
        assert.match(
          error.message,
          new RegExp(`in use by process ${process.pid}.*PARLEY_DATA_DIR`),
        );
        return true;
      },
    );
    owner.release();
  });
  it('of a killed process is taken over, also when its pid was given to another', async () => {
    const path = join(root, 'stale');
    takeDataDirectory(path).release();
    const child = spawn(process.execPath, ['-e', '']);
    await new Promise((done) => child.once('exit', done));
    for (const lock of [
      `{"pid":${child.pid},"startedAt":"1"}`,
      `{"pid":${process.pid},"startedAt":"1"}`,
      'torn{',
    ]) {
      writeFileSync(join(path, 'lock'), lock);
      takeDataDirectory(path).release();
    }
  });
  it('that cannot be made is refused with what to do', () => {
    const file = join(root, 'file');
    writeFileSync(file, '');
    assert.throws(
      () => takeDataDirectory(join(file, 'data')),
      /cannot be made \(ENOTDIR\).*PARLEY_DATA_DIR/,
    );
  });

  it('what a killed first start or a fresh volume leaves is not data', () => {
    const path = join(root, 'volume');
    mkdirSync(join(path, 'lost+found'), { recursive: true });
    for (const name of ['cluster.json.tmp', 'lock.stale.1']) writeFileSync(join(path, name), '');
    const taken = takeDataDirectory(path);
    assert.equal(taken.isNew, true);
    taken.release();
    writeFileSync(join(path, 'cluster.json'), '');
    const again = takeDataDirectory(path);
    assert.equal(again.isNew, false);
    again.release();
  });
});
