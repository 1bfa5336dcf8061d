import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { describe, it } from 'mocha';
import { ParleyError } from '../core/errors.ts';
import { FLUSH_EVERY_BATCHES, RING_SLOTS, ringEntry, verifyRing } from './batch-ring.ts';
import type { DataKeys } from './key-ring.ts';
import { MemoryStateStore, StateMedium } from './memory-state-store.ts';
import { loadRocksBinding, type RocksBinding } from './rocks-binding.ts';
import { RocksStateStore } from './rocks-state-store.ts';
import { stateStoreCases, type StateStoreBench } from './state-store-contract.ts';
import { TEST_KEYS, seededRandom, testDataKey } from './testing.ts';

const binding = loadRocksBinding();
/** A key of `filled` and the byte 1 behind it. */
const WHOLE_KEY = new RegExp(`j\\d\\d\\d${String.fromCharCode(1)}`, 'g');
const bytes = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'latin1'));

/** Real stores in a directory of their own; every one with a data key of its own. */
class RocksBench implements StateStoreBench {
  readonly path: string = fs.mkdtempSync(path.join(os.tmpdir(), 'parley-state-'));
  dataKeys = 0;

  make(keys: DataKeys = TEST_KEYS, over: RocksBinding = binding): RocksStateStore {
    return new RocksStateStore({
      binding: over,
      path: path.join(this.path, 'state'),
      keys,
      newDataKey: () => testDataKey('state', ++this.dataKeys),
      cacheBytes: 8 << 20,
    });
  }

  /** Moves a sealed value to another key, which changes no checksum of RocksDB's own. */
  async damage(key: Uint8Array): Promise<void> {
    const context = binding.db_init();
    const state = path.join(this.path, 'state');
    const options = {
      createIfMissing: false,
      compression: false,
      writeBufferSize: 1 << 20,
      blockSize: 4096,
      cacheSize: 0,
      maxOpenFiles: 64,
    };
    await call((done) => binding.db_open(context, state, options, done));
    const found = await call<(Uint8Array | undefined)[]>((done) =>
      binding.db_get_many(context, [key], { fillCache: false }, done),
    );
    const batch = binding.batch_init(context);
    const value = Uint8Array.from(found[0] ?? []);
    value[value.length - 1] = (value[value.length - 1] ?? 0) ^ 1;
    binding.batch_put(batch, key, value);
    await call((done) => binding.batch_write(batch, { sync: true }, done));
    await call((done) => binding.db_close(context, done));
  }

  /** Files of the database, with this ending. */
  files(ending: string): string[] {
    const state = path.join(this.path, 'state');
    return fs
      .readdirSync(state)
      .filter((name) => name.endsWith(ending))
      .sort()
      .map((name) => path.join(state, name));
  }

  dispose(): Promise<void> {
    fs.rmSync(this.path, { recursive: true, force: true });
    return Promise.resolve();
  }
}

function call<T = void>(run: (done: (error: Error | null, value: T) => void) => void): Promise<T> {
  return new Promise((resolve, reject) =>
    run((error, value) => (error ? reject(error) : resolve(value))),
  );
}

class MemoryBench implements StateStoreBench {
  readonly medium = new StateMedium();

  make(): MemoryStateStore {
    return new MemoryStateStore({ medium: this.medium });
  }

  damage(key: Uint8Array): Promise<void> {
    this.medium.damage(key);
    return Promise.resolve();
  }

  dispose(): Promise<void> {
    return Promise.resolve();
  }
}

async function put(store: RocksStateStore | MemoryStateStore, key: string, sync = true) {
  const batch = store.newBatch();
  batch.put(bytes(key), bytes(`value of ${key}`));
  await batch.write({ sync });
}

const isCorrupt =
  (...words: string[]) =>
  (error: unknown): boolean =>
    error instanceof ParleyError &&
    error.reason === 'CORRUPT_ENTRY' &&
    words.every((word) => error.message.includes(word));

describe('state store contract: RocksDB', () => {
  for (const { title, run } of stateStoreCases(() => Promise.resolve(new RocksBench())))
    it(title, run).timeout(10_000);
});

describe('state store contract: memory twin', () => {
  for (const { title, run } of stateStoreCases(() => Promise.resolve(new MemoryBench())))
    it(title, run);
});

describe('rocks state store: what RocksDB would hide', function () {
  this.timeout(20_000);
  const withBench = async (body: (bench: RocksBench) => Promise<void>): Promise<void> => {
    const bench = new RocksBench();
    try {
      await body(bench);
    } finally {
      await bench.dispose();
    }
  };
  /** 200 batches of 4 KiB, flushed to a table when `compacted`. */
  const filled = async (bench: RocksBench, compacted: boolean): Promise<void> => {
    const store = bench.make();
    await store.open();
    for (let i = 0; i < 200; i++) {
      const batch = store.newBatch();
      batch.put(bytes(`j${String(i).padStart(3, '0')}`), new Uint8Array(4096).fill(i));
      await batch.write({ sync: i % 50 === 49 });
    }
    if (compacted) await store.compactRange(bytes('a'), bytes('z'));
    await store.close();
  };

  it('a log of RocksDB with a hole in the middle is refused at opening', () =>
    withBench(async (bench) => {
      await filled(bench, false);
      const [log] = bench.files('.log');
      assert.ok(log !== undefined);
      const content = fs.readFileSync(log);
      const middle = Math.floor(content.length / 2);
      content.fill(0x5a, middle, middle + 64);
      fs.writeFileSync(log, content);
      const store = bench.make();
      await assert.rejects(store.open(), isCorrupt('hole', 'is missing'));
      assert.equal(store.health, 'suspect');
      await assert.rejects(store.get(bytes('j001')), isCorrupt('hole'));
      await store.close();
    }));

  it('a log of RocksDB cut at its end opens at an older batch, and says which', () =>
    withBench(async (bench) => {
      await filled(bench, false);
      const [log] = bench.files('.log');
      assert.ok(log !== undefined);
      fs.truncateSync(log, Math.floor(fs.statSync(log).size / 2));
      const store = bench.make();
      const { lastBatch } = await store.open();
      assert.ok(lastBatch > 50 && lastBatch < 150, `${lastBatch}`);
      assert.ok(
        (await store.get(bytes(`j${String(lastBatch - 1).padStart(3, '0')}`))) !== undefined,
      );
      await store.close();
    }));

  it('a missing table file is refused at opening, by name', () =>
    withBench(async (bench) => {
      await filled(bench, true);
      const [table] = bench.files('.sst');
      assert.ok(table !== undefined);
      fs.renameSync(table, `${table}.lost`);
      const store = bench.make();
      await assert.rejects(store.open(), isCorrupt(path.basename(table), 'missing'));
      await store.close();
    }));

  it('tables that are merged while they are looked for are not missing', () =>
    withBench(async (bench) => {
      // Every opening makes a table, and some begin by merging them: long before this list is read.
      const slow: RocksBinding = {
        ...binding,
        db_get_property: (context, name) => {
          const value = binding.db_get_property(context, name);
          if (name === 'rocksdb.sstables' && !isSlow) {
            isSlow = true;
            Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 150);
          }
          return value;
        },
      };
      let isSlow = false;
      let gone = 0;
      for (let opening = 0; opening < 10; opening++) {
        isSlow = false;
        const before = opening === 0 ? [] : bench.files('.sst');
        const store = bench.make(TEST_KEYS, slow);
        await store.open();
        const after = new Set(bench.files('.sst'));
        gone += before.filter((file) => !after.has(file)).length;
        const batch = store.newBatch();
        batch.put(bytes(`opening ${opening}`), new Uint8Array(1000));
        await batch.write({ sync: true });
        await store.close();
      }
      assert.ok(gone > 0, 'some were merged away');
    }));

  it('a shortened table file is refused at opening or at its first read', () =>
    withBench(async (bench) => {
      await filled(bench, true);
      const [table] = bench.files('.sst');
      assert.ok(table !== undefined);
      fs.truncateSync(table, fs.statSync(table).size - 100);
      const store = bench.make();
      await assert.rejects(store.open(), ParleyError);
      await store.close();
    }));

  /**
   * Flips one bit `distance` bytes behind the start of a key in the only table; returns the key.
   * Whole keys stand where a block begins, followed by the type of the record (1: a value).
   */
  const flipNear = (bench: RocksBench, distance: number): Uint8Array => {
    const [table] = bench.files('.sst');
    assert.ok(table !== undefined);
    const content = fs.readFileSync(table);
    const places = [...content.toString('latin1').matchAll(WHOLE_KEY)];
    const place = places[20];
    assert.ok(place !== undefined);
    const at = place.index + distance;
    content[at] = (content[at] ?? 0) ^ 16;
    fs.writeFileSync(table, content);
    return bytes(place[0].slice(0, 4));
  };

  it('a flipped bit in a value is never served by get or range, though RocksDB iterates over it', () =>
    withBench(async (bench) => {
      await filled(bench, true);
      const key = flipNear(bench, 200);
      const byRange = bench.make();
      await byRange.open();
      await assert.rejects(byRange.range({ gte: bytes('j'), lt: bytes('k') }), isCorrupt());
      assert.equal(byRange.health, 'suspect');
      await byRange.close();
      const byKey = bench.make();
      await byKey.open();
      await assert.rejects(byKey.get(key), isCorrupt('checksum'));
      await byKey.close();
    }));

  it('a flipped bit in a key is never "not found" to get, also after a range has read its block', () =>
    withBench(async (bench) => {
      await filled(bench, true);
      const key = flipNear(bench, 0);
      const store = bench.make();
      await store.open();
      const found = await store.range({ gte: bytes('j'), lt: bytes('k') });
      assert.ok(found.length < 200, 'a range cannot see it');
      await assert.rejects(store.get(key), isCorrupt('checksum'));
      await store.close();
    }));

  it('a second process on the same directory is told so, and makes no data key', () =>
    withBench(async (bench) => {
      const store = bench.make();
      await store.open();
      const second = bench.make();
      await assert.rejects(
        second.open(),
        (error) =>
          error instanceof ParleyError &&
          error.details['problem'] === 'in_use' &&
          error.message.includes('another process'),
      );
      await second.close();
      assert.equal(bench.dataKeys, 1);
      await put(store, 'h1');
      await store.close();
    }));

  it('values sealed under data keys of earlier starts stay readable', () =>
    withBench(async (bench) => {
      for (let i = 0; i < 3; i++) {
        const store = bench.make();
        await store.open();
        await put(store, `h${i}`);
        await store.close();
      }
      const store = bench.make();
      await store.open();
      const found = await store.range({ gte: bytes('h'), lt: bytes('i') });
      assert.deepEqual(
        found.map(({ value }) => Buffer.from(value).toString()),
        ['value of h0', 'value of h1', 'value of h2'],
      );
      await store.close();
    }));

  it('a value whose data key is not there is not called damaged: the missing file is named', () =>
    withBench(async (bench) => {
      const first = bench.make();
      await first.open();
      await put(first, 'h');
      await first.close();
      const keys = { find: (): undefined => undefined };
      const store = bench.make(keys);
      await store.open();
      await assert.rejects(
        store.get(bytes('h')),
        isCorrupt('put keys/00000001.state.key back from a backup'),
      );
      await store.close();
    }));

  it('the memtable is flushed every 8,192 batches, and opening leaves an empty log', () =>
    withBench(async (bench) => {
      const store = bench.make();
      await store.open();
      const before = bench.files('.log');
      let last: Promise<void> = Promise.resolve();
      for (let i = 0; i < FLUSH_EVERY_BATCHES + 10; i++) {
        const batch = store.newBatch();
        batch.del(bytes('h'));
        last = batch.write({ sync: false });
        if (i % 8 === 7) await last;
      }
      await last;
      // RocksDB runs such compactions one after another, so this one ends behind the forced flush.
      await store.compactRange(bytes('g'), bytes('i'));
      for (let i = 0; i < 100 && store.stats().memtableFlushes === 0; i++)
        await store.get(bytes('h'));
      assert.equal(store.stats().memtableFlushes, 1);
      assert.ok(store.stats().tableFiles >= 1);
      assert.notDeepEqual(bench.files('.log'), before, 'RocksDB began a new log');
      await store.close();
      const again = bench.make();
      assert.equal((await again.open()).lastBatch, FLUSH_EVERY_BATCHES + 10);
      assert.ok(again.stats().memtableBytes < 4096);
      await again.close();
    }));

  it('a kill in the middle of writing loses nothing that was acknowledged', () =>
    withBench(async (bench) => {
      const script = new URL('./state-store-child.js', import.meta.url).pathname;
      const child = spawn(process.execPath, [script, path.join(bench.path, 'state')]);
      let acknowledged = 0;
      await new Promise<void>((resolve) => {
        child.stdout.on('data', (chunk: Buffer) => {
          acknowledged += chunk.length;
          if (acknowledged > 60) child.kill('SIGKILL');
        });
        child.on('close', () => resolve());
      });
      assert.ok(acknowledged > 60);
      const store = bench.make();
      const { lastBatch } = await store.open();
      assert.ok(lastBatch >= acknowledged, `${lastBatch} of ${acknowledged}`);
      const found = await store.range({ gte: bytes('h'), lt: bytes('i') });
      assert.ok(found.length >= acknowledged);
      await store.close();
    }));
});

describe('ring of batches', () => {
  const entries = (from: number, through: number) =>
    Array.from({ length: through - from + 1 }, (_, i) => ringEntry(from + i));

  it('a whole ring gives the last batch, also after it went round', () => {
    assert.equal(verifyRing([], 'x'), 0);
    assert.equal(verifyRing(entries(1, 5), 'x'), 5);
    assert.equal(verifyRing(entries(10_000, 10_000 + RING_SLOTS - 1), 'x'), 26_383);
  });

  it('a missing batch, an older one in its place and a flipped bit are refused', () => {
    assert.throws(
      () => verifyRing([...entries(1, 5), ...entries(7, 9)], 'x'),
      isCorrupt('batch 6'),
    );
    const round = entries(30_000, 30_000 + RING_SLOTS - 1);
    round[77] = ringEntry(30_077 - RING_SLOTS);
    assert.throws(() => verifyRing(round, 'x'), isCorrupt('batch 30077'));
    const flipped = entries(1, 5);
    flipped[2]?.value.fill(1, 1, 2);
    assert.throws(() => verifyRing(flipped, 'x'), isCorrupt('damaged'));
  });
});

describe('memory state store: a power cut', () => {
  it('keeps every synced batch and any subset of the others, or is refused for the hole', async () => {
    let holes = 0;
    let whole = 0;
    for (let seed = 1; seed <= 200; seed++) {
      const medium = new StateMedium();
      const store = new MemoryStateStore({ medium });
      await store.open();
      for (let i = 0; i < 6; i++) await put(store, `h${i}`, i === 2);
      medium.crash(seededRandom(seed));
      await assert.rejects(store.get(bytes('h0')), /crashed/);
      const again = new MemoryStateStore({ medium });
      try {
        await again.open();
      } catch (error) {
        assert.ok(isCorrupt('hole')(error));
        holes++;
        continue;
      }
      whole++;
      const found = await again.range({ gte: bytes('h'), lt: bytes('i') });
      assert.ok(found.length >= 3);
      assert.ok(found.every(({ key }, i) => Buffer.from(key).toString() === `h${i}`));
    }
    assert.ok(holes > 20 && whole > 20, `${holes} holes, ${whole} whole`);
  });

  it('what a process left behind is durable once the next has opened it: no hole can form there', async () => {
    for (let seed = 1; seed <= 40; seed++) {
      const medium = new StateMedium();
      const killed = new MemoryStateStore({ medium });
      await killed.open();
      for (let i = 0; i < 3; i++) await put(killed, `h${i}`, false);
      medium.kill();
      const next = new MemoryStateStore({ medium });
      await next.open();
      await put(next, 'h3', false);
      medium.crash(seededRandom(seed));
      const last = new MemoryStateStore({ medium });
      await last.open();
      assert.ok((await last.range({ gte: bytes('h'), lt: bytes('i') })).length >= 3);
    }
  });

  it('a batch in flight is all there or not at all', async () => {
    const seen = new Set<number>();
    for (let seed = 1; seed <= 40; seed++) {
      const medium = new StateMedium();
      const turns: (() => void)[] = [];
      const store = new MemoryStateStore({ medium, later: (run) => turns.push(run) });
      const opening = store.open();
      turns.shift()?.();
      await opening;
      const batch = store.newBatch();
      batch.put(bytes('h1'), bytes('a'));
      batch.put(bytes('h2'), bytes('b'));
      const writing = batch.write({ sync: true });
      await new Promise((resolve) => setImmediate(resolve));
      medium.crash(seededRandom(seed));
      turns.shift()?.();
      await assert.rejects(writing, /crashed/);
      const again = new MemoryStateStore({ medium });
      await again.open();
      const found = (await again.range({ gte: bytes('h'), lt: bytes('i') })).length;
      assert.ok(found === 0 || found === 2);
      seen.add(found);
    }
    assert.deepEqual(
      [...seen].sort((a, b) => a - b),
      [0, 2],
    );
  });

  it('an injected error makes the store suspect, and the outcome unknown', async () => {
    const medium = new StateMedium();
    const store = new MemoryStateStore({ medium });
    await store.open();
    await put(store, 'h1');
    medium.faults = {
      beforeWrite: () => {
        throw new ParleyError('BACKEND_UNAVAILABLE', 'injected');
      },
    };
    await assert.rejects(put(store, 'h2'), ParleyError);
    assert.equal(store.health, 'suspect');
    medium.faults = {};
    await assert.rejects(put(store, 'h3'), ParleyError);
  });
});
