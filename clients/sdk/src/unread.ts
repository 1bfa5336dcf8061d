/**
 * Unread (S8): the server's number, plus others' entries since the row it was read at, 0 once read
 * to the head. Never counted from loaded rows. Pure.
 */
export interface Unread {
  /** The server's numbers … */
  readonly count: number;
  readonly mentions: number;
  /** … as of this head … */
  readonly head: number;
  /** … and above this mark, the server's own. */
  readonly above?: number;
  /** Others' countable rows above `head` heard of since, ascending; `n` entries where only a number is known. */
  readonly since: readonly {
    readonly sequence: number;
    readonly n: number;
    readonly mentions: number;
  }[];
  /** Own read mark, the highest of this device's and the server's. */
  readonly readThrough: number;
}

export const NOTHING_UNREAD: Unread = { count: 0, mentions: 0, head: 0, since: [], readThrough: 0 };

/** Above this many the list is folded into one entry, so that a flood cannot grow it. */
const SINCE_MAX = 256;

export function unreadCount(unread: Unread): {
  readonly messages: number;
  readonly mentions: number;
} {
  // The server's own number stands for rows up to its head; reading past that head voids it.
  const isBaseRead = unread.readThrough >= unread.head;
  let messages = isBaseRead ? 0 : unread.count;
  let mentions = isBaseRead ? 0 : unread.mentions;
  for (const each of unread.since) {
    if (each.sequence <= unread.readThrough) continue;
    messages += each.n;
    mentions += each.mentions;
  }
  return { messages, mentions };
}

export function withServerCount(
  unread: Unread,
  server: { count: number; mentions: number; head: number; readThrough: number },
): Unread {
  const readThrough = Math.max(unread.readThrough, server.readThrough);
  // An older answer knows less than what was counted since; of two at one head it has the lower mark.
  // A lower mark at a higher head is news: the server fell, and forgot one of another device.
  const isOlder =
    server.head < unread.head ||
    (server.head === unread.head && server.readThrough < (unread.above ?? 0));
  if (isOlder) return { ...unread, readThrough };
  return {
    count: server.count,
    mentions: server.mentions,
    head: server.head,
    above: server.readThrough,
    since: unread.since.filter((each) => each.sequence > server.head),
    readThrough,
  };
}

export function withArrival(
  unread: Unread,
  arrival: { sequence: number; n: number; mentions: number },
): Unread {
  const last = unread.since.at(-1);
  if (arrival.n === 0 || arrival.sequence <= unread.head) return unread;
  if (last !== undefined && arrival.sequence <= last.sequence) return unread;
  const since = [...unread.since, arrival];
  if (since.length <= SINCE_MAX) return { ...unread, since };
  const half = since.slice(0, SINCE_MAX / 2);
  const folded = {
    sequence: half.at(-1)?.sequence ?? 0,
    n: half.reduce((sum, each) => sum + each.n, 0),
    mentions: half.reduce((sum, each) => sum + each.mentions, 0),
  };
  return { ...unread, since: [folded, ...since.slice(SINCE_MAX / 2)] };
}

/** Marks only rise. */
export function withRead(unread: Unread, sequence: number): Unread {
  return sequence <= unread.readThrough ? unread : { ...unread, readThrough: sequence };
}
