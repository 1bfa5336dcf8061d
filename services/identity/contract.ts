/**
 * What the identity service offers: accounts, sign-in, sessions, devices, profiles, tokens. Edges
 * hold one of these and translate it to their protocol; every request that acts for somebody carries
 * the caller that the edge verified. All refusals are ParleyErrors with reasons of CONTRACT §8.
 * What a method changed is durable when it returns; BACKEND_UNAVAILABLE means: perhaps, try again.
 */
import type { DeviceId, SessionId, UserId } from '../../core/ids.ts';

/** Who asks, from a verified access token. */
export interface Caller {
  readonly userId: UserId;
  readonly deviceId: DeviceId;
  readonly sessionId: SessionId;
}

/** Where a request came from; failed sign-ins are counted per user name and address. */
export interface Origin {
  readonly address: string;
}

export type UserKind = 'person' | 'bot' | 'guest' | 'service';
export type UserStatus = 'online' | 'away' | 'busy' | 'invisible';
export type ReadsPrivacy = 'all' | 'none';
export type LastSeenPrivacy = 'all' | 'contacts' | 'none';

export interface Privacy {
  readonly reads: ReadsPrivacy;
  readonly lastSeen: LastSeenPrivacy;
}

/** CONTRACT §1 User. Absent = default. `privacy` is there for oneself only. */
export interface User {
  readonly userId: UserId;
  readonly kind: UserKind;
  readonly username: string;
  /** The user name if none was chosen. */
  readonly displayName: string;
  readonly pictureMediaId?: string;
  readonly pictureUrl?: string;
  readonly statusText?: string;
  readonly lastSeenTimeMs?: number;
  readonly privacy?: Privacy;
  readonly createTimeMs: number;
  readonly updateTimeMs: number;
  /** Of what updateMe can change. */
  readonly etag: string;
}

/** R126: kept with the account. Who is invisible looks offline to others. */
export interface Status {
  readonly userId: UserId;
  readonly status: UserStatus | 'offline';
  readonly statusText: string;
  readonly lastSeenTimeMs?: number;
}

export interface Device {
  readonly deviceId: DeviceId;
  readonly name: string;
  readonly platform: string;
  readonly lastSeenTimeMs?: number;
  readonly createTimeMs: number;
  readonly updateTimeMs: number;
  readonly etag: string;
}

/** One sign-in of a device. */
export interface Session {
  readonly sessionId: SessionId;
  readonly deviceId: DeviceId;
  readonly deviceName: string;
  readonly platform: string;
  readonly current: boolean;
  readonly createTimeMs: number;
  readonly lastSeenTimeMs: number;
}

export interface Tokens {
  readonly accessToken: string;
  readonly refreshToken: string;
  readonly expiresInMs: number;
  readonly userId: UserId;
  readonly deviceId: DeviceId;
  readonly sessionId: SessionId;
}

export interface SignedIn {
  readonly tokens: Tokens;
  readonly user: User;
}

/** The id that the device got at an earlier sign-in; absent, unknown or another's = a new device. */
export interface DeviceInput {
  readonly deviceId?: string;
  readonly name?: string;
  readonly platform?: string;
}

export interface SignUpRequest {
  readonly username: string;
  readonly password: string;
  readonly displayName?: string;
  readonly inviteCode?: string;
  readonly device?: DeviceInput;
}

export interface LogInRequest {
  readonly username: string;
  readonly password: string;
  readonly device?: DeviceInput;
}

/** PATCH: keys present change, null clears. */
export interface UserPatch {
  readonly username?: string;
  readonly displayName?: string | null;
  readonly pictureMediaId?: string | null;
  readonly pictureUrl?: string | null;
  readonly statusText?: string | null;
  readonly status?: UserStatus | null;
  readonly privacy?: { readonly reads?: string | null; readonly lastSeen?: string | null } | null;
}

export interface DevicePatch {
  readonly name?: string | null;
  readonly platform?: string | null;
}

export interface SearchUsersRequest {
  readonly query: string;
  /** 50 by default and at most. */
  readonly pageSize?: number;
}

/** A session that was revoked and whose revocation the user's account log may not hold yet. */
export interface Revocation {
  readonly userId: UserId;
  readonly sessionId: SessionId;
  readonly timeMs: number;
}

/** A public key as gateways need it; the private one never leaves this service. */
export interface VerificationKey {
  readonly keyId: string;
  /** The `x` of an Ed25519 JWK (RFC 8037 §2). */
  readonly publicKey: string;
}

/** All that a gateway needs to verify access tokens by itself. Plain: it crosses to its thread. */
export interface VerificationKeys {
  readonly issuer: string;
  readonly audience: string;
  readonly keys: readonly VerificationKey[];
}

export const SERVICE_SCOPES = [
  'chat',
  'act_as',
  'import',
  'broker',
  'events:read',
  'notify',
  'admin',
] as const;
export type ServiceScope = (typeof SERVICE_SCOPES)[number];

/** An opaque token of a bot or an internal service, without the token itself. */
export interface ServiceToken {
  readonly tokenId: string;
  readonly name: string;
  readonly scopes: readonly ServiceScope[];
  readonly createTimeMs: number;
  readonly revokeTimeMs?: number;
}

export interface Seen {
  readonly userId: UserId;
  readonly deviceId: DeviceId;
  readonly timeMs: number;
}

/** A keyed POST whose repeats must have one effect. `requestHash` tells the same from another. */
export interface KeyedRequest {
  readonly callerId: string;
  readonly method: string;
  readonly key: string;
  readonly requestHash: string;
}

/** `replayed` carries the result that the first one left. */
export type KeyedOutcome =
  | { readonly kind: 'claimed' }
  | { readonly kind: 'replayed'; readonly result: string };

export interface IdentityService {
  /** Makes an account and signs in. Again with the same password: signs in, `created` false. */
  signUp(request: SignUpRequest, origin: Origin): Promise<SignedIn & { readonly created: boolean }>;
  logIn(request: LogInRequest, origin: Origin): Promise<SignedIn>;
  /** Trades a refresh token for its one successor and a fresh access token. */
  refresh(refreshToken: string): Promise<SignedIn>;
  /** Ends all other sessions of the user. */
  changePassword(
    caller: Caller,
    request: { readonly oldPassword: string; readonly newPassword: string },
  ): Promise<SignedIn>;

  listSessions(caller: Caller): Promise<readonly Session[]>;
  /** `current` or an id of one's own. Again: nothing more happens. */
  revokeSession(caller: Caller, sessionId: string): Promise<void>;
  /** Revoked and not yet announced in the account log, oldest first. A sweep appends them. */
  pendingRevocations(limit: number): Promise<readonly Revocation[]>;
  markAnnounced(sessionIds: readonly SessionId[]): Promise<void>;
  /** Everything revoked since: what a starting gateway must refuse though the token still lives. */
  revokedSince(timeMs: number): Promise<readonly Revocation[]>;

  listDevices(caller: Caller): Promise<readonly Device[]>;
  updateDevice(
    caller: Caller,
    deviceId: string,
    patch: DevicePatch,
    ifMatch?: string,
  ): Promise<Device>;
  /** Ends its sessions too. */
  removeDevice(caller: Caller, deviceId: string): Promise<void>;

  /** `me` or an id. */
  getUser(caller: Caller, userId: string): Promise<User>;
  /** At most 200 ids; unknown ones are left out. */
  getUsers(caller: Caller, userIds: readonly string[]): Promise<readonly User[]>;
  searchUsers(caller: Caller, request: SearchUsersRequest): Promise<readonly User[]>;
  updateMe(caller: Caller, patch: UserPatch, ifMatch?: string): Promise<User>;
  getStatus(caller: Caller, userId: string): Promise<Status>;
  setStatus(
    caller: Caller,
    request: { readonly status?: string; readonly statusText?: string },
  ): Promise<Status>;
  /** Those of the ids that no account has. Calls of one moment share one query. */
  unknownUsers(userIds: readonly UserId[]): Promise<readonly UserId[]>;
  /** Moves last-seen times forward, never back. */
  recordSeen(seen: readonly Seen[]): Promise<void>;

  verificationKeys(): Promise<VerificationKeys>;

  /** The text is shown this once; only its hash is kept. */
  createServiceToken(request: {
    readonly name: string;
    readonly scopes: readonly string[];
  }): Promise<{ readonly token: string; readonly serviceToken: ServiceToken }>;
  listServiceTokens(): Promise<readonly ServiceToken[]>;
  revokeServiceToken(tokenId: string): Promise<ServiceToken>;
  /** TOKEN_INVALID unless it is live. */
  verifyServiceToken(token: string): Promise<ServiceToken>;

  /** A code for PARLEY_SIGNUP=invite that admits `uses` new accounts. */
  createSignupCode(uses: number): Promise<string>;

  /**
   * First = claimed: do it, then `completeKeyed`. Repeats replay the result for 24 h; while the first
   * is under way IDEMPOTENCY_IN_PROGRESS; another request under the key IDEMPOTENCY_CONFLICT.
   */
  claimKeyed(request: KeyedRequest): Promise<KeyedOutcome>;
  completeKeyed(request: KeyedRequest, result: string): Promise<void>;
  /** The effect did not happen: the key is free again. */
  abandonKeyed(request: KeyedRequest): Promise<void>;

  /** Removes what has expired. Call it about once an hour; two at once do no harm. */
  maintain(): Promise<void>;
}
