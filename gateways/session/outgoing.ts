/**
 * What a slow connection misses, so that it can be told: while its socket holds too much, rows are
 * dropped and remembered as gaps, one a conversation; when it has drained, the gaps go out first.
 */
import { GAPS_MAX } from './limits.ts';

export interface MissedRows {
  readonly conversationId: string;
  readonly epoch: number;
  readonly from: number;
  head: number;
}

export class Outgoing {
  readonly #missed = new Map<string, MissedRows>();
  #missedTooMany = false;

  get hasMissed(): boolean {
    return this.#missedTooMany || this.#missed.size > 0;
  }

  miss(row: { conversationId: string; epoch: number; sequence: number; head: number }): void {
    const known = this.#missed.get(row.conversationId);
    if (known !== undefined) {
      known.head = Math.max(known.head, row.head);
      return;
    }
    if (this.#missed.size >= GAPS_MAX) {
      this.#missedTooMany = true;
      return;
    }
    const { conversationId, epoch, sequence, head } = row;
    this.#missed.set(conversationId, { conversationId, epoch, from: sequence, head });
  }

  /** All that was missed, which is then forgotten. undefined = too much: a gap over everything. */
  take(): readonly MissedRows[] | undefined {
    const missed = [...this.#missed.values()];
    const isTooMuch = this.#missedTooMany;
    this.#missed.clear();
    this.#missedTooMany = false;
    return isTooMuch ? undefined : missed;
  }
}
