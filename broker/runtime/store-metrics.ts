/** What a store says of itself on /metrics: read on demand, counted where things happen. */
import type { MetricSample } from '../../core/observe.ts';
import type { BlockCache } from './block-cache.ts';
import type { Flusher } from './flusher.ts';
import type { HotTail } from './hot-tail.ts';
import type { Residency } from './residency.ts';
import type { ShardUnit } from './shard-unit.ts';
import type { StoreBudget } from './store-budget.ts';
import type { StoreLoop } from './store-loop.ts';

/** The parts of a store that count. */
export interface CountedStore {
  readonly loop: StoreLoop;
  readonly budget: StoreBudget;
  readonly hotTail: HotTail;
  readonly cache: BlockCache;
  readonly flusher: Flusher | undefined;
  readonly residency: Residency | undefined;
  readonly units: readonly ShardUnit[];
  readonly links: { readonly size: number };
  readonly routes: { readonly userCount: number };
}

export function storeMetrics(store: CountedStore): readonly MetricSample[] {
  const { loop, budget, hotTail, cache, flusher, residency, units } = store;
  const samples: MetricSample[] = [
    counter(
      'rows_total',
      'Rows appended to conversations.',
      sum(units, (u) => u.effects.rows),
    ),
    counter('frames_total', 'WAL frames, each one sync.', loop.frames),
    counter('frame_bytes_total', 'Bytes of WAL frames.', loop.frameBytes),
    counter('sync_ms_total', 'Time that frames took until durable, ms.', loop.syncMs),
    gauge('sync_longest_ms', 'Longest of those since the last reading, ms.', loop.syncLongestMs),
    gauge('loop_delay_longest_ms', 'Longest stall of the loop, ms.', loop.loopDelayLongestMs),
    counter('flushes_total', 'Flushes to the state store.', flusher?.flushes ?? 0),
    counter(
      'flush_ms_total',
      'Time from the begin of flushes to their end.',
      flusher?.flushMs ?? 0,
    ),
    counter('flush_bytes_total', 'Bytes put into flush batches.', flusher?.bytes ?? 0),
    gauge('flush_slice_longest_ms', 'Longest slice of a flush.', flusher?.longestSliceMs ?? 0),
    counter('merged_blocks_total', 'Small blocks merged away.', flusher?.merges ?? 0),
    gauge('disk_low', '1 while the disk is nearly full and sends are refused.', +budget.isDiskLow),
    gauge('queue_bytes', 'Commands taken and not answered, bytes.', budget.bytes),
    gauge('tail_bytes', 'Rows in memory, bytes.', hotTail.bytes),
    gauge('block_cache_bytes', 'Decoded blocks in memory, bytes.', cache.bytes),
    gauge('resident_bytes', 'Conversation state in memory.', residency?.residentBytes ?? 0),
    counter('loads_total', 'States loaded from the store.', residency?.loads ?? 0),
    counter('evictions_total', 'States given up.', residency?.evictions ?? 0),
    gauge('links', 'Gateways attached.', store.links.size),
    gauge('routes', 'Users served by a gateway.', store.routes.userCount),
    gauge(
      'courier_owed',
      'Membership changes on their way.',
      sum(units, (u) => u.courier.owed),
    ),
    gauge(
      'shards_stopped',
      'Shards stopped on a fault.',
      sum(units, (u) => +u.shard.isStopped),
    ),
    gauge(
      'heads',
      'Recent changes in memory.',
      sum(units, (u) => u.heads.size),
    ),
  ];
  for (const [reason, value] of Object.entries(budget.refused))
    samples.push({ ...counter('refused_total', 'Commands refused.', value), labels: { reason } });
  loop.syncLongestMs = 0;
  loop.loopDelayLongestMs = 0;
  return samples;
}

function counter(name: string, help: string, value: number): MetricSample {
  return { name: `parley_store_${name}`, kind: 'counter', help, value };
}

function gauge(name: string, help: string, value: number): MetricSample {
  return { name: `parley_store_${name}`, kind: 'gauge', help, value };
}

function sum<T>(of: readonly T[], value: (item: T) => number): number {
  return of.reduce((total, item) => total + value(item), 0);
}
