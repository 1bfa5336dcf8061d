/**
 * Sync.ListConversations: pages of what changed, newest first. Pages are stateless: each asks anew
 * and goes on below the last conversation of the page before. What moves meanwhile goes up, out of
 * the pages, and is in the next delta, because the sync token is that of the first page.
 */
import { ByteReader, ByteWriter } from '../../core/bytes.ts';
import { ParleyError } from '../../core/errors.ts';
import type { Plain } from '../../proto/codec.ts';
import type { ListConversationsRequest } from '../../proto/gen/parley/client/v1/sync_pb.ts';
import {
  changesSince,
  stillLeft,
  newestFirst,
  viewsOf,
  type ChangedConversation,
} from './changes.ts';
import { PAGE_DEFAULT, PAGE_MAX, RECENT_CONVERSATIONS } from './limits.ts';
import { badField } from './refusals.ts';
import type { Routine } from './routine.ts';
import type { Caller } from './caller.ts';
import type { Surroundings } from './session-contract.ts';
import {
  base64Url,
  decodeSyncToken,
  encodeSyncToken,
  fromBase64Url,
  readIndexes,
  writeIndexes,
  type Position,
} from './sync-token.ts';

export type ListRequest = Plain<ListConversationsRequest>;

export interface Listing {
  readonly response: object;
  /** On the last page: how far a device is that has stored all of them. */
  readonly position: Position | undefined;
}

const PAGE_TOKEN_VERSION = 1;
const PAGE_TOKEN_TTL_MS = 24 * 3_600_000;
const MESSAGES_MAX = 50;

interface Page {
  readonly position: Position;
  readonly last: Pick<ChangedConversation, 'conversation' | 'timeMs'>;
}

export function* listConversations(
  request: ListRequest,
  caller: Caller,
  surroundings: Surroundings,
): Routine<Listing> {
  const since = positionOf(request.since, caller, surroundings);
  if (request.messages < 0) throw badField('messages', 'is negative');
  const page =
    request.pageToken === '' ? undefined : decodePage(request, caller, surroundings.wallMs());
  const changes = yield* changesSince(caller, surroundings, since);
  const position = page?.position ?? changes.position;
  const after = page?.last;
  const rest =
    after === undefined
      ? changes.changed
      : changes.changed.filter((entry) => newestFirst(entry, after) > 0);
  const asked = rest.slice(0, pageSizeOf(request.pageSize));
  const recentOf = after === undefined && request.messages > 0 ? RECENT_CONVERSATIONS : 0;
  const views = yield* viewsOf(caller, asked, {
    each: Math.min(request.messages, MESSAGES_MAX),
    of: recentOf,
  });
  const shown = asked.slice(0, views.answered);
  const removed = after === undefined ? yield* stillLeft(caller, changes.left) : [];
  const isLast = shown.length === rest.length;
  const last = shown.at(-1);
  const response = {
    conversations: views.conversations,
    recent: views.recent,
    removed,
    total: changes.changed.length,
    syncToken: isLast
      ? encodeSyncToken(
          { epoch: surroundings.epoch(), timeMs: surroundings.wallMs(), position },
          caller.user,
        )
      : '',
    nextPageToken:
      isLast || last === undefined
        ? ''
        : encodePage({ position, last }, request, caller, surroundings.wallMs()),
  };
  return { response, position: isLast ? position : undefined };
}

export function pageSizeOf(asked: number): number {
  if (asked <= 0) return PAGE_DEFAULT;
  return Math.min(asked, PAGE_MAX);
}

function positionOf(
  since: string,
  caller: Caller,
  surroundings: Surroundings,
): Position | undefined {
  if (since === '') return undefined;
  const token = decodeSyncToken(since, caller.user);
  const isUsable =
    token !== undefined &&
    token.epoch === surroundings.epoch() &&
    surroundings.wallMs() - token.timeMs <= surroundings.limits.syncTokenTtlMs;
  if (!isUsable)
    throw new ParleyError('BAD_CURSOR', 'since is not a sync token that can still be used', {
      field: 'since',
    });
  return token.position;
}

// u8 version, u53 issued at, 8 bytes caller, u32 arguments, u53 time and 16 bytes id of the last
// conversation, u53 account sequence, indexes.
function encodePage(page: Page, request: ListRequest, caller: Caller, nowMs: number): string {
  const out = new ByteWriter(128);
  out.u8(PAGE_TOKEN_VERSION).u53(nowMs).raw(caller.user.subarray(8, 16)).u32(argumentsOf(request));
  out.u53(page.last.timeMs).raw(page.last.conversation).u53(page.position.accountSequence);
  writeIndexes(out, page.position.indexes);
  return base64Url(out.finish());
}

function decodePage(request: ListRequest, caller: Caller, nowMs: number): Page {
  const refused = new ParleyError(
    'BAD_PAGE_TOKEN',
    'the page token is not of this listing, or older than 24 hours',
    { field: 'pageToken' },
  );
  const bytes = fromBase64Url(request.pageToken);
  if (bytes === undefined || bytes.length < 55 || bytes[0] !== PAGE_TOKEN_VERSION) throw refused;
  const input = new ByteReader(bytes, 1);
  const isFresh = nowMs - input.u53() <= PAGE_TOKEN_TTL_MS;
  const isOwn = input.raw(8).every((byte, i) => byte === caller.user[8 + i]);
  const isSame = input.u32() === argumentsOf(request);
  const last = { timeMs: input.u53(), conversation: input.raw(16) };
  const accountSequence = input.u53();
  const indexes = readIndexes(input);
  const isWhole = indexes !== undefined && input.remaining === 0;
  const isCounted = Number.isSafeInteger(accountSequence) && Number.isSafeInteger(last.timeMs);
  if (!isFresh || !isOwn || !isSame || !isWhole || !isCounted) throw refused;
  return { position: { accountSequence, indexes }, last };
}

/** FNV-1a of what a page token is bound to. */
function argumentsOf(request: ListRequest): number {
  let hash = 0x811c9dc5;
  for (const letter of `${request.messages}|${request.since}`) {
    hash ^= letter.codePointAt(0) ?? 0;
    hash = Math.imul(hash, 0x01000193) >>> 0;
  }
  return hash;
}
