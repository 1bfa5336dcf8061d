/**
 * Rows of a timeline out of messages, holes and what waits in the outbox (S1, S2). A row whose parts
 * did not change is the same object as before, so a view renders only what did.
 */
import type {
  HoleRow,
  MessageRef,
  MessageRow,
  Quote,
  Row,
  SendState,
  ServiceRow,
  Store,
} from './client-interface.ts';
import type { Message, Sequence, TextMessage, UserId } from './contract.ts';
import { isControl, reacted } from './message-merge.ts';
import type { OutboxEntry } from './outbox-entry.ts';
import type { Span } from './ranges.ts';

/** An own edit, removal or reaction that is not in the message yet. */
export interface PendingChange {
  readonly entry: OutboxEntry;
  readonly ref: MessageRef;
}

export interface RowsInput {
  /** Ascending by sequence. */
  readonly messages: readonly Message[];
  readonly holes: readonly Span[];
  /** Own messages under way, in the order of writing. */
  readonly pending: readonly { readonly entry: OutboxEntry; readonly ref: MessageRef }[];
  readonly me: UserId;
  changeOf(message: Message | undefined, key: string): PendingChange | undefined;
  quoteOf(sequence: Sequence): Quote;
  tickOf(key: string, sequence: Sequence): Store<SendState>;
}

interface Made {
  readonly row: Row;
  readonly from: readonly unknown[];
}

/** Keeps what it made, by key. */
export class RowMaker {
  #made = new Map<string, Made>();

  make(input: RowsInput): readonly Row[] {
    const next = new Map<string, Made>();
    const rows: Row[] = [];
    const put = (key: string, from: readonly unknown[], make: (key: string) => Row): void => {
      const unique = next.has(key) ? `${key}.${next.size}` : key;
      const held = this.#made.get(unique);
      const isSame = held !== undefined && held.from.every((each, i) => Object.is(each, from[i]));
      const made = isSame ? held : { row: make(unique), from };
      next.set(unique, made);
      rows.push(made.row);
    };
    this.#committed(input, put);
    for (const { entry, ref } of input.pending) {
      const replyTo = entry.action.is === 'message' ? entry.action.replyTo : undefined;
      const quote =
        replyTo !== undefined && 'sequence' in replyTo
          ? input.quoteOf(replyTo.sequence)
          : undefined;
      const change = input.changeOf(undefined, entry.key);
      put(entry.key, [entry, ref, ...partsOf(quote), change?.entry], () =>
        pendingRow({ entry, ref, quote, change }, input.me),
      );
    }
    this.#made = next;
    return rows;
  }

  #committed(
    input: RowsInput,
    put: (key: string, from: readonly unknown[], make: (key: string) => Row) => void,
  ): void {
    const holes = [...input.holes];
    const pendingKeys = new Set(input.pending.map((each) => each.entry.key));
    const holeBefore = (sequence: number): void => {
      while (holes[0] !== undefined && holes[0].from < sequence) {
        const hole = holes.shift();
        if (hole !== undefined) putHole(hole, put);
      }
    };
    for (const message of input.messages) {
      holeBefore(message.sequence);
      // Its entry settles in a moment; until then the pending row stands for it.
      const key = keyOf(message);
      if (message.senderUserId === input.me && pendingKeys.has(key)) continue;
      if (isControl(message.content)) continue;
      if (isService(message)) {
        put(key, [message], () => serviceRow(message, key));
        continue;
      }
      const replyTo = message.content?.message?.replyTo;
      const quote = replyTo ? input.quoteOf(replyTo) : undefined;
      const change = input.changeOf(message, key);
      const state =
        message.senderUserId === input.me ? input.tickOf(key, message.sequence) : undefined;
      put(key, [message, ...partsOf(quote), change?.entry, change?.ref, state], (unique) =>
        messageRow({ message, key: unique, quote, change, state }, input.me),
      );
    }
    holeBefore(Number.POSITIVE_INFINITY);
  }
}

export function keyOf(message: Message): string {
  if (isService(message)) return `row.${message.sequence}`;
  return message.clientMessageId || `row.${message.sequence}`;
}

export function isService(message: Message): boolean {
  const content = message.content;
  return (
    content?.created !== undefined || content?.member !== undefined || content?.update !== undefined
  );
}

/** One line of text for previews and quotes. */
export function previewOf(message: Message | undefined): string {
  const content = message?.content?.message;
  if (content === undefined) return '';
  return content.text?.body || content.attachments?.[0]?.name || content.fallback || '';
}

export function quoteOf(message: Message | undefined, sequence: Sequence): Quote {
  if (message === undefined) return { sequence };
  return {
    sequence,
    key: keyOf(message),
    sender: message.senderUserId ?? '',
    text: previewOf(message),
    deleted: message.deleted === true,
  };
}

/** A hole keeps its lower end while pages fill it from above, so that is its name. */
function putHole(
  hole: Span,
  put: (key: string, from: readonly unknown[], make: (key: string) => Row) => void,
): void {
  const after = hole.from - 1;
  const before = hole.through + 1;
  const make = (key: string): HoleRow => ({ is: 'hole', key, after, before });
  put(`hole.${after}`, [after, before], make);
}

function messageRow(
  o: {
    message: Message;
    key: string;
    quote: Quote | undefined;
    change: PendingChange | undefined;
    state: Store<SendState> | undefined;
  },
  me: UserId,
): Row {
  const { message, key, quote, change, state } = o;
  const mine = message.senderUserId === me;
  const sender = message.senderUserId ?? '';
  if (message.content?.sealed !== undefined) {
    const timeMs = message.timeMs ?? 0;
    return { is: 'waiting', key, sequence: message.sequence, timeMs, sender, mine };
  }
  const row: MessageRow = {
    is: 'message',
    key,
    sequence: message.sequence,
    timeMs: message.timeMs ?? 0,
    sender,
    mine,
    deleted: message.deleted === true,
    edited: (message.editCount ?? 0) > 0,
    reactions: message.reactions ?? [],
    ...(message.content === undefined ? {} : { content: shown(message) }),
    ...(message.editTimeMs === undefined ? {} : { editTimeMs: message.editTimeMs }),
    ...(quote === undefined ? {} : { quote }),
    ...(state === undefined ? {} : { state }),
  };
  return change === undefined ? row : changed(row, change);
}

/** A kind that this version does not know shows its fallback. */
function shown(message: Message): TextMessage {
  const content = message.content?.message;
  if (content !== undefined)
    return content.text === undefined && content.fallback
      ? { ...content, text: { body: content.fallback } }
      : content;
  const unknown = Object.values(message.content ?? {})[0] as { fallback?: unknown } | undefined;
  return { text: { body: typeof unknown?.fallback === 'string' ? unknown.fallback : '' } };
}

function pendingRow(
  o: {
    entry: OutboxEntry;
    ref: MessageRef;
    quote: Quote | undefined;
    change: PendingChange | undefined;
  },
  me: UserId,
): Row {
  const { entry, ref, quote, change } = o;
  const row: MessageRow = {
    is: 'message',
    key: entry.key,
    timeMs: entry.queuedTimeMs,
    sender: me,
    mine: true,
    deleted: false,
    edited: false,
    reactions: [],
    ...(entry.action.is === 'message' ? { content: entry.action.content } : {}),
    ...(quote === undefined ? {} : { quote }),
    state: ref.state,
    pending: ref,
  };
  return change === undefined ? row : changed(row, change);
}

/** Shows an own change before the server has it; one that failed shows nothing but its state. */
function changed(row: MessageRow, change: PendingChange): MessageRow {
  const withRef = { ...row, change: change.ref };
  const action = change.entry.action;
  if (change.entry.failed !== undefined) return withRef;
  if (action.is === 'edit') return { ...withRef, content: action.content, edited: true };
  if (action.is === 'delete') {
    const { content: _content, ...rest } = withRef;
    return { ...rest, deleted: true, reactions: [] };
  }
  if (action.is !== 'reaction') return withRef;
  const isAdded = action.op === 'add';
  const mine = row.reactions.find((each) => each.emoji === action.emoji)?.me === true;
  if (mine === isAdded) return withRef;
  const change_ = { emoji: action.emoji, isAdded, isMine: true };
  return { ...withRef, reactions: reacted(row.reactions, change_) };
}

function serviceRow(message: Message, key: string): ServiceRow {
  const { created, member, update } = message.content ?? {};
  return {
    is: 'service',
    key,
    sequence: message.sequence,
    timeMs: message.timeMs ?? 0,
    ...(created === undefined
      ? {}
      : {
          created: {
            name: created.name ?? '',
            by: message.senderUserId ?? '',
            users: created.userIds ?? [],
          },
        }),
    ...(member === undefined ? {} : { member }),
    ...(update === undefined
      ? {}
      : {
          update: {
            fields: update.fields ?? [],
            ...(update.name === undefined ? {} : { name: update.name }),
          },
        }),
  };
}

function partsOf(quote: Quote | undefined): readonly unknown[] {
  return [quote?.sequence, quote?.key, quote?.text, quote?.deleted];
}
