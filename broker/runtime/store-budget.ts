/**
 * What is under way in a store: bytes of commands taken and not yet answered. Bounded per shard and
 * per store, and refused before anything is proposed, so that a slow disk is felt by who sends and
 * not by memory.
 */
import type { RefusalKind } from './refusals.ts';

/** Counts beside the body what a command costs while it is under way. */
const COMMAND_OVERHEAD_BYTES = 256;

export interface StoreBudgetOptions {
  readonly shards: number;
  readonly shardBytesMax: number;
  readonly storeBytesMax: number;
}

export class StoreBudget {
  readonly #options: StoreBudgetOptions;
  readonly #shards: Float64Array;
  #bytes = 0;
  /** Set by the WAL: free space is below its floor. */
  isDiskLow = false;
  /** The store is stopping. */
  isDraining = false;
  readonly refused: Partial<Record<RefusalKind, number>> = {};

  constructor(options: StoreBudgetOptions) {
    this.#options = options;
    this.#shards = new Float64Array(options.shards);
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Why nothing of this size may be taken now; undefined = it is taken and must be given back. */
  take(shard: number, commandBytes: number, isEssential: boolean): RefusalKind | undefined {
    if (this.isDraining) return 'draining';
    // What keeps people safe and logs consistent (a revoked session, a join on its way) goes on.
    if (this.isDiskLow && !isEssential) return 'lowDisk';
    const bytes = commandBytes + COMMAND_OVERHEAD_BYTES;
    const { shardBytesMax, storeBytesMax } = this.#options;
    if ((this.#shards[shard] ?? 0) + bytes > shardBytesMax) return 'overloaded';
    if (this.#bytes + bytes > storeBytesMax) return 'storeOverloaded';
    this.#add(shard, bytes);
    return undefined;
  }

  /** The store's own commands are charged, never refused. */
  charge(shard: number, commandBytes: number): void {
    this.#add(shard, commandBytes + COMMAND_OVERHEAD_BYTES);
  }

  giveBack(shard: number, commandBytes: number): void {
    this.#add(shard, -(commandBytes + COMMAND_OVERHEAD_BYTES));
  }

  countRefusal(kind: RefusalKind): void {
    this.refused[kind] = (this.refused[kind] ?? 0) + 1;
  }

  #add(shard: number, bytes: number): void {
    this.#shards[shard] = (this.#shards[shard] ?? 0) + bytes;
    this.#bytes += bytes;
  }
}
