/**
 * What is under way in a store: bytes of commands taken and not yet answered, and of rows that no
 * flush has taken. Bounded per shard and per store, and refused before anything is proposed, so that
 * a slow disk is felt by who sends and not by memory.
 */
import { COMMAND_KIND, SendView, commandKind } from '../../core/command.ts';
import { BODY_KIND } from '../../core/row.ts';
import type { RefusalKind } from './refusals.ts';

/** Counts beside the body what a command costs while it is under way. */
const COMMAND_OVERHEAD_BYTES = 256;

export interface StoreBudgetOptions {
  readonly shards: number;
  readonly shardBytesMax: number;
  readonly storeBytesMax: number;
  /** Rows that wait for a flush: beyond the bound the state store cannot follow. */
  readonly unflushedBytes: () => number;
  readonly unflushedBytesMax: number;
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

  /** Why this command may not be taken now; undefined = it is taken and must be given back. */
  take(shard: number, command: Uint8Array): RefusalKind | undefined {
    if (this.isDraining) return 'draining';
    if (this.isDiskLow && !goesOnWithLowDisk(command)) return 'lowDisk';
    const bytes = command.length + COMMAND_OVERHEAD_BYTES;
    const { shardBytesMax, storeBytesMax } = this.#options;
    if ((this.#shards[shard] ?? 0) + bytes > shardBytesMax) return 'overloaded';
    if (this.#bytes + bytes > storeBytesMax) return 'storeOverloaded';
    if (this.#isBehind && !goesOnWithLowDisk(command)) return 'behind';
    this.#add(shard, bytes);
    return undefined;
  }

  /** A flush takes what waits at once, so this ends with the one under way. */
  get #isBehind(): boolean {
    return this.#options.unflushedBytes() > this.#options.unflushedBytesMax;
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

/**
 * What a nearly full disk still takes: what frees space (a delete), keeps people safe and logs
 * consistent (a removal, a block, a revoked session, a join on its way), or is small and rare (marks
 * are merged on their way here). Whatever brings content or members waits for room.
 */
export function goesOnWithLowDisk(command: Uint8Array): boolean {
  switch (commandKind(command)) {
    case COMMAND_KIND.send:
      return new SendView(command).bodyKind === BODY_KIND.delete;
    case COMMAND_KIND.createGroup:
    case COMMAND_KIND.addMembers:
    case COMMAND_KIND.updateConversation:
      return false;
    default:
      return true;
  }
}
