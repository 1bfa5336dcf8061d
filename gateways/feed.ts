/**
 * What this gateway knows of the shards' feeds: how far each has arrived, and per conversation the
 * newest stamp that passed by and whether it is a large group. Forgetting is safe: a conversation
 * that is not remembered counts as unseen, and the five-minute check then tells it again.
 */

import { IdMap } from '../core/id-map.ts';

interface Seen {
  timeMs: number;
  isLarge: boolean;
}

const SEEN_MAX = 100_000;

export class Feed {
  readonly #positions: number[];
  readonly #seen = new IdMap<Seen>();

  constructor(shardCount: number) {
    this.#positions = Array.from({ length: shardCount }, () => 0);
  }

  /** By shard: everything planned for this gateway through this index has arrived. */
  get positions(): readonly number[] {
    return this.#positions;
  }

  progress(shard: number, index: number): void {
    const before = this.#positions[shard];
    if (before !== undefined && index > before) this.#positions[shard] = index;
  }

  saw(conversation: Uint8Array, timeMs: number, isLarge: boolean): void {
    const known = this.#seen.get(conversation);
    if (known !== undefined) {
      known.timeMs = Math.max(known.timeMs, timeMs);
      known.isLarge ||= isLarge;
      return;
    }
    if (this.#seen.size >= SEEN_MAX) this.#seen.clear();
    this.#seen.set(conversation, { timeMs, isLarge });
  }

  lastSeenMs(conversation: Uint8Array): number {
    return this.#seen.get(conversation)?.timeMs ?? 0;
  }

  isLargeGroup(conversation: Uint8Array): boolean {
    return this.#seen.get(conversation)?.isLarge ?? false;
  }
}
