import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { ParleyError } from '../../core/errors.ts';
import { InvariantViolation } from '../../core/invariant.ts';
import { RECORD_KIND, type WalRecovery } from '../contract.ts';
import { DiskFault, MemoryDisk } from '../memory-disk.ts';
import { TEST_KEYS, manualClock, seededRandom, testDataKey } from '../testing.ts';
import { FrameWriter, frameBody } from './frame.ts';
import { recoverWal, walRecords } from './recovery.ts';
import { segmentPath } from './segment.ts';
import { WalWriter, type WalOptions } from './wal-writer.ts';

const OPTIONS: WalOptions = {
  segmentBytes: 16_384,
  rollMs: 3_600_000,
  retentionBytes: 0,
  retentionMs: 24 * 3_600_000,
  reserveBytes: 0,
  freeShareMin: 0.05,
};

const textOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1');
const bytesOf = (text: string): Uint8Array => Buffer.from(text, 'latin1');

/** A WAL over a memory disk that can be stopped in all ways a process can. */
class Bench {
  readonly disk: MemoryDisk;
  readonly clock = manualClock();
  readonly options: WalOptions;
  #starts = 0;
  writer!: WalWriter;

  constructor(seed = 1, options: WalOptions = OPTIONS, capacityBytes = 2 ** 30) {
    this.options = options;
    this.disk = new MemoryDisk({ random: seededRandom(seed), capacityBytes });
  }

  start(applied?: ReadonlyMap<number, number>): WalRecovery {
    const { disk, clock, options } = this;
    const recovery = this.recover(applied);
    this.writer = new WalWriter({
      disk,
      clock,
      options,
      tail: recovery.tail,
      key: testDataKey('wal', ++this.#starts),
    });
    this.writer.start();
    return recovery;
  }

  recover(applied?: ReadonlyMap<number, number>): WalRecovery {
    return recoverWal({ disk: this.disk, keys: TEST_KEYS, ...(applied ? { applied } : {}) });
  }

  /** Appends entries `text(index)` of one shard in term 1 as one frame. */
  entries(shard: number, from: number, through: number, bytes = 40): void {
    const frame = new FrameWriter();
    for (let index = from; index <= through; index++) {
      const payload = bytesOf(`${shard}:${index}`.padEnd(bytes, '.'));
      frame.add(RECORD_KIND.entry, shard, { term: 1, index }, payload);
    }
    this.writer.append(frameBody(frame.take()));
  }
}

const flip =
  (at: number) =>
  (bytes: Uint8Array): void => {
    bytes[at] = (bytes[at] ?? 0) ^ 4;
  };

const logOf = (recovery: WalRecovery, shard: number): string[] =>
  (recovery.shards.get(shard as never)?.log ?? []).map((entry) =>
    textOf(entry.payload).replace(/\.+$/, ''),
  );

const isCorrupt =
  (...words: string[]) =>
  (error: unknown): boolean =>
    error instanceof ParleyError &&
    error.reason === 'CORRUPT_ENTRY' &&
    words.every((word) => error.message.includes(word));

describe('wal: what was synced comes back', () => {
  it('an empty directory is a new log', () => {
    const recovery = new Bench().recover();
    assert.equal(recovery.verdict, 'new');
    assert.equal(recovery.shards.size, 0);
    assert.equal(recovery.tail.segment, 0);
  });

  it('entries, hard state and snapshot marks of several shards survive a kill', () => {
    const bench = new Bench();
    bench.start();
    const frame = new FrameWriter();
    frame.add(RECORD_KIND.hardState, 3, { term: 4, index: 0 }, bytesOf('vote'));
    frame.add(RECORD_KIND.entry, 3, { term: 4, index: 1 }, bytesOf('one'));
    frame.add(RECORD_KIND.entry, 9, { term: 1, index: 1 }, bytesOf('other'));
    frame.add(RECORD_KIND.config, 3, { term: 4, index: 2 }, bytesOf('two'));
    bench.writer.append(frameBody(frame.take()));
    bench.disk.kill();
    const recovery = bench.recover();
    const three = recovery.shards.get(3 as never);
    assert.deepEqual(logOf(recovery, 3), ['one', 'two']);
    assert.deepEqual(logOf(recovery, 9), ['other']);
    assert.equal(textOf(three?.hardState?.payload ?? bytesOf('')), 'vote');
    assert.equal(three?.hardState?.term, 4);
    assert.equal(three?.lastIndex, 2);
    assert.equal(three?.log[1]?.kind, RECORD_KIND.config);
    assert.equal(recovery.verdict, 'cut');
    assert.equal(recovery.tornBytes, 0);
  });

  it('a closed log is clean and goes on in a segment of its own', () => {
    const bench = new Bench();
    bench.start();
    bench.entries(1, 1, 3);
    bench.writer.close();
    assert.equal(bench.start().verdict, 'clean');
    bench.entries(1, 4, 5);
    const recovery = bench.recover();
    assert.deepEqual(logOf(recovery, 1), ['1:1', '1:2', '1:3', '1:4', '1:5']);
    assert.equal(recovery.tail.segment, 2);
    assert.deepEqual([...recovery.keyNumbers], [1, 2]);
  });

  it('truncate and snapshot records shape the log that comes back', () => {
    const bench = new Bench();
    bench.start();
    bench.entries(1, 1, 6);
    const frame = new FrameWriter();
    frame.add(RECORD_KIND.truncate, 1, { term: 1, index: 4 }, bytesOf(''));
    frame.add(RECORD_KIND.entry, 1, { term: 2, index: 5 }, bytesOf('new five'));
    frame.add(RECORD_KIND.snapshot, 1, { term: 1, index: 3 }, bytesOf('mark'));
    frame.add(RECORD_KIND.snapshot, 2, { term: 7, index: 90 }, bytesOf('far'));
    frame.add(RECORD_KIND.entry, 2, { term: 7, index: 91 }, bytesOf('behind it'));
    bench.writer.append(frameBody(frame.take()));
    const recovery = bench.recover();
    assert.deepEqual(logOf(recovery, 1), ['1:4', 'new five']);
    assert.equal(recovery.shards.get(1 as never)?.lastTerm, 2);
    assert.deepEqual(logOf(recovery, 2), ['behind it']);
    assert.equal(recovery.shards.get(2 as never)?.snapshot?.index, 90);
  });

  it('segments roll by size and by the hour, and everything is found across them', () => {
    const bench = new Bench();
    bench.start();
    for (let index = 1; index <= 60; index++) bench.entries(1, index, index, 1000);
    const before = bench.writer.stats().segments;
    assert.ok(before >= 4, `${before} segments`);
    bench.clock.advance(OPTIONS.rollMs + 1);
    bench.writer.tick();
    assert.equal(bench.writer.stats().segments, before + 1);
    bench.clock.advance(OPTIONS.rollMs + 1);
    bench.writer.tick();
    assert.equal(bench.writer.stats().segments, before + 1, 'an empty segment does not roll');
    const recovery = bench.recover();
    assert.equal(logOf(recovery, 1).length, 60);
    assert.equal([...walRecords(bench.disk, TEST_KEYS)].filter((r) => r.kind === 1).length, 60);
  });

  it('a frame larger than a segment is taken whole', () => {
    const bench = new Bench();
    bench.start();
    bench.entries(1, 1, 1, 100_000);
    bench.entries(1, 2, 2);
    assert.deepEqual(logOf(bench.recover(), 1), ['1:1', '1:2']);
  });
});

describe('wal: trimming', () => {
  const filled = (): Bench => {
    const bench = new Bench();
    bench.start();
    const frame = new FrameWriter();
    frame.add(RECORD_KIND.hardState, 2, { term: 3, index: 7 }, bytesOf('quiet'));
    frame.add(RECORD_KIND.entry, 2, { term: 3, index: 1 }, bytesOf('lonely'));
    frame.add(RECORD_KIND.snapshot, 2, { term: 3, index: 1 }, bytesOf('mark'));
    bench.writer.append(frameBody(frame.take()));
    for (let index = 1; index <= 60; index++) bench.entries(1, index, index, 1000);
    return bench;
  };

  it('removes only what every shard has flushed', () => {
    const bench = filled();
    assert.equal(bench.writer.trim(new Map([[1, 60]])), 0, 'shard 2 has not flushed');
    const flushed = new Map([
      [1, 30],
      [2, 1],
    ]);
    assert.ok(bench.writer.trim(flushed) >= 1);
    const log = logOf(bench.recover(flushed), 1);
    assert.equal(log[0], '1:31');
    assert.equal(log.length, 30);
  });

  it('a segment that recovery did not see stays away: its key may go', () => {
    for (let seed = 1; seed <= 20; seed++) {
      const bench = new Bench(seed);
      bench.start();
      for (let index = 1; index <= 60; index++) bench.entries(1, index, index, 1000);
      assert.ok(bench.writer.trim(new Map([[1, 60]])) > 1);
      bench.disk.kill();
      const { tail } = bench.recover(new Map([[1, 60]]));
      bench.disk.crash();
      const again = bench.recover(new Map([[1, 60]]));
      assert.deepEqual(again.tail.segments, tail.segments);
    }
  });

  it('what a quiet shard promised outlives its segment', () => {
    const bench = filled();
    const flushed = new Map([
      [1, 60],
      [2, 1],
    ]);
    assert.ok(bench.writer.trim(flushed) >= 3);
    const two = bench.recover(flushed).shards.get(2 as never);
    assert.equal(textOf(two?.hardState?.payload ?? bytesOf('')), 'quiet');
    assert.equal(two?.hardState?.index, 7);
    assert.equal(textOf(two?.snapshot?.payload ?? bytesOf('')), 'mark');
    assert.equal(two?.lastIndex, 1);
    assert.equal(two?.lastTerm, 3);
    assert.deepEqual(two?.log, []);
  });

  it('keeps flushed segments up to the retention in bytes, and no longer than its age', () => {
    const bench = new Bench(1, { ...OPTIONS, retentionBytes: 40_000 });
    bench.start();
    for (let index = 1; index <= 100; index++) bench.entries(1, index, index, 1000);
    bench.writer.trim(new Map([[1, 100]]));
    const kept = bench.recover().tail.segments;
    const bytes = kept.slice(0, -1).reduce((sum, segment) => sum + segment.bytes, 0);
    assert.ok(bytes <= 40_000 && bytes > 20_000, `${bytes} bytes`);
    bench.clock.advance(OPTIONS.retentionMs + 1);
    bench.writer.trim(new Map([[1, 100]]));
    assert.equal(bench.recover().tail.segments.length, 1);
  });

  it('a state that lost synced writes below a trimmed log is refused', () => {
    const bench = filled();
    bench.writer.trim(
      new Map([
        [1, 60],
        [2, 1],
      ]),
    );
    const applied = new Map([
      [1, 20],
      [2, 1],
    ]);
    assert.throws(() => bench.recover(applied), isCorrupt('shard 1', 'ends at 20'));
  });

  it('a log that ends below the state is refused, also when it is gone', () => {
    const bench = filled();
    assert.throws(() => bench.recover(new Map([[1, 61]])), isCorrupt('shard 1', 'ends at 60'));
    assert.throws(() => new Bench().recover(new Map([[1, 1]])), isCorrupt('shard 1'));
  });
});

describe('wal: a torn tail is cut, damage is refused', () => {
  const LAST = 3;
  /** Three frames; the third not marked. Offsets of all frames in segment 1. */
  const written = (): { bench: Bench; ends: number[] } => {
    const bench = new Bench();
    bench.start();
    const ends: number[] = [];
    for (let index = 1; index <= LAST; index++) {
      bench.entries(1, index, index, 100);
      ends.push(bench.recover().tail.endOffset);
    }
    return { bench, ends };
  };

  it('zeros behind the last frame are its end', () => {
    const { bench, ends } = written();
    assert.equal(bench.recover().tornBytes, 0);
    assert.equal(bench.recover().tail.endOffset, ends[2]);
  });

  it('a spare that a segment was begun in is not used again: its bytes would lie behind the end', async () => {
    const bench = new Bench();
    bench.start();
    await bench.writer.settled;
    bench.disk.damage('wal/spare', (bytes) => bytes.fill(1));
    bench.disk.kill();
    bench.start();
    bench.entries(1, 1, 1);
    bench.disk.kill();
    assert.equal(bench.recover().tornBytes, 0);
  });

  it('half a frame at the end is left out, and stays out after the next start', () => {
    const { bench, ends } = written();
    bench.disk.damage(segmentPath(1), (bytes) => bytes.fill(0, (ends[1] ?? 0) + 80));
    const recovery = bench.start();
    assert.equal(recovery.verdict, 'cut');
    assert.ok(recovery.tornBytes > 0 && recovery.tornBytes <= 80);
    assert.deepEqual(logOf(recovery, 1), ['1:1', '1:2']);
    bench.entries(1, 3, 3);
    assert.deepEqual(logOf(bench.recover(), 1), ['1:1', '1:2', '1:3']);
    assert.equal(bench.disk.sizeOf(segmentPath(1)), ends[1]);
  });

  it('a flipped bit in a frame that another follows names file and offset', () => {
    const { bench, ends } = written();
    bench.disk.damage(segmentPath(1), flip((ends[0] ?? 0) + 70));
    assert.throws(
      () => bench.recover(),
      isCorrupt('wal/000000000001.wal', `offset ${ends[0]}`, 'restore a backup'),
    );
  });

  it('an idle mark turns damage to the last frame from a torn tail into an error', () => {
    const { bench, ends } = written();
    bench.writer.tick();
    bench.disk.damage(segmentPath(1), flip((ends[1] ?? 0) + 70));
    assert.throws(() => bench.recover(), isCorrupt(`offset ${ends[1]}`));
  });

  it('a zeroed page in the middle is damage, not an end', () => {
    const { bench, ends } = written();
    bench.disk.damage(segmentPath(1), (bytes) => bytes.fill(0, ends[0], ends[1]));
    assert.throws(() => bench.recover(), isCorrupt(`offset ${ends[0]}`));
  });

  it('a frame copied to another place does not open', () => {
    const { bench, ends } = written();
    bench.disk.damage(segmentPath(1), (bytes) =>
      bytes.copyWithin(ends[1] ?? 0, ends[0] ?? 0, ends[1]),
    );
    assert.throws(() => bench.recover(), isCorrupt(`offset ${ends[1]}`));
  });

  it('a missing segment in the middle, a damaged head and a wrong key are refused', () => {
    const bench = new Bench();
    bench.start();
    for (let index = 1; index <= 60; index++) bench.entries(1, index, index, 1000);
    const wrong = {
      find: (purpose: 'wal' | 'state', number: number) => ({
        ...testDataKey(purpose, number),
        secret: seededRandom(5).bytes(32),
      }),
    };
    assert.throws(() => recoverWal({ disk: bench.disk, keys: wrong }), isCorrupt('wal/'));
    const none = { find: () => undefined };
    assert.throws(() => recoverWal({ disk: bench.disk, keys: none }), /keys\//);
    bench.disk.damage(segmentPath(2), flip(9));
    assert.throws(() => bench.recover(), isCorrupt('000000000002.wal', 'head'));
    bench.disk.remove(segmentPath(2));
    assert.throws(() => bench.recover(), isCorrupt('000000000002.wal', 'missing'));
  });

  it('a segment that was cut behind its settled end is refused', () => {
    const bench = new Bench();
    bench.start();
    for (let index = 1; index <= 30; index++) bench.entries(1, index, index, 1000);
    const file = bench.disk.open(segmentPath(1));
    file.truncate(file.size() - 8);
    assert.throws(() => bench.recover(), isCorrupt('000000000001.wal'));
  });
});

describe('wal: a failing disk', () => {
  it('an error of a sync is final: nothing is written afterwards', () => {
    const bench = new Bench();
    bench.start();
    bench.entries(1, 1, 1);
    bench.disk.faults = {
      beforeSync: () => {
        throw new DiskFault('EIO');
      },
    };
    assert.throws(() => bench.entries(1, 2, 2), /fdatasync/);
    bench.disk.faults = {};
    assert.throws(() => bench.entries(1, 2, 2), InvariantViolation);
    bench.disk.crash();
    assert.equal(logOf(bench.recover(), 1)[0], '1:1');
  });

  it('so is one of a write: what stands at that place is unknown', () => {
    const bench = new Bench();
    bench.start();
    bench.entries(1, 1, 1);
    bench.disk.faults = {
      beforeWrite: () => {
        throw new DiskFault('EIO');
      },
    };
    assert.throws(() => bench.entries(1, 2, 2), /write/);
    bench.disk.faults = {};
    const frames = bench.writer.stats().frames;
    assert.throws(() => bench.entries(1, 3, 3), InvariantViolation);
    assert.throws(() => bench.writer.tick(), InvariantViolation);
    bench.writer.close();
    assert.equal(bench.writer.stats().frames, frames);
    assert.deepEqual(logOf(bench.recover(), 1), ['1:1']);
  });

  it('a full disk gives up the reserve first', async () => {
    const options = { ...OPTIONS, reserveBytes: 40_000, freeShareMin: 0.05 };
    const bench = new Bench(1, options, 3 * 16_384 + 40_000);
    bench.start();
    await bench.writer.settled;
    bench.writer.checkSpace();
    await bench.writer.settled;
    assert.equal(bench.disk.sizeOf('wal/reserve'), 40_000);
    for (let index = 1; index <= 50; index++) bench.entries(1, index, index, 1000);
    assert.equal(bench.disk.sizeOf('wal/reserve'), undefined);
    bench.writer.checkSpace();
    assert.ok(bench.writer.isLow || bench.disk.space().freeBytes > 0);
    assert.equal(logOf(bench.recover(), 1).length, 50);
  });

  it('neither a spare nor the reserve is prepared where it would make the disk low', async () => {
    const options = { ...OPTIONS, reserveBytes: 40_000 };
    const bench = new Bench(1, options, 2 * 16_384 + 30_000);
    bench.start();
    await bench.writer.settled;
    for (let turn = 0; turn < 3; turn++) {
      bench.writer.checkSpace();
      await bench.writer.settled;
      assert.ok(bench.disk.space().freeBytes >= 30_000, 'what others need is left alone');
    }
    assert.deepEqual(
      bench.disk.list('wal').filter((name) => !name.endsWith('.wal')),
      ['spare'],
    );
    const small = new Bench(1, options, 16_384 + 10_000);
    small.start();
    await small.writer.settled;
    assert.deepEqual(small.disk.list('wal'), ['000000000001.wal']);
    const tiny = new Bench(1, options, 12_000);
    tiny.start();
    assert.ok(tiny.disk.space().freeBytes > 11_000, 'not even the first segment is zeroed there');
  });

  it('what is being prepared when the disk gets low is given up', async () => {
    const bench = new Bench(1, { ...OPTIONS, segmentBytes: 16 << 20 }, 100 << 20);
    bench.start();
    await new Promise((resolve) => setImmediate(resolve));
    bench.writer.checkSpace();
    assert.ok(bench.disk.list('wal').includes('spare.tmp'));
    const { freeBytes } = bench.disk.space();
    const other = bench.disk.open('other', { create: true });
    other.write(0, [new Uint8Array(freeBytes - (4 << 20))]);
    bench.writer.checkSpace();
    assert.ok(bench.writer.isLow);
    await bench.writer.settled;
    assert.deepEqual(bench.disk.list('wal'), ['000000000001.wal']);
  });

  it('less than 5 % of free space is low', () => {
    const bench = new Bench(1, OPTIONS, 100_000);
    const filler = bench.disk.open('filler', { create: true });
    filler.write(0, [new Uint8Array(96_000)]);
    bench.start();
    assert.equal(bench.writer.isLow, true);
    const roomy = new Bench();
    roomy.start();
    assert.equal(roomy.writer.isLow, false);
  });

  it('a disk that gets low takes back at once what was kept of the flushed log', () => {
    const bench = new Bench(1, { ...OPTIONS, retentionBytes: 2 ** 30 }, 256 * 1024);
    bench.start();
    for (let index = 1; index <= 60; index++) bench.entries(1, index, index, 1000);
    assert.equal(bench.writer.trim(new Map([[1, 60]])), 0, 'all of it is kept');
    const { freeBytes } = bench.disk.space();
    bench.disk.open('filler', { create: true }).write(0, [new Uint8Array(freeBytes - 4096)]);
    assert.equal(bench.writer.checkSpace(), true);
    assert.equal(bench.writer.isLow, true);
    assert.equal(bench.recover().tail.segments.length, 1);
    assert.equal(bench.writer.checkSpace(), true, 'which made room');
    assert.equal(bench.writer.isLow, false);
  });

  it('a record out of order never reaches the disk', () => {
    const bench = new Bench();
    bench.start();
    bench.entries(1, 1, 1);
    assert.throws(() => bench.entries(1, 3, 3), InvariantViolation);
    assert.deepEqual(logOf(bench.recover(), 1), ['1:1']);
  });
});
