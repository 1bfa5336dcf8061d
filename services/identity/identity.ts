/** The identity service: puts its parts together behind the contract. Stateless but for caches. */
import type { Clock } from '../../core/clock.ts';
import type { SessionId, UserId } from '../../core/ids.ts';
import { ACCESS_TOKEN_AUDIENCE, AccessTokenIssuer } from './access-tokens.ts';
import { Accounts, newNobodysHash, newSignupCode, type SignupMode } from './accounts.ts';
import type {
  Caller,
  Device,
  DevicePatch,
  IdentityService,
  KeyedOutcome,
  KeyedRequest,
  LogInRequest,
  Origin,
  Revocation,
  SearchUsersRequest,
  Seen,
  ServiceToken,
  Session,
  SignedIn,
  SignUpRequest,
  Status,
  User,
  UserPatch,
  VerificationKeys,
} from './contract.ts';
import { Devices } from './devices.ts';
import { KeyedRequests } from './keyed-requests.ts';
import { KnownUsers } from './known-users.ts';
import { LoginThrottle, type ThrottleLimits } from './login-throttle.ts';
import type { IdentityStores, KeyWrap, Passwords } from './ports.ts';
import { Profiles } from './profiles.ts';
import { RefreshTokens } from './refresh-tokens.ts';
import { ServiceTokens } from './service-tokens.ts';
import { Sessions, type SessionLimits } from './sessions.ts';
import { openKeys, verificationKeysOf } from './signing-keys.ts';

export interface IdentitySettings extends SessionLimits, ThrottleLimits {
  readonly signup: SignupMode;
  readonly tokenIssuer: string;
}

export interface IdentityParts {
  readonly stores: IdentityStores;
  readonly passwords: Passwords;
  readonly keyWrap: KeyWrap;
  readonly clock: Clock;
  readonly settings: IdentitySettings;
  /** Told of each revocation once its row is durable; what it misses, the outbox holds. */
  readonly onRevoked?: (revocations: readonly Revocation[]) => void;
}

/** What `open` reads or makes. */
interface Made {
  readonly issuer: AccessTokenIssuer;
  readonly refreshTokens: RefreshTokens;
  readonly nobodysHash: string;
}

const REVOCATIONS_MAX = 1_000;
/** Long past every token's life; the list of sessions does not show them anyway. */
const EXPIRED_KEPT_MS = 24 * 60 * 60_000;

export class Identity implements IdentityService {
  readonly #parts: IdentityParts;
  readonly #sessions: Sessions;
  readonly #devices: Devices;
  readonly #accounts: Accounts;
  readonly #profiles: Profiles;
  readonly #serviceTokens: ServiceTokens;
  readonly #knownUsers: KnownUsers;
  readonly #keyedRequests: KeyedRequests;

  /** Reads or makes the keys; the store's schema is there already. */
  static async open(parts: IdentityParts): Promise<Identity> {
    const keys = await openKeys(parts.stores.keys, parts.keyWrap, parts.clock);
    const issuer = new AccessTokenIssuer(parts.settings.tokenIssuer, keys.signing);
    const nobodysHash = await newNobodysHash(parts.passwords);
    return new Identity(parts, {
      issuer,
      refreshTokens: new RefreshTokens(keys.refresh),
      nobodysHash,
    });
  }

  constructor(parts: IdentityParts, made: Made) {
    const { issuer, refreshTokens, nobodysHash } = made;
    const { stores, clock, settings, passwords } = parts;
    const onRevoked = parts.onRevoked ?? ((): void => undefined);
    const throttle = new LoginThrottle(clock, settings);
    this.#parts = parts;
    this.#sessions = new Sessions({
      store: stores.sessions,
      clock,
      issuer,
      refreshTokens,
      onRevoked,
      limits: settings,
    });
    this.#devices = new Devices(stores.devices, this.#sessions, clock);
    this.#accounts = new Accounts({
      store: stores.accounts,
      passwords,
      throttle,
      clock,
      sessions: this.#sessions,
      devices: this.#devices,
      signup: settings.signup,
      nobodysHash,
    });
    this.#profiles = new Profiles(stores.accounts, clock);
    this.#serviceTokens = new ServiceTokens(stores.serviceTokens, clock);
    this.#knownUsers = new KnownUsers(stores.accounts);
    this.#keyedRequests = new KeyedRequests(stores.keyedRequests, clock);
  }

  signUp(
    request: SignUpRequest,
    origin: Origin,
  ): Promise<SignedIn & { readonly created: boolean }> {
    return this.#accounts.signUp(request, origin);
  }

  logIn(request: LogInRequest, origin: Origin): Promise<SignedIn> {
    return this.#accounts.logIn(request, origin);
  }

  refresh(refreshToken: string): Promise<SignedIn> {
    return this.#accounts.refresh(refreshToken);
  }

  changePassword(
    caller: Caller,
    request: { readonly oldPassword: string; readonly newPassword: string },
  ): Promise<SignedIn> {
    return this.#accounts.changePassword(caller, request);
  }

  listSessions(caller: Caller): Promise<readonly Session[]> {
    return this.#sessions.list(caller);
  }

  revokeSession(caller: Caller, sessionId: string): Promise<void> {
    return this.#sessions.revokeOne(caller, sessionId);
  }

  pendingRevocations(limit: number): Promise<readonly Revocation[]> {
    return this.#parts.stores.sessions.pendingRevocations(Math.min(limit, REVOCATIONS_MAX));
  }

  markAnnounced(sessionIds: readonly SessionId[]): Promise<void> {
    return this.#parts.stores.sessions.markAnnounced(sessionIds, this.#parts.clock.nowMs());
  }

  revokedSince(timeMs: number): Promise<readonly Revocation[]> {
    return this.#parts.stores.sessions.revokedSince(timeMs);
  }

  listDevices(caller: Caller): Promise<readonly Device[]> {
    return this.#devices.list(caller);
  }

  updateDevice(
    caller: Caller,
    deviceId: string,
    patch: DevicePatch,
    ifMatch?: string,
  ): Promise<Device> {
    return this.#devices.update(caller, deviceId, patch, ifMatch);
  }

  removeDevice(caller: Caller, deviceId: string): Promise<void> {
    return this.#devices.remove(caller, deviceId);
  }

  getUser(caller: Caller, userId: string): Promise<User> {
    return this.#profiles.get(caller, userId);
  }

  getUsers(caller: Caller, userIds: readonly string[]): Promise<readonly User[]> {
    return this.#profiles.getMany(caller, userIds);
  }

  searchUsers(caller: Caller, request: SearchUsersRequest): Promise<readonly User[]> {
    return this.#profiles.search(caller, request);
  }

  updateMe(caller: Caller, patch: UserPatch, ifMatch?: string): Promise<User> {
    return this.#profiles.updateMe(caller, patch, ifMatch);
  }

  getStatus(caller: Caller, userId: string): Promise<Status> {
    return this.#profiles.getStatus(caller, userId);
  }

  setStatus(
    caller: Caller,
    request: { readonly status?: string; readonly statusText?: string },
  ): Promise<Status> {
    return this.#profiles.setStatus(caller, request);
  }

  unknownUsers(userIds: readonly UserId[]): Promise<readonly UserId[]> {
    return this.#knownUsers.unknown(userIds);
  }

  recordSeen(seen: readonly Seen[]): Promise<void> {
    return this.#parts.stores.accounts.recordSeen(seen);
  }

  async verificationKeys(): Promise<VerificationKeys> {
    const keys = await verificationKeysOf(this.#parts.stores.keys);
    return { issuer: this.#parts.settings.tokenIssuer, audience: ACCESS_TOKEN_AUDIENCE, keys };
  }

  createServiceToken(request: {
    readonly name: string;
    readonly scopes: readonly string[];
  }): Promise<{ readonly token: string; readonly serviceToken: ServiceToken }> {
    return this.#serviceTokens.create(request);
  }

  listServiceTokens(): Promise<readonly ServiceToken[]> {
    return this.#serviceTokens.list();
  }

  revokeServiceToken(tokenId: string): Promise<ServiceToken> {
    return this.#serviceTokens.revoke(tokenId);
  }

  verifyServiceToken(token: string): Promise<ServiceToken> {
    return this.#serviceTokens.verify(token);
  }

  createSignupCode(uses: number): Promise<string> {
    return newSignupCode(this.#parts.stores.accounts, this.#parts.clock, uses);
  }

  claimKeyed(request: KeyedRequest): Promise<KeyedOutcome> {
    return this.#keyedRequests.claim(request);
  }

  completeKeyed(request: KeyedRequest, result: string): Promise<void> {
    return this.#keyedRequests.complete(request, result);
  }

  abandonKeyed(request: KeyedRequest): Promise<void> {
    return this.#keyedRequests.abandon(request);
  }

  async maintain(): Promise<void> {
    const nowMs = this.#parts.clock.nowMs();
    await this.#parts.stores.sessions.prune(nowMs - EXPIRED_KEPT_MS);
    await this.#keyedRequests.prune();
  }
}
