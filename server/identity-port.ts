/**
 * The identity service in the shapes of the public contract: fills the gateways' IdentityPort. It
 * runs where the gateway runs; the service itself may be on another thread (rpc.ts).
 */
import { ParleyError } from '../core/errors.ts';
import type { Plain, Fields } from '../proto/codec.ts';
import type * as pb from '../proto/gen/parley/client/v1/users_pb.ts';
import type * as types from '../proto/gen/parley/v1/types_pb.ts';
import type { IdentityContext, IdentityPort, Sighting, UserStatus } from '../gateways/ports.ts';
import type { IdentityMethod } from '../gateways/session/method-names.ts';
import type { Caller as SessionCaller } from '../gateways/session/caller.ts';
import {
  decodeId,
  encodeId,
  parseId,
  type DeviceId,
  type SessionId,
  type UserId,
} from '../core/ids.ts';
import type {
  Caller,
  Device,
  IdentityService,
  Seen,
  Session,
  SignedIn,
  User,
  UserPatch,
} from '../services/identity/contract.ts';

type Handler = (request: never, context: IdentityContext) => Promise<object>;

export class IdentityGateway implements IdentityPort {
  readonly #identity: IdentityService;
  readonly #handlers: Readonly<Record<IdentityMethod, Handler>>;

  constructor(identity: IdentityService) {
    this.#identity = identity;
    this.#handlers = this.#methods();
  }

  call(method: IdentityMethod, request: object, context: IdentityContext): Promise<object> {
    // Each method's request was decoded with that method's own descriptor.
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion
    return this.#handlers[method](request as never, context);
  }

  async unknownUsers(users: readonly Uint8Array[]): Promise<readonly Uint8Array[]> {
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion
    const ids = users.map((user) => encodeId('usr', user) as UserId);
    const unknown = await this.#identity.unknownUsers(ids);
    return unknown.map((id) => decodeId('usr', id) ?? new Uint8Array(16));
  }

  async setStatus(
    caller: SessionCaller,
    change: { status: string; statusText: string },
  ): Promise<UserStatus> {
    const { status, statusText } = change;
    const request = { ...(status === '' ? {} : { status }), statusText };
    return statusOf(await this.#identity.setStatus(callerOf(caller), request));
  }

  async getStatus(caller: SessionCaller, userId: string): Promise<UserStatus> {
    return statusOf(await this.#identity.getStatus(callerOf(caller), userId));
  }

  recordSeen(seen: readonly Sighting[]): Promise<void> {
    // The ids are those of verified tokens.
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion
    return this.#identity.recordSeen(seen as readonly Seen[]);
  }

  #methods(): Readonly<Record<IdentityMethod, Handler>> {
    const identity = this.#identity;
    return {
      'Auth.SignUp': async (request: Plain<pb.SignUpRequest>, { address }) => {
        const { username, password, displayName, inviteCode, device } = request;
        const signedIn = await identity.signUp(
          { username, password, ...given({ displayName, inviteCode }), ...deviceOf(device) },
          { address },
        );
        return authResponse(signedIn);
      },
      'Auth.LogIn': async (request: Plain<pb.LogInRequest>, { address }) => {
        const { username, password, device } = request;
        return authResponse(
          await identity.logIn({ username, password, ...deviceOf(device) }, { address }),
        );
      },
      'Auth.Refresh': async (request: Plain<pb.RefreshRequest>) =>
        authResponse(await identity.refresh(request.refreshToken)),
      'Auth.ChangePassword': async (request: Plain<pb.ChangePasswordRequest>, context) =>
        authResponse(await identity.changePassword(signedIn(context), request)),
      'Auth.ListSessions': async (_request: never, context) => ({
        sessions: (await identity.listSessions(signedIn(context))).map(sessionShape),
      }),
      'Auth.RevokeSession': async (request: Plain<pb.RevokeSessionRequest>, context) => {
        await identity.revokeSession(signedIn(context), request.sessionId);
        return {};
      },
      'Users.Get': async (request: Plain<pb.GetUserRequest>, context) =>
        userShape(await identity.getUser(signedIn(context), request.userId)),
      'Users.Search': (request: Plain<pb.SearchUsersRequest>, context) =>
        this.#search(request, signedIn(context)),
      'Users.UpdateMe': async (request: Plain<pb.UpdateMeRequest>, context) => {
        const { user, updateMask, ifMatch } = request;
        const patch: UserPatch = patchOf(user, USER_FIELDS, updateMask);
        return userShape(await identity.updateMe(signedIn(context), patch, unquoted(ifMatch)));
      },
      'Devices.List': async (_request: never, context) => ({
        devices: (await identity.listDevices(signedIn(context))).map(deviceShape),
      }),
      'Devices.Update': async (request: Plain<pb.UpdateDeviceRequest>, context) => {
        const { deviceId, device, updateMask, ifMatch } = request;
        const patch = patchOf(device, DEVICE_FIELDS, updateMask);
        const caller = signedIn(context);
        return deviceShape(await identity.updateDevice(caller, deviceId, patch, unquoted(ifMatch)));
      },
      'Devices.Remove': async (request: Plain<pb.RemoveDeviceRequest>, context) => {
        await identity.removeDevice(signedIn(context), request.deviceId);
        return {};
      },
    };
  }

  async #search(
    request: Plain<pb.SearchUsersRequest>,
    caller: Caller,
  ): Promise<Fields<pb.SearchUsersResponse>> {
    if (request.ids.length > 0 && request.query !== '')
      throw new ParleyError('BAD_FIELD', 'give a query or ids, not both', { field: 'ids' });
    const users =
      request.ids.length > 0
        ? await this.#identity.getUsers(caller, request.ids)
        : await this.#identity.searchUsers(caller, {
            query: request.query,
            ...(request.pageSize > 0 ? { pageSize: request.pageSize } : {}),
          });
    return { users: users.map(userShape) };
  }
}

/** Who asks, for the identity service. */
export function callerOf(caller: SessionCaller): Caller {
  // The session's ids were parsed when its token was verified.
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion
  return {
    userId: caller.userId as UserId,
    deviceId: caller.deviceId as DeviceId,
    sessionId: caller.sessionId as SessionId,
  };
}

function signedIn(context: IdentityContext): Caller {
  if (context.caller === undefined) throw new ParleyError('TOKEN_INVALID', 'sign in first');
  return callerOf(context.caller);
}

/** Text fields that were given: in the contract's shape absent is ''. */
function given<T extends Readonly<Record<string, string>>>(fields: T): Partial<T> {
  return Object.fromEntries(
    Object.entries(fields).filter(([, value]) => value !== ''),
  ) as Partial<T>;
}

function deviceOf(device: Plain<pb.DeviceInput> | undefined): {
  device?: { deviceId?: string; name?: string; platform?: string };
} {
  if (device === undefined) return {};
  const { deviceId, name, platform } = device;
  if (deviceId !== '') parseId('dev', deviceId, 'device.deviceId');
  return { device: given({ deviceId, name, platform }) };
}

const USER_FIELDS = [
  'username',
  'displayName',
  'pictureMediaId',
  'pictureUrl',
  'statusText',
  'privacy',
] as const;

const DEVICE_FIELDS = ['name', 'platform'] as const;

/** With a mask: exactly those, absent ones cleared. Without: what is set. Refuses a change of nothing. */
function patchOf<R extends object, F extends string & keyof R>(
  resource: R | undefined,
  known: readonly F[],
  mask: readonly string[],
): Record<string, unknown> {
  const patch: Record<string, unknown> = {};
  for (const name of mask)
    if (!known.some((field) => field === name))
      throw new ParleyError('BAD_FIELD', `${name} cannot be changed`, { field: 'updateMask' });
  for (const field of known) {
    const value = resource?.[field];
    const isSet = value !== undefined && value !== '';
    if (mask.length > 0 ? mask.includes(field) : isSet) patch[field] = isSet ? value : null;
  }
  if (Object.keys(patch).length === 0)
    throw new ParleyError('BAD_FIELD', 'nothing changes', { field: 'updateMask' });
  return patch;
}

function unquoted(etag: string): string | undefined {
  return etag === '' ? undefined : etag.replace(/^"(.*)"$/, '$1');
}

function authResponse({ tokens, user }: SignedIn): Fields<pb.AuthResponse> {
  return { tokens, user: userShape(user) };
}

function userShape(user: User): Fields<types.User> {
  return { ...user };
}

function deviceShape(device: Device): Fields<types.Device> {
  return { ...device };
}

function sessionShape(session: Session): Fields<types.Session> {
  return { ...session };
}

function statusOf(status: {
  userId: string;
  status: string;
  statusText: string;
  lastSeenTimeMs?: number;
}): UserStatus {
  return {
    userId: status.userId,
    status: status.status,
    statusText: status.statusText,
    lastSeenTimeMs: status.lastSeenTimeMs ?? 0,
  };
}
