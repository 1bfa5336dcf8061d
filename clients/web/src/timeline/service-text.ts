/** Sentences for what the server wrote. Pure; names come from the caller. */
import type { MemberChange, ServiceRow } from '@parley/sdk';

export function serviceText(row: ServiceRow, nameOf: (userId: string) => string): string {
  const text = sentence(row, nameOf);
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function sentence(row: ServiceRow, nameOf: (userId: string) => string): string {
  if (row.created !== undefined) {
    const { name, by } = row.created;
    return name === '' ? `${nameOf(by)} made this group` : `${nameOf(by)} made the group “${name}”`;
  }
  if (row.member !== undefined) return memberText(row.member, nameOf);
  if (row.update?.name !== undefined) return `The group is now called “${row.update.name}”`;
  return 'The group’s settings changed';
}

export function usersOf(row: ServiceRow): string[] {
  const named = [row.created?.by, row.member?.by, ...(row.member?.userIds ?? [])];
  return named.filter((id) => id !== undefined);
}

function memberText(change: MemberChange, nameOf: (userId: string) => string): string {
  const who = listOf((change.userIds ?? []).map(nameOf));
  const by = change.by === undefined ? '' : nameOf(change.by);
  const were = isPlural(change, who) ? 'were' : 'was';
  switch (change.change ?? 'added') {
    case 'added':
      return by === '' ? `${who} ${were} added` : `${by} added ${who}`;
    case 'joined':
      return `${who} joined`;
    case 'left':
      return `${who} left`;
    case 'removed':
      return by === '' ? `${who} ${were} removed` : `${by} removed ${who}`;
    case 'role':
      return `${who} ${isPlural(change, who) ? 'are' : 'is'} now ${roleText(change.role ?? 'member')}`;
  }
}

/** "You" takes the plural's verb. */
function isPlural(change: MemberChange, who: string): boolean {
  return who === 'you' || (change.userIds?.length ?? 0) > 1;
}

export function roleText(role: string): string {
  return role === 'owner' || role === 'admin' ? `an ${role}` : `a ${role}`;
}

const NAMES_MAX = 4;

function listOf(names: readonly string[]): string {
  if (names.length <= 1) return names[0] ?? '';
  const shown = names.slice(0, NAMES_MAX);
  const rest = names.length - shown.length;
  if (rest > 0) return `${shown.join(', ')} and ${rest} more`;
  return `${shown.slice(0, -1).join(', ')} and ${shown.at(-1) ?? ''}`;
}
