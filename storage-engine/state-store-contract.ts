/** What every StateStore must do, as cases that a test file runs: the real one and its twin alike. */
import assert from 'node:assert/strict';
import { ParleyError } from '../core/errors.ts';
import { InvariantViolation } from '../core/invariant.ts';
import { STATE_RANGE_LIMIT_MAX, type StateStore } from './contract.ts';

export interface ContractCase {
  readonly title: string;
  readonly run: () => Promise<void>;
}

/** A place where stores come and go; `open` after `close` finds what was written. */
export interface StateStoreBench {
  /** A store over the same medium, not yet opened. */
  make(): StateStore;
  /** Rots the stored value of a key while no store is open. */
  damage(key: Uint8Array): Promise<void>;
  dispose(): Promise<void>;
}

const bytes = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'latin1'));
const text = (value: Uint8Array | undefined): string | undefined =>
  value === undefined ? undefined : Buffer.from(value).toString('latin1');

async function write(store: StateStore, entries: Readonly<Record<string, string | undefined>>) {
  const batch = store.newBatch();
  for (const [key, value] of Object.entries(entries)) {
    if (value === undefined) batch.del(bytes(key));
    else batch.put(bytes(key), bytes(value));
  }
  await batch.write({ sync: true });
}

async function keysIn(
  store: StateStore,
  range: { gte: string; lt: string; reverse?: boolean; limit?: number },
): Promise<(string | undefined)[]> {
  const found = await store.range({ ...range, gte: bytes(range.gte), lt: bytes(range.lt) });
  return found.map(({ key }) => text(key));
}

const hasProblem = (problem: string) => (error: unknown) =>
  error instanceof ParleyError && error.details['problem'] === problem;

type CaseBody = (bench: StateStoreBench) => Promise<void>;

const CASES: Readonly<Record<string, CaseBody>> = {
  'a batch is visible whole once written, and is there after reopening': async (bench) => {
    const store = bench.make();
    assert.deepEqual(await store.open(), { isNew: true, lastBatch: 0 });
    await write(store, { h1: 'one', h2: 'two', h3: '' });
    assert.equal(text(await store.get(bytes('h1'))), 'one');
    assert.equal(text(await store.get(bytes('h3'))), '');
    await write(store, { h1: 'uno', h2: undefined });
    await store.close();
    const again = bench.make();
    assert.deepEqual(await again.open(), { isNew: false, lastBatch: 2 });
    assert.deepEqual((await again.getMany([bytes('h2'), bytes('h1'), bytes('hx')])).map(text), [
      undefined,
      'uno',
      undefined,
    ]);
    await again.close();
  },

  'a batch that is not written leaves nothing': async (bench) => {
    const store = bench.make();
    await store.open();
    store.newBatch().put(bytes('h1'), bytes('never'));
    assert.equal(await store.get(bytes('h1')), undefined);
    await store.close();
  },

  'later operations of a batch win, and its caller may reuse key and value': async (bench) => {
    const store = bench.make();
    await store.open();
    const key = bytes('h1');
    const value = bytes('first');
    const batch = store.newBatch();
    batch.put(key, value);
    batch.del(key);
    batch.put(key, value);
    assert.equal(batch.operations, 3);
    assert.ok(batch.bytes >= 7);
    key[1] = 0;
    value[0] = 0;
    await batch.write({ sync: true });
    assert.equal(text(await store.get(bytes('h1'))), 'first');
    await store.close();
  },

  'ranges are ordered bytewise, bounded, and may run backwards': async (bench) => {
    const store = bench.make();
    await store.open();
    await write(store, { 'h\x00': 'a', h1: 'b', h2: 'c', 'h\xff': 'd', h: 'e', i: 'f', g: 'g' });
    const all = ['h', 'h\x00', 'h1', 'h2', 'h\xff'];
    assert.deepEqual(await keysIn(store, { gte: 'h', lt: 'i' }), all);
    assert.deepEqual(await keysIn(store, { gte: 'h', lt: 'i', reverse: true }), all.toReversed());
    assert.deepEqual(await keysIn(store, { gte: 'h1', lt: 'h2' }), ['h1']);
    assert.deepEqual(await keysIn(store, { gte: 'h', lt: 'i', limit: 2 }), ['h', 'h\x00']);
    assert.deepEqual(await keysIn(store, { gte: 'h', lt: 'i', reverse: true, limit: 1 }), [
      'h\xff',
    ]);
    assert.deepEqual(await keysIn(store, { gte: 'i', lt: 'h' }), []);
    assert.deepEqual(await keysIn(store, { gte: 'j', lt: 'k' }), []);
    await store.close();
  },

  'a range longer than one native step comes whole, in one snapshot': async (bench) => {
    const store = bench.make();
    await store.open();
    const batch = store.newBatch();
    for (let i = 0; i < 5000; i++)
      batch.put(bytes(`j${String(i).padStart(5, '0')}`), new Uint8Array(2000).fill(i));
    await batch.write({ sync: true });
    const found = await store.range({ gte: bytes('j'), lt: bytes('k') });
    assert.equal(found.length, 5000);
    assert.ok(found.every(({ value }, i) => value.length === 2000 && value[7] === (i & 255)));
    const lastFirst = await store.range({
      gte: bytes('j'),
      lt: bytes('k'),
      reverse: true,
      limit: 1500,
    });
    assert.equal(lastFirst.length, 1500);
    assert.equal(text(lastFirst[1499]?.key), 'j03500');
    await store.close();
  },

  'clearRange deletes a range and nothing beside it': async (bench) => {
    const store = bench.make();
    await store.open();
    const batch = store.newBatch();
    for (let i = 0; i < 6000; i++) batch.put(bytes(`j${i}`), bytes('x'));
    batch.put(bytes('i'), bytes('before'));
    batch.put(bytes('k'), bytes('behind'));
    await batch.write({ sync: true });
    assert.equal(await store.clearRange(bytes('j'), bytes('k')), 6000);
    await store.compactRange(bytes('j'), bytes('k'));
    await store.close();
    const again = bench.make();
    await again.open();
    assert.deepEqual(await keysIn(again, { gte: 'i', lt: 'l' }), ['i', 'k']);
    await again.close();
  },

  'batches are numbered and applied in the order of their write calls': async (bench) => {
    const store = bench.make();
    await store.open();
    const writes = Array.from({ length: 10 }, (_, i) => {
      const batch = store.newBatch();
      batch.put(bytes('h1'), bytes(String(i)));
      return batch.write({ sync: i % 2 === 0 });
    });
    await Promise.all(writes);
    assert.equal(text(await store.get(bytes('h1'))), '9');
    assert.equal(store.stats().batches, 10);
    await store.close();
    const again = bench.make();
    assert.equal((await again.open()).lastBatch, 10);
    await again.close();
  },

  'every call after close is refused, and closing again is nothing': async (bench) => {
    const store = bench.make();
    await store.open();
    const batch = store.newBatch();
    batch.put(bytes('h1'), bytes('late'));
    await Promise.all([store.close(), store.close()]);
    assert.equal(store.health, 'closed');
    await assert.rejects(store.get(bytes('h1')), hasProblem('closed'));
    await assert.rejects(store.range({ gte: bytes('h'), lt: bytes('i') }), hasProblem('closed'));
    assert.throws(() => store.newBatch(), hasProblem('closed'));
    await assert.rejects(async () => batch.write({ sync: true }), hasProblem('closed'));
    await assert.rejects(
      async () => store.compactRange(bytes('h'), bytes('i')),
      hasProblem('closed'),
    );
  },

  'closing waits for the batch that is being written': async (bench) => {
    const store = bench.make();
    await store.open();
    const writing = write(store, { h1: 'in flight' });
    await new Promise((resolve) => setImmediate(resolve));
    await store.close();
    await writing.catch(() => undefined);
    const again = bench.make();
    await again.open();
    assert.equal(text(await again.get(bytes('h1'))), 'in flight');
    await again.close();
  },

  'a damaged value is never served: the store is suspect from then on': async (bench) => {
    const store = bench.make();
    await store.open();
    await write(store, { h1: 'one', h2: 'two' });
    await store.close();
    await bench.damage(bytes('h1'));
    const again = bench.make();
    await again.open();
    await assert.rejects(again.get(bytes('h1')), hasProblem('corrupt'));
    assert.equal(again.health, 'suspect');
    await assert.rejects(again.get(bytes('h2')), hasProblem('corrupt'));
    await assert.rejects(async () => write(again, { h3: 'x' }), hasProblem('corrupt'));
    await again.close();
  },

  'a range over a damaged value is refused as a whole': async (bench) => {
    const store = bench.make();
    await store.open();
    await write(store, { h1: 'one', h2: 'two', h3: 'three' });
    await store.close();
    await bench.damage(bytes('h2'));
    const again = bench.make();
    await again.open();
    await assert.rejects(again.range({ gte: bytes('h'), lt: bytes('i') }), hasProblem('corrupt'));
    assert.equal(again.health, 'suspect');
    await again.close();
  },

  'misuse is a broken invariant: own prefix, empty key, used batch, limits': async (bench) => {
    const store = bench.make();
    await store.open();
    const batch = store.newBatch();
    assert.throws(() => batch.put(bytes('b1'), bytes('x')), InvariantViolation);
    assert.throws(() => batch.put(bytes(''), bytes('x')), InvariantViolation);
    assert.throws(() => batch.put(new Uint8Array(256), bytes('x')), InvariantViolation);
    await batch.write({ sync: true });
    assert.throws(() => batch.put(bytes('h'), bytes('x')), InvariantViolation);
    assert.throws(() => void batch.write({ sync: true }), InvariantViolation);
    const range = { gte: bytes('h'), lt: bytes('i'), limit: STATE_RANGE_LIMIT_MAX + 1 };
    await assert.rejects(async () => store.range(range), InvariantViolation);
    await store.close();
  },
};

export function stateStoreCases(make: () => Promise<StateStoreBench>): ContractCase[] {
  return Object.entries(CASES).map(([title, body]) => ({
    title,
    run: async () => {
      const bench = await make();
      try {
        await body(bench);
      } finally {
        await bench.dispose();
      }
    },
  }));
}
