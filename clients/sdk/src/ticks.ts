/**
 * States of own messages in one conversation: a Cell per message that somebody may be looking at, so
 * that a receipt over n rows notifies n rows and no more (S10). States move forward only (S6).
 */
import type { Key, SendState } from './client-interface.ts';
import type { Sequence } from './contract.ts';
import type { ConversationLog } from './conversation-log.ts';
import { Cell, isShallowEqual, type Watch } from './store.ts';

/** Beyond it the oldest unwatched go; they are made again from the watermarks when asked for. */
const HELD_MAX = 1_024;
const RANK = { SENT: 0, STORED: 1, DELIVERED: 2, READ: 3 } as const;

interface Tick {
  readonly state: Cell<SendState>;
  readonly sequence: Sequence;
}

export class Ticks {
  readonly #ticks = new Map<Key, Tick>();
  readonly #watch: Watch;

  constructor(watch: Watch) {
    this.#watch = watch;
  }

  /** The state that a send's ref carries goes on as the row's. */
  adopt(key: Key, tick: Tick, log: ConversationLog | undefined): void {
    tick.state.watchedBy(this.#watch);
    this.#ticks.set(key, tick);
    if (log !== undefined) raise(tick, log);
    this.#bound();
  }

  get(key: Key, sequence: Sequence, log: ConversationLog | undefined): Cell<SendState> {
    let tick = this.#ticks.get(key);
    if (tick === undefined) {
      const state = new Cell<SendState>({ is: 'SENT' }, isShallowEqual, this.#watch);
      tick = { sequence, state };
      this.#ticks.set(key, tick);
      this.#bound();
    }
    if (log !== undefined) raise(tick, log);
    return tick.state;
  }

  sequenceOf(key: Key): Sequence | undefined {
    return this.#ticks.get(key)?.sequence;
  }

  /** Receipts came. */
  moved(log: ConversationLog): void {
    for (const tick of this.#ticks.values()) raise(tick, log);
  }

  #bound(): void {
    if (this.#ticks.size <= HELD_MAX) return;
    for (const [key, tick] of this.#ticks) {
      if (this.#ticks.size <= HELD_MAX / 2) return;
      if (!tick.state.isWatched) this.#ticks.delete(key);
    }
  }
}

function raise(tick: Tick, log: ConversationLog): void {
  const held = tick.state.get();
  const next = rankOf(tick.sequence, log);
  const rank = held.is === 'SENDING' || held.is === 'FAILED' ? -1 : RANK[held.is];
  if (RANK[next] > rank) tick.state.set({ is: next });
}

function rankOf(sequence: Sequence, log: ConversationLog): keyof typeof RANK {
  if (sequence <= log.receipts.watermarks.read) return 'READ';
  if (sequence <= log.receipts.watermarks.delivered) return 'DELIVERED';
  return (log.receipts.countsOf(sequence)?.queued ?? 0) > 0 ? 'STORED' : 'SENT';
}
