/**
 * A gateway's subscription to the shards of a store: how far everything planned for it has been
 * sent, and where something is missing. Pushes are hints and the log is the truth, but a lost hint
 * is announced: an outlet that was behind, and a new one, gets `resync` and its sessions run Resume.
 *
 * LIMIT: a feed keeps no tail, so a Link that broke starts with a resync of every shard instead of
 * at its position (DESIGN §4 Feed): with one node a break of the Link is a restart of either side.
 */
import { invariant } from '../../core/invariant.ts';
import { RECORD, type SlabWriter } from '../../core/record.ts';

export class Feed {
  readonly #out: SlabWriter;
  /** Per shard: the index through which the outlet was told that all was sent. */
  readonly #told: Float64Array;
  readonly #missed: Uint8Array;
  #hasMissed = false;

  constructor(out: SlabWriter, shards: number) {
    this.#out = out;
    this.#told = new Float64Array(shards);
    this.#missed = new Uint8Array(shards);
  }

  /** Something of this shard was not sent: no progress is claimed until that is announced. */
  missed(shard: number): void {
    this.#missed[shard] = 1;
    this.#hasMissed = true;
  }

  /** Behind the outlet's whole set of routes: whatever came before is not known to be there. */
  missedAll(): void {
    this.#missed.fill(1);
    this.#hasMissed = true;
  }

  /** Announces what was missed, if there is room again. */
  announce(isWritable: boolean): void {
    if (!this.#hasMissed || !isWritable) return;
    for (let shard = 0; shard < this.#missed.length; shard++) {
      if (this.#missed[shard] === 0) continue;
      this.#missed[shard] = 0;
      this.#out.begin({ kind: RECORD.resync, shard }, 0);
    }
    this.#hasMissed = false;
  }

  /** Everything through `index` of the shard has been written to this outlet. */
  progress(shard: number, index: number): void {
    const told = this.#told[shard] ?? 0;
    invariant(index >= told, 'feed.progress-never-falls', () => ({ shard, index, told }));
    if (index === told || this.#missed[shard] === 1) return;
    this.#told[shard] = index;
    this.#out.begin({ kind: RECORD.progress, shard, position: index }, 0);
  }
}
