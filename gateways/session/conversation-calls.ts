/**
 * Calls that change a conversation: each becomes one command in its log, then the resource is read
 * for the response (CONTRACT §2 Conversations).
 */
import { COMMAND_KIND, type GroupSettings } from '../../core/command.ts';
import { encodeCommand } from '../../core/command-codec.ts';
import { ParleyError } from '../../core/errors.ts';
import { ROLE } from '../../core/facts.ts';
import { compareBytes, isZero } from '../../core/bytes.ts';
import { decodeUuid, encodeId, groupConversationRaw, parseId } from '../../core/ids.ts';
import type { Plain } from '../../proto/codec.ts';
import type * as requests from '../../proto/gen/parley/client/v1/conversations_pb.ts';
import type { FitsAnswer, MembersAnswer } from '../../proto/gen/parley/broker/v1/link_pb.ts';
import type { ConversationSettings, Me } from '../../proto/gen/parley/v1/types_pb.ts';
import { parseAddress, type Address } from './address.ts';
import { joinIds } from './changes.ts';
import { MEMBERS_REQUEST_MAX, MEMBERS_UNJUDGED_MAX, NAME_CODE_POINTS_MAX } from './limits.ts';
import { badField, checkCount, oneOf, unknownConstant } from './refusals.ts';
import { command, passOn, query, unknownUsers, type Routine } from './routine.ts';
import type { Caller } from './caller.ts';
import { checkText } from './text-rules.ts';

export interface Changed {
  readonly response: Uint8Array | object;
  /** It had been done before: nothing was appended. */
  readonly replayed: boolean;
}

const ROLES = ['member', 'admin', 'owner'] as const;
const NOTIFY = ['all', 'mentions', 'none'] as const;
const MY_FIELDS = [
  'notify',
  'muteUntilMs',
  'archived',
  'pinned',
  'markedUnread',
  'clearedThrough',
] as const;
const CONVERSATION_FIELDS = ['name', 'pictureMediaId', 'settings'] as const;
const SLOW_MODE_MS_MAX = 24 * 3_600_000;

export function* createGroup(
  request: Plain<requests.CreateConversationRequest>,
  caller: Caller,
): Routine<Changed> {
  const requestId = decodeUuid(request.requestId);
  if (requestId === undefined || isZero(requestId))
    throw new ParleyError('BAD_ID', 'requestId is not a UUID', { field: 'requestId' });
  checkText(request.name, { field: 'name', max: NAME_CODE_POINTS_MAX });
  checkEncryption(request.encryption);
  const members = parseUsers(request.members, 'members').filter(
    (user) => compareBytes(user, caller.user) !== 0,
  );
  const settings = parseSettings(request.settings);
  const key = groupConversationRaw(caller.user, requestId);
  yield* mustFit(key, members, caller, { creates: true, ifVersion: 0 });
  yield* mustExist(members);
  const name = request.name;
  const commit = yield* command(
    encodeCommand({
      kind: COMMAND_KIND.createGroup,
      ...header(key, caller),
      requestId,
      name,
      members,
      settings,
    }),
  );
  const response = yield* getConversation(key, caller);
  return { response, replayed: commit.replayed };
}

export function* updateConversation(
  request: Plain<requests.UpdateConversationRequest>,
  caller: Caller,
): Routine<Changed> {
  const { conversation } = parseAddress(request.conversationId, caller.user, 'conversationId');
  const given = request.conversation;
  const fields = maskOf(request.updateMask, CONVERSATION_FIELDS, (field) => {
    const value = given?.[field];
    return value !== undefined && value !== '';
  });
  if (fields.has('name'))
    checkText(given?.name ?? '', { field: 'conversation.name', max: NAME_CODE_POINTS_MAX });
  const picture = given?.pictureMediaId ?? '';
  if (picture !== '') parseId('med', picture, 'conversation.pictureMediaId');
  const commit = yield* command(
    encodeCommand({
      kind: COMMAND_KIND.updateConversation,
      ...header(conversation, caller),
      ifVersion: versionOf(request.ifMatch),
      ...(fields.has('name') ? { name: given?.name ?? '' } : {}),
      ...(fields.has('pictureMediaId') ? { pictureMediaId: picture } : {}),
      ...(fields.has('settings') ? { settings: wholeSettings(given?.settings) } : {}),
    }),
  );
  return {
    response: yield* getConversation(conversation, caller),
    replayed: commit.replayed,
  };
}

export function* closeConversation(
  request: Plain<requests.CloseConversationRequest>,
  caller: Caller,
): Routine<Changed> {
  const { conversation } = parseAddress(request.conversationId, caller.user, 'conversationId');
  const commit = yield* command(
    encodeCommand({
      kind: COMMAND_KIND.closeConversation,
      ...header(conversation, caller),
      ifVersion: versionOf(request.ifMatch),
    }),
  );
  return { response: yield* getConversation(conversation, caller), replayed: commit.replayed };
}

export function* addMembers(
  request: Plain<requests.AddMembersRequest>,
  caller: Caller,
): Routine<Changed> {
  const address = parseAddress(request.conversationId, caller.user, 'conversationId');
  const users = parseUsers(request.userIds, 'userIds');
  if (users.length === 0) throw badField('userIds', 'is empty');
  const role = ROLE[oneOf(request.role, ROLES, 'role')];
  const ifVersion = versionOf(request.ifMatch);
  yield* mustFit(address.conversation, users, caller, { creates: false, ifVersion });
  yield* mustExist(users);
  const commit = yield* command(
    encodeCommand({
      kind: COMMAND_KIND.addMembers,
      ...header(address.conversation, caller),
      ifVersion,
      users,
      role,
    }),
  );
  const response = yield* membersChanged(address, users, caller, commit.sequence);
  return { response, replayed: commit.replayed };
}

export function* updateMember(
  request: Plain<requests.UpdateMemberRequest>,
  caller: Caller,
): Routine<Changed> {
  const address = parseAddress(request.conversationId, caller.user, 'conversationId');
  const user = parseUser(request.userId, caller, 'userId');
  if (request.role === '') throw badField('role', 'is missing');
  const role = ROLE[oneOf(request.role, ROLES, 'role')];
  const commit = yield* command(
    encodeCommand({
      kind: COMMAND_KIND.setRole,
      ...header(address.conversation, caller),
      ifVersion: versionOf(request.ifMatch),
      user,
      role,
    }),
  );
  const response = yield* membersChanged(address, [user], caller, commit.sequence);
  return { response, replayed: commit.replayed };
}

/** Also how one leaves: by removing oneself. */
export function* removeMember(
  request: Plain<requests.RemoveMemberRequest>,
  caller: Caller,
): Routine<Changed> {
  const { conversation } = parseAddress(request.conversationId, caller.user, 'conversationId');
  const user = parseUser(request.userId, caller, 'userId');
  const commit = yield* command(
    encodeCommand({
      kind: COMMAND_KIND.removeMember,
      ...header(conversation, caller),
      ifVersion: versionOf(request.ifMatch),
      user,
    }),
  );
  return { response: { members: [], sequence: commit.sequence }, replayed: commit.replayed };
}

export function* setMyState(
  request: Plain<requests.SetMyStateRequest>,
  caller: Caller,
): Routine<Changed> {
  const { conversation } = parseAddress(request.conversationId, caller.user, 'conversationId');
  const me: Partial<Plain<Me>> = request.me ?? {};
  const fields = maskOf(request.updateMask, MY_FIELDS, (field) => Boolean(me[field]));
  const notify = oneOf(me.notify ?? '', NOTIFY, 'me.notify');
  checkCount(me.muteUntilMs ?? 0, 'me.muteUntilMs');
  checkCount(me.clearedThrough ?? 0, 'me.clearedThrough');
  const commit = yield* command(
    encodeCommand({
      kind: COMMAND_KIND.setMyState,
      ...header(conversation, caller),
      ...(fields.has('notify') ? { notify: NOTIFY.indexOf(notify) } : {}),
      ...(fields.has('muteUntilMs') ? { muteUntilMs: me.muteUntilMs ?? 0 } : {}),
      ...(fields.has('archived') ? { archived: me.archived ?? false } : {}),
      ...(fields.has('pinned') ? { pinned: me.pinned ?? false } : {}),
      ...(fields.has('markedUnread') ? { markedUnread: me.markedUnread ?? false } : {}),
      ...(fields.has('clearedThrough') ? { clearedThrough: me.clearedThrough ?? 0 } : {}),
    }),
  );
  return { response: yield* getConversation(conversation, caller), replayed: commit.replayed };
}

function header(
  key: Uint8Array,
  caller: Caller,
): { timeMs: 0; key: Uint8Array; caller: Uint8Array } {
  return { timeMs: 0, key, caller: caller.user };
}

function* getConversation(key: Uint8Array, caller: Caller): Routine<Uint8Array> {
  const request = { conversationId: encodeId('cnv', key) };
  return yield* passOn({ method: 'Conversations.Get', key, caller, request });
}

function* membersChanged(
  address: Address,
  users: readonly Uint8Array[],
  caller: Caller,
  sequence: number,
): Routine<object> {
  const answer = yield* query<Plain<MembersAnswer>>({
    method: 'Link.Members',
    key: address.conversation,
    caller,
    request: {
      conversationId: address.conversationId,
      userIds: users.map((user) => encodeId('usr', user)),
    },
  });
  return { members: answer.members, sequence };
}

/** Judged before they are looked up, one by one in a database, for a call that is then refused. */
function* mustFit(
  key: Uint8Array,
  users: readonly Uint8Array[],
  caller: Caller,
  call: { readonly creates: boolean; readonly ifVersion: number },
): Routine<void> {
  if (users.length <= MEMBERS_UNJUDGED_MAX) return;
  const conversationId = encodeId('cnv', key);
  const request = { conversationId, users: joinIds(users), ...call };
  yield* query<Plain<FitsAnswer>>({ method: 'Link.Fits', key, caller, request });
}

function* mustExist(users: readonly Uint8Array[]): Routine<void> {
  const unknown = yield* unknownUsers(users);
  const [first] = unknown;
  if (first !== undefined) {
    const userId = encodeId('usr', first);
    throw new ParleyError('USER_UNKNOWN', `there is no user ${userId}`, { userId });
  }
}

function parseUser(text: string, caller: Caller, field: string): Uint8Array {
  return text === 'me' ? caller.user : parseId('usr', text, field);
}

/** Each once, in the order given. */
function parseUsers(texts: readonly string[], field: string): Uint8Array[] {
  if (texts.length > MEMBERS_REQUEST_MAX)
    throw badField(field, `has more than ${MEMBERS_REQUEST_MAX} users`);
  return [...new Set(texts)].map((text, i) => parseId('usr', text, `${field}[${i}]`));
}

function checkEncryption(encryption: string): void {
  if (encryption === '' || encryption === 'none') return;
  if (encryption !== 'mls') throw unknownConstant('encryption');
  throw new ParleyError('FEATURE_DISABLED', 'this server does not offer end-to-end encryption', {
    field: 'encryption',
  });
}

function parseSettings(settings: Plain<ConversationSettings> | undefined): GroupSettings {
  const slowModeMs = settings?.slowModeMs ?? 0;
  if (slowModeMs < 0 || slowModeMs > SLOW_MODE_MS_MAX)
    throw badField('settings.slowModeMs', 'is not between 0 and a day');
  return {
    historyAll: oneOf(settings?.history ?? '', ['from_join', 'all'], 'settings.history') === 'all',
    sendAdminsOnly: oneOf(settings?.send ?? '', ['all', 'admins'], 'settings.send') === 'admins',
    addMembersToo: oneOf(settings?.add ?? '', ['admins', 'all'], 'settings.add') === 'all',
    slowModeMs,
  };
}

/** What a change leaves out would fall back to its default, and open a group of admins to all. */
function wholeSettings(settings: Plain<ConversationSettings> | undefined): GroupSettings {
  for (const name of ['history', 'send', 'add'] as const)
    if ((settings?.[name] ?? '') === '')
      throw badField(`conversation.settings.${name}`, 'is missing: settings are changed together');
  return parseSettings(settings);
}

/** The fields that change: those named, or without a mask those that are set. */
function maskOf<F extends string>(
  mask: readonly string[],
  known: readonly F[],
  isSet: (field: F) => boolean,
): ReadonlySet<F> {
  if (mask.length === 0) {
    const set = known.filter(isSet);
    if (set.length === 0) throw badField('updateMask', 'names nothing that changes');
    return new Set(set);
  }
  const fields = new Set<F>();
  for (const name of mask) {
    const field = known.find((candidate) => candidate === name);
    if (field === undefined) throw badField('updateMask', `names ${name}, which cannot be changed`);
    fields.add(field);
  }
  return fields;
}

/** 0 = whatever it is now. An etag that is not a number was never one of ours. */
function versionOf(etag: string): number {
  if (etag === '' || etag === '*') return 0;
  const [, digits = '0'] = /^"?([0-9]{1,15})"?$/.exec(etag) ?? [];
  const version = Number(digits);
  if (version === 0)
    throw new ParleyError('VERSION_CONFLICT', 'the conversation changed since it was read');
  return version;
}
