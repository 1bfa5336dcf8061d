/** For tests: users made at will, tokens that name them, no passwords. */
import { hex } from '../../core/bytes.ts';
import { ParleyError } from '../../core/errors.ts';
import { decodeId, encodeId, newRawId } from '../../core/ids.ts';
import type { IdentityContext, IdentityPort, TokenVerifier, UserStatus } from '../ports.ts';
import type { IdentityMethod } from '../session/method-names.ts';
import type { Caller } from '../session/caller.ts';

export interface Person extends Caller {
  readonly token: string;
}

interface Account {
  readonly user: Uint8Array;
  readonly username: string;
  displayName: string;
  version: number;
  status: UserStatus;
}

const HOUR_MS = 3_600_000;

export class TinyIdentity implements IdentityPort, TokenVerifier {
  readonly #accounts = new Map<string, Account>();
  readonly #callers = new Map<string, Caller>();
  readonly refused: Map<string, ParleyError> = new Map();
  isDown: boolean = false;
  lookUps: number = 0;
  /** That callers came from, in the order of the calls. */
  readonly addresses: string[] = [];

  /** A user with one device and a token of an hour. */
  person(username: string, life: number = HOUR_MS): Person {
    const user = newRawId(Date.now());
    const status = {
      userId: encodeId('usr', user),
      status: 'online',
      statusText: '',
      lastSeenTimeMs: 0,
    };
    this.#accounts.set(hex(user), { user, username, displayName: username, version: 1, status });
    return this.deviceOf(user, life);
  }

  deviceOf(user: Uint8Array, life: number = HOUR_MS): Person {
    const device = newRawId(Date.now());
    return this.tokenOf({ user, device }, life);
  }

  tokenOf(of: { user: Uint8Array; device: Uint8Array }, life: number = HOUR_MS): Person {
    const session = newRawId(Date.now());
    const caller: Caller = {
      userId: encodeId('usr', of.user),
      user: of.user,
      deviceId: encodeId('dev', of.device),
      device: of.device,
      sessionId: encodeId('ses', session),
      session,
      scopes: ['chat'],
      expiresAtMs: Date.now() + life,
    };
    const token = `token.${caller.sessionId}`;
    this.#callers.set(token, caller);
    return { ...caller, token };
  }

  async verify(token: string): Promise<Caller> {
    await Promise.resolve();
    if (this.isDown) throw new ParleyError('BACKEND_UNAVAILABLE', 'accounts are away');
    const refusal = this.refused.get(token);
    if (refusal !== undefined) throw refusal;
    const caller = this.#callers.get(token);
    if (caller === undefined) throw new ParleyError('TOKEN_INVALID', 'not a token of this server');
    if (caller.expiresAtMs <= Date.now()) throw new ParleyError('TOKEN_EXPIRED', 'expired');
    return caller;
  }

  async unknownUsers(users: readonly Uint8Array[]): Promise<readonly Uint8Array[]> {
    await Promise.resolve();
    this.lookUps++;
    return users.filter((user) => !this.#accounts.has(hex(user)));
  }

  async call(method: IdentityMethod, request: object, context: IdentityContext): Promise<object> {
    await Promise.resolve();
    this.addresses.push(context.address);
    const asked = request as Record<string, unknown>;
    switch (method) {
      case 'Auth.SignUp':
      case 'Auth.LogIn':
        return this.#signIn(String(asked['username']), method === 'Auth.SignUp');
      case 'Auth.Refresh':
        return this.#refresh(String(asked['refreshToken']));
      case 'Users.Get':
        return this.#userOf(this.#account(String(asked['userId']), context.caller));
      case 'Users.UpdateMe':
        return this.#update(asked, context);
      case 'Auth.ListSessions':
        return { sessions: [{ sessionId: context.caller?.sessionId ?? '', current: true }] };
      case 'Auth.RevokeSession':
        return {};
      default:
        return { users: [...this.#accounts.values()].map((account) => this.#userOf(account)) };
    }
  }

  async setStatus(
    caller: Caller,
    change: { status: string; statusText: string },
  ): Promise<UserStatus> {
    await Promise.resolve();
    const account = this.#account(caller.userId, caller);
    account.status = { ...account.status, ...change, lastSeenTimeMs: 1_800_000_000_000 };
    return account.status;
  }

  async getStatus(caller: Caller, userId: string): Promise<UserStatus> {
    await Promise.resolve();
    return this.#account(userId, caller).status;
  }

  recordSeen(): Promise<void> {
    return Promise.resolve();
  }

  #signIn(username: string, isNew: boolean): object {
    const known = [...this.#accounts.values()].find((account) => account.username === username);
    if (known === undefined && !isNew) throw new ParleyError('LOGIN_FAILED', 'wrong');
    const person = known === undefined ? this.person(username) : this.deviceOf(known.user);
    return this.#signedIn(person);
  }

  #refresh(refreshToken: string): object {
    const caller = this.#callers.get(refreshToken.replace('refresh.', ''));
    if (caller === undefined) throw new ParleyError('TOKEN_INVALID', 'not a refresh token');
    return this.#signedIn(this.tokenOf(caller));
  }

  #signedIn(person: Person): object {
    const { token, userId, deviceId, sessionId } = person;
    return {
      tokens: {
        accessToken: token,
        refreshToken: `refresh.${token}`,
        expiresInMs: HOUR_MS,
        userId,
        deviceId,
        sessionId,
      },
      user: this.#userOf(this.#account(userId, person)),
    };
  }

  #update(asked: Record<string, unknown>, context: IdentityContext): object {
    const account = this.#account('me', context.caller);
    const ifMatch = String(asked['ifMatch']);
    if (ifMatch !== '' && ifMatch !== String(account.version))
      throw new ParleyError('VERSION_CONFLICT', 'it changed since it was read');
    const user = asked['user'] as { displayName?: string } | undefined;
    account.displayName = user?.displayName ?? account.displayName;
    account.version++;
    return this.#userOf(account);
  }

  #account(userId: string, caller: Caller | undefined): Account {
    const raw = userId === 'me' ? caller?.user : decodeId('usr', userId);
    const account = raw === undefined ? undefined : this.#accounts.get(hex(raw));
    if (account === undefined) throw new ParleyError('USER_UNKNOWN', 'there is no such user');
    return account;
  }

  #userOf(account: Account): object {
    return {
      userId: encodeId('usr', account.user),
      kind: 'person',
      username: account.username,
      displayName: account.displayName,
      etag: String(account.version),
    };
  }
}
