/** Conversations.Get, .ListMembers and the views that lists and Resume are made of. */
import { ParleyError } from '../../core/errors.ts';
import { ROLE } from '../../core/facts.ts';
import { encodeId, ID_BYTES, parseId } from '../../core/ids.ts';
import { compareBytes, hex } from '../../core/bytes.ts';
import type { Plain, Sparse } from '../../proto/codec.ts';
import type {
  FitsAnswer,
  FitsQuery,
  MembersAnswer,
  MembersQuery,
  ViewMessages,
  ViewsAnswer,
  ViewsQuery,
} from '../../proto/gen/parley/broker/v1/link_pb.ts';
import type {
  GetConversationRequest,
  ListMembersRequest,
  ListMembersResponse,
} from '../../proto/gen/parley/client/v1/conversations_pb.ts';
import type { Conversation, Member } from '../../proto/gen/parley/v1/types_pb.ts';
import type { ConversationView } from '../conversation/contract.ts';
import { bytesOf, type StandingRow, type StoreReads } from '../runtime/contract.ts';
import { openReadable } from './access.ts';
import { PAGE_BYTES_MAX, pageSize, standingBefore } from './message-reads.ts';
import { decodePageToken, encodePageToken } from './page-token.ts';
import { nameOf, type Asked, type Read } from './asked.ts';
import { conversationShape, renderMember, renderMessage } from './render.ts';

const VIEWS_MAX = 200;
/** Last messages read at once: what is too large for the page was read in vain. */
const LAST_AT_ONCE = 64;

export async function getConversation(
  asked: Asked,
  request: Plain<GetConversationRequest>,
): Promise<Read<Conversation>> {
  const { reads, caller } = asked;
  const readable = await openReadable(asked, request.conversationId);
  if (readable === undefined)
    return { response: emptyDirect(asked, request.conversationId), index: 0 };
  const last = await newestMessage(
    reads,
    readable.raw,
    readable.view.lastMessageSequence,
    readable.first,
  );
  const view = await reads.conversation(readable.raw);
  return {
    response: view === undefined ? {} : conversationShape(view, caller.user, last),
    index: readable.index,
  };
}

/** A direct that nobody has written to yet (CONTRACT §1: uncreated = empty). */
function emptyDirect(asked: Asked, conversationId: string): Sparse<Conversation> {
  const { raw } = nameOf(conversationId, asked.caller);
  return {
    conversationId: encodeId('cnv', raw),
    kind: 'direct',
    encryption: 'none',
    memberCount: 2,
    membersMax: 2,
    epoch: asked.reads.epoch,
    peerUserId: conversationId.slice('direct:'.length),
    me: { role: 'member', historyFrom: 1, notify: 'all' },
    etag: '0',
  };
}

async function newestMessage(
  reads: StoreReads,
  raw: Uint8Array,
  sequence: number,
  first: number,
): Promise<StandingRow | undefined> {
  if (sequence < first) return undefined;
  const [row] = await reads.rows(raw, {
    from: sequence,
    through: sequence,
    limit: 1,
    newest: true,
  });
  return row;
}

export async function listMembers(
  asked: Asked,
  request: Plain<ListMembersRequest>,
): Promise<Read<ListMembersResponse>> {
  const readable = await openReadable(asked, request.conversationId);
  if (readable === undefined) return { response: {}, index: 0 };
  const question = ['members', asked.caller.user, readable.raw] as const;
  const { pageToken } = request;
  const after = pageToken === '' ? undefined : decodePageToken(pageToken, question, ID_BYTES);
  const limit = pageSize(request.pageSize);
  const users = memberIds(readable.view).sort(compareBytes);
  const rest = after === undefined ? users : users.filter((user) => compareBytes(user, after) > 0);
  const page = rest.slice(0, limit);
  const last = page.at(-1);
  const nextPageToken =
    rest.length > limit && last !== undefined ? encodePageToken(question, last) : '';
  return {
    response: { members: renderMembers(readable.view, page), nextPageToken },
    index: readable.index,
  };
}

export function memberIds(view: ConversationView): Uint8Array[] {
  const users: Uint8Array[] = [];
  view.eachMember((user) => {
    users.push(user.slice());
    return true;
  });
  return users;
}

export function renderMembers(
  view: ConversationView,
  users: readonly Uint8Array[],
): Sparse<Member>[] {
  return users.flatMap((user) => {
    const member = view.member(user);
    return member === undefined ? [] : [renderMember(member)];
  });
}

export async function membersById(
  asked: Asked,
  request: Plain<MembersQuery>,
): Promise<Read<MembersAnswer>> {
  const readable = await openReadable(asked, request.conversationId);
  if (readable === undefined) return { response: {}, index: 0 };
  const wanted = new Set(request.userIds.map((id) => hex(parseId('usr', id, 'userIds'))));
  const present = memberIds(readable.view).filter((user) => wanted.has(hex(user)));
  return { response: { members: renderMembers(readable.view, present) }, index: readable.index };
}

/**
 * Judged as it stands; the log judges again, and what it would refuse for another reason is left to
 * it. A group that is there already is created again for nothing, whoever it was to have; of those to
 * be added only who is no member yet takes a place.
 */
export async function fits(asked: Asked, request: Plain<FitsQuery>): Promise<Read<FitsAnswer>> {
  const { reads } = asked;
  const users = splitIds(request.users);
  const { raw } = nameOf(request.conversationId, asked.caller);
  const membersMax = reads.membersMax(raw);
  let count = users.length + 1;
  if (request.creates) {
    if ((await reads.conversation(raw)) !== undefined) return { response: {}, index: 0 };
  } else {
    const readable = await openReadable(asked, request.conversationId);
    if (readable === undefined) return { response: {}, index: 0 };
    const { view } = readable;
    if (!mayAdd(view, asked.caller.user, request.ifVersion)) return { response: {}, index: 0 };
    const absent = users.filter((user) => view.membership(user) !== 'member');
    count = absent.length === 0 ? 0 : view.memberCount + absent.length;
  }
  if (count > membersMax)
    throw new ParleyError('GROUP_FULL', 'the group would have too many members', { membersMax });
  return { response: {}, index: 0 };
}

function mayAdd(view: ConversationView, user: Uint8Array, ifVersion: number): boolean {
  const role = view.me(user)?.role;
  const isOpen = view.kind === 'group' && !view.closed;
  const isAllowed =
    role === ROLE.owner ||
    role === ROLE.admin ||
    (role === ROLE.member && view.settings.addMembersToo);
  return isOpen && isAllowed && (ifVersion === 0 || ifVersion === view.version);
}

/**
 * Conversations as the caller sees them, in the order asked, with previews: as many as make a page, of
 * which at least one.
 */
export async function views(asked: Asked, request: Plain<ViewsQuery>): Promise<Read<ViewsAnswer>> {
  const wanted = splitIds(request.conversations).slice(0, VIEWS_MAX);
  const last = await newestMessages(asked, wanted);
  const raws = wanted.slice(0, last.length);
  const recent =
    request.messages > 0
      ? await recentMessages(asked, raws.slice(0, request.messagesOf), request.messages)
      : [];
  // Last, so that nothing that is pushed before this answer is newer than what it says.
  const conversations: (Sparse<Conversation> | undefined)[] = raws.map(() => undefined);
  await asked.reads.conversations(raws, (i, view) => {
    if (view?.membership(asked.caller.user) === 'member')
      conversations[i] = conversationShape(view, asked.caller.user, last[i]);
  });
  return {
    response: {
      conversations: conversations.filter((item) => item !== undefined),
      recent,
      answered: raws.length,
    },
    index: 0,
  };
}

/** Of the first of them, until a page is full. */
async function newestMessages(
  asked: Asked,
  raws: readonly Uint8Array[],
): Promise<readonly (StandingRow | undefined)[]> {
  const { reads, caller } = asked;
  const wanted: { sequence: number; first: number }[] = raws.map(() => ({ sequence: 0, first: 1 }));
  await reads.conversations(raws, (i, view) => {
    const me = view?.me(caller.user);
    if (view !== undefined && me !== undefined)
      wanted[i] = { sequence: view.lastMessageSequence, first: Math.max(me.historyFrom, 1) };
  });
  const last: (StandingRow | undefined)[] = [];
  let bytes = 0;
  for (let at = 0; at < raws.length; at += LAST_AT_ONCE) {
    const some = raws.slice(at, at + LAST_AT_ONCE).map((raw, i) => {
      const { sequence, first } = wanted[at + i] ?? { sequence: 0, first: 1 };
      return newestMessage(reads, raw, sequence, first);
    });
    for (const row of await Promise.all(some)) {
      bytes += row === undefined ? 0 : bytesOf(row);
      if (last.length > 0 && bytes > PAGE_BYTES_MAX) return last;
      last.push(row);
    }
  }
  return last;
}

async function recentMessages(
  asked: Asked,
  raws: readonly Uint8Array[],
  count: number,
): Promise<Sparse<ViewMessages>[]> {
  const all: Sparse<ViewMessages>[] = [];
  let bytesMax = PAGE_BYTES_MAX;
  for (const raw of raws) {
    const conversationId = encodeId('cnv', raw);
    const readable = await openReadable(asked, conversationId).catch((error: unknown) => {
      // Left or erased since the list was made: it is simply not in the answer.
      if (error instanceof ParleyError) return undefined;
      throw error;
    });
    if (readable === undefined) continue;
    const limit = pageSize(count);
    const { rows } = await standingBefore(asked.reads, readable, readable.head, {
      limit,
      bytesMax,
    });
    bytesMax -= rows.reduce((sum, row) => sum + bytesOf(row), 0);
    all.push({ conversationId, messages: rows.map((row) => renderMessage(raw, row)) });
  }
  return all;
}

/** Raw ids that lie one after another. */
export function splitIds(bytes: Uint8Array): Uint8Array[] {
  if (bytes.length % 16 !== 0)
    throw new ParleyError('MALFORMED', 'a list of ids has a broken length');
  return Array.from({ length: bytes.length / 16 }, (_, i) => bytes.subarray(i * 16, i * 16 + 16));
}
