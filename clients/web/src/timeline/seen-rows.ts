/**
 * Which rows count as read: those seen for 500 ms without a break (S9). Each row has its own
 * time, so that what arrives after it never puts it off.
 */

export const SEEN_MS = 500;

export class SeenRows {
  /** When each row in view came into it, by sequence, earliest first. */
  readonly #since = new Map<number, number>();
  /** Rows up to this moment are told. */
  #toldMs = Number.NEGATIVE_INFINITY;

  entered(sequence: number, nowMs: number): void {
    if (!this.#since.has(sequence)) this.#since.set(sequence, nowMs);
  }

  left(sequence: number): void {
    this.#since.delete(sequence);
  }

  /** The window is looked at again: what is in view counts from now. */
  restart(nowMs: number): void {
    for (const sequence of this.#since.keys()) this.#since.set(sequence, nowMs);
    this.#toldMs = Number.NEGATIVE_INFINITY;
  }

  /** When the next row counts as read; undefined = none is waited for. */
  nextMs(): number | undefined {
    for (const since of this.#since.values()) if (since > this.#toldMs) return since + SEEN_MS;
    return undefined;
  }

  /** The highest row that counts as read by now, 0 = none; their time is not waited for again. */
  readThrough(nowMs: number): number {
    this.#toldMs = nowMs - SEEN_MS;
    let through = 0;
    for (const [sequence, since] of this.#since)
      if (since <= this.#toldMs) through = Math.max(through, sequence);
    return through;
  }
}
