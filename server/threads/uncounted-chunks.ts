/**
 * Chunks of rows and commands that V8 does not count, within bounds. What it counts as external
 * memory sets off a whole collection each 8 MiB (a small heap) to 64 MiB, though nearly all of it is
 * either kept or gone as one: at 1,000 sends a second that stopped the store's thread for 20 ms every
 * 3 seconds (docs/decisions/0014). Shared memory is not counted. Behind so much of it
 * since the last whole collection chunks are ordinary again, so that garbage stays bounded.
 */
import { constants, PerformanceObserver, type PerformanceEntry } from 'node:perf_hooks';
import { newChunk, sharedChunk, type NewChunk } from '../../core/bytes.ts';

/** Of garbage that no collection is asked for. */
const UNCOUNTED_BYTES_MAX: number = 64 << 20;

/** Calls back after each whole collection of this thread's heap. */
export type WatchCollections = (collected: () => void) => void;

export const watchCollections: WatchCollections = (collected) => {
  const major = constants.NODE_PERFORMANCE_GC_MAJOR;
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) if (kindOf(entry) === major) collected();
  }).observe({ entryTypes: ['gc'] });
};

/** For one thread. */
export function uncountedChunks(watch: WatchCollections = watchCollections): NewChunk {
  let leftBytes = UNCOUNTED_BYTES_MAX;
  watch(() => {
    leftBytes = UNCOUNTED_BYTES_MAX;
  });
  return (bytes) => {
    if (bytes > leftBytes) return newChunk(bytes);
    leftBytes -= bytes;
    return sharedChunk(bytes);
  };
}

function kindOf(entry: PerformanceEntry): unknown {
  const detail: unknown = 'detail' in entry ? entry.detail : undefined;
  return typeof detail === 'object' && detail !== null && 'kind' in detail
    ? detail.kind
    : undefined;
}
