/**
 * What the identity service needs from outside: stores, password hashing, wrapped keys. Each method
 * of a store is one atomic step. Stores convert their medium's failures to BACKEND_UNAVAILABLE.
 */
import type { DeviceId, SessionId, UserId } from '../../core/ids.ts';
import type {
  KeyedOutcome,
  KeyedRequest,
  LastSeenPrivacy,
  ReadsPrivacy,
  Revocation,
  Seen,
  ServiceToken,
  UserKind,
  UserStatus,
} from './contract.ts';

/** Seals small secrets under the key-encryption key; `unwrap` throws for what it did not seal. */
export interface KeyWrap {
  wrap(bytes: Uint8Array): Uint8Array;
  unwrap(bytes: Uint8Array): Uint8Array;
}

/** Slow on purpose, on threads of its own; a full queue refuses with OVERLOADED. */
export interface Passwords {
  hash(password: string): Promise<string>;
  verify(passwordHash: string, password: string): Promise<boolean>;
  stop(): Promise<void>;
}

export interface AccountRow {
  readonly userId: UserId;
  readonly username: string;
  /** Empty: nobody can sign in with a password. */
  readonly passwordHash: string;
  readonly kind: UserKind;
  readonly displayName: string;
  readonly pictureMediaId: string;
  readonly pictureUrl: string;
  readonly status: UserStatus;
  readonly statusText: string;
  readonly readsPrivacy: ReadsPrivacy;
  readonly lastSeenPrivacy: LastSeenPrivacy;
  readonly createTimeMs: number;
  readonly updateTimeMs: number;
  readonly lastSeenTimeMs: number | undefined;
  /** Rises with every change that a user makes; the etag. */
  readonly version: number;
  readonly isSuspended: boolean;
}

/** The part of an account that its user may change. */
export type ProfileFields = Pick<
  AccountRow,
  | 'username'
  | 'displayName'
  | 'pictureMediaId'
  | 'pictureUrl'
  | 'status'
  | 'statusText'
  | 'readsPrivacy'
  | 'lastSeenPrivacy'
>;

export interface ProfileWrite {
  readonly userId: UserId;
  readonly fields: ProfileFields;
  /** Written only if the row still has this version. */
  readonly version: number;
  readonly timeMs: number;
}

/** `taken` is the user name; `no_code`: the sign-up code is unknown or used up. */
export type InsertOutcome = 'made' | 'taken' | 'no_code';

export interface AccountStore {
  /**
   * With the hash of a sign-up code one use of it is taken with the account that is made, and with no
   * other outcome. Where both stand in the way it is `no_code`.
   */
  insertAccount(row: AccountRow, codeHash: Uint8Array | undefined): Promise<InsertOutcome>;
  findByUsername(username: string): Promise<AccountRow | undefined>;
  findAccounts(userIds: readonly UserId[]): Promise<readonly AccountRow[]>;
  /** Names that contain the folded text; those that begin with it first. */
  searchAccounts(folded: string, limit: number): Promise<readonly AccountRow[]>;
  updateProfile(write: ProfileWrite): Promise<AccountRow | 'stale' | 'taken'>;
  /** False: its hash is no longer `replaced`, so somebody else has changed the password. */
  setPasswordHash(
    userId: UserId,
    hashes: { readonly replaced: string; readonly passwordHash: string },
  ): Promise<boolean>;
  existing(userIds: readonly UserId[]): Promise<readonly UserId[]>;
  recordSeen(seen: readonly Seen[]): Promise<void>;
  insertSignupCode(codeHash: Uint8Array, uses: number, timeMs: number): Promise<void>;
}

export interface DeviceRow {
  readonly deviceId: DeviceId;
  readonly userId: UserId;
  readonly name: string;
  readonly platform: string;
  readonly createTimeMs: number;
  readonly updateTimeMs: number;
  readonly lastSeenTimeMs: number | undefined;
  readonly version: number;
}

export interface DeviceStore {
  insertDevice(row: DeviceRow): Promise<void>;
  findDevice(userId: UserId, deviceId: DeviceId): Promise<DeviceRow | undefined>;
  listDevices(userId: UserId): Promise<readonly DeviceRow[]>;
  /** Undefined: its version is another by now, or it is gone. */
  updateDevice(row: DeviceRow, version: number): Promise<DeviceRow | undefined>;
  removeDevice(userId: UserId, deviceId: DeviceId): Promise<boolean>;
}

export interface SessionRow {
  readonly sessionId: SessionId;
  readonly userId: UserId;
  readonly deviceId: DeviceId;
  /** Number of the refresh token that is good now. */
  readonly refreshCount: number;
  readonly rotateTimeMs: number;
  readonly refreshExpireTimeMs: number;
  readonly expireTimeMs: number;
  readonly createTimeMs: number;
  readonly lastSeenTimeMs: number;
  readonly isRevoked: boolean;
}

export interface ListedSession extends SessionRow {
  readonly deviceName: string;
  readonly platform: string;
}

export interface Rotation {
  readonly sessionId: SessionId;
  /** Rotates only if this is the good one, and the session is neither revoked nor expired. */
  readonly refreshCount: number;
  readonly timeMs: number;
  readonly refreshTtlMs: number;
}

export interface SessionStore {
  insertSession(row: SessionRow): Promise<void>;
  rotate(rotation: Rotation): Promise<SessionRow | undefined>;
  findSession(sessionId: SessionId): Promise<SessionRow | undefined>;
  /** Live ones, newest use first. */
  listSessions(userId: UserId, timeMs: number): Promise<readonly ListedSession[]>;
  /** Revokes those of the user's live sessions that match; answers which they were. */
  revoke(match: RevokeMatch, timeMs: number): Promise<readonly Revocation[]>;
  pendingRevocations(limit: number): Promise<readonly Revocation[]>;
  markAnnounced(sessionIds: readonly SessionId[], timeMs: number): Promise<void>;
  revokedSince(timeMs: number): Promise<readonly Revocation[]>;
  /** Forgets sessions that expired before; never one whose revocation is not announced yet. */
  prune(expiredBeforeMs: number): Promise<void>;
}

export interface RevokeMatch {
  readonly userId: UserId;
  readonly sessionId?: SessionId;
  readonly deviceId?: DeviceId;
  readonly exceptSessionId?: SessionId;
}

export type KeyKind = 'sign' | 'refresh';

export interface StoredKey {
  readonly keyId: string;
  readonly kind: KeyKind;
  readonly wrapped: Uint8Array;
  /** Ed25519 public key (`x` of its JWK); empty for the refresh key. */
  readonly publicKey: string;
  readonly createTimeMs: number;
}

export interface KeyStore {
  listKeys(): Promise<readonly StoredKey[]>;
  /** Does nothing if a key of that id is there: of two nodes that start at once one wins. */
  insertKey(key: StoredKey): Promise<void>;
}

export interface ServiceTokenStore {
  insertServiceToken(token: ServiceToken, hash: Uint8Array): Promise<void>;
  findServiceToken(hash: Uint8Array): Promise<ServiceToken | undefined>;
  listServiceTokens(): Promise<readonly ServiceToken[]>;
  revokeServiceToken(tokenId: string, timeMs: number): Promise<ServiceToken | undefined>;
}

export interface KeyedRequestStore {
  /** `claimLapsedBeforeMs`: claims from before are of a process that died and are taken over. */
  claim(
    request: KeyedRequest,
    times: { readonly nowMs: number; readonly claimLapsedBeforeMs: number },
  ): Promise<KeyedOutcome | { readonly kind: 'running' } | { readonly kind: 'other' }>;
  complete(request: KeyedRequest, result: string): Promise<void>;
  abandon(request: KeyedRequest): Promise<void>;
  prune(beforeMs: number): Promise<void>;
}

export interface IdentityStores {
  readonly accounts: AccountStore;
  readonly devices: DeviceStore;
  readonly sessions: SessionStore;
  readonly keys: KeyStore;
  readonly serviceTokens: ServiceTokenStore;
  readonly keyedRequests: KeyedRequestStore;
}
