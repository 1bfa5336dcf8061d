/**
 * Reading the cache at start (S13). The shelf names the conversations of the first screen, so these
 * are read first and at once; the rest follows in order. What cannot be read counts as not held: the
 * cache may vanish, and the server has all of it.
 */
import type { User, UserId } from './contract.ts';
import { ConversationLog, type LogRecord } from './conversation-log.ts';
import { HELD_MAX } from './people.ts';
import type { SavedStore } from './saved-store.ts';
import type { ShelfRecord } from './shelf.ts';
import { type StoredPair, under } from './stores/store-port.ts';

const CHUNK = 1_000;

export interface FirstScreen {
  readonly logs: readonly ConversationLog[];
  readonly user: User | undefined;
}

/** What the shelf names: enough to show something; undefined = there is no shelf. */
export async function loadShelf(store: SavedStore, me: UserId): Promise<FirstScreen | undefined> {
  const [pair] = await store.readCache('meta', under('shelf'));
  const shelf = pair?.value as ShelfRecord | undefined;
  if (shelf?.user?.userId !== me || !Array.isArray(shelf.conversations)) return undefined;
  const read = shelf.conversations.map((id) =>
    store.readCache('conversations', { from: [id], through: [id] }),
  );
  const logs = (await Promise.all(read)).flatMap((pairs) =>
    pairs.flatMap((each) => logOf(each) ?? []),
  );
  return { logs, user: shelf.user };
}

export interface Loaded {
  readonly users: readonly StoredPair[];
  readonly syncToken: string;
}

/** All conversations, a chunk at a time; then the token that covers them. */
export async function loadCache(
  store: SavedStore,
  take: (logs: readonly ConversationLog[]) => void,
): Promise<Loaded> {
  const [token] = await store.readCache('meta', under('token'));
  let isSound = true;
  let from: readonly (string | number)[] = [];
  for (;;) {
    const range = { from, through: ['\uffff'], limit: CHUNK };
    const pairs = await store.readCache('conversations', range);
    const logs = pairs.flatMap((pair) => logOf(pair) ?? []);
    if (logs.length < pairs.length) isSound = false;
    take(logs);
    const last = pairs.at(-1);
    if (last === undefined || pairs.length < CHUNK) break;
    from = [...last.key, 0];
  }
  const users = await store.readCache('users', { ...under(), limit: HELD_MAX });
  const { syncToken = '' } = (token?.value ?? {}) as { syncToken?: string };
  // A damaged record: the token would claim what is not here, so the list is read anew.
  return { users, syncToken: isSound ? syncToken : '' };
}

function logOf(pair: StoredPair): ConversationLog | undefined {
  const record = pair.value as Partial<LogRecord>;
  const isSound =
    record.resource?.conversationId === pair.key[0] &&
    Array.isArray(record.ranges) &&
    Number.isSafeInteger(record.cursor) &&
    Number.isSafeInteger(record.head) &&
    record.unread !== undefined;
  return isSound ? new ConversationLog(record as LogRecord) : undefined;
}
