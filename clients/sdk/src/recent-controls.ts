/**
 * Control rows (edits, deletes, reactions) that passed lately: what was read before them, or came
 * late, is brought up to date with them. What is older than the oldest of them cannot be.
 */
import type { LogRow, Sequence, UserId } from './contract.ts';
import { applyControl, changeOf, targetOf } from './message-merge.ts';
import type { Messages } from './message-batch.ts';

const CONTROLS_MAX = 64;

export interface ControlContext {
  readonly me: UserId;
  readonly messages: Messages;
}

export class RecentControls {
  #rows: LogRow[] = [];
  /** All control rows above this one are here. */
  #from: Sequence;

  constructor(from: Sequence) {
    this.#from = from;
  }

  get from(): Sequence {
    return this.#from;
  }

  passed(row: LogRow): void {
    this.#rows.push(row);
    if (this.#rows.length > CONTROLS_MAX) this.#from = this.#rows.shift()?.sequence ?? this.#from;
  }

  /** A message that came late: all that passed for it. */
  bringUp(sequence: Sequence, { me, messages }: ControlContext): void {
    for (const row of this.#rows) {
      const held = targetOf(row.body) === sequence ? messages.get(sequence) : undefined;
      if (held !== undefined) messages.set(sequence, applyControl(held, row, me));
    }
  }

  /** All messages at hand, as far as they do not know of a change yet. */
  bringUpAll({ me, messages }: ControlContext): void {
    for (const row of this.#rows) {
      const target = targetOf(row.body);
      const held = target === undefined ? undefined : messages.get(target);
      if (target !== undefined && held !== undefined && row.sequence > changeOf(held))
        messages.set(target, applyControl(held, row, me));
    }
  }

  /** From here on; of what passed before nothing is known. */
  restart(from: Sequence): void {
    this.#rows = [];
    this.#from = from;
  }
}
