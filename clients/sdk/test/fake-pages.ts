/** Pages of the fake server: dense, and cut where their messages would be too large together. */
import type { LogRow, Message } from '../src/contract.ts';
import { changeOf } from '../src/message-merge.ts';
import type { FakeConversation } from './fake-conversation.ts';

/** Changed messages up to the cursor, with changes above one, the first of them if they are too many. */
export function changedPage(
  conversation: FakeConversation,
  cursor: number,
  { above, most }: { readonly above: number; readonly most: number },
): object {
  const changed = conversation.changedAbove(cursor).filter((each) => changeOf(each) > above);
  changed.sort((a, b) => changeOf(a) - changeOf(b));
  const page = changed.slice(0, most);
  const last = page.at(-1);
  const isWhole = last === undefined || page.length === changed.length;
  return { changed: page, ...(isWhole ? {} : { nextPageToken: String(changeOf(last)) }) };
}

/** What List answers, of at most so many messages whatever its limit. */
export function pageOf(
  conversation: FakeConversation,
  request: Record<string, unknown>,
  { first, most }: { readonly first: number; readonly most: number },
): object {
  const { head } = conversation;
  const [older, newer] = sidesOf(conversation, request, first);
  const isCut = older.length + newer.length > most;
  const below = isCut ? older.slice(-Math.ceil(most / (newer.length === 0 ? 1 : 2))) : older;
  const above = isCut ? newer.slice(0, most - below.length) : newer;
  const messages = [...below, ...above];
  return { messages, asOf: head, first, head, ...(isCut ? { cut: true } : {}) };
}

/** What was read downwards, and upwards from there. */
function sidesOf(
  conversation: FakeConversation,
  request: Record<string, unknown>,
  first: number,
): readonly [older: Message[], newer: Message[]] {
  const { head } = conversation;
  const limit = Number(request['limit'] ?? 50);
  const at = (name: string): number => Number(request[name]);
  if (request['sequence'] !== undefined)
    return [[], conversation.page(at('sequence'), at('sequence'))];
  if (request['before'] !== undefined)
    return [conversation.page(first, at('before') - 1).slice(-limit), []];
  if (request['after'] !== undefined)
    return [[], conversation.page(at('after') + 1, head).slice(0, limit)];
  if (request['around'] === undefined && request['atTimeMs'] === undefined)
    return [conversation.page(first, head).slice(-limit), []];
  const isBefore = (row: LogRow): boolean => (row.timeMs ?? 0) <= at('atTimeMs');
  const then = conversation.rows.findLast(isBefore)?.sequence ?? 1;
  const place = request['around'] === undefined ? then : at('around');
  return [
    conversation.page(first, place - 1).slice(-Math.floor(limit / 2)),
    conversation.page(place, head).slice(0, Math.ceil(limit / 2)),
  ];
}
