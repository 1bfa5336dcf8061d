/**
 * What gateways need of services, as interfaces that server/ fills: gateways import no service, so
 * one process and many processes run the same gateway code.
 */
import type { IdentityMethod } from './session/method-names.ts';
import type { Caller } from './session/caller.ts';

/**
 * Judges access tokens. Refuses with TOKEN_INVALID, TOKEN_EXPIRED, SESSION_REVOKED, DEVICE_UNKNOWN,
 * ACCOUNT_SUSPENDED; BACKEND_UNAVAILABLE when it cannot judge at the moment.
 */
export interface TokenVerifier {
  verify(token: string): Promise<Caller>;
}

export interface IdentityContext {
  /** undefined for methods that need no token. */
  readonly caller: Caller | undefined;
  /** Of the peer, for limits on sign-ins; empty when unknown. */
  readonly address: string;
}

/** A user's own word on how he is (R126); kept with the account. */
export interface UserStatus {
  readonly userId: string;
  readonly status: string;
  readonly statusText: string;
  /** 0 = never seen, or hidden. */
  readonly lastSeenTimeMs: number;
}

/** A device that was here. */
export interface Sighting {
  readonly userId: string;
  readonly deviceId: string;
  readonly timeMs: number;
}

export interface IdentityPort {
  /** A unary method of Auth, Users or Devices: request and response in the contract's plain shape. */
  call(method: IdentityMethod, request: object, context: IdentityContext): Promise<object>;
  /** Which of these users (at most 500) do not exist. */
  unknownUsers(users: readonly Uint8Array[]): Promise<readonly Uint8Array[]>;
  setStatus(caller: Caller, change: { status: string; statusText: string }): Promise<UserStatus>;
  /** Refuses with USER_UNKNOWN. */
  getStatus(caller: Caller, userId: string): Promise<UserStatus>;
  /** Moves users' and devices' last-seen times forward; never back. */
  recordSeen(seen: readonly Sighting[]): Promise<void>;
}
