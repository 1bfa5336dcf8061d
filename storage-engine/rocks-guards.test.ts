/** What RocksDB is asked, seen at its binding: promises that its own answers would not show broken. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { describe, it } from 'mocha';
import { FLUSH_EVERY_BATCHES, RING_SLOTS } from './batch-ring.ts';
import type { RocksBinding, RocksCallback } from './rocks-binding.ts';
import { RocksStateStore } from './rocks-state-store.ts';
import { TEST_KEYS, testDataKey } from './testing.ts';

interface Fake {
  readonly binding: RocksBinding;
  readonly calls: string[];
  /** Ends of compactions and reads that were held back. */
  readonly held: (() => void)[];
  isHolding: boolean;
}

/** A database that is empty and does as it is told, unless compactions and reads are held back. */
function fakeBinding(): Fake {
  let flushes = 0;
  const end = (what: string, done: RocksCallback<never>, value?: unknown): void => {
    fake.calls.push(what);
    const answer = (): void => done(null, value as never);
    if (fake.isHolding && (what === 'compact' || what === 'get')) fake.held.push(answer);
    else queueMicrotask(answer);
  };
  const binding = {
    db_init: () => ({}),
    db_open: (_: unknown, __: unknown, ___: unknown, done: never) => end('open', done),
    db_close: (_: unknown, done: never) => end('close', done),
    db_get_many: (_: unknown, keys: unknown[], __: unknown, done: never) =>
      end(
        'get',
        done,
        keys.map(() => undefined),
      ),
    db_compact_range: (_: unknown, __: unknown, ___: unknown, done: never) => {
      flushes++;
      end('compact', done);
    },
    db_get_property: (_: unknown, name: string) =>
      name === 'rocksdb.min-log-number-to-keep' ? String(flushes) : '',
    iterator_init: () => ({}),
    iterator_next: (_: unknown, done: (...rows: unknown[]) => void) => done(null, [], true),
    iterator_end: (_: unknown, done: () => void) => done(),
    batch_init: () => ({}),
    batch_put: () => undefined,
    batch_del: () => undefined,
    batch_write: (_: unknown, { sync }: { sync: boolean }, done: never) =>
      end(sync ? 'write synced' : 'write', done),
  };
  const fake: Fake = {
    binding: binding as unknown as RocksBinding,
    calls: [],
    held: [],
    isHolding: false,
  };
  return fake;
}

async function withStore(
  body: (store: RocksStateStore, fake: Fake) => Promise<void>,
): Promise<void> {
  const root = fs.mkdtempSync(path.join(os.tmpdir(), 'parley-rocks-'));
  try {
    const fake = fakeBinding();
    const { binding } = fake;
    const store = new RocksStateStore({
      binding,
      path: path.join(root, 'state'),
      keys: TEST_KEYS,
      newDataKey: () => testDataKey('state', 1),
      cacheBytes: 1,
    });
    await store.open();
    await body(store, fake);
  } finally {
    fs.rmSync(root, { recursive: true, force: true });
  }
}

const KEY = Uint8Array.of(1);

describe('rocksdb', () => {
  it('is told to sync exactly what was to be synced', () =>
    withStore(async (store, { calls }) => {
      await store.newBatch().write({ sync: true });
      await store.newBatch().write({ sync: false });
      assert.deepEqual(calls, ['open', 'write synced', 'write']);
    }));

  it('is closed only when nothing is in flight, and never called afterwards', () =>
    withStore(async (store, fake) => {
      fake.isHolding = true;
      const read = store.get(KEY);
      const closed = store.close();
      await new Promise(setImmediate);
      assert.deepEqual(fake.calls, ['open', 'get']);
      await assert.rejects(store.get(KEY), { reason: 'BACKEND_UNAVAILABLE' });
      fake.held.shift()?.();
      assert.equal(await read, undefined);
      await closed;
      assert.deepEqual(fake.calls, ['open', 'get', 'close']);
      await assert.rejects(store.get(KEY), { reason: 'BACKEND_UNAVAILABLE' });
      assert.throws(() => store.newBatch(), { reason: 'BACKEND_UNAVAILABLE' });
    }));

  it('is written no further than the ring sees back while a flush of its memtable hangs', () =>
    withStore(async (store, fake) => {
      fake.isHolding = true;
      for (let batch = 0; batch < RING_SLOTS - 1024; batch++)
        await store.newBatch().write({ sync: true });
      assert.equal(fake.held.length, 1);
      let isWritten = false;
      const next = store.newBatch().write({ sync: true });
      void next.then(() => {
        isWritten = true;
      });
      await new Promise(setImmediate);
      assert.ok(!isWritten);
      fake.isHolding = false;
      fake.held.shift()?.();
      await next;
      assert.equal(store.stats().memtableFlushes, 1);
      assert.equal(store.stats().batches, RING_SLOTS - 1024 + 1);
      assert.ok(FLUSH_EVERY_BATCHES < RING_SLOTS - 1024);
    })).timeout(10_000);
});
