/**
 * What this gateway knows of the shards' feeds: how far each has arrived, and per conversation the
 * newest stamp that passed by and whether it is a large group. Forgetting is safe: a conversation
 * that is not remembered counts as unseen, and the five-minute check then tells it again.
 */

import { idHash, wordAt } from '../core/id-map.ts';

const WAYS = 4;
const SETS = 32_768;
const ID_WORDS = 4;

export class Feed {
  readonly #positions: number[];
  // A cache of fixed size, where a conversation has four places and takes the one whose stamp is
  // oldest: a map that was emptied when full cost a tenth of each send over 10^5 conversations.
  // Pages of it that no conversation falls into are never touched, so it costs nothing when idle.
  readonly #ids = new Uint32Array(SETS * WAYS * ID_WORDS);
  readonly #timesMs = new Float64Array(SETS * WAYS);
  readonly #isLarge = new Uint8Array(SETS * WAYS);

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
    const known = this.#find(conversation);
    if (known >= 0) {
      this.#timesMs[known] = Math.max(this.#timesMs[known] ?? 0, timeMs);
      if (isLarge) this.#isLarge[known] = 1;
      return;
    }
    const first = firstPlace(conversation);
    let place = first;
    for (let at = first + 1; at < first + WAYS; at++)
      if ((this.#timesMs[at] ?? 0) < (this.#timesMs[place] ?? 0)) place = at;
    for (let word = 0; word < ID_WORDS; word++)
      this.#ids[place * ID_WORDS + word] = wordAt(conversation, 4 * word);
    this.#timesMs[place] = timeMs;
    this.#isLarge[place] = isLarge ? 1 : 0;
  }

  lastSeenMs(conversation: Uint8Array): number {
    return this.#timesMs[this.#find(conversation)] ?? 0;
  }

  isLargeGroup(conversation: Uint8Array): boolean {
    return this.#isLarge[this.#find(conversation)] === 1;
  }

  /** -1 = not remembered. */
  #find(conversation: Uint8Array): number {
    const first = firstPlace(conversation);
    const ids = this.#ids;
    for (let at = first; at < first + WAYS; at++) {
      const id = at * ID_WORDS;
      if (
        ids[id + 3] === wordAt(conversation, 12) &&
        ids[id] === wordAt(conversation, 0) &&
        ids[id + 1] === wordAt(conversation, 4) &&
        ids[id + 2] === wordAt(conversation, 8)
      )
        return at;
    }
    return -1;
  }
}

function firstPlace(conversation: Uint8Array): number {
  return (idHash(conversation) & (SETS - 1)) * WAYS;
}
