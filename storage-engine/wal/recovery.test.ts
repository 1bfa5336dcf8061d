/** Properties of recovery over random histories: crashes anywhere, bits flipped anywhere. */
import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import fc from 'fast-check';
import type { Random } from '../../core/clock.ts';
import { ParleyError } from '../../core/errors.ts';
import { RECORD_KIND, type WalRecovery } from '../contract.ts';
import { DiskFault, MemoryDisk } from '../memory-disk.ts';
import { TEST_KEYS, manualClock, seededRandom, testDataKey } from '../testing.ts';
import { FrameWriter, frameBody } from './frame.ts';
import { recoverWal } from './recovery.ts';
import { segmentPath } from './segment.ts';
import { WalWriter } from './wal-writer.ts';

const OPTIONS = {
  segmentBytes: 4096,
  rollMs: 3_600_000,
  retentionBytes: 0,
  retentionMs: 3_600_000,
  reserveBytes: 0,
  freeShareMin: 0.05,
};
const SHARDS = 3;

/** Thrown by the disk at the chosen moment: the power is gone in the middle of a call. */
class PowerCut extends DiskFault {
  constructor() {
    super('POWER');
  }
}

/** A writer, and a model of what it was told was durable. */
class History {
  readonly disk: MemoryDisk;
  readonly #random: Random;
  readonly #clock = manualClock();
  /** Per shard the texts of its log, as written. */
  readonly written: string[][] = Array.from({ length: SHARDS }, () => []);
  /** Entries per shard that were acknowledged. */
  acknowledged: number[] = Array<number>(SHARDS).fill(0);
  flushed: number[] = Array<number>(SHARDS).fill(0);
  #writer!: WalWriter;
  #starts = 0;
  #callsLeft = Infinity;

  constructor(seed: number) {
    this.#random = seededRandom(seed);
    this.disk = new MemoryDisk({ random: this.#random });
    const count = (): void => {
      if (this.#callsLeft-- <= 0) throw new PowerCut();
    };
    this.disk.faults = { beforeWrite: count, beforeSync: count };
  }

  recover(): WalRecovery {
    const applied = new Map(this.flushed.map((index, shard) => [shard, index]));
    return recoverWal({ disk: this.disk, keys: TEST_KEYS, applied });
  }

  /** Recovers, checks, and starts the next process; the power may go during any of it. */
  restart(): void {
    const recovery = this.recover();
    for (let shard = 0; shard < SHARDS; shard++) this.#check(recovery, shard);
    this.#writer = new WalWriter({
      disk: this.disk,
      clock: this.#clock,
      options: OPTIONS,
      tail: recovery.tail,
      key: testDataKey('wal', ++this.#starts),
    });
    this.#writer.start();
  }

  /** Appends frames until the disk has made `calls` writes and syncs, then cuts the power. */
  runUntilCut(calls: number): void {
    this.#callsLeft = calls;
    try {
      this.restart();
      for (;;) this.#appendOne();
    } catch (thrown) {
      if (!(thrown instanceof Error && thrown.cause instanceof PowerCut)) throw thrown;
    }
    this.#callsLeft = Infinity;
  }

  #appendOne(): void {
    const frame = new FrameWriter(64);
    const added = Array<number>(SHARDS).fill(0);
    const count = 1 + Math.floor(this.#random.unit() * 6);
    for (let i = 0; i < count; i++) {
      const shard = Math.floor(this.#random.unit() * SHARDS);
      const log = this.written[shard] ?? [];
      const index = log.length + 1;
      const text = `${this.#starts}/${shard}/${index}/${'x'.repeat(Math.floor(this.#random.unit() * 400))}`;
      frame.add(RECORD_KIND.entry, shard, { term: this.#starts, index }, Buffer.from(text));
      log.push(text);
      added[shard] = (added[shard] ?? 0) + 1;
    }
    this.#writer.append(frameBody(frame.take()));
    this.acknowledged = this.written.map((log) => log.length);
    const what = this.#random.unit();
    if (what < 0.1) this.#writer.tick();
    else if (what < 0.2) {
      // What was acknowledged may be flushed, and what is flushed may be trimmed.
      this.flushed = this.acknowledged
        .map((index) => Math.floor(index * this.#random.unit()))
        .map((index, shard) => Math.max(index, this.flushed[shard] ?? 0));
      this.#writer.trim(new Map(this.flushed.map((index, shard) => [shard, index])));
    }
  }

  /** Every acknowledged entry is there, in order; what else is there was written, as a prefix. */
  #check(recovery: WalRecovery, shard: number): void {
    const written = this.written[shard] ?? [];
    const remains = recovery.shards.get(shard as never);
    const last = remains?.lastIndex ?? 0;
    const from = this.flushed[shard] ?? 0;
    assert.ok(last >= (this.acknowledged[shard] ?? 0), `shard ${shard}: acknowledged entries lost`);
    assert.ok(last <= written.length, `shard ${shard}: phantom entries`);
    const texts = (remains?.log ?? []).map((entry) => Buffer.from(entry.payload).toString());
    assert.deepEqual(texts, written.slice(from, last));
    // What was written beyond is gone for good: the next process writes its own there.
    written.length = last;
    this.acknowledged[shard] = last;
  }
}

describe('recovery, over random histories', function () {
  this.timeout(30_000);

  it('a power cut at any call loses nothing acknowledged and invents nothing, life after life', () => {
    const lives = fc.array(fc.integer({ min: 0, max: 60 }), { minLength: 1, maxLength: 6 });
    fc.assert(
      fc.property(fc.integer(), lives, (seed, cuts) => {
        const history = new History(seed);
        for (const calls of cuts) {
          history.runUntilCut(calls);
          history.disk.crash();
        }
        history.restart();
      }),
      { numRuns: 300 },
    );
  });

  it('a kill without a power cut keeps every frame that was written whole', () => {
    fc.assert(
      fc.property(
        fc.integer(),
        fc.array(fc.integer({ min: 3, max: 60 }), { maxLength: 5 }),
        (seed, cuts) => {
          const history = new History(seed);
          for (const calls of cuts) {
            history.runUntilCut(calls);
            history.disk.kill();
          }
          history.restart();
        },
      ),
      { numRuns: 100 },
    );
  });

  it('what recovery has read survives a power cut right after it, also after a failed sync', () => {
    for (let seed = 1; seed <= 60; seed++) {
      const history = new History(seed);
      history.runUntilCut(40);
      history.disk.kill();
      const seen = history.recover();
      history.disk.crash();
      const again = history.recover();
      for (let shard = 0; shard < SHARDS; shard++)
        assert.equal(
          again.shards.get(shard as never)?.lastIndex,
          seen.shards.get(shard as never)?.lastIndex,
        );
    }
  });

  it('a bit flipped anywhere below the last synced frame is never accepted', () => {
    let refused = 0;
    fc.assert(
      fc.property(
        fc.integer(),
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.nat(7),
        (seed, share, bit) => {
          const history = new History(seed);
          history.runUntilCut(60);
          history.disk.kill();
          const clean = history.recover();
          const lasts = texts(recoverWal({ disk: history.disk, keys: TEST_KEYS }));
          const segments = clean.tail.segments;
          const total = segments.reduce((sum, segment) => sum + segment.bytes, 0);
          let at = Math.floor(share * (total - 1));
          let segment = segments[0];
          for (const candidate of segments) {
            segment = candidate;
            if (at < candidate.bytes) break;
            at -= candidate.bytes;
          }
          history.disk.damage(segmentPath(segment?.id ?? 1), (bytes) => {
            bytes[at] = (bytes[at] ?? 0) ^ (1 << bit);
          });
          try {
            // Only the newest frame may be taken for a torn tail, and then it is missing whole.
            const found = texts(recoverWal({ disk: history.disk, keys: TEST_KEYS }));
            for (const [shard, log] of found)
              assert.deepEqual(log, lasts.get(shard)?.slice(0, log.length) ?? []);
            assert.equal(segment?.id, clean.tail.segment);
          } catch (thrown) {
            if (!(thrown instanceof ParleyError)) throw thrown;
            assert.ok(
              thrown.reason === 'CORRUPT_ENTRY' || thrown.details['problem'] === 'key_missing',
            );
            refused++;
          }
        },
      ),
      { numRuns: 150 },
    );
    assert.ok(refused > 100, `${refused} refused`);
  });
});

/** Logs read whole, without an applied index. */
function texts(recovery: WalRecovery): Map<number, string[]> {
  return new Map(
    [...recovery.shards].map(([shard, { log }]) => [
      shard,
      log.map((entry) => Buffer.from(entry.payload).toString()),
    ]),
  );
}
