import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs, {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
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
  it('of an owner in another container is left alone, but by who has a better lock', () => {
    const path = join(root, 'elsewhere');
    takeDataDirectory(path).release();
    const lock = join(path, 'lock');
    const other = '{"pid":1,"startedAt":"1","pidNamespace":"pid:[1]"}';
    writeFileSync(lock, other);
    assert.throws(() => takeDataDirectory(path), /process 1 of another container.*remove .*lock/);
    assert.equal(readFileSync(lock, 'utf8'), other);
    // Refused by the better lock: nothing was replaced, so there is nothing to put back.
    const refused = takeDataDirectory(path, { unseenOwner: 'left' });
    assert.equal(readFileSync(lock, 'utf8'), other);
    refused.release();
    assert.equal(readFileSync(lock, 'utf8'), other);
    const taken = takeDataDirectory(path, { unseenOwner: 'left' });
    taken.claim();
    taken.claim();
    assert.match(readFileSync(lock, 'utf8'), new RegExp(`"pid":${process.pid},`));
    assert.throws(() => takeDataDirectory(path), /in use by process/);
    // The other may do the same: what is not one's own any more is not removed.
    writeFileSync(lock, `{"pid":${process.pid},"startedAt":"1","pidNamespace":"pid:[1]"}`);
    taken.release();
    assert.ok(existsSync(lock));
    assert.deepEqual(readdirSync(path), ['lock']);
  });
  it('a lock that another puts there while one is given up is put back', () => {
    const path = join(root, 'given-up');
    const taken = takeDataDirectory(path);
    const lock = join(path, 'lock');
    const other = '{"pid":1,"startedAt":"1","pidNamespace":"pid:[1]"}';
    const rename = fs.renameSync;
    fs.renameSync = (from, to) => {
      fs.renameSync = rename;
      syncBuiltinESMExports();
      writeFileSync(lock, other);
      rename(from, to);
    };
    syncBuiltinESMExports();
    taken.release();
    assert.equal(readFileSync(lock, 'utf8'), other);
  });
  it('a stale lock that another start replaces at that moment is put back', () => {
    const path = join(root, 'raced');
    takeDataDirectory(path).release();
    const lock = join(path, 'lock');
    writeFileSync(lock, '{"pid":1,"startedAt":"0"}');
    const winner = `{"pid":${process.ppid},"startedAt":""}`;
    const rename = fs.renameSync;
    fs.renameSync = (from, to) => {
      fs.renameSync = rename;
      syncBuiltinESMExports();
      writeFileSync(lock, winner);
      rename(from, to);
    };
    syncBuiltinESMExports();
    assert.throws(() => takeDataDirectory(path), new RegExp(`in use by process ${process.ppid}`));
    assert.equal(readFileSync(lock, 'utf8'), winner);
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
    for (const name of ['cluster.json.tmp', 'cluster.json.0a1b2c.tmp', 'lock.stale.1'])
      writeFileSync(join(path, name), '');
    const taken = takeDataDirectory(path);
    assert.equal(taken.isNew, true);
    taken.release();
    writeFileSync(join(path, 'cluster.json'), '');
    const again = takeDataDirectory(path);
    assert.equal(again.isNew, false);
    again.release();
  });
});
