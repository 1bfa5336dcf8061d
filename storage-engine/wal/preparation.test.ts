import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { DiskFault, MemoryDisk } from '../memory-disk.ts';
import { seededRandom } from '../testing.ts';
import { Preparation } from './preparation.ts';
import { SegmentFiles } from './segment-files.ts';

const MIB: number = 1 << 20;
const turns = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

/** A disk that counts what it was let to write, piece by piece. */
class CountingDisk extends MemoryDisk {
  readonly pieces: number[] = [];
  override prepare(
    path: string,
    bytes: number,
    piece: (left: number) => Promise<number>,
  ): Promise<void> {
    return super.prepare(path, bytes, async (left) => {
      const size = await piece(left);
      this.pieces.push(size);
      return size;
    });
  }
  get written(): number {
    return this.pieces.reduce((sum, size) => sum + size, 0);
  }
}

const newDisk = (capacityBytes: number = 1024 * MIB): CountingDisk =>
  new CountingDisk({ random: seededRandom(1), capacityBytes });

describe('a file prepared ahead of need', () => {
  it('is written no further than it is let to, in pieces that are worth their sync', async () => {
    const disk = newDisk();
    const file = new Preparation(disk, 'wal/spare');
    file.begin(10 * MIB, MIB);
    await turns();
    assert.equal(disk.written, MIB);
    file.allow(MIB + 1000, 0);
    await turns();
    assert.equal(disk.written, MIB, 'a thousand bytes wait for more');
    file.allow(2 * MIB, 0);
    await turns();
    assert.equal(disk.written, 2 * MIB);
    file.allow(0, 3 * MIB);
    await turns();
    assert.equal(disk.written, 5 * MIB);
    assert.equal(disk.sizeOf('wal/spare'), undefined);
    file.allow(20 * MIB, 0);
    await file.settled;
    assert.deepEqual(disk.pieces, [MIB, MIB, 3 * MIB, 4 * MIB, MIB]);
    assert.equal(disk.sizeOf('wal/spare'), 10 * MIB);
    assert.equal(file.isRunning, false);
  });

  it('a last piece smaller than others does not wait for more than itself', async () => {
    const disk = newDisk();
    const file = new Preparation(disk, 'wal/spare');
    file.begin(MIB + 10, MIB);
    file.allow(MIB + 10, 0);
    await file.settled;
    assert.equal(disk.sizeOf('wal/spare'), MIB + 10);
  });

  it('a disk that is full is no failure, and it can begin anew; another error is one', async () => {
    const disk = newDisk(2 * MIB);
    const file = new Preparation(disk, 'wal/spare');
    file.begin(3 * MIB, 3 * MIB);
    await file.settled;
    assert.equal(disk.sizeOf('wal/spare'), undefined);
    file.begin(MIB, MIB);
    await file.settled;
    assert.equal(disk.sizeOf('wal/spare'), MIB);
    disk.faults = {
      beforeWrite: () => {
        throw new DiskFault('EIO');
      },
    };
    file.begin(MIB, MIB);
    await assert.rejects(file.settled, /EIO/);
  });
});

describe('spare and reserve of a log', () => {
  const begun = async (): Promise<{ disk: CountingDisk; files: SegmentFiles }> => {
    const disk = newDisk();
    const files = new SegmentFiles(disk, {
      segmentBytes: 64 * MIB,
      reserveBytes: 0,
      freeShareMin: 0.05,
    });
    files.start();
    files.take();
    files.name('wal/000000000001.wal');
    await turns();
    return { disk, files };
  };

  it('in use, the spare keeps ahead of the segment and is ready when that is half full', async () => {
    const { disk, files } = await begun();
    for (let percent = 0; percent <= 50; percent++) {
      files.pace(percent / 100, false);
      await turns();
      const due = (2 * percent * 64 * MIB) / 100;
      assert.ok(disk.written >= Math.min(64 * MIB, due) - MIB / 4, `${percent} %: ${disk.written}`);
      assert.ok(disk.written <= Math.max(2 * MIB, due), `${percent} %: ${disk.written}`);
    }
    await files.settled;
    assert.equal(disk.sizeOf('wal/spare'), 64 * MIB);
  });

  it('while nobody waits it goes on by itself', async () => {
    const { disk, files } = await begun();
    for (let tick = 0; tick < 32; tick++) {
      files.pace(0, true);
      await turns();
    }
    assert.equal(disk.sizeOf('wal/spare'), 64 * MIB);
  });

  it('the reserve, which nothing presses for, holds up no spare', async () => {
    const disk = newDisk();
    const options = { segmentBytes: 64 * MIB, reserveBytes: 256 * MIB, freeShareMin: 0.05 };
    const files = new SegmentFiles(disk, options);
    files.start();
    files.keepReserve();
    files.take();
    files.name('wal/000000000001.wal');
    for (let tick = 0; tick < 8; tick++) {
      files.pace(0.5, false);
      await turns();
    }
    assert.equal(disk.sizeOf('wal/spare'), 64 * MIB);
    assert.ok(disk.written < 64 * MIB + 4 * MIB, 'of the reserve little while the log is in use');
    for (let tick = 0; tick < 128; tick++) {
      files.pace(0.5, true);
      await turns();
    }
    assert.equal(disk.sizeOf('wal/reserve'), 256 * MIB);
  });
});
