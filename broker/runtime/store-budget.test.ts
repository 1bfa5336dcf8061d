import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { idOf, sendCommand } from '../conversation/test-kit.ts';
import { StoreBudget } from './store-budget.ts';

const COMMAND = sendCommand({ to: idOf(1), from: idOf(2), clientSeq: 1 });

describe('the budget of a store', () => {
  it('bounds each shard and all together, and takes again what is given back', () => {
    const budget = new StoreBudget({
      shards: 3,
      shardBytesMax: 2 * (COMMAND.length + 256),
      storeBytesMax: 3 * (COMMAND.length + 256),
      unflushedBytes: () => 0,
      unflushedBytesMax: 1,
    });
    assert.deepEqual(
      [0, 0, 0, 1, 1, 2].map((shard) => budget.take(shard, COMMAND)),
      [undefined, undefined, 'overloaded', undefined, 'storeOverloaded', 'storeOverloaded'],
    );
    budget.giveBack(0, COMMAND.length);
    assert.equal(budget.take(2, COMMAND), undefined);
    assert.equal(budget.take(0, COMMAND), 'storeOverloaded');
    for (const shard of [0, 1, 2]) budget.giveBack(shard, COMMAND.length);
    assert.equal(budget.bytes, 0);
    budget.isDraining = true;
    assert.equal(budget.take(0, COMMAND), 'draining');
    assert.equal(budget.bytes, 0);
  });
});
