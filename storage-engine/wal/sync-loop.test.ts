import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { MessageChannel, type MessagePort } from 'node:worker_threads';
import { describe, it } from 'mocha';
import type { Clock, Timers } from '../../core/clock.ts';
import { ParleyError } from '../../core/errors.ts';
import { InvariantViolation } from '../../core/invariant.ts';
import { RECORD_KIND, type Disk, type Wal, type WalListener } from '../contract.ts';
import { piecesOf } from '../disk-contract.ts';
import { DiskFault, MemoryDisk } from '../memory-disk.ts';
import { NodeDisk } from '../node-disk.ts';
import { TEST_KEYS, manualClock, seededRandom, testDataKey } from '../testing.ts';
import { FrameWriter, readRecords, frameBody } from './frame.ts';
import { LocalWal } from './local-wal.ts';
import { recoverWal } from './recovery.ts';
import { RemoteWal } from './remote-wal.ts';
import { SyncLoop, type SyncPort } from './sync-loop.ts';
import { WalWriter } from './wal-writer.ts';

const OPTIONS = {
  segmentBytes: 65_536,
  rollMs: 3_600_000,
  retentionBytes: 0,
  retentionMs: 3_600_000,
  reserveBytes: 0,
  freeShareMin: 0.05,
};

function frameOf(from: number, count: number): ArrayBuffer {
  const writer = new FrameWriter(64);
  for (let index = from; index < from + count; index++)
    writer.add(RECORD_KIND.entry, 1, { term: 1, index }, Buffer.from(`entry ${index}`));
  return writer.take();
}

/** Answers of a Wal as promises. */
class Listener implements WalListener {
  readonly failures: Error[] = [];
  readonly space: boolean[] = [];
  #resolve: ((frame: ArrayBuffer) => void) | undefined;
  #reject: ((error: Error) => void) | undefined;

  next(): Promise<ArrayBuffer> {
    return new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }

  synced(frame: ArrayBuffer): void {
    this.#resolve?.(frame);
  }

  failed(error: Error): void {
    this.failures.push(error);
    this.#reject?.(error);
  }

  spaceChanged(isLow: boolean): void {
    this.space.push(isLow);
  }
}

/** Timers that fire when told to. */
class HandTimers implements Timers {
  #ticks: (() => void)[] = [];

  after(): never {
    throw new InvariantViolation('test.no-single-timers', '');
  }

  every(_periodMs: number, fire: () => void): { cancel(): void } {
    this.#ticks.push(fire);
    return { cancel: () => void (this.#ticks = this.#ticks.filter((tick) => tick !== fire)) };
  }

  soon(fire: () => void): void {
    queueMicrotask(fire);
  }

  tick(times: number = 1): void {
    for (let i = 0; i < times; i++) for (const fire of this.#ticks) fire();
  }

  get running(): number {
    return this.#ticks.length;
  }
}

function portOf<Out, In>(port: MessagePort): SyncPort<Out, In> {
  return {
    post: (message, transfer) => port.postMessage(message, [...transfer]),
    onMessage: (listen) => void port.on('message', listen),
    close: () => port.close(),
  };
}

interface Bench {
  readonly wal: Wal;
  readonly listener: Listener;
  readonly tick: (times?: number) => void;
  readonly exits: unknown[];
}

function writerOver(disk: Disk, clock: Clock, segmentBytes: number): WalWriter {
  const { tail } = recoverWal({ disk, keys: TEST_KEYS });
  const key = testDataKey('wal', tail.segment + 1);
  return new WalWriter({ disk, key, tail, clock, options: { ...OPTIONS, segmentBytes } });
}

async function remote(
  disk: Disk,
  clock: Clock = manualClock(),
  segmentBytes: number = OPTIONS.segmentBytes,
): Promise<Bench> {
  const { port1, port2 } = new MessageChannel();
  const listener = new Listener();
  const timers = new HandTimers();
  const exits: unknown[] = [];
  const wal = new RemoteWal(portOf(port1), listener);
  const started = wal.start();
  new SyncLoop({
    port: portOf(port2),
    writer: writerOver(disk, clock, segmentBytes),
    timers,
    exit: (error) => {
      exits.push(error);
      port2.close();
    },
  }).start();
  await started;
  return { wal, listener, exits, tick: (times) => timers.tick(times) };
}

function local(
  disk: Disk,
  clock: Clock = manualClock(),
  segmentBytes: number = OPTIONS.segmentBytes,
): Promise<Bench> {
  const listener = new Listener();
  const writer = writerOver(disk, clock, segmentBytes);
  writer.start();
  const wal = new LocalWal({ writer, listener, later: (run) => void setImmediate(run) });
  const tick = (times = 1): void => {
    for (let i = 0; i < times; i++) wal.tick();
  };
  return Promise.resolve({ wal, listener, exits: [], tick });
}

for (const [name, make] of Object.entries({ remote, local })) {
  describe(`wal contract: ${name}`, () => {
    it('a frame comes back as it went, once it is durable', async () => {
      const disk = new MemoryDisk({ random: seededRandom(1) });
      const { wal, listener } = await make(disk);
      for (let i = 0; i < 5; i++) {
        const synced = listener.next();
        wal.submit(frameOf(1 + 3 * i, 3));
        const records = [...readRecords(frameBody(await synced))];
        assert.deepEqual(
          records.map(({ index }) => index),
          [1 + 3 * i, 2 + 3 * i, 3 + 3 * i],
        );
      }
      assert.ok(wal.stats().frames >= 1);
      await wal.close();
      disk.crash();
      const remains = recoverWal({ disk, keys: TEST_KEYS }).shards.get(1 as never);
      assert.equal(remains?.lastIndex, 15);
    });

    it('a second frame in flight breaks an invariant', async () => {
      const { wal, listener } = await make(new MemoryDisk({ random: seededRandom(1) }));
      const synced = listener.next();
      wal.submit(frameOf(1, 1));
      assert.throws(() => wal.submit(frameOf(2, 1)), InvariantViolation);
      await synced;
      await wal.close();
    });

    it('closing is clean, idempotent, and ends it', async () => {
      const disk = new MemoryDisk({ random: seededRandom(1) });
      const { wal, listener } = await make(disk);
      const synced = listener.next();
      wal.submit(frameOf(1, 1));
      await synced;
      await Promise.all([wal.close(), wal.close()]);
      assert.throws(() => wal.submit(frameOf(2, 1)), InvariantViolation);
      assert.equal(recoverWal({ disk, keys: TEST_KEYS }).verdict, 'clean');
    });

    it('an error of the disk is reported once and nothing is answered afterwards', async () => {
      const disk = new MemoryDisk({ random: seededRandom(1) });
      const { wal, listener, exits } = await make(disk);
      disk.faults = {
        beforeSync: () => {
          throw new DiskFault('EIO');
        },
      };
      const synced = listener.next();
      wal.submit(frameOf(1, 1));
      await assert.rejects(
        synced,
        (error) =>
          error instanceof ParleyError &&
          error.reason === 'BACKEND_UNAVAILABLE' &&
          error.details['code'] === 'EIO',
      );
      assert.equal(listener.failures.length, 1);
      assert.equal(exits.length, name === 'remote' ? 1 : 0);
      await assert.rejects(wal.close(), { reason: 'BACKEND_UNAVAILABLE' });
    });

    it('a disk that fails while the log is closed is reported, and nobody waits for ever', async () => {
      const disk = new MemoryDisk({ random: seededRandom(1) });
      const { wal, listener, exits } = await make(disk);
      const synced = listener.next();
      wal.submit(frameOf(1, 1));
      await synced;
      disk.faults = {
        beforeSync: () => {
          throw new DiskFault('EIO');
        },
      };
      await assert.rejects(wal.close(), { reason: 'BACKEND_UNAVAILABLE' });
      await new Promise((resolve) => setImmediate(resolve));
      assert.equal(listener.failures.length, 1);
      assert.equal(exits.length, name === 'remote' ? 1 : 0);
      // What was acknowledged before stays.
      disk.faults = {};
      disk.crash();
      const remains = recoverWal({ disk, keys: TEST_KEYS }).shards.get(1 as never);
      assert.equal(remains?.lastIndex, 1);
    });

    it('what was flushed leaves the disk in its time, also when nothing is written any more', async () => {
      const disk = new MemoryDisk({ random: seededRandom(1) });
      const clock = manualClock();
      const { wal, listener, tick } = await make(disk, clock);
      const synced = listener.next();
      wal.submit(frameOf(1, 1));
      await synced;
      wal.trim(new Map([[1 as never, 1 as never]]));
      await new Promise((resolve) => setImmediate(resolve));
      tick(20);
      assert.equal(disk.sizeOf('wal/000000000001.wal') === undefined, false);
      clock.advance(OPTIONS.rollMs + 1);
      tick(20);
      assert.equal(disk.sizeOf('wal/000000000001.wal'), undefined);
      await wal.close();
    });

    it('the next segment is prepared tick by tick', async () => {
      const disk = new MemoryDisk({ random: seededRandom(1) });
      const { wal, tick } = await make(disk, manualClock(), 16 << 20);
      const size = (): number => disk.sizeOf('wal/spare.tmp') ?? 0;
      await new Promise((resolve) => setImmediate(resolve));
      const before = size();
      assert.ok(before > 0 && before < 4 << 20);
      tick();
      await new Promise((resolve) => setImmediate(resolve));
      assert.ok(size() > before && size() < 8 << 20);
      for (let i = 0; i < 8; i++) {
        tick();
        await new Promise((resolve) => setImmediate(resolve));
      }
      assert.equal(disk.sizeOf('wal/spare'), 16 << 20);
      await wal.close();
    });

    it('a segment that cannot be removed is an error of the disk like any other', async () => {
      const disk = new MemoryDisk({ random: seededRandom(1) });
      const clock = manualClock();
      const { wal, listener, tick, exits } = await make(disk, clock);
      const synced = listener.next();
      wal.submit(frameOf(1, 1));
      await synced;
      clock.advance(OPTIONS.rollMs + 1);
      tick(2);
      disk.faults = {
        beforeRemove: () => {
          throw new DiskFault('EIO');
        },
      };
      wal.trim(new Map([[1 as never, 1 as never]]));
      for (let i = 0; i < 40; i++) {
        await new Promise((resolve) => setImmediate(resolve));
        tick();
      }
      await new Promise((resolve) => setImmediate(resolve));
      assert.equal(listener.failures.length, 1);
      assert.equal(exits.length, name === 'remote' ? 1 : 0);
    });

    it('trimming happens between frames and leaves what is needed', async () => {
      const disk = new MemoryDisk({ random: seededRandom(1) });
      const { wal, listener, tick } = await make(disk);
      for (let i = 0; i < 6; i++) {
        const synced = listener.next();
        const writer = new FrameWriter(64);
        writer.add(RECORD_KIND.entry, 1, { term: 1, index: i + 1 }, new Uint8Array(40_000));
        wal.submit(writer.take());
        await synced;
      }
      const before = disk.list('wal').length;
      wal.trim(new Map([[1 as never, 4 as never]]));
      await new Promise((resolve) => setImmediate(resolve));
      tick();
      assert.ok(disk.list('wal').length < before);
      const applied = new Map([[1, 4]]);
      const remains = recoverWal({ disk, keys: TEST_KEYS, applied }).shards.get(1 as never);
      assert.deepEqual(
        remains?.log.map(({ index }) => index),
        [5, 6],
      );
      await wal.close();
    });

    it('an idle log marks its last frame, so that damage to it is no torn tail', async () => {
      const disk = new MemoryDisk({ random: seededRandom(1) });
      const { wal, listener, tick } = await make(disk);
      const synced = listener.next();
      wal.submit(frameOf(1, 1));
      await synced;
      const { endOffset } = recoverWal({ disk, keys: TEST_KEYS }).tail;
      tick(2);
      disk.damage('wal/000000000001.wal', (bytes) => {
        bytes[endOffset - 1] = (bytes[endOffset - 1] ?? 0) ^ 1;
      });
      assert.throws(() => recoverWal({ disk, keys: TEST_KEYS }), /offset/);
      await wal.close();
    });

    it('a filling disk is announced, and its recovery too', async () => {
      const disk = new MemoryDisk({ random: seededRandom(1), capacityBytes: 10 * 65_536 });
      const { wal, listener, tick } = await make(disk);
      await disk.prepare('other/ballast', 8 * 65_536 - 20_000, piecesOf(65_536));
      tick(20);
      await new Promise((resolve) => setImmediate(resolve));
      disk.remove('other/ballast');
      tick(20);
      await new Promise((resolve) => setImmediate(resolve));
      assert.deepEqual(listener.space, [true, false]);
      await wal.close();
    });
  });
}

describe('wal on real files', () => {
  it('segments, spare and reserve are made, used and found again', async () => {
    const root = fs.mkdtempSync(path.join(os.tmpdir(), 'parley-wal-'));
    try {
      const disk = new NodeDisk(root);
      for (let start = 0; start < 3; start++) {
        const { tail, verdict, shards } = recoverWal({ disk, keys: TEST_KEYS });
        assert.equal(verdict, start === 0 ? 'new' : start === 1 ? 'clean' : 'cut');
        assert.equal(shards.get(1 as never)?.lastIndex ?? 0, start * 100);
        const writer = new WalWriter({
          disk,
          tail,
          key: testDataKey('wal', start + 1),
          clock: { nowMs: Date.now, monotonicMs: () => performance.now() },
          options: { ...OPTIONS, reserveBytes: 10_000, retentionBytes: 2 ** 30 },
        });
        writer.start();
        await writer.settled;
        for (let i = 0; i < 100; i++) writer.append(frameBody(frameOf(start * 100 + i + 1, 1)));
        writer.checkSpace();
        await writer.settled;
        if (start === 0) writer.close();
      }
      assert.deepEqual(disk.list('wal'), [
        '000000000001.wal',
        '000000000002.wal',
        '000000000003.wal',
        'reserve',
        'spare',
      ]);
      assert.equal(disk.sizeOf('wal/spare'), OPTIONS.segmentBytes);
      const { tail } = recoverWal({ disk, keys: TEST_KEYS });
      assert.equal(disk.sizeOf('wal/000000000001.wal'), tail.segments[0]?.bytes);
    } finally {
      fs.rmSync(root, { recursive: true, force: true });
    }
  });
});
