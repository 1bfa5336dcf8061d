/** What a client looks at: rows of large groups come whole, typing is told, for these alone. */
import { parseAddress } from './address.ts';
import type { Caller } from './caller.ts';
import * as bounds from './limits.ts';
import { badField } from './refusals.ts';
import type { ClientFrame } from './session-contract.ts';

export const NO_FOCUS: ReadonlySet<string> = new Set();
const NOTHING = { conversations: [], users: [] } as const;

/** The conversations in focus, by id. */
export function parseFocus(focus: ClientFrame['focus'], caller: Caller): ReadonlySet<string> {
  const { conversations, users } = focus ?? NOTHING;
  if (conversations.length > bounds.FOCUS_CONVERSATIONS_MAX)
    throw badField('focus.conversations', `has more than ${bounds.FOCUS_CONVERSATIONS_MAX}`);
  if (users.length > bounds.FOCUS_USERS_MAX)
    throw badField('focus.users', `has more than ${bounds.FOCUS_USERS_MAX}`);
  const ids = conversations.map(
    (text, i) => parseAddress(text, caller.user, `focus.conversations[${i}]`).conversationId,
  );
  // LIMIT: presence of focused users comes with the presence service; the ids are only checked.
  for (const [i, user] of users.entries())
    parseAddress(`direct:${user}`, caller.user, `focus.users[${i}]`);
  return ids.length === 0 ? NO_FOCUS : new Set(ids);
}
