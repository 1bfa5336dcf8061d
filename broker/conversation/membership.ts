/**
 * Membership: adding, removing, leaving, roles (CONTRACT §5). Memberships are intervals of the log,
 * so everything that is asked of one is judged at a row's sequence.
 */
import type { AddMembersCommand, RemoveMemberCommand, SetRoleCommand } from '../../core/command.ts';
import { sameBytes } from '../../core/bytes.ts';
import { ROLE, type MemberChange } from '../../core/facts.ts';
import {
  appendFacts,
  committed,
  refusal,
  refused,
  unchanged,
  type Applying,
  type Refusal,
} from './applying.ts';
import type { Applied, MembershipChange } from './contract.ts';
import { distinct, forbidsAsStranger, forbidsChange, groupFull, staleVersion } from './group.ts';
import { SETTINGS_BIT } from './header.ts';

export function applyAddMembers(applying: Applying, command: AddMembersCommand): Applied {
  const { live, conversation, nowMs } = applying;
  const { caller, role } = command;
  const forbidden =
    forbidsAsStranger(applying, caller) ??
    forbidsAdding(applying, role) ??
    staleVersion(applying, command);
  if (forbidden !== undefined) return refused(applying, forbidden);
  const inviterSlot = live.member.slot;
  const absent = distinct(command.users).filter((user) => !isPresent(applying, user));
  if (absent.length === 0) return unchanged(applying);
  const { membersMax } = applying.settings;
  if (live.header.memberCount + absent.length > membersMax)
    return refused(applying, groupFull(membersMax));
  const { row, sequence } = appendMember(applying, 'added', { by: caller, role, users: absent });
  const historyFrom = (live.header.settings & SETTINGS_BIT.historyAll) === 0 ? sequence : 1;
  const members = absent.map((user): MembershipChange => {
    const known = live.slotOf(user, 0);
    const slot = known < 0 ? live.addSlot(user) : known;
    live.join(slot, { sequence, timeMs: nowMs, role, inviterSlot, historyFrom });
    return { user: user.slice(), joined: true, sequence };
  });
  return { conversation, answer: committed(applying, sequence), row, members };
}

/** Removing oneself is leaving. Who is not there any more: success without a row. */
export function applyRemoveMember(applying: Applying, command: RemoveMemberCommand): Applied {
  const { live, conversation } = applying;
  const { caller, user } = command;
  const leaves = sameBytes(caller, user);
  const stranger = forbidsAsStranger(applying, caller);
  if (stranger !== undefined)
    return leaves && stranger.reason === 'NOT_A_MEMBER'
      ? unchanged(applying)
      : refused(applying, stranger);
  if (live.header.isDirect) return refused(applying, notInDirects());
  const callerRole = live.member.role;
  if (!leaves && !leads(callerRole)) return refused(applying, rolesOnly());
  const stale = staleVersion(applying, command);
  if (stale !== undefined) return refused(applying, stale);
  if (!isPresent(applying, user)) return unchanged(applying);
  live.aimAt(user);
  const { role } = live.member;
  if (!leaves && callerRole === ROLE.admin && leads(role)) return refused(applying, rolesOnly());
  if (leaves && isLastOwner(applying)) return refused(applying, lastOwner());
  const change = leaves ? 'left' : 'removed';
  const { row, sequence } = appendMember(applying, change, { by: caller, role, users: [user] });
  live.aimAt(user);
  live.leave(sequence);
  const members = [{ user: user.slice(), joined: false, sequence }];
  return { conversation, answer: committed(applying, sequence), row, members };
}

export function applySetRole(applying: Applying, command: SetRoleCommand): Applied {
  const { live, conversation } = applying;
  const { caller, user, role } = command;
  const forbidden = forbidsChange(applying, caller, true) ?? staleVersion(applying, command);
  if (forbidden !== undefined) return refused(applying, forbidden);
  if (!isRole(role))
    return refused(applying, refusal('BAD_FIELD', 'no such role', { field: 'role' }));
  if (!isPresent(applying, user))
    return refused(applying, refusal('USER_UNKNOWN', 'not a member of this group'));
  live.aimAt(user);
  if (live.member.role === role) return unchanged(applying);
  // Owners may unmake each other; the last one only makes another first.
  if (isLastOwner(applying)) return refused(applying, lastOwner());
  const { row, sequence } = appendMember(applying, 'role', { by: caller, role, users: [user] });
  live.aimAt(user);
  live.setRole(role);
  return { conversation, answer: committed(applying, sequence), row, resourceChanged: true };
}

function forbidsAdding(applying: Applying, role: number): Refusal | undefined {
  const { header, member } = applying.live;
  if (header.isDirect) return notInDirects();
  if (!isRole(role)) return refusal('BAD_FIELD', 'no such role', { field: 'role' });
  const membersToo = (header.settings & SETTINGS_BIT.addMembersToo) !== 0;
  const mayAdd = leads(member.role) || (member.role === ROLE.member && membersToo);
  if (!mayAdd) return rolesOnly();
  // Only owners set roles: others add plain members, admins guests too.
  const plain = role === ROLE.member || (role === ROLE.guest && leads(member.role));
  if (!plain && member.role !== ROLE.owner) return rolesOnly();
  return header.isClosed ? refusal('CONVERSATION_CLOSED', 'the conversation is closed') : undefined;
}

function appendMember(
  applying: Applying,
  change: MemberChange,
  what: { readonly by: Uint8Array; readonly role: number; readonly users: readonly Uint8Array[] },
): { readonly row: Uint8Array; readonly sequence: number } {
  return appendFacts(applying, what.by, { is: 'member', change, ...what });
}

/** Whether the user is a member now. Leaves the member cursor where it was. */
function isPresent(applying: Applying, user: Uint8Array): boolean {
  const { live } = applying;
  const before = live.member.slot;
  const isMember = live.aimAt(user) && live.member.isPresent;
  live.aimMember(before);
  return isMember;
}

/** Of the member aimed at: whether nobody could lead the others without him. */
function isLastOwner(applying: Applying): boolean {
  const { header, member } = applying.live;
  return member.role === ROLE.owner && header.ownerCount === 1 && header.memberCount > 1;
}

function leads(role: number): boolean {
  return role === ROLE.owner || role === ROLE.admin;
}

function isRole(role: number): boolean {
  return role === ROLE.member || role === ROLE.owner || role === ROLE.admin || role === ROLE.guest;
}

function rolesOnly(): Refusal {
  return refusal('ROLE_REQUIRED', 'your role does not allow that');
}

function notInDirects(): Refusal {
  return refusal('ROLE_REQUIRED', 'a direct has its two users');
}

function lastOwner(): Refusal {
  return refusal('LAST_OWNER', 'the last owner makes another one first');
}
