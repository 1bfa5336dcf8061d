import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { storeContract } from '../../test/store-contract.ts';
import { compareKeys, memoryStore } from './memory.ts';

describe('memory store', () => {
  storeContract(() => memoryStore());

  it('orders keys as IndexedDB does: a prefix first, numbers before text', () => {
    const keys = [['b'], ['a', 'x'], ['a'], ['a', 10], ['a', 9], [3]];
    assert.deepEqual(keys.sort(compareKeys), [[3], ['a'], ['a', 9], ['a', 10], ['a', 'x'], ['b']]);
  });
});
