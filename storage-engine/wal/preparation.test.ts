import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { DiskFault, MemoryDisk } from '../memory-disk.ts';
import { seededRandom } from '../testing.ts';
import { Preparation } from './preparation.ts';
import { SegmentFiles } from './segment-files.ts';

const KIB = 1 << 10;
const MIB: number = 1 << 20;
const turns = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

/** A disk that remembers what it was let to write, piece by piece. */
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
}

const newDisk = (capacityBytes: number = 4096 * MIB): CountingDisk =>
  new CountingDisk({ random: seededRandom(1), capacityBytes });

const unexpected = (thrown: unknown): never => {
  throw thrown;
};

const isEio = (thrown: unknown): boolean => String(thrown).includes('EIO');

function failing(): never {
  throw new DiskFault('EIO');
}

describe('a file prepared ahead of need', () => {
  it('is written no further than it is let to, in pieces that are worth their sync', async () => {
    const disk = newDisk();
    const file = new Preparation(disk, 'wal/spare', unexpected);
    file.begin(10 * MIB);
    await turns();
    assert.deepEqual(disk.pieces, []);
    file.reach(MIB);
    await turns();
    assert.deepEqual(disk.pieces, [MIB]);
    for (const bytes of [MIB + 1000, MIB + 255 * KIB]) {
      file.reach(bytes);
      await turns();
      assert.equal(disk.pieces.length, 1, 'a little waits for more');
    }
    for (let i = 0; i < 4; i++) {
      file.grant(64 * KIB);
      await turns();
    }
    assert.deepEqual(disk.pieces, [MIB, 319 * KIB], 'what is granted adds up');
    assert.equal(disk.sizeOf('wal/spare'), undefined);
    file.reach(20 * MIB);
    await turns();
    assert.equal(disk.pieces.at(-1), 4 * MIB, 'never all at once');
    for (let i = 0; i < 3; i++) {
      file.reach(20 * MIB);
      await turns();
    }
    await file.settled;
    assert.equal(disk.sizeOf('wal/spare'), 10 * MIB);
    assert.equal(disk.sizeOf('wal/spare.tmp'), undefined);
    assert.equal(file.isRunning, false);
  });

  it('a last piece smaller than others does not wait for more than itself', async () => {
    const disk = newDisk();
    const file = new Preparation(disk, 'wal/spare', unexpected);
    file.begin(MIB + 10);
    file.reach(MIB);
    file.reach(MIB + 10);
    await file.settled;
    assert.equal(disk.sizeOf('wal/spare'), MIB + 10);
  });

  it('takes no more than it has written, and gives that back when it is given up', async () => {
    const disk = newDisk(10 * MIB);
    const file = new Preparation(disk, 'wal/spare', unexpected);
    file.begin(8 * MIB);
    file.grant(3 * MIB);
    await turns();
    assert.equal(file.leftBytes, 5 * MIB);
    assert.equal(disk.space().freeBytes, 7 * MIB);
    file.abandon();
    await file.settled;
    assert.equal(file.leftBytes, 0);
    assert.equal(disk.space().freeBytes, 10 * MIB);
    file.begin(MIB);
    file.grant(MIB);
    await file.settled;
    assert.equal(disk.sizeOf('wal/spare'), MIB);
  });

  it('a disk that fills up is no failure, and it can begin anew; another error is one', async () => {
    const disk = newDisk(2 * MIB);
    const failures: unknown[] = [];
    const file = new Preparation(disk, 'wal/spare', (thrown) => failures.push(thrown));
    file.begin(3 * MIB);
    file.grant(3 * MIB);
    await file.settled;
    assert.deepEqual(disk.list('wal'), []);
    file.begin(MIB);
    file.grant(MIB);
    await file.settled;
    assert.equal(disk.sizeOf('wal/spare'), MIB);
    assert.deepEqual(failures, []);
    disk.faults = { beforeWrite: failing };
    file.begin(MIB);
    await file.settled;
    assert.ok(failures.length === 1 && isEio(failures[0]));
  });

  it('what a killed process had begun is cleared by the next, and comes to nothing', async () => {
    const disk = newDisk();
    const file = new Preparation(disk, 'wal/spare', unexpected);
    file.begin(2 * MIB);
    file.grant(MIB);
    await turns();
    assert.deepEqual(disk.list('wal'), ['spare.tmp']);
    disk.kill();
    filesOn(disk).start();
    assert.deepEqual(disk.list('wal'), []);
    file.grant(MIB);
    await file.settled;
    assert.deepEqual(disk.list('wal'), []);
  });
});

function filesOn(disk: CountingDisk, reserveBytes = 0): SegmentFiles {
  return new SegmentFiles(disk, { segmentBytes: 64 * MIB, reserveBytes, freeShareMin: 0.05 });
}

describe('spare and reserve of a log', () => {
  const begun = async (
    disk: CountingDisk = newDisk(),
    reserveBytes = 0,
  ): Promise<{ disk: CountingDisk; files: SegmentFiles }> => {
    const files = filesOn(disk, reserveBytes);
    files.start();
    files.take();
    files.name('wal/000000000001.wal');
    if (reserveBytes > 0) files.keepReserve();
    await turns();
    return { disk, files };
  };
  const ticks = async (
    files: SegmentFiles,
    count: number,
    filled: number,
    isIdle: boolean,
  ): Promise<void> => {
    for (let tick = 0; tick < count; tick++) {
      files.pace(filled, isIdle);
      await turns();
    }
  };
  const sizeOf = (disk: CountingDisk, name: string): number => disk.sizeOf(`wal/${name}`) ?? 0;

  it('in use, the spare keeps ahead of the segment and is ready when that is half full', async () => {
    const { disk, files } = await begun();
    for (let percent = 0; percent < 50; percent++) {
      await ticks(files, 1, percent / 100, false);
      const due = (2 * percent * 64 * MIB) / 100;
      const written = sizeOf(disk, 'spare.tmp');
      assert.ok(written >= due - MIB / 4, `${percent} %: ${written}`);
      assert.ok(written <= Math.max(2 * MIB, due), `${percent} %: ${written}`);
    }
    await ticks(files, 1, 0.5, false);
    await files.settled;
    assert.equal(sizeOf(disk, 'spare'), 64 * MIB);
  });

  it('however late it is, a tick lets no more than 4 MiB be written', async () => {
    const { disk, files } = await begun();
    await ticks(files, 1, 1, false);
    assert.ok(disk.pieces.every((size) => size <= 4 * MIB));
    assert.ok(sizeOf(disk, 'spare.tmp') <= 6 * MIB);
    await ticks(files, 16, 1, false);
    assert.equal(sizeOf(disk, 'spare'), 64 * MIB);
  });

  it('while nobody waits they go on by themselves', async () => {
    const { disk, files } = await begun(newDisk(), 16 * MIB);
    await ticks(files, 32, 0, true);
    assert.equal(sizeOf(disk, 'spare'), 64 * MIB);
    assert.equal(sizeOf(disk, 'reserve'), 16 * MIB);
  });

  it('the reserve, which nothing presses for, comes too while the log is in use', async () => {
    const { disk, files } = await begun(newDisk(), 8 * MIB);
    await ticks(files, 16, 0.5, false);
    assert.equal(sizeOf(disk, 'spare'), 64 * MIB);
    assert.equal(sizeOf(disk, 'reserve.tmp'), 4 * MIB, '2 MiB at once, then 128 KiB a tick');
    await ticks(files, 32, 0.5, false);
    assert.equal(sizeOf(disk, 'reserve'), 8 * MIB);
  });

  it('both together leave the share free below which the disk is low', async () => {
    const { disk, files } = await begun(newDisk(200 * MIB), 120 * MIB);
    await ticks(files, 128, 1, true);
    await files.settled;
    assert.deepEqual(disk.list('wal'), ['000000000001.wal', 'spare']);
  });

  it('a disk that gets low has back what was being prepared', async () => {
    const { disk, files } = await begun(newDisk(), 128 * MIB);
    await ticks(files, 3, 0, true);
    assert.ok(sizeOf(disk, 'spare.tmp') > 0 && sizeOf(disk, 'reserve.tmp') > 0);
    files.abandon();
    await files.settled;
    assert.deepEqual(disk.list('wal'), ['000000000001.wal']);
    await ticks(files, 3, 1, true);
    assert.deepEqual(disk.list('wal'), ['000000000001.wal']);
  });

  it('what fails in the background is thrown at the next tick', async () => {
    const { disk, files } = await begun();
    await ticks(files, 32, 0, true);
    disk.faults = { beforeRemove: failing };
    files.discard('wal/000000000001.wal');
    await files.settled;
    assert.throws(() => files.pace(0, true), isEio);
  });
});
