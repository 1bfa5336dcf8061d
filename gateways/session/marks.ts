/**
 * Marks of one connection on their way to the log: per conversation the highest, at most one each
 * 200 ms (2 s in large groups). Marks only rise, so merging loses nothing, and repeating them does
 * no harm: nobody answers a mark, so one that was lost with the Link or refused by a busy store is
 * found by saying all recent ones again.
 */
import { COMMAND_KIND } from '../../core/command.ts';
import { encodeCommand } from '../../core/command-codec.ts';

export interface Mark {
  readonly conversation: Uint8Array;
  readonly conversationId: string;
  readonly deliveredThrough: number;
  readonly readThrough: number;
}

interface Merged {
  readonly conversation: Uint8Array;
  delivered: number;
  read: number;
  isPending: boolean;
  /** The next one may leave then. */
  dueMs: number;
  /** When it last left. */
  toldMs: number;
}

/** Beyond this many conversations those that wait for nothing are forgotten. */
const REMEMBERED_MAX = 256;

export class MarkMerger {
  readonly #merged = new Map<string, Merged>();
  #nextDueMs = Infinity;
  /** Looked through when there are twice as many as were left the last time. */
  #pruneAt = REMEMBERED_MAX;

  /** When the next merged mark may leave; Infinity = none waits. */
  get nextDueMs(): number {
    return this.#nextDueMs;
  }

  /** True = it may leave at once; false = it waits for its time, or says nothing new. */
  offer(mark: Mark, intervalMs: number, nowMs: number): boolean {
    const known = this.#merged.get(mark.conversationId);
    if (known === undefined) {
      this.#prune(nowMs);
      this.#merged.set(mark.conversationId, {
        conversation: mark.conversation,
        delivered: mark.deliveredThrough,
        read: mark.readThrough,
        isPending: false,
        dueMs: nowMs + intervalMs,
        toldMs: nowMs,
      });
      return true;
    }
    if (mark.deliveredThrough <= known.delivered && mark.readThrough <= known.read) {
      if (known.isPending || nowMs < known.dueMs) return false;
      // The same again after a break: its first copy may have been lost on the way.
      known.dueMs = nowMs + intervalMs;
      known.toldMs = nowMs;
      return true;
    }
    known.delivered = Math.max(known.delivered, mark.deliveredThrough);
    known.read = Math.max(known.read, mark.readThrough);
    if (!known.isPending && nowMs >= known.dueMs) {
      known.dueMs = nowMs + intervalMs;
      known.toldMs = nowMs;
      return true;
    }
    known.isPending = true;
    this.#nextDueMs = Math.min(this.#nextDueMs, known.dueMs);
    return false;
  }

  /** Commands of all marks whose time has come; `nowMs` Infinity = of all that wait. */
  due(
    nowMs: number,
    caller: Uint8Array,
    intervalOf: (conversation: Uint8Array) => number,
  ): Uint8Array[] {
    const commands: Uint8Array[] = [];
    let next = Infinity;
    for (const mark of this.#merged.values()) {
      if (!mark.isPending) continue;
      if (mark.dueMs > nowMs) {
        next = Math.min(next, mark.dueMs);
        continue;
      }
      mark.isPending = false;
      mark.dueMs = nowMs + intervalOf(mark.conversation);
      mark.toldMs = nowMs;
      commands.push(markCommand(caller, mark.conversation, mark.delivered, mark.read));
    }
    this.#nextDueMs = next;
    return commands;
  }

  /** Commands of the marks that left since then, once more. LIMIT: of the remembered ones. */
  toldSince(sinceMs: number, caller: Uint8Array): Uint8Array[] {
    const commands: Uint8Array[] = [];
    for (const mark of this.#merged.values())
      if (mark.toldMs >= sinceMs)
        commands.push(markCommand(caller, mark.conversation, mark.delivered, mark.read));
    return commands;
  }

  #prune(nowMs: number): void {
    if (this.#merged.size < this.#pruneAt) return;
    for (const [conversationId, mark] of this.#merged)
      if (!mark.isPending && mark.dueMs <= nowMs) this.#merged.delete(conversationId);
    this.#pruneAt = Math.max(REMEMBERED_MAX, 2 * this.#merged.size);
  }
}

export function markCommand(
  caller: Uint8Array,
  conversation: Uint8Array,
  deliveredThrough: number,
  readThrough: number,
): Uint8Array {
  return encodeCommand({
    kind: COMMAND_KIND.mark,
    timeMs: 0,
    key: conversation,
    caller,
    deliveredThrough: Math.max(deliveredThrough, readThrough),
    readThrough,
  });
}
