import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { describe, it } from 'mocha';
import { ParleyError } from '../core/errors.ts';
import { InvariantViolation } from '../core/invariant.ts';
import { diskCases, piecesOf } from './disk-contract.ts';
import { DiskFault, MemoryDisk } from './memory-disk.ts';
import { NodeDisk } from './node-disk.ts';
import { isDiskFull } from './storage-error.ts';
import { seededRandom } from './testing.ts';

const bytes = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'latin1'));

type OneWrite = [descriptor: number, part: Uint8Array, from: number, bytes: number, at: number];

function content(disk: MemoryDisk, name: string): string | undefined {
  const size = disk.sizeOf(name);
  if (size === undefined) return undefined;
  const file = disk.open(name);
  const whole = new Uint8Array(size);
  file.read(0, whole);
  file.close();
  return Buffer.from(whole).toString('latin1');
}

describe('disk contract: real files', () => {
  const cases = diskCases(async (body) => {
    const root = fs.mkdtempSync(path.join(os.tmpdir(), 'parley-disk-'));
    try {
      await body(new NodeDisk(root));
    } finally {
      fs.rmSync(root, { recursive: true, force: true });
    }
  });
  for (const { title, run } of cases) it(title, run);

  it('paths that leave the root break an invariant', () => {
    const disk = new NodeDisk(os.tmpdir());
    assert.throws(() => disk.open('../x'), InvariantViolation);
    assert.throws(() => disk.open('/etc/passwd'), InvariantViolation);
  });

  it('a short write goes on where it ended, whatever part that was in', () => {
    const root = fs.mkdtempSync(path.join(os.tmpdir(), 'parley-disk-'));
    const { writevSync, writeSync } = fs;
    try {
      const disk = new NodeDisk(root);
      const parts = ['abc', '', 'defgh', 'ij'].map((part) => Buffer.from(part));
      for (let short = 0; short <= 10; short++) {
        const file = disk.open(`f${short}`, { create: true });
        fs.writevSync = (descriptor, views, position) => {
          fs.writevSync = writevSync;
          const whole = Buffer.concat(views as Uint8Array[]).subarray(0, short);
          return short === 0 ? 0 : writevSync(descriptor, [whole], position);
        };
        // One byte at a time, as a disk does that is nearly full.
        fs.writeSync = ((...[descriptor, part, from, , at]: OneWrite) =>
          writeSync(descriptor, part, from, 1, at)) as typeof fs.writeSync;
        file.write(5, parts);
        fs.writeSync = writeSync;
        file.close();
        assert.equal(
          fs.readFileSync(path.join(root, `f${short}`), 'latin1'),
          `\0\0\0\0\0abcdefghij`,
        );
      }
    } finally {
      Object.assign(fs, { writevSync, writeSync });
      fs.rmSync(root, { recursive: true, force: true });
    }
  });

  it('behind a discard that failed nothing is discarded: no hole comes into being', async () => {
    const root = fs.mkdtempSync(path.join(os.tmpdir(), 'parley-disk-'));
    try {
      const disk = new NodeDisk(root);
      disk.makeDirectory('d/not-a-file');
      disk.open('d/b', { create: true }).close();
      const first = disk.discard('d/not-a-file');
      const second = disk.discard('d/b');
      await assert.rejects(first, /remove of .*not-a-file failed/);
      await assert.rejects(second, /remove of .*not-a-file failed/);
      assert.deepEqual(disk.list('d'), ['b', 'not-a-file']);
    } finally {
      fs.rmSync(root, { recursive: true, force: true });
    }
  });

  it('an error names the file and what to do', () => {
    assert.throws(
      () => new NodeDisk(process.execPath).makeDirectory('wal'),
      (error) =>
        error instanceof ParleyError &&
        error.message.includes(path.join(process.execPath, 'wal')) &&
        error.details['problem'] === 'io',
    );
  });
});

describe('disk contract: modelled', () => {
  const cases = diskCases(async (body) => {
    await body(new MemoryDisk({ random: seededRandom(1) }));
  });
  for (const { title, run } of cases) it(title, run);
});

describe('memory disk: what a power cut leaves', () => {
  /** Outcomes of the same doings over many crashes. */
  const outcomes = (act: (disk: MemoryDisk) => void): Set<string> => {
    const seen = new Set<string>();
    for (let seed = 1; seed <= 60; seed++) {
      const disk = new MemoryDisk({ random: seededRandom(seed) });
      act(disk);
      disk.crash();
      seen.add(
        disk
          .list('d')
          .map((name) => `${name}=${content(disk, `d/${name}`)}`)
          .join(' '),
      );
    }
    return seen;
  };

  it('a synced file in a synced directory is there; without the directory it may be gone', () => {
    const create = (disk: MemoryDisk): void => {
      const file = disk.open('d/f', { create: true });
      file.write(0, [bytes('abc')]);
      file.sync();
    };
    assert.deepEqual([...outcomes(create)].sort(), ['', 'f=abc']);
    const durable = outcomes((disk) => {
      create(disk);
      disk.syncDirectory('d');
    });
    assert.deepEqual([...durable], ['f=abc']);
  });

  it('an unsynced write is there, gone, or torn by sectors; a synced one stays', () => {
    const seen = outcomes((disk) => {
      const file = disk.open('d/f', { create: true });
      disk.syncDirectory('d');
      file.write(0, [new Uint8Array(1024).fill(65)]);
      file.sync();
      file.write(0, [new Uint8Array(1024).fill(66)]);
    });
    const kinds = [...seen].map((text) => `${text[2]}${text[1025]}`);
    assert.deepEqual([...new Set(kinds)].sort(), ['AA', 'AB', 'BA', 'BB']);
  });

  it('a rename that was not made durable may be undone, never half done', () => {
    const seen = outcomes((disk) => {
      for (const [name, text] of [
        ['new', '2'],
        ['old', '1'],
      ] as const) {
        const file = disk.open(`d/${name}`, { create: true });
        file.write(0, [bytes(text)]);
        file.sync();
      }
      disk.syncDirectory('d');
      disk.rename('d/new', 'd/old');
    });
    assert.deepEqual([...seen].sort(), ['new=2 old=1', 'old=2']);
  });

  it('handles of a crashed process are dead, also when only the process was killed', () => {
    const disk = new MemoryDisk({ random: seededRandom(1) });
    const file = disk.open('d/f', { create: true });
    file.write(0, [bytes('kept in the page cache')]);
    disk.kill();
    assert.throws(() => file.write(0, [bytes('x')]), /crashed/);
    assert.equal(content(disk, 'd/f'), 'kept in the page cache');
  });

  it('what a failed sync covered is not made durable by the next one', () => {
    let lost = 0;
    for (let seed = 1; seed <= 40; seed++) {
      const disk = new MemoryDisk({ random: seededRandom(seed) });
      const file = disk.open('d/f', { create: true });
      disk.syncDirectory('d');
      file.write(0, [bytes('first')]);
      disk.faults = {
        beforeSync: () => {
          throw new DiskFault('EIO');
        },
      };
      assert.throws(() => file.sync(), /fdatasync of d\/f failed \(EIO\)/);
      disk.faults = {};
      file.sync();
      disk.crash();
      if (content(disk, 'd/f') !== 'first') lost++;
    }
    assert.ok(lost > 5 && lost < 35, `${lost} lost`);
  });

  it('behind a discard that failed nothing is discarded, until the next process', async () => {
    const disk = new MemoryDisk({ random: seededRandom(1) });
    for (const name of ['a', 'b']) disk.open(`d/${name}`, { create: true }).close();
    disk.faults = {
      beforeRemove: () => {
        throw new DiskFault('EIO');
      },
    };
    await assert.rejects(disk.discard('d/a'), /EIO/);
    disk.faults = {};
    await assert.rejects(disk.discard('d/b'), /EIO/);
    assert.deepEqual(disk.list('d'), ['a', 'b']);
    disk.kill();
    await disk.discard('d/a');
    assert.deepEqual(disk.list('d'), ['b']);
  });

  it('a full disk refuses what would not fit, and nothing else', async () => {
    const disk = new MemoryDisk({ random: seededRandom(1), capacityBytes: 1000 });
    const file = disk.open('d/f', { create: true });
    file.write(0, [new Uint8Array(900)]);
    file.write(0, [new Uint8Array(900)]);
    assert.throws(() => file.write(850, [new Uint8Array(200)]), isDiskFull);
    await assert.rejects(disk.prepare('d/spare', 200, piecesOf(100)), isDiskFull);
    await disk.prepare('d/spare', 100, piecesOf(100));
    assert.equal(disk.space().freeBytes, 0);
  });
});
