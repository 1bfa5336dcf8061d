/**
 * The accounting that both carriers share: what is under way, when the sender should hold back, when
 * the receiver owes credits. Bytes are counted as the slabs are long.
 */
import { ParleyError } from '../../core/errors.ts';
import { LINK_QUEUE_BYTES_MAX, LINK_WINDOW_BYTES } from '../../core/link.ts';

/** Credits are returned in portions, so that they cost next to nothing. */
const CREDIT_PORTION_BYTES = LINK_WINDOW_BYTES / 8;

export class CreditWindow {
  #underWay = 0;
  #owed = 0;
  #wasFull = false;

  get bytesUnderWay(): number {
    return this.#underWay;
  }

  get isWritable(): boolean {
    return this.#underWay < LINK_WINDOW_BYTES;
  }

  /** Returns the error to close with when the bound is passed. */
  sent(bytes: number): ParleyError | undefined {
    this.#underWay += bytes;
    if (this.#underWay >= LINK_WINDOW_BYTES) this.#wasFull = true;
    if (this.#underWay <= LINK_QUEUE_BYTES_MAX) return undefined;
    return new ParleyError('SLOW_CONSUMER', 'the other side of a link stopped reading');
  }

  /** True = it has become writable again after having been full. */
  credited(bytes: number): boolean {
    this.#underWay = Math.max(0, this.#underWay - bytes);
    if (!this.#wasFull || !this.isWritable) return false;
    this.#wasFull = false;
    return true;
  }

  /** Bytes to credit to the other side now; 0 = not yet. */
  consumed(bytes: number): number {
    this.#owed += bytes;
    if (this.#owed < CREDIT_PORTION_BYTES) return 0;
    const portion = this.#owed;
    this.#owed = 0;
    return portion;
  }
}
