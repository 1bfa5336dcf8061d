/**
 * Who may read what (DESIGN §3 Membership): one range, from the caller's historyFrom to the head,
 * while he is a member; nothing for former members; and for everybody else a conversation that
 * exists answers exactly as one that does not.
 */
import { isZero } from '../../core/bytes.ts';
import { ParleyError } from '../../core/errors.ts';
import type { ConversationView } from '../conversation/contract.ts';
import { nameOf, type Asked } from './asked.ts';

/** What a read takes from a view before it awaits anything: views live for one turn only. */
export interface Readable {
  readonly raw: Uint8Array;
  readonly view: ConversationView;
  readonly head: number;
  /** First readable sequence. */
  readonly first: number;
  readonly index: number;
}

/** undefined = a direct that nobody has written to yet. */
export async function openReadable(
  asked: Asked,
  conversationId: string,
): Promise<Readable | undefined> {
  const { reads, caller } = asked;
  const named = nameOf(conversationId, caller);
  const index = await reads.readIndex(reads.shardOf(named.raw));
  const view = await reads.conversation(named.raw);
  if (view === undefined) {
    if (named.direct) return undefined;
    throw unknown();
  }
  const first = Math.max(historyFromOf(view, caller.user), 1);
  return { raw: named.raw, view, head: view.head, first, index };
}

/**
 * First sequence that the caller may read. Nobody (a zero id) is an internal service whose gateway
 * has checked the scope `broker`: it reads every conversation whole.
 */
function historyFromOf(view: ConversationView, user: Uint8Array): number {
  if (isZero(user)) return 1;
  const membership = view.membership(user);
  const me = membership === 'member' ? view.me(user) : undefined;
  if (me !== undefined) return me.historyFrom;
  if (membership === 'left')
    throw new ParleyError('NOT_A_MEMBER', 'you are no longer a member of this conversation');
  throw unknown();
}

function unknown(): ParleyError {
  return new ParleyError('CONVERSATION_UNKNOWN', 'there is no such conversation that you may see');
}
