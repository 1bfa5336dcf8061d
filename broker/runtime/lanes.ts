/**
 * Commands that wait for state: one queue per conversation (or user), only while something of it is
 * being loaded. Whoever comes later queues behind, so the order of arrival is kept per conversation
 * and with it per outbox.
 */
import { IdMap } from '../../core/id-map.ts';
import type { Answerer } from './answers.ts';

/** Commands waiting in one conversation. A session has at most 32 sends in flight there. */
export const LANE_COMMANDS_MAX = 1024;

export interface Held {
  command: Uint8Array;
  /** What the budget was charged. */
  readonly bytes: number;
  readonly answerer: Answerer;
  readonly request: number;
  /** A mark that was completed, or found to need nothing: not asked again. */
  isCompleted: boolean;
}

export class Lane {
  readonly key: Uint8Array;
  readonly #held: Held[] = [];
  #head = 0;

  constructor(key: Uint8Array) {
    this.key = key;
  }

  get size(): number {
    return this.#held.length - this.#head;
  }
  get first(): Held | undefined {
    return this.#held[this.#head];
  }
  /** False = full. */
  push(held: Held): boolean {
    if (this.size >= LANE_COMMANDS_MAX) return false;
    this.#held.push(held);
    return true;
  }
  shift(): void {
    this.#head++;
  }
}

export class Lanes {
  readonly #lanes = new IdMap<Lane>();

  get size(): number {
    return this.#lanes.size;
  }
  get(key: Uint8Array): Lane | undefined {
    return this.#lanes.size === 0 ? undefined : this.#lanes.get(key);
  }
  open(key: Uint8Array): Lane {
    const lane = new Lane(key.slice());
    this.#lanes.set(lane.key, lane);
    return lane;
  }
  close(lane: Lane): void {
    this.#lanes.delete(lane.key);
  }
  all(): Lane[] {
    return [...this.#lanes.values()];
  }
}
