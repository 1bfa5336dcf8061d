/**
 * What changed for a user since a position: the one routine below hello, ListConversations(since),
 * resync and the five-minute check (DESIGN §4 Resume). Whoever runs it for a live connection has
 * sent the routes first, so that what changes meanwhile is either in the answer or pushed.
 */
import { compareBytes } from '../../core/bytes.ts';
import { encodeId, slotOf } from '../../core/ids.ts';
import type { Opened, Plain } from '../../proto/codec.ts';
import type {
  ChangedAnswer,
  DirectoryAnswer,
  ViewsAnswer,
} from '../../proto/gen/parley/broker/v1/link_pb.ts';
import { openedQuery, query, type Question, type Routine } from './routine.ts';
import type { Caller } from './caller.ts';
import type { Surroundings } from './session-contract.ts';
import { NOWHERE, type Position } from './sync-token.ts';

export interface ChangedConversation {
  readonly conversation: Uint8Array;
  readonly timeMs: number;
  /** It came into the directory since: whoever connected meanwhile may not have been told. */
  readonly isJoined: boolean;
}

export interface Changes {
  /** Newest change first. */
  readonly changed: readonly ChangedConversation[];
  /** Raw ids of what left the directory; say `stillLeft` of them only. */
  readonly left: readonly Uint8Array[];
  /** Nothing at or below it is missing from the above. */
  readonly position: Position;
}

type Views = Plain<ViewsAnswer>;

/** Conversations asked for in one Link.Views, which answers no more. */
const VIEWS_MAX = 200;

export function* changesSince(
  caller: Caller,
  surroundings: Surroundings,
  since: Position = NOWHERE,
): Routine<Changes> {
  const directory = yield* query<Plain<DirectoryAnswer>>({
    method: 'Link.Directory',
    key: caller.user,
    caller,
    request: { sinceAccountSequence: since.accountSequence },
  });
  const joined = new Set(
    since.accountSequence === 0 ? [] : idsOf(directory.joined).map((raw) => encodeId('cnv', raw)),
  );
  const questions = shardQuestions(directory, { since, joined }, surroundings.shardCount);
  const left = since === NOWHERE ? [] : idsOf(directory.left);
  const indexes: number[] = [];
  const changed: ChangedConversation[] = [];
  if (questions.length > 0) {
    const answer = yield* query<Plain<ChangedAnswer>>({
      method: 'Link.Changed',
      key: caller.user,
      caller,
      request: { shards: questions },
    });
    for (const shard of answer.shards) {
      // Two questions about one shard: what both cover is what the earlier one covers.
      const before = indexes[shard.shard];
      const asked = shard.askedAtIndex;
      indexes[shard.shard] = before === undefined ? asked : Math.min(before, asked);
      for (const [i, conversation] of idsOf(shard.changed).entries())
        changed.push({
          conversation,
          timeMs: shard.changeTimeMs[i] ?? 0,
          isJoined: joined.size > 0 && joined.has(encodeId('cnv', conversation)),
        });
    }
  }
  changed.sort(newestFirst);
  return {
    changed,
    left,
    position: {
      accountSequence: directory.accountSequence,
      indexes: Array.from(indexes, (index) => index ?? 0),
    },
  };
}

/**
 * Conversations as the caller sees them, the first `answered`; those he sees no more are left out.
 * They go on to him as they are.
 */
export function* viewsOf(
  caller: Caller,
  conversations: readonly Pick<ChangedConversation, 'conversation'>[],
  messages: { readonly each: number; readonly of: number },
): Routine<Opened<ViewsAnswer>> {
  if (conversations.length === 0) return { conversations: [], recent: [], answered: 0 };
  const views = yield* openedQuery<ViewsAnswer>(viewsQuestion(caller, conversations, messages));
  return { ...views, answered: answeredOf(views, conversations) };
}

function viewsQuestion(
  caller: Caller,
  conversations: readonly Pick<ChangedConversation, 'conversation'>[],
  messages: { readonly each: number; readonly of: number },
): Question {
  return {
    method: 'Link.Views',
    key: caller.user,
    caller,
    request: {
      conversations: joinIds(conversations.map(({ conversation }) => conversation)),
      messages: messages.each,
      messagesOf: messages.of,
    },
  };
}

/** A store of the build before covers them all, and does not say so. */
function answeredOf(
  { answered }: { readonly answered: number },
  asked: readonly unknown[],
): number {
  return answered > 0 ? answered : asked.length;
}

/**
 * Which of these the caller is still out of, to be said at once. He may have been added again since
 * the directory was read, and that was pushed already: a removal behind it would stand for good.
 */
export function* stillLeft(caller: Caller, left: readonly Uint8Array[]): Routine<string[]> {
  const gone: string[] = [];
  for (let at = 0; at < left.length; ) {
    const entries = left.slice(at, at + VIEWS_MAX).map((conversation) => ({ conversation }));
    const views = yield* query<Views>(viewsQuestion(caller, entries, { each: 0, of: 0 }));
    const answered = answeredOf(views, entries);
    const open = new Set(views.conversations.map(({ conversationId }) => conversationId));
    for (const { conversation } of entries.slice(0, answered)) {
      const id = encodeId('cnv', conversation);
      if (!open.has(id)) gone.push(id);
    }
    at += answered;
  }
  return gone;
}

/** Newest first; equal times by id, so that pages neither overlap nor leave holes. */
export function newestFirst(
  a: Pick<ChangedConversation, 'conversation' | 'timeMs'>,
  b: Pick<ChangedConversation, 'conversation' | 'timeMs'>,
): number {
  return a.timeMs === b.timeMs ? compareBytes(a.conversation, b.conversation) : b.timeMs - a.timeMs;
}

interface ShardQuestion {
  readonly shard: number;
  readonly sinceIndex: number;
  readonly conversations: Uint8Array;
}

/** One question a shard; conversations joined since count as changed, whatever the shard's index. */
function shardQuestions(
  directory: Plain<DirectoryAnswer>,
  { since, joined }: { readonly since: Position; readonly joined: ReadonlySet<string> },
  shardCount: number,
): ShardQuestion[] {
  const known = new Map<number, Uint8Array[]>();
  const fresh = new Map<number, Uint8Array[]>();
  for (const raw of idsOf(directory.open)) {
    const shard = slotOf(raw) % shardCount;
    const into = joined.size > 0 && joined.has(encodeId('cnv', raw)) ? fresh : known;
    const list = into.get(shard);
    if (list === undefined) into.set(shard, [raw]);
    else list.push(raw);
  }
  const questions: ShardQuestion[] = [];
  for (const [shard, raws] of known)
    questions.push({
      shard,
      sinceIndex: since.indexes[shard] ?? 0,
      conversations: joinIds(raws),
    });
  for (const [shard, raws] of fresh)
    questions.push({ shard, sinceIndex: 0, conversations: joinIds(raws) });
  return questions;
}

function idsOf(bytes: Uint8Array): Uint8Array[] {
  const ids: Uint8Array[] = [];
  for (let at = 0; at + 16 <= bytes.length; at += 16) ids.push(bytes.subarray(at, at + 16));
  return ids;
}

export function joinIds(raws: readonly Uint8Array[]): Uint8Array {
  const joined = new Uint8Array(raws.length * 16);
  for (const [i, raw] of raws.entries()) joined.set(raw, i * 16);
  return joined;
}
