/** One record that names the first screen (S13): what is read before anything else at the next start. */
import type { ConversationId, User } from './contract.ts';
import type { ConversationLog } from './conversation-log.ts';
import type { HostPort } from './host.ts';
import type { SavedStore } from './saved-store.ts';

const ROWS = 50;
const SAVE_AFTER_MS = 3_000;

export interface ShelfRecord {
  readonly conversations: readonly ConversationId[];
  readonly user: User;
}

export class Shelf {
  readonly #host: HostPort;
  readonly #store: SavedStore;
  readonly #read: () => { readonly logs: Iterable<ConversationLog>; readonly user: User };
  #cancel: (() => void) | undefined;

  constructor(
    host: HostPort,
    store: SavedStore,
    read: () => { readonly logs: Iterable<ConversationLog>; readonly user: User },
  ) {
    this.#host = host;
    this.#store = store;
    this.#read = read;
  }

  changed(): void {
    this.#cancel ??= this.#host.after(SAVE_AFTER_MS, () => {
      this.flush().catch(() => undefined);
    });
  }

  /** Saves now what waits to be saved. */
  async flush(): Promise<void> {
    if (this.#cancel === undefined) return;
    this.#cancel();
    this.#cancel = undefined;
    const { logs, user } = this.#read();
    const newest = [...logs]
      .filter((log) => log.isOnServer)
      .sort((a, b) => lastTimeMs(b) - lastTimeMs(a))
      .slice(0, ROWS);
    const value: ShelfRecord = { conversations: newest.map((log) => log.id), user };
    await this.#store
      .writeCache([{ table: 'meta', key: ['shelf'], value }])
      // The next change saves it again; a follower's is not wanted.
      .catch(() => undefined);
  }
}

function lastTimeMs(log: ConversationLog): number {
  return log.resource.lastMessage?.timeMs ?? 0;
}
