/**
 * Rules for what people send (CONTRACT §5). A gateway decodes content once, checks it here, and
 * writes beside its bytes what `apply` needs, since the broker never decodes it. Content itself is
 * never changed.
 */
import { EMPTY } from '../../core/bytes.ts';
import { SEND_FLAG } from '../../core/command.ts';
import { ParleyError, type Reason } from '../../core/errors.ts';
import { decodeId, parseId } from '../../core/ids.ts';
import { BODY_KIND, type BodyKind } from '../../core/row.ts';
import * as limits from './limits.ts';
import { badField, checkCount, oneOf, tooLarge, unknownConstant } from './refusals.ts';
import type { Content } from './session-contract.ts';
import { checkText, splitsPair } from './text-rules.ts';

/** What `apply` must know of a content. */
export interface ContentFacts {
  readonly bodyKind: BodyKind;
  /** Bits of SEND_FLAG. */
  readonly flags: number;
  readonly target: number;
  /** 16 bytes a user, one after another, each once. */
  readonly mentions: Uint8Array;
  /** A refusal by facts outside the log: answered only if the send is not a repeated one. */
  readonly veto?: Reason;
}

type TextMessage = NonNullable<Content['message']>;
type Text = NonNullable<TextMessage['text']>;
type Entity = Text['entities'][number];
type Target = NonNullable<Content['delete']>['target'];

const ENTITY_TYPES = [
  'bold',
  'italic',
  'strike',
  'code',
  'pre',
  'link',
  'mention',
  'mention_all',
] as const;
const OPS = ['add', 'remove'] as const;
const SEALED_KINDS = ['app', 'commit', 'proposal'] as const;
const KINDS = ['message', 'edit', 'delete', 'reaction', 'pin', 'sealed'] as const;
const SERVER_KINDS = ['created', 'member', 'update', 'trim'] as const;
const SCHEMA = /^[a-z0-9-]+(\.[a-z0-9-]+)+\/[0-9A-Za-z.-]{1,32}$/;
const SCHEMA_CHARS_MAX = 200;

/** Refuses with the reason of CONTRACT §8. The size was judged before. */
export function checkContent(content: Content | undefined): ContentFacts {
  if (content === undefined) throw badField('body', 'is missing');
  for (const kind of SERVER_KINDS)
    if (content[kind] !== undefined) throw badField(`body.${kind}`, 'is made by the server alone');
  const kinds = KINDS.filter((kind) => content[kind] !== undefined);
  if (kinds.length !== 1) throw badField('body', 'needs exactly one kind of content');
  if (content.message !== undefined) return messageFacts(content.message);
  if (content.edit !== undefined) return editFacts(content.edit);
  if (content.reaction !== undefined) return reactionFacts(content.reaction);
  if (content.pin !== undefined) {
    oneOf(content.pin.op, OPS, 'body.pin.op');
    return aimed(BODY_KIND.pin, content.pin.target, 'body.pin.target');
  }
  if (content.sealed !== undefined) return sealedFacts(content.sealed);
  return aimed(BODY_KIND.delete, content.delete?.target, 'body.delete.target');
}

function messageFacts(message: TextMessage): ContentFacts {
  const mentions = checkMessage(message, 'body.message');
  const flags =
    SEND_FLAG.countable |
    (message.silent ? SEND_FLAG.silent : 0) |
    (mentions.all ? SEND_FLAG.mentionAll : 0);
  const facts = { bodyKind: BODY_KIND.message, flags, target: 0, mentions: mentions.users };
  return { ...facts, ...mediaVeto(message) };
}

/** LIMIT: no media service yet, so no attachment can exist. */
function mediaVeto({ attachments }: TextMessage): { veto?: 'MEDIA_UNKNOWN' } {
  return attachments.length > 0 ? { veto: 'MEDIA_UNKNOWN' } : {};
}

function editFacts(edit: NonNullable<Content['edit']>): ContentFacts {
  if (edit.message === undefined) throw badField('body.edit.message', 'is missing');
  checkMessage(edit.message, 'body.edit.message');
  return { ...aimed(BODY_KIND.edit, edit.target, 'body.edit.target'), ...mediaVeto(edit.message) };
}

function reactionFacts(reaction: NonNullable<Content['reaction']>): ContentFacts {
  oneOf(reaction.op, OPS, 'body.reaction.op');
  checkText(reaction.emoji, { field: 'body.reaction.emoji', max: limits.EMOJI_CODE_POINTS_MAX });
  return aimed(BODY_KIND.reaction, reaction.target, 'body.reaction.target');
}

function sealedFacts(sealed: NonNullable<Content['sealed']>): ContentFacts {
  oneOf(sealed.kind, SEALED_KINDS, 'body.sealed.kind');
  checkText(sealed.scheme, { field: 'body.sealed.scheme', max: limits.NAME_CODE_POINTS_MAX });
  checkCount(sealed.version, 'body.sealed.version');
  checkCount(sealed.mlsEpoch, 'body.sealed.mlsEpoch');
  if (sealed.ciphertext.length === 0) throw badField('body.sealed.ciphertext', 'is empty');
  const flags = sealed.countable ? SEND_FLAG.countable : 0;
  // LIMIT: no conversation is encrypted yet (Create refuses `mls`), so nothing may be sealed.
  return {
    bodyKind: BODY_KIND.sealed,
    flags,
    target: 0,
    mentions: EMPTY,
    veto: 'ENCRYPTION_MISMATCH',
  };
}

function aimed(bodyKind: BodyKind, target: Target, field: string): ContentFacts {
  if (target === undefined) throw badField(field, 'is missing');
  const { sequence, clientSeq } = target;
  if (sequence < 0 || clientSeq < 0 || sequence > 0 === clientSeq > 0)
    throw badField(field, 'needs either a sequence or a clientSeq');
  return {
    bodyKind,
    flags: clientSeq > 0 ? SEND_FLAG.targetIsClientSeq : 0,
    target: clientSeq > 0 ? clientSeq : sequence,
    mentions: EMPTY,
  };
}

interface Mentions {
  readonly users: Uint8Array;
  readonly all: boolean;
}

const NO_MENTIONS: Mentions = { users: EMPTY, all: false };

function checkMessage(message: TextMessage, field: string): Mentions {
  const { text, attachments, custom } = message;
  if ((text?.body ?? '') === '' && attachments.length === 0 && custom === undefined)
    throw new ParleyError('BAD_TEXT', `${field} is empty`, { field });
  if (attachments.length > limits.ATTACHMENTS_MAX)
    throw badField(`${field}.attachments`, `has more than ${limits.ATTACHMENTS_MAX}`);
  for (const [i, attachment] of attachments.entries())
    checkAttachment(attachment, `${field}.attachments[${i}]`);
  if (custom !== undefined) checkCustom(custom, `${field}.custom`);
  checkText(message.fallback, {
    field: `${field}.fallback`,
    max: limits.FALLBACK_CODE_POINTS_MAX,
    mayBeEmpty: true,
  });
  checkCount(message.replyTo, `${field}.replyTo`);
  checkCount(message.expireAfterMs, `${field}.expireAfterMs`);
  if (message.forwardOf !== '') parseId('msg', message.forwardOf, `${field}.forwardOf`);
  return text === undefined ? NO_MENTIONS : checkBody(text, `${field}.text`);
}

function checkBody(text: Text, field: string): Mentions {
  checkText(text.body, {
    field: `${field}.body`,
    max: limits.BODY_CODE_POINTS_MAX,
    mayBeEmpty: true,
  });
  if (text.entities.length === 0) return NO_MENTIONS;
  const users = new Set<string>();
  let all = false;
  for (const [i, entity] of text.entities.entries()) {
    checkEntity(entity, text.body, `${field}.entities[${i}]`);
    if (entity.type === 'mention') users.add(entity.userId);
    if (entity.type === 'mention_all') all = true;
  }
  if (users.size > limits.MENTIONS_MAX)
    throw badField(`${field}.entities`, `mention more than ${limits.MENTIONS_MAX} users`);
  const raw = new Uint8Array(users.size * 16);
  let at = 0;
  for (const user of users) {
    raw.set(decodeId('usr', user) ?? EMPTY, at);
    at += 16;
  }
  return { users: raw, all };
}

function checkEntity(entity: Entity, body: string, field: string): void {
  const { type, offset, length, userId, url } = entity;
  if (!(ENTITY_TYPES as readonly string[]).includes(type)) throw unknownConstant(`${field}.type`);
  if (offset < 0 || length < 1 || offset + length > body.length)
    throw badField(field, 'does not lie within the text');
  if (splitsPair(body, offset) || splitsPair(body, offset + length))
    throw badField(field, 'begins or ends inside a surrogate pair');
  if (type === 'mention') parseId('usr', userId, `${field}.userId`);
  else if (userId !== '') throw badField(`${field}.userId`, 'belongs to mentions only');
  if (type === 'link') checkText(url, { field: `${field}.url`, max: limits.URL_CODE_POINTS_MAX });
  else if (url !== '') throw badField(`${field}.url`, 'belongs to links only');
}

function checkAttachment(attachment: TextMessage['attachments'][number], field: string): void {
  parseId('med', attachment.mediaId, `${field}.mediaId`);
  checkText(attachment.name, {
    field: `${field}.name`,
    max: limits.NAME_CODE_POINTS_MAX,
    mayBeEmpty: true,
  });
  checkCount(attachment.width, `${field}.width`);
  checkCount(attachment.height, `${field}.height`);
  if (attachment.preview.length > limits.PREVIEW_BYTES_MAX)
    throw tooLarge(`${field}.preview`, limits.PREVIEW_BYTES_MAX);
}

function checkCustom(custom: NonNullable<TextMessage['custom']>, field: string): void {
  if (custom.schema.length > SCHEMA_CHARS_MAX || !SCHEMA.test(custom.schema))
    throw badField(`${field}.schema`, 'is not a reverse domain name with a version');
  if (custom.data.length > limits.CUSTOM_BYTES_MAX)
    throw tooLarge(`${field}.data`, limits.CUSTOM_BYTES_MAX);
}
