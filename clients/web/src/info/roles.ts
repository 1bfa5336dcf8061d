/** Who may do what to whom (CONTRACT §5). The server judges; this only hides what it would refuse. */
import type { Role } from '@parley/sdk';

export interface RoleChoices {
  readonly roles: readonly Role[];
  readonly canRemove: boolean;
}

const ALL: readonly Role[] = ['owner', 'admin', 'member'];

/** Undefined: nothing at all. Owners may all; admins manage members and guests. */
export function roleChoices(mine: Role | undefined, theirs: Role): RoleChoices | undefined {
  if (mine === 'owner') return { roles: ALL.filter((role) => role !== theirs), canRemove: true };
  if (mine === 'admin' && (theirs === 'member' || theirs === 'guest'))
    return { roles: [], canRemove: true };
  return undefined;
}
