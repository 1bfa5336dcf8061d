import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { SILENT } from '../../core/observe.ts';
import { Tasks } from '../../core/tasks.ts';
import type { Index, Term } from '../../core/ids.ts';
import { MemoryStateStore, StateMedium } from '../../storage-engine/memory-state-store.ts';
import { idOf } from '../conversation/test-kit.ts';
import { BlockCache } from './block-cache.ts';
import type { FlushCut } from './flush-cut.ts';
import { Flusher, type FlushedShard } from './flusher.ts';
import { HotTail } from './hot-tail.ts';
import { blankRow } from './testing/blank-row.ts';
import { VirtualTime } from './testing/virtual-time.ts';

const SHARDS = 4;
const INTERVAL_MS = 1000;
const BYTES_MAX = 4000;
const ROW_BYTES = 100;
const FAR_MS = 1e9;

/** A shard whose log rises by one with every row that it is given. */
class CountingShard implements FlushedShard {
  readonly #shard: number;
  readonly #tail: HotTail;
  readonly #flushes: number[];
  #applied = 0;
  durable = 0;

  constructor(shard: number, tail: HotTail, flushes: number[]) {
    this.#shard = shard;
    this.#tail = tail;
    this.#flushes = flushes;
  }

  apply(bytes: number): void {
    const sequence = ++this.#applied;
    this.#tail.append(this.#shard, idOf(1 + this.#shard), sequence, blankRow(bytes));
  }

  cut(): FlushCut | undefined {
    if (this.#applied === this.durable) return undefined;
    this.#flushes.push(this.#shard);
    const configuration = { voters: [], outgoing: [], learners: [] };
    return {
      shard: this.#shard,
      applied: {
        at: { index: this.#applied as Index, term: 1 as Term, configuration },
        stampMs: 0,
      },
      couriers: new Float64Array(SHARDS),
      rows: this.#tail.cut(this.#shard),
      units: [],
      pages: [],
      overlays: [],
      erasures: [],
      journal: undefined,
    };
  }

  flushed(cut: FlushCut): void {
    this.durable = cut.applied.at.index;
  }
}

async function flusherOver(): Promise<{
  readonly time: VirtualTime;
  readonly medium: StateMedium;
  readonly flusher: Flusher;
  readonly shards: readonly CountingShard[];
  /** Shards in the order in which they were flushed. */
  readonly flushes: number[];
  readonly trims: ReadonlyMap<number, number>[];
}> {
  const time = new VirtualTime();
  const medium = new StateMedium();
  const state = new MemoryStateStore({ medium });
  await state.open();
  const hotTail = new HotTail({ shards: SHARDS, bytesMax: 1 });
  const flushes: number[] = [];
  const trims: ReadonlyMap<number, number>[] = [];
  const shards = Array.from(
    { length: SHARDS },
    (_, shard) => new CountingShard(shard, hotTail, flushes),
  );
  const flusher = new Flusher({
    state,
    shards,
    hotTail,
    cache: new BlockCache(1000),
    clock: time,
    timers: time,
    tasks: new Tasks({ max: 10, log: SILENT, failed: (_, error) => assert.fail(String(error)) }),
    intervalMs: INTERVAL_MS,
    bytesMax: BYTES_MAX,
    trimWal: (flushed) => trims.push(new Map(flushed)),
    erasing: () => new Uint8Array(0),
    maintain: () => Promise.resolve(),
  });
  return { time, medium, flusher, shards, flushes, trims };
}

describe('the turns of the flusher', () => {
  it('takes each shard once in an interval, one after another, and skips what did not change', async () => {
    const { time, flusher, shards, flushes, trims } = await flusherOver();
    flusher.start();
    for (const shard of [0, 1, 3]) shards[shard]?.apply(ROW_BYTES);
    await time.advance(INTERVAL_MS / 2);
    assert.deepEqual(flushes, [0, 1]);
    await time.advance(INTERVAL_MS / 2);
    assert.deepEqual(flushes, [0, 1, 3]);
    shards[1]?.apply(ROW_BYTES);
    await time.advance(INTERVAL_MS);
    assert.deepEqual(flushes, [0, 1, 3, 1]);
    assert.deepEqual(
      [...(trims.at(-1) ?? [])],
      [
        [0, 1],
        [1, 2],
        [3, 1],
      ],
    );
  });

  it('too many bytes make it hurry until they are durable, whichever shard has them', async () => {
    const { time, flusher, shards, flushes } = await flusherOver();
    flusher.start();
    for (let row = 0; row < 10; row++) shards[2]?.apply(BYTES_MAX / 8);
    for (let look = 0; look < SHARDS; look++) {
      flusher.applied();
      await time.settle();
    }
    assert.deepEqual(flushes, [2]);
    assert.equal(shards[2]?.durable, 10);
    flusher.applied();
    await time.settle();
    assert.deepEqual(flushes, [2]);
  });

  it('a stop flushes all that there is time for and leaves the rest to the log', async () => {
    for (const [untilMs, durable] of [
      [FAR_MS, [1, 1, 1, 1]],
      [150, [1, 1, 0, 0]],
    ] as const) {
      const { time, medium, flusher, shards } = await flusherOver();
      medium.faults = { beforeWrite: () => time.skip(100) };
      flusher.start();
      for (const shard of shards) shard.apply(ROW_BYTES);
      await flusher.stop(untilMs);
      assert.deepEqual(
        shards.map((shard) => shard.durable),
        durable,
      );
    }
  });
});
