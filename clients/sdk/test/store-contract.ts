/** What every StorePort does; each implementation runs it. `make(name)` of one name opens the same data. */
import assert from 'node:assert/strict';
import { afterEach, it } from 'mocha';
import { ClientError } from '../src/errors.ts';
import { type StorePort, under, VALUE_BYTES_MAX } from '../src/stores/store-port.ts';

export function storeContract(make: (name: string) => StorePort): void {
  let opened: StorePort[] = [];
  let count = 0;
  const open = async (name = `store-${++count}-${Math.random()}`): Promise<StorePort> => {
    const store = make(name);
    await store.open();
    opened.push(store);
    return store;
  };
  afterEach(async () => {
    for (const store of opened) await store.close();
    opened = [];
  });

  it('reads back what was written, in the order of keys, numbers before text', async () => {
    const store = await open();
    const fence = await store.claim();
    await store.writeCache(
      [
        { table: 'messages', key: ['b', 2], value: { n: 2 } },
        { table: 'messages', key: ['b', 10], value: { n: 10 } },
        { table: 'messages', key: ['a', 'x'], value: { n: 'x' } },
        { table: 'messages', key: ['a', 7], value: { n: 7 } },
      ],
      fence,
    );
    const all = await store.readCache('messages', under());
    assert.deepEqual(
      all.map((pair) => pair.key),
      [
        ['a', 7],
        ['a', 'x'],
        ['b', 2],
        ['b', 10],
      ],
    );
    const mine = await store.readCache('messages', under('b'));
    assert.deepEqual(
      mine.map((pair) => pair.value),
      [{ n: 2 }, { n: 10 }],
    );
  });

  it('reads ranges with both ends in, limited, from either side', async () => {
    const store = await open();
    const fence = await store.claim();
    const puts = Array.from({ length: 20 }, (_, i) => ({
      table: 'messages' as const,
      key: ['c', i + 1],
      value: i + 1,
    }));
    await store.writeCache(puts, fence);
    const range = { from: ['c', 5], through: ['c', 9] };
    const ascending = await store.readCache('messages', range);
    assert.deepEqual(
      ascending.map((pair) => pair.value),
      [5, 6, 7, 8, 9],
    );
    const newest = await store.readCache('messages', { ...range, limit: 2, reverse: true });
    assert.deepEqual(
      newest.map((pair) => pair.value),
      [9, 8],
    );
    assert.deepEqual(await store.readCache('messages', { from: ['d', 1], through: ['d', 2] }), []);
  });

  it('one write is all or nothing: a value too large writes none of it (S4, S12)', async () => {
    const store = await open();
    const fence = await store.claim();
    await assert.rejects(
      store.writeOwn(
        [
          { table: 'drafts', key: ['a'], value: { text: 'kept?' } },
          { table: 'outbox', key: [1], value: { text: 'x'.repeat(VALUE_BYTES_MAX) } },
        ],
        fence,
      ),
      (error) => error instanceof ClientError && error.reason === 'PAYLOAD_TOO_LARGE',
    );
    assert.deepEqual(await store.readOwn('drafts', under()), []);
  });

  it('a value is a copy: what the writer does with it later is not stored', async () => {
    const store = await open();
    const fence = await store.claim();
    const value = { list: [1] };
    await store.writeCache([{ table: 'meta', key: ['x'], value }], fence);
    value.list.push(2);
    const [pair] = await store.readCache('meta', under('x'));
    assert.deepEqual(pair?.value, { list: [1] });
  });

  it('a put without value deletes, also what is not there', async () => {
    const store = await open();
    const fence = await store.claim();
    await store.writeCache([{ table: 'meta', key: ['x'], value: 1 }], fence);
    await store.writeCache(
      [
        { table: 'meta', key: ['x'] },
        { table: 'meta', key: ['y'] },
      ],
      fence,
    );
    assert.deepEqual(await store.readCache('meta', under()), []);
  });

  it('a claim fences the owners before it, whose writes change nothing (S11)', async () => {
    const store = await open();
    const first = await store.claim();
    await store.writeOwn([{ table: 'drafts', key: ['a'], value: 1 }], first);
    const second = await store.claim();
    assert.ok(second > first);
    await assert.rejects(
      store.writeOwn([{ table: 'drafts', key: ['a'], value: 2 }], first),
      (error) => error instanceof ClientError && error.reason === 'FENCED',
    );
    const [pair] = await store.readOwn('drafts', under('a'));
    assert.equal(pair?.value, 1);
    await store.writeOwn([{ table: 'drafts', key: ['a'], value: 3 }], second);
    // The cache as well: an older record beside a newer token would hide what lies between.
    await assert.rejects(
      store.writeCache([{ table: 'meta', key: ['token'], value: 't1' }], first),
      (error) => error instanceof ClientError && error.reason === 'FENCED',
    );
    assert.deepEqual(await store.readCache('meta', under()), []);
    await store.writeCache([{ table: 'meta', key: ['token'], value: 't2' }], second);
    // Wiping what is held does not bring former owners back.
    await store.wipe('own');
    await store.wipe('cache');
    await assert.rejects(store.writeOwn([{ table: 'drafts', key: ['a'], value: 2 }], first));
    await store.writeOwn([{ table: 'drafts', key: ['a'], value: 4 }], second);
    assert.ok((await store.claim()) > second);
  });

  it('wiping the cache leaves what is own, and the other way round (S12)', async () => {
    const store = await open();
    const fence = await store.claim();
    await store.writeOwn([{ table: 'outbox', key: [1], value: 'mine' }], fence);
    await store.writeCache([{ table: 'meta', key: ['token'], value: 't1' }], fence);
    await store.wipe('cache');
    assert.equal((await store.readOwn('outbox', under())).length, 1);
    assert.deepEqual(await store.readCache('meta', under()), []);
    await store.wipe('own');
    assert.deepEqual(await store.readOwn('outbox', under()), []);
  });

  it('writes of one database take effect in the order they were asked for', async () => {
    const store = await open();
    const fence = await store.claim();
    await Promise.all(
      Array.from({ length: 20 }, (_, i) =>
        store.writeOwn([{ table: 'drafts', key: ['a'], value: i }], fence),
      ),
    );
    const [pair] = await store.readOwn('drafts', under('a'));
    assert.equal(pair?.value, 19);
  });
}
