import 'fake-indexeddb/auto';
import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { storeContract } from '../../test/store-contract.ts';
import { indexedDbStore } from './idb.ts';
import { under } from './store-port.ts';

describe('IndexedDB store', () => {
  storeContract((name) => indexedDbStore(name));

  it('what one page wrote the next one reads', async () => {
    const first = indexedDbStore('reopened');
    await first.open();
    await first.writeOwn([{ table: 'outbox', key: [1], value: 'text' }], await first.claim());
    await first.close();
    const second = indexedDbStore('reopened');
    await second.open();
    assert.equal((await second.readOwn('outbox', under()))[0]?.value, 'text');
    await second.close();
  });

  it('a database closed by the browser rejects until it is opened again', async () => {
    const store = indexedDbStore('closed');
    await store.open();
    await store.close();
    await assert.rejects(store.readCache('meta', under()));
    await store.open();
    assert.deepEqual(await store.readCache('meta', under()), []);
    await store.close();
  });
});
