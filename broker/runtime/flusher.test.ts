import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { SILENT } from '../../core/observe.ts';
import { Tasks } from '../../core/tasks.ts';
import type { StateStore } from '../../storage-engine/contract.ts';
import { idOf } from '../conversation/test-kit.ts';
import { BlockCache } from './block-cache.ts';
import type { FlushCut } from './flush-cut.ts';
import { Flusher } from './flusher.ts';
import { HotTail } from './hot-tail.ts';
import { blankRow } from './testing/blank-row.ts';
import { VirtualTime } from './testing/virtual-time.ts';

const SHARD = 3;
const CONVERSATION = idOf(1, 4);

interface Bench {
  readonly flusher: Flusher;
  readonly time: VirtualTime;
  readonly hotTail: HotTail;
  readonly cache: BlockCache;
  /** What was done, in order. */
  readonly done: string[];
  readonly failures: unknown[];
  /** Ends the write that is under way. */
  end(error?: Error): void;
  append(): void;
}

/** A flusher of one shard over a state store whose writes end when they are told to. */
function bench(): Bench {
  const time = new VirtualTime();
  const done: string[] = [];
  const failures: unknown[] = [];
  const hotTail = new HotTail({ shards: SHARD + 1, bytesMax: 1 });
  const cache = new BlockCache(1e6);
  let under: { resolve: () => void; reject: (error: Error) => void } | undefined;
  const state = {
    newBatch: () => ({
      bytes: 1,
      put: () => undefined,
      del: () => undefined,
      write: ({ sync }: { sync: boolean }) =>
        new Promise<void>((resolve, reject) => {
          assert.ok(sync && under === undefined, 'one synced batch in flight');
          done.push('written');
          under = { resolve, reject };
        }),
    }),
    getMany: (keys: readonly Uint8Array[]) => Promise.resolve(keys.map(() => undefined)),
  } as unknown as StateStore;
  let index = 0;
  const configuration = { voters: [], outgoing: [], learners: [] };
  const cut = (): FlushCut | undefined => {
    const rows = hotTail.cut(SHARD);
    if (rows.length === 0) return undefined;
    const value = new Uint8Array(1);
    return {
      shard: SHARD,
      applied: { at: { index, term: 1, configuration }, stampMs: 0 },
      couriers: new Float64Array(1),
      rows,
      units: [],
      pages: [],
      overlays: [
        { conversation: CONVERSATION, target: 1, value, erased: false, changeSequence: 1 },
      ],
      erasures: [],
      journal: undefined,
    } as unknown as FlushCut;
  };
  const flusher = new Flusher({
    state,
    shards: [{ cut, flushed: ({ applied }) => void done.push(`flushed ${applied.at.index}`) }],
    hotTail,
    cache,
    clock: time,
    timers: time,
    tasks: new Tasks({ max: 4, log: SILENT, failed: (_, error) => void failures.push(error) }),
    intervalMs: 1000,
    bytesMax: 1e6,
    trimWal: (flushed) => void done.push(`trimmed ${flushed.get(SHARD)}`),
    erasing: () => new Uint8Array(0),
    maintain: () => Promise.resolve(),
  });
  return {
    flusher,
    time,
    hotTail,
    cache,
    done,
    failures,
    end: (error) => {
      const { resolve, reject } = under ?? assert.fail('nothing is being written');
      under = undefined;
      if (error === undefined) resolve();
      else reject(error);
    },
    append: () => hotTail.append(SHARD, CONVERSATION, ++index, blankRow(200)),
  };
}

describe('the flusher', () => {
  it('lets the log, the tail and the shard forget only what is durable, in this order', async () => {
    const { flusher, time, hotTail, cache, done, end, append } = bench();
    flusher.start();
    append();
    await time.advance(1500);
    assert.deepEqual(done, ['written']);
    assert.equal(hotTail.tail(CONVERSATION)?.durable, 0);
    assert.ok(hotTail.row(CONVERSATION, 1) !== undefined);
    const { generation } = cache;
    end();
    await time.settle();
    assert.deepEqual(done, ['written', 'flushed 1', 'trimmed 1']);
    assert.equal(hotTail.row(CONVERSATION, 1), undefined);
    // Overlays that a read found before are not those that are stored now.
    assert.ok(cache.generation > generation);
  });

  it('lets nothing be forgotten if the state store fails, and says so', async () => {
    const { flusher, time, hotTail, done, failures, end, append } = bench();
    flusher.start();
    append();
    await time.advance(1500);
    end(new Error('the state store failed'));
    await time.settle();
    assert.deepEqual(done, ['written']);
    assert.equal(failures.length, 1);
    assert.ok(hotTail.row(CONVERSATION, 1) !== undefined);
  });

  it('a stop waits for the flush under way, then takes what is left', async () => {
    const { flusher, time, done, end, append } = bench();
    flusher.start();
    append();
    await time.advance(1500);
    append();
    const stopped = flusher.stop(Infinity);
    await time.advance(100);
    assert.deepEqual(done, ['written']);
    end();
    await time.advance(100);
    assert.deepEqual(done, ['written', 'flushed 1', 'trimmed 1', 'written']);
    end();
    await stopped;
    assert.deepEqual(done.slice(4), ['flushed 2', 'trimmed 2']);
  });
});
