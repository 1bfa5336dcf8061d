/** The messages that a batch of sync events reads and changes: the cache's, then the batch's own. */
import type { ConversationId, Message, Sequence } from './contract.ts';
import type { CacheTable, StorePut } from './stores/store-port.ts';

/** Messages by sequence: what the cache holds, and above it what this batch changed. */
export interface Messages {
  get(sequence: Sequence): Message | undefined;
  set(sequence: Sequence, message: Message): void;
}

/** How much more (or less) the cache holds for one message. */
export interface WeighedMessage {
  readonly conversationId: ConversationId;
  readonly sequence: Sequence;
  readonly timeMs: number;
  readonly bytes: number;
}

export class MessageBatch {
  readonly #held = new Map<ConversationId, Map<Sequence, Message>>();
  readonly #changed = new Map<ConversationId, Map<Sequence, Message>>();

  /** Puts in what the cache holds. */
  hold(conversationId: ConversationId, message: Message): void {
    let held = this.#held.get(conversationId);
    if (held === undefined) this.#held.set(conversationId, (held = new Map()));
    held.set(message.sequence, message);
  }

  of(conversationId: ConversationId): Messages {
    return {
      get: (sequence) =>
        this.#changed.get(conversationId)?.get(sequence) ??
        this.#held.get(conversationId)?.get(sequence),
      set: (sequence, message) => {
        if (this.#held.get(conversationId)?.get(sequence) === message) return;
        let changed = this.#changed.get(conversationId);
        if (changed === undefined) this.#changed.set(conversationId, (changed = new Map()));
        changed.set(sequence, message);
      },
    };
  }

  changed(): ReadonlyMap<ConversationId, ReadonlyMap<Sequence, Message>> {
    return this.#changed;
  }

  /** What each change adds to what was held. */
  *weights(weightOf: (message: Message) => number): Iterable<WeighedMessage> {
    for (const [conversationId, messages] of this.#changed)
      for (const [sequence, message] of messages) {
        const held = this.#held.get(conversationId)?.get(sequence);
        const bytes = weightOf(message) - (held === undefined ? 0 : weightOf(held));
        yield { conversationId, sequence, timeMs: message.timeMs ?? 0, bytes };
      }
  }

  puts(): StorePut<CacheTable>[] {
    const puts: StorePut<CacheTable>[] = [];
    for (const [id, messages] of this.#changed)
      for (const message of messages.values())
        puts.push({ table: 'messages', key: [id, message.sequence], value: message });
    return puts;
  }
}
