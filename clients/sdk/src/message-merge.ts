/**
 * How a message comes to be as it stands, whatever arrives first (S7): a whole message replaces one
 * iff its changeSequence is larger; a control row applies iff its sequence is. Pure.
 */
import type { Body, LogRow, Message, ReactionCount, Sequence, UserId } from './contract.ts';

export function changeOf(message: Message): Sequence {
  return Math.max(message.changeSequence ?? 0, message.sequence);
}

export function newer(held: Message | undefined, incoming: Message): Message {
  if (held === undefined) return incoming;
  return changeOf(incoming) > changeOf(held) ? incoming : held;
}

/** Sequence of the earlier row that a control row changes, if it is one. */
export function targetOf(body: Body | undefined): Sequence | undefined {
  return (
    body?.edit?.target.sequence ?? body?.delete?.target.sequence ?? body?.reaction?.target.sequence
  );
}

/** Changes earlier rows and is no row of its own in a timeline. */
export function isControl(body: Body | undefined): boolean {
  return (
    body?.edit !== undefined ||
    body?.delete !== undefined ||
    body?.reaction !== undefined ||
    body?.pin !== undefined ||
    body?.trim !== undefined
  );
}

/** Counts as unread and as a message (CONTRACT §6: tombstones too, silent ones not). */
export function isCountable(body: Body | undefined): boolean {
  if (body?.sealed !== undefined) return body.sealed.countable === true;
  return body?.message !== undefined && body.message.silent !== true;
}

export function messageOf(row: LogRow): Message {
  const { body, ...rest } = row;
  // No body and not one's own stub: it was erased before it came here.
  return body === undefined ? { ...rest, deleted: true } : { ...rest, content: body };
}

export function applyControl(message: Message, row: LogRow, me: UserId): Message {
  if (row.sequence <= changeOf(message)) return message;
  const body = row.body;
  if (body?.edit !== undefined) return edited(message, row, body.edit.message);
  if (body?.delete !== undefined) return tombstone(message, row.sequence);
  if (body?.reaction !== undefined && message.deleted !== true) {
    const reactions = reacted(message.reactions ?? [], {
      emoji: body.reaction.emoji,
      isAdded: body.reaction.op !== 'remove',
      isMine: row.senderUserId === me,
    });
    return { ...message, reactions, changeSequence: row.sequence };
  }
  return message;
}

export function tombstone(message: Message, changeSequence: Sequence): Message {
  const { content: _content, reactions: _reactions, ...rest } = message;
  return { ...rest, deleted: true, changeSequence };
}

export function reacted(
  reactions: readonly ReactionCount[],
  change: { readonly emoji: string; readonly isAdded: boolean; readonly isMine: boolean },
): readonly ReactionCount[] {
  const held = reactions.find((each) => each.emoji === change.emoji);
  const count = (held?.count ?? 0) + (change.isAdded ? 1 : -1);
  const me = change.isMine ? change.isAdded : held?.me === true;
  const next: ReactionCount = me
    ? { emoji: change.emoji, count, me }
    : { emoji: change.emoji, count };
  if (held === undefined) return count > 0 ? [...reactions, next] : reactions;
  return reactions.flatMap((each) => (each !== held ? [each] : count > 0 ? [next] : []));
}

function edited(message: Message, row: LogRow, content: Body['message']): Message {
  if (message.deleted === true || content === undefined) return message;
  const replyTo = message.content?.message?.replyTo;
  return {
    ...message,
    // What it answers to is not the edit's to change.
    content: {
      message:
        replyTo === undefined || content.replyTo !== undefined ? content : { ...content, replyTo },
    },
    editTimeMs: row.timeMs ?? 0,
    editCount: (message.editCount ?? 0) + 1,
    changeSequence: row.sequence,
  };
}
