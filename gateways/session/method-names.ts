/** The unary methods that this server has, by the short names of CONTRACT §2. */
import { ParleyError } from '../../core/errors.ts';

const READS: readonly [
  'Messages.List',
  'Messages.ListRows',
  'Messages.ListReceipts',
  'Sync.SyncConversation',
  'Conversations.Get',
  'Conversations.ListMembers',
] = [
  'Messages.List',
  'Messages.ListRows',
  'Messages.ListReceipts',
  'Sync.SyncConversation',
  'Conversations.Get',
  'Conversations.ListMembers',
];

const WRITES = [
  'Messages.Send',
  'Messages.Report',
  'Sync.ListConversations',
  'Conversations.Create',
  'Conversations.Update',
  'Conversations.Close',
  'Conversations.AddMembers',
  'Conversations.UpdateMember',
  'Conversations.RemoveMember',
  'Conversations.SetMyState',
] as const;

const IDENTITY = [
  'Auth.SignUp',
  'Auth.LogIn',
  'Auth.Refresh',
  'Auth.ChangePassword',
  'Auth.ListSessions',
  'Auth.RevokeSession',
  'Users.Get',
  'Users.Search',
  'Users.UpdateMe',
  'Devices.List',
  'Devices.Update',
  'Devices.Remove',
] as const;

export type ReadMethod = (typeof READS)[number];
export type IdentityMethod = (typeof IDENTITY)[number];
export type MethodName = ReadMethod | (typeof WRITES)[number] | IdentityMethod;

export const METHODS: readonly MethodName[] = [...READS, ...WRITES, ...IDENTITY];

/** Those whose caller has no token yet. */
export const PUBLIC_METHODS: ReadonlySet<string> = new Set([
  'Auth.SignUp',
  'Auth.LogIn',
  'Auth.Refresh',
]);

const KNOWN: ReadonlySet<string> = new Set(METHODS);
const IDENTITY_SET: ReadonlySet<string> = new Set(IDENTITY);
const READ_SET: ReadonlySet<string> = new Set(READS);

/** The method of that name. Refuses with PROTOCOL_UNSUPPORTED. */
export function methodOf(name: string): MethodName {
  if (isMethod(name)) return name;
  throw new ParleyError('PROTOCOL_UNSUPPORTED', 'there is no such method', { method: name });
}

export function isIdentityMethod(method: MethodName): method is IdentityMethod {
  return IDENTITY_SET.has(method);
}

function isMethod(name: string): name is MethodName {
  return KNOWN.has(name);
}

export function isRead(method: MethodName): method is ReadMethod {
  return READ_SET.has(method);
}
