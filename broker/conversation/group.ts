/** Creating groups and changing what all members see of them: name, picture, settings, closedness. */
import { sameBytes, utf8 } from '../../core/bytes.ts';
import type {
  CloseConversationCommand,
  CreateGroupCommand,
  UpdateConversationCommand,
} from '../../core/command.ts';
import { ROLE } from '../../core/facts.ts';
import { groupConversationRaw } from '../../core/ids.ts';
import {
  appendFacts,
  committed,
  refusal,
  refused,
  unchanged,
  unknownConversation,
  type Applying,
  type Refusal,
} from './applying.ts';
import type { Applied, MembershipChange } from './contract.ts';
import { HEADER_FLAG, HEADER_KIND, settingsByte } from './header.ts';

/** 100 code points (CONTRACT §1) take at most this; gateways count them, this bounds the header. */
const NAME_BYTES_MAX = 400;
const PICTURE_BYTES_MAX = 64;

/** Again = as it stands, for ever: the id names creator and request. */
export function applyCreateGroup(applying: Applying, command: CreateGroupCommand): Applied {
  const { live, nowMs, conversation } = applying;
  const { caller, requestId } = command;
  if (!sameBytes(groupConversationRaw(caller, requestId), conversation))
    return refused(applying, refusal('BAD_ID', 'that is not the conversation of this request'));
  if (live.isKnown) {
    const timeMs = live.header.createTimeMs;
    return { conversation, answer: { is: 'commit', sequence: 1, timeMs, replayed: true } };
  }
  const users = distinct([caller, ...command.members]);
  const { membersMax } = applying.settings;
  if (users.length > membersMax) return refused(applying, groupFull(membersMax));
  const name = utf8(command.name);
  if (name.length > NAME_BYTES_MAX) return refused(applying, badText('name'));
  live.create(HEADER_KIND.group, nowMs);
  live.header.creator = caller;
  live.header.settings = settingsByte(command.settings);
  live.header.slowModeMs = command.settings.slowModeMs;
  live.setName(name);
  const facts = { is: 'created', name: command.name, users } as const;
  const { row, sequence } = appendFacts(applying, caller, facts);
  const members = users.map((user, i): MembershipChange => {
    const role = i === 0 ? ROLE.owner : ROLE.member;
    const inviterSlot = i === 0 ? -1 : 0;
    live.join(live.addSlot(user), { sequence, timeMs: nowMs, role, inviterSlot, historyFrom: 1 });
    return { user: user.slice(), joined: true, sequence };
  });
  return { conversation, answer: committed(applying, sequence), row, members };
}

export function applyUpdate(applying: Applying, command: UpdateConversationCommand): Applied {
  const { live, conversation } = applying;
  const forbidden = forbidsChange(applying, command.caller, false);
  if (forbidden !== undefined) return refused(applying, forbidden);
  const { header } = live;
  const stale = staleVersion(applying, command);
  if (stale !== undefined) return refused(applying, stale);
  const name = command.name === undefined ? undefined : utf8(command.name);
  if (name !== undefined && name.length > NAME_BYTES_MAX) return refused(applying, badText('name'));
  const picture = command.pictureMediaId === undefined ? undefined : utf8(command.pictureMediaId);
  if (picture !== undefined && picture.length > PICTURE_BYTES_MAX)
    return refused(applying, refusal('BAD_ID', 'too long', { field: 'pictureMediaId' }));
  const fields: string[] = [];
  if (name !== undefined && !sameBytes(name, nameOf(applying))) {
    live.setName(name);
    fields.push('name');
  }
  if (picture !== undefined && !sameBytes(picture, pictureOf(applying))) {
    live.setPicture(picture);
    fields.push('pictureMediaId');
  }
  if (command.settings !== undefined && setSettings(applying, command.settings))
    fields.push('settings');
  if (fields.length === 0) return unchanged(applying);
  header.etag += 1;
  const facts = { is: 'update', fields, name: command.name ?? '', closed: false } as const;
  const { row, sequence } = appendFacts(applying, command.caller, facts);
  return { conversation, answer: committed(applying, sequence), row, resourceChanged: true };
}

export function applyClose(applying: Applying, command: CloseConversationCommand): Applied {
  const { live, conversation } = applying;
  const forbidden = forbidsChange(applying, command.caller, true);
  if (forbidden !== undefined && forbidden.reason !== 'CONVERSATION_CLOSED')
    return refused(applying, forbidden);
  const stale = staleVersion(applying, command);
  if (stale !== undefined) return refused(applying, stale);
  if (live.header.isClosed) return unchanged(applying);
  live.header.flags |= HEADER_FLAG.closed;
  const facts = { is: 'update', fields: ['closed'], name: '', closed: true } as const;
  const { row, sequence } = appendFacts(applying, command.caller, facts);
  return { conversation, answer: committed(applying, sequence), row, resourceChanged: true };
}

/** Aims at the caller; why he may not change the group, undefined = he may. */
export function forbidsChange(
  applying: Applying,
  caller: Uint8Array,
  ownersOnly: boolean,
): Refusal | undefined {
  const stranger = forbidsAsStranger(applying, caller);
  if (stranger !== undefined) return stranger;
  const { header, member } = applying.live;
  if (header.isDirect) return refusal('ROLE_REQUIRED', 'a direct cannot be changed');
  const may = member.role === ROLE.owner || (!ownersOnly && member.role === ROLE.admin);
  if (!may)
    return refusal('ROLE_REQUIRED', ownersOnly ? 'only owners may' : 'only owners and admins may');
  return header.isClosed ? refusal('CONVERSATION_CLOSED', 'the conversation is closed') : undefined;
}

/** Aims at the caller; refuses who is not a member now. */
export function forbidsAsStranger(applying: Applying, caller: Uint8Array): Refusal | undefined {
  const { live } = applying;
  if (!live.isCreated || !live.aimAt(caller)) return unknownConversation();
  return live.member.isPresent ? undefined : refusal('NOT_A_MEMBER', 'you are no longer a member');
}

/**
 * Why a change that depends on an etag is refused. Asked of members only, who may know of it, and
 * before anything else of the change: what is stale does nothing, also where nothing is to be done.
 */
export function staleVersion(
  applying: Applying,
  command: { readonly ifVersion?: number },
): Refusal | undefined {
  const { ifVersion = 0 } = command;
  const { etag } = applying.live.header;
  if (ifVersion === 0 || ifVersion === etag) return undefined;
  return refusal('VERSION_CONFLICT', 'it was changed meanwhile', { version: etag });
}

export function groupFull(membersMax: number): Refusal {
  return refusal('GROUP_FULL', 'the group would have too many members', { membersMax });
}

/** In their order, each once. */
export function distinct(users: readonly Uint8Array[]): Uint8Array[] {
  const seen = new Set<string>();
  return users.filter((user) => {
    const key = user.join();
    if (seen.has(key)) return false;
    seen.add(key);
    return true;
  });
}

function setSettings(
  applying: Applying,
  settings: NonNullable<UpdateConversationCommand['settings']>,
): boolean {
  const { header } = applying.live;
  const bits = settingsByte(settings);
  if (bits === header.settings && settings.slowModeMs === header.slowModeMs) return false;
  header.settings = bits;
  header.slowModeMs = settings.slowModeMs;
  return true;
}

function nameOf(applying: Applying): Uint8Array {
  const { header } = applying.live;
  const at = header.at + header.nameOffset;
  return header.bytes.subarray(at, at + header.nameBytes);
}

function pictureOf(applying: Applying): Uint8Array {
  const { header } = applying.live;
  const at = header.at + header.pictureOffset;
  return header.bytes.subarray(at, at + header.pictureBytes);
}

function badText(field: string): Refusal {
  return refusal('BAD_TEXT', `${field} is too long`, { field });
}
