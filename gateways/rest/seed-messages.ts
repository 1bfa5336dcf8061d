/** Messages under the seeds' names (R120, R121, R125): sending, history, fetching, conversations. */
import { ByteReader, ByteWriter } from '../../core/bytes.ts';
import { ParleyError } from '../../core/errors.ts';
import { encodeId, parseId } from '../../core/ids.ts';
import type { Caller } from '../session/caller.ts';
import { MARKS_PER_REPORT_MAX } from '../session/limits.ts';
import { badField, oneOf } from '../session/refusals.ts';
import type { Surroundings } from '../session/session-contract.ts';
import { base64Url, fromBase64Url } from '../session/sync-token.ts';
import type { Answer } from './answer.ts';
import type { CallerContext, Calls } from './calls.ts';
import type { Fields } from './request-input.ts';
import {
  conversationColumns,
  listOf,
  messageColumns,
  numberOf,
  objectOf,
  rfc3339,
  textOf,
  type Json,
  type Status,
} from './seed-columns.ts';
import { countField, need, onlyFields, PLACE_FIELDS, placeOf, textField } from './seed-fields.ts';

interface Context extends CallerContext {
  readonly key: string;
}

const MESSAGE_TYPES = ['text', 'media', 'document'] as const;
const FILTERS = ['all', 'unread'] as const;
const HISTORY_DEFAULT = 50;
const INCOMING_DEFAULT = 100;
const LIMIT_MAX = 200;
// LIMIT: older conversations than these are not looked through for unread or undelivered messages.
const CONVERSATIONS_MAX = 10_000;
/** Conversations in one `ack`, which travels in a URL; the rest comes with the next call. */
const ACK_CONVERSATIONS_MAX = 100;
/** Reads of one conversation in search of somebody else's message; the next call goes on from there. */
const OWN_PAGES_MAX = 20;
/** Own messages in groups whose receipts are looked up one by one. */
const RECEIPTS_TOGETHER = 16;

export class SeedMessages {
  readonly #calls: Calls;
  readonly #surroundings: Surroundings;

  constructor(calls: Calls, surroundings: Surroundings) {
    this.#calls = calls;
    this.#surroundings = surroundings;
  }

  /** R120. */
  async send(fields: Fields, context: Context): Promise<Answer> {
    onlyFields(fields, [...PLACE_FIELDS, 'sender_id', 'message_type', 'content', 'media_id']);
    const caller = callerOf(context);
    const sender = textField(fields, 'sender_id');
    if (sender !== '' && sender !== caller.userId)
      throw new ParleyError('SENDER_MISMATCH', 'sender_id is not the signed-in user', {});
    const to = placeOf(fields);
    if (to === '') throw badField('receiver_id', 'or group_id is missing');
    const request = {
      to,
      clientMessageId: context.key,
      body: { message: messageOf(fields) },
    };
    const { json, replayed } = await this.#calls.call('Messages.Send', request, context);
    return {
      status: 201,
      json: {
        message_id: json['messageId'],
        conversation_id: json['conversationId'],
        sequence: json['sequence'],
        status: numberOf(json['queued']) > 0 ? 'stored' : 'sent',
        created_at: rfc3339(json['timeMs']),
      },
      ...(replayed ? { headers: { 'idempotent-replayed': 'true' } } : {}),
    };
  }

  /** R121, R125: one conversation's messages, or all that is unread. */
  async history(fields: Fields, context: Context): Promise<Answer> {
    onlyFields(fields, [...PLACE_FIELDS, 'filter', 'before', 'limit']);
    const filter = oneOf(textField(fields, 'filter'), FILTERS, 'filter');
    const limit = limitOf(fields, HISTORY_DEFAULT);
    const before = countField(fields, 'before');
    const place = placeOf(fields);
    if (place === '') return this.#allUnread(limit, context);
    const conversation = await this.#conversation(place, context);
    const shown =
      filter === 'unread'
        ? await this.#unread(conversation, { before, limit }, context)
        : await this.#messages(conversation, { before, limit }, context);
    return {
      status: 200,
      json: {
        messages: await this.#columns(shown.filter(isWritten), conversation, context),
        unread_count: unreadOf(conversation),
      },
    };
  }

  /** R125: what has not been delivered to this user; delivered once `ack` comes back. */
  async incoming(fields: Fields, context: Context): Promise<Answer> {
    onlyFields(fields, ['ack', 'limit']);
    const ack = textField(fields, 'ack');
    const epoch = this.#surroundings.epoch();
    if (ack !== '') await this.#delivered(decodeAck(ack, epoch), context);
    const limit = limitOf(fields, INCOMING_DEFAULT);
    const messages: Json[] = [];
    const through: Mark[] = [];
    const passed: Mark[] = [];
    for await (const conversation of this.#all(context)) {
      const left = limit - messages.length;
      if (left <= 0 || through.length >= ACK_CONVERSATIONS_MAX) break;
      const after = numberOf(objectOf(conversation['me'])['deliveredThrough']);
      if (numberOf(conversation['head']) <= after) continue;
      const found = await this.#others(conversation, { after, limit: left }, context);
      messages.push(...(await this.#columns(found.messages, conversation, context)));
      const mark = {
        conversationId: textOf(conversation['conversationId']),
        sequence: found.through,
      };
      (found.messages.length > 0 ? through : passed).push(mark);
    }
    // Nothing is handed out of these, so nothing is to be acknowledged, and no call looks at them again.
    await this.#delivered(passed, context);
    return { status: 200, json: { messages, ack: encodeAck(through, epoch) } };
  }

  /** R159, R160. */
  async conversations(fields: Fields, context: Context): Promise<Answer> {
    onlyFields(fields, ['limit', 'page_token']);
    const caller = callerOf(context);
    const request = {
      pageSize: countField(fields, 'limit'),
      pageToken: textField(fields, 'page_token'),
    };
    const { json } = await this.#calls.call('Sync.ListConversations', request, context);
    const conversations = listOf(json['conversations']);
    return {
      status: 200,
      json: {
        conversations: conversations.map((one) => conversationColumns(one, caller.userId)),
        next_page_token: textOf(json['nextPageToken']) || null,
      },
    };
  }

  async #allUnread(limit: number, context: Context): Promise<Answer> {
    const messages: Json[] = [];
    let unread = 0;
    for await (const conversation of this.#all(context)) {
      const count = unreadOf(conversation);
      if (count === 0) continue;
      unread += count;
      const left = limit - messages.length;
      if (left <= 0) continue;
      const found = await this.#unread(conversation, { before: 0, limit: left }, context);
      messages.push(...(await this.#columns(found, conversation, context)));
    }
    return { status: 200, json: { messages, unread_count: unread } };
  }

  async #conversation(conversationId: string, context: Context): Promise<Json> {
    return (await this.#calls.call('Conversations.Get', { conversationId }, context)).json;
  }

  /** Others' messages above the own read mark, oldest first. `before` 0 = to the head. */
  async #unread(
    conversation: Json,
    range: { readonly before: number; readonly limit: number },
    context: Context,
  ): Promise<readonly Json[]> {
    const head = numberOf(conversation['head']);
    const end = range.before === 0 ? head : Math.min(head, range.before - 1);
    const unread: Json[] = [];
    let after = numberOf(objectOf(conversation['me'])['readThrough']);
    // One's own messages raise no mark: there may be pages of them.
    for (let page = 0; page < OWN_PAGES_MAX && after < end; page++) {
      if (unread.length >= range.limit) break;
      const limit = page === 0 ? range.limit : LIMIT_MAX;
      const found = await this.#above(conversation, { after, limit }, context);
      unread.push(...found.messages.filter(({ sequence }) => numberOf(sequence) <= end));
      after = found.through;
    }
    return unread.slice(0, range.limit);
  }

  /** As `above`, but passes by pages on which nobody else wrote. */
  async #others(
    conversation: Json,
    range: { readonly after: number; readonly limit: number },
    context: Context,
  ): Promise<{ readonly messages: readonly Json[]; readonly through: number }> {
    let found = await this.#above(conversation, range, context);
    for (let page = 1; page < OWN_PAGES_MAX; page++) {
      if (found.messages.length > 0 || found.through >= numberOf(conversation['head'])) break;
      const next = { after: found.through, limit: LIMIT_MAX };
      found = await this.#above(conversation, next, context);
    }
    if (found.messages.length <= range.limit) return found;
    const messages = found.messages.slice(0, range.limit);
    return { messages, through: numberOf(messages.at(-1)?.['sequence']) };
  }

  /** Others' messages above a mark, oldest first, and how far one then is. */
  async #above(
    conversation: Json,
    range: { readonly after: number; readonly limit: number },
    context: Context,
  ): Promise<{ readonly messages: readonly Json[]; readonly through: number }> {
    const { after, limit } = range;
    const head = numberOf(conversation['head']);
    // List reads from the newest unless it is told where to begin, and 0 tells it nothing: from the
    // first row on, a window of as many sequences is read instead.
    const found =
      after > 0
        ? await this.#messages(conversation, { after, limit }, context)
        : await this.#messages(conversation, { before: limit + 1, limit }, context);
    const isWhole = after > 0 ? found.length < limit : head <= limit;
    const last = after > 0 ? numberOf(found.at(-1)?.['sequence']) : limit;
    return {
      messages: found.filter((message) => isOthers(message, context) && isWritten(message)),
      // Own messages and control rows need no delivery, but are passed by.
      through: isWhole ? head : last,
    };
  }

  async #messages(
    conversation: Json,
    range: { readonly after?: number; readonly before?: number; readonly limit: number },
    context: Context,
  ): Promise<readonly Json[]> {
    const { conversationId } = conversation;
    // Nothing was written to it yet: there is nothing that could be asked for.
    if (numberOf(conversation['head']) === 0) return [];
    let messages: readonly Json[] = [];
    // These names have no word for a page that was cut: the rest is read behind it, on its open side.
    for (let isCut = true; isCut && messages.length < range.limit; ) {
      const limit = range.limit - messages.length;
      const isUpwards = (range.after ?? 0) > 0;
      const edge = numberOf(messages.at(isUpwards ? -1 : 0)?.['sequence']);
      const next = isUpwards ? { after: edge, limit } : { before: edge, limit };
      const request = { conversationId, ...(edge === 0 ? range : next) };
      const { json } = await this.#calls.call('Messages.List', request, context);
      const found = listOf(json['messages']);
      messages = isUpwards ? [...messages, ...found] : [...found, ...messages];
      isCut = json['cut'] === true && found.length > 0;
    }
    return messages;
  }

  /** All conversations with something in them, newest first, page by page. */
  async *#all(context: Context): AsyncGenerator<Json> {
    let pageToken = '';
    for (let seen = 0; seen < CONVERSATIONS_MAX; seen += LIMIT_MAX) {
      const request = { pageSize: LIMIT_MAX, pageToken };
      const { json } = await this.#calls.call('Sync.ListConversations', request, context);
      yield* listOf(json['conversations']);
      pageToken = textOf(json['nextPageToken']);
      if (pageToken === '') return;
    }
  }

  async #delivered(marks: readonly Mark[], context: Context): Promise<void> {
    const epoch = this.#surroundings.epoch();
    for (let at = 0; at < marks.length; at += MARKS_PER_REPORT_MAX) {
      const some = marks.slice(at, at + MARKS_PER_REPORT_MAX);
      const delivered = some.map((mark) => ({ ...mark, epoch }));
      await this.#calls.call('Messages.Report', { delivered }, context);
    }
  }

  async #columns(
    messages: readonly Json[],
    conversation: Json,
    context: Context,
  ): Promise<readonly Json[]> {
    const columns: Json[] = [];
    for (let at = 0; at < messages.length; at += RECEIPTS_TOGETHER)
      columns.push(
        ...(await Promise.all(
          messages
            .slice(at, at + RECEIPTS_TOGETHER)
            .map((message) => this.#column(message, conversation, context)),
        )),
      );
    return columns;
  }

  async #column(message: Json, conversation: Json, context: Context): Promise<Json> {
    const callerId = callerOf(context).userId;
    if (isOthers(message, context)) {
      const me = objectOf(conversation['me']);
      const sequence = numberOf(message['sequence']);
      const read = sequence <= numberOf(me['readThrough']);
      const isDelivered = read || sequence <= numberOf(me['deliveredThrough']);
      const status: Status = read ? 'read' : isDelivered ? 'delivered' : 'sent';
      return messageColumns(message, conversation, { status, read, callerId });
    }
    const status = await this.#statusOfOwn(message, conversation, context);
    return messageColumns(message, conversation, { status, read: status === 'read', callerId });
  }

  /** In a direct the peer's marks say it; else, and for who is not reached, the receipts do. */
  async #statusOfOwn(message: Json, conversation: Json, context: Context): Promise<Status> {
    const sequence = numberOf(message['sequence']);
    if (sequence <= numberOf(conversation['peerReadThrough'])) return 'read';
    if (sequence <= numberOf(conversation['peerDeliveredThrough'])) return 'delivered';
    const { conversationId } = conversation;
    const request = { conversationId, sequence };
    const { json } = await this.#calls.call('Messages.ListReceipts', request, context);
    const counts = objectOf(json['counts']);
    const of = numberOf(counts['of']);
    if (of > 0 && numberOf(counts['read']) >= of) return 'read';
    if (of > 0 && numberOf(counts['delivered']) >= of) return 'delivered';
    return numberOf(counts['queued']) > 0 ? 'stored' : 'sent';
  }
}

function messageOf(fields: Fields): Fields {
  const type = oneOf(textField(fields, 'message_type'), MESSAGE_TYPES, 'message_type');
  const content = textField(fields, 'content');
  const mediaId = textField(fields, 'media_id');
  if (type !== 'text' && mediaId === '') throw badField('media_id', 'is missing');
  if (type === 'text' && mediaId !== '') throw badField('media_id', 'belongs to media only');
  return {
    ...(content === '' ? {} : { text: { body: content } }),
    ...(mediaId === '' ? {} : { attachments: [{ mediaId: need(fields, 'media_id') }] }),
  };
}

function isOthers(message: Json, context: Context): boolean {
  return message['senderUserId'] !== callerOf(context).userId;
}

/** Not one of the rows by which the server tells of a group: their columns have no place for those. */
function isWritten(message: Json): boolean {
  const content = objectOf(message['content']);
  return !['created', 'member', 'update'].some((kind) => kind in content);
}

function unreadOf(conversation: Json): number {
  return numberOf(objectOf(conversation['me'])['unreadCount']);
}

function limitOf(fields: Fields, fallback: number): number {
  const limit = countField(fields, 'limit');
  return limit === 0 ? fallback : Math.min(limit, LIMIT_MAX);
}

interface Mark {
  readonly conversationId: string;
  readonly sequence: number;
}

/** The epoch, then 24 bytes a conversation: its id and the sequence. */
const EPOCH_BYTES = 8;
const MARK_BYTES = 24;

function encodeAck(marks: readonly Mark[], epoch: number): string {
  if (marks.length === 0) return '';
  const out = new ByteWriter(EPOCH_BYTES + marks.length * MARK_BYTES);
  out.u53(epoch);
  for (const { conversationId, sequence } of marks)
    out.raw(parseId('cnv', conversationId, 'ack')).u53(sequence);
  return base64Url(out.finish());
}

/** None of an ack from before a restore: its sequences may be other messages by now. */
function decodeAck(ack: string, epoch: number): readonly Mark[] {
  const refused = new ParleyError('BAD_CURSOR', 'ack is not one that this server gave', {
    field: 'ack',
  });
  const bytes = fromBase64Url(ack);
  const markBytes = (bytes?.length ?? 0) - EPOCH_BYTES;
  const isWhole = markBytes > 0 && markBytes % MARK_BYTES === 0;
  if (bytes === undefined || !isWhole || markBytes > ACK_CONVERSATIONS_MAX * MARK_BYTES)
    throw refused;
  const input = new ByteReader(bytes);
  const of = input.u53();
  const marks: Mark[] = [];
  while (input.remaining > 0) {
    const mark = { conversationId: encodeId('cnv', input.raw(16)), sequence: input.u53() };
    if (!Number.isSafeInteger(mark.sequence)) throw refused;
    marks.push(mark);
  }
  return of === epoch ? marks : [];
}

function callerOf(context: CallerContext): Caller {
  if (context.caller === undefined)
    throw new ParleyError('TOKEN_INVALID', 'an access token is needed');
  return context.caller;
}
