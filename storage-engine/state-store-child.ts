/** A process for state-store.test.ts to kill: writes synced batches, one byte of output for each. */
import fs from 'node:fs';
import { loadRocksBinding } from './rocks-binding.ts';
import { RocksStateStore } from './rocks-state-store.ts';
import { TEST_KEYS, testDataKey } from './testing.ts';

const store = new RocksStateStore({
  binding: loadRocksBinding(),
  path: process.argv[2] ?? '',
  keys: TEST_KEYS,
  newDataKey: () => testDataKey('state', 1),
  cacheBytes: 8 << 20,
});
await store.open();
for (let i = 0; i < 10_000; i++) {
  const batch = store.newBatch();
  batch.put(Buffer.from(`h${String(i).padStart(6, '0')}`), new Uint8Array(1024).fill(i));
  await batch.write({ sync: true });
  fs.writeSync(1, '.');
}
