/** Accounts: signing up, signing in, passwords (R090–R096). */
import { createHash, randomBytes } from 'node:crypto';
import type { Clock } from '../../core/clock.ts';
import { ParleyError } from '../../core/errors.ts';
import type {
  Caller,
  DeviceInput,
  LogInRequest,
  Origin,
  SignedIn,
  SignUpRequest,
} from './contract.ts';
import type { Devices } from './devices.ts';
import type { LoginThrottle } from './login-throttle.ts';
import { newUserId } from './new-ids.ts';
import type { AccountRow, AccountStore, Passwords } from './ports.ts';
import { userOf } from './profiles.ts';
import type { Sessions } from './sessions.ts';
import { checkName, checkPassword, checkUsername } from './text-rules.ts';

export type SignupMode = 'open' | 'invite' | 'closed';

export interface AccountParts {
  readonly store: AccountStore;
  readonly passwords: Passwords;
  readonly throttle: LoginThrottle;
  readonly sessions: Sessions;
  readonly devices: Devices;
  readonly clock: Clock;
  readonly signup: SignupMode;
  /**
   * Hash of a password that nobody has, as costly as those that are made now: verified when the user
   * name is unknown, so that the answer takes as long as for a known one and tells nothing.
   */
  readonly nobodysHash: string;
}

const SIGNUP_CODE_USES_MAX = 1_000_000;

export class Accounts {
  readonly #parts: AccountParts;

  constructor(parts: AccountParts) {
    this.#parts = parts;
  }

  async signUp(
    request: SignUpRequest,
    origin: Origin,
  ): Promise<SignedIn & { readonly created: boolean }> {
    const { store, signup, throttle } = this.#parts;
    const username = checkUsername(request.username);
    const password = checkPassword(request.password);
    const displayName = checkName(request.displayName ?? '', 'displayName');
    if (signup === 'closed') throw signupClosed();
    throttle.check(username, origin);
    const found = await store.findByUsername(username);
    if (found !== undefined) {
      const row = await this.#repeated(found, password, origin);
      return { ...(await this.#signInBy(row, request.device)), created: false };
    }
    const code = signup === 'invite' ? inviteHash(request.inviteCode) : undefined;
    const passwordHash = await this.#parts.passwords.hash(password);
    const row = newAccount({ username, displayName, passwordHash }, this.#parts.clock.nowMs());
    const outcome = await store.insertAccount(row, code);
    if (outcome === 'made') return { ...(await this.#signIn(row, request.device)), created: true };
    // The same sign-up at the same moment may have been faster, and have used the code up.
    const winner = await store.findByUsername(username);
    if (winner === undefined) throw outcome === 'taken' ? taken() : codeNeeded();
    await this.#repeated(winner, password, origin);
    return { ...(await this.#signInBy(winner, request.device)), created: false };
  }

  async logIn(request: LogInRequest, origin: Origin): Promise<SignedIn> {
    const { store, passwords, throttle, nobodysHash } = this.#parts;
    const { username, password } = request;
    if (typeof username !== 'string' || typeof password !== 'string') throw loginFailed();
    // Neither can be anybody's: no need to spend a hash on what cannot match.
    if (username.length > 50 || password.length > 512) throw loginFailed();
    throttle.check(username, origin);
    const row = await store.findByUsername(username);
    const hasPassword = row !== undefined && row.passwordHash !== '';
    const isRight = await passwords.verify(hasPassword ? row.passwordHash : nobodysHash, password);
    // Guesses made side by side passed the first look together: those beyond the limit tell nothing.
    throttle.check(username, origin);
    if (!hasPassword || !isRight) {
      throttle.failed(username, origin);
      throw loginFailed();
    }
    throttle.succeeded(username, origin);
    return this.#signInBy(row, request.device);
  }

  /** The caller's session goes on with new tokens, all others end: a thief is out at once. */
  async changePassword(
    caller: Caller,
    request: { readonly oldPassword: string; readonly newPassword: string },
  ): Promise<SignedIn> {
    const { store, passwords, sessions, throttle } = this.#parts;
    const next = checkPassword(request.newPassword, 'newPassword');
    const row = await this.#account(caller);
    const origin = { address: caller.sessionId };
    throttle.check(row.username, origin);
    const isRight =
      typeof request.oldPassword === 'string' &&
      row.passwordHash !== '' &&
      (await passwords.verify(row.passwordHash, request.oldPassword));
    throttle.check(row.username, origin);
    if (!isRight) {
      throttle.failed(row.username, origin);
      throw loginFailed();
    }
    const passwordHash = await passwords.hash(next);
    // Of two changes at once one wins: the other's old password is not the password any more.
    const hashes = { replaced: row.passwordHash, passwordHash };
    if (!(await store.setPasswordHash(caller.userId, hashes))) throw loginFailed();
    await sessions.revoke({ userId: caller.userId, exceptSessionId: caller.sessionId });
    return { tokens: await sessions.renew(caller), user: userOf(row, caller.userId) };
  }

  async refresh(refreshToken: string): Promise<SignedIn> {
    const tokens = await this.#parts.sessions.refresh(refreshToken);
    const row = await this.#account(tokens);
    refuseSuspended(row);
    return { tokens, user: userOf(row, row.userId) };
  }

  /** A sign-up that came before: the right password makes it a sign-in, else the name is taken. */
  async #repeated(row: AccountRow, password: string, origin: Origin): Promise<AccountRow> {
    const { passwords, throttle } = this.#parts;
    const isRight = row.passwordHash !== '' && (await passwords.verify(row.passwordHash, password));
    throttle.check(row.username, origin);
    if (isRight) return row;
    // Counts as a failed sign-in: otherwise this would be the way around the limit.
    throttle.failed(row.username, origin);
    throw taken();
  }

  /**
   * Signs in who gave the right password. A change of it ends all sessions but one; what was opened
   * after that by a password that was still right when it was looked at ends here.
   */
  async #signInBy(row: AccountRow, device: DeviceInput | undefined): Promise<SignedIn> {
    const signedIn = await this.#signIn(row, device);
    const now = await this.#account(row);
    if (now.passwordHash === row.passwordHash) return signedIn;
    const { sessionId } = signedIn.tokens;
    await this.#parts.sessions.revoke({ userId: row.userId, sessionId });
    throw loginFailed();
  }

  async #signIn(row: AccountRow, device: DeviceInput = {}): Promise<SignedIn> {
    refuseSuspended(row);
    const deviceId = await this.#parts.devices.signIn(row.userId, device);
    const tokens = await this.#parts.sessions.open(row.userId, deviceId);
    return { tokens, user: userOf(row, row.userId) };
  }

  async #account(caller: Pick<Caller, 'userId'>): Promise<AccountRow> {
    const [row] = await this.#parts.store.findAccounts([caller.userId]);
    if (row === undefined) throw new ParleyError('USER_UNKNOWN', 'this account is gone');
    return row;
  }
}

/** A code for PARLEY_SIGNUP=invite that admits `uses` new accounts. */
export async function newSignupCode(
  store: AccountStore,
  clock: Clock,
  uses: number,
): Promise<string> {
  if (!Number.isInteger(uses) || uses < 1 || uses > SIGNUP_CODE_USES_MAX)
    throw new ParleyError('BAD_FIELD', `uses is a whole number from 1 to ${SIGNUP_CODE_USES_MAX}`, {
      field: 'uses',
    });
  const code = randomBytes(12).toString('base64url');
  await store.insertSignupCode(codeHash(code), uses, clock.nowMs());
  return code;
}

/** Made once at the start, with the costs that are configured. */
export function newNobodysHash(passwords: Passwords): Promise<string> {
  return passwords.hash(randomBytes(24).toString('base64url'));
}

function inviteHash(code: string | undefined): Uint8Array {
  if (typeof code !== 'string' || code === '') throw codeNeeded();
  return codeHash(code);
}

function codeNeeded(): ParleyError {
  return new ParleyError('SIGNUP_CLOSED', 'a new account needs an invite code that is still good');
}

/** What is kept of an invite code. */
function codeHash(code: string): Uint8Array {
  return createHash('sha256').update('parley.signup-code.v1\0').update(code.trim()).digest();
}

function newAccount(
  given: Pick<AccountRow, 'username' | 'displayName' | 'passwordHash'>,
  nowMs: number,
): AccountRow {
  return {
    ...given,
    userId: newUserId(nowMs),
    kind: 'person',
    pictureMediaId: '',
    pictureUrl: '',
    status: 'online',
    statusText: '',
    readsPrivacy: 'all',
    lastSeenPrivacy: 'all',
    createTimeMs: nowMs,
    updateTimeMs: nowMs,
    lastSeenTimeMs: undefined,
    version: 1,
    isSuspended: false,
  };
}

function refuseSuspended(row: AccountRow): void {
  if (row.isSuspended) throw new ParleyError('ACCOUNT_SUSPENDED', 'this account is suspended');
}

function signupClosed(): ParleyError {
  return new ParleyError('SIGNUP_CLOSED', 'new accounts are not accepted here');
}

function taken(): ParleyError {
  return new ParleyError('USERNAME_TAKEN', 'this user name belongs to somebody else');
}

function loginFailed(): ParleyError {
  return new ParleyError('LOGIN_FAILED', 'user name or password is wrong');
}
