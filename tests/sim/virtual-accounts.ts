/** Accounts of the world: users and tokens that outlive every process, answered after a while. */
import { hex } from '../../core/bytes.ts';
import { ParleyError } from '../../core/errors.ts';
import { decodeId, encodeId } from '../../core/ids.ts';
import type {
  IdentityContext,
  IdentityPort,
  TokenVerifier,
  UserStatus,
} from '../../gateways/ports.ts';
import type { IdentityMethod } from '../../gateways/session/method-names.ts';
import type { Caller } from '../../gateways/session/caller.ts';
import type { Chance } from './chance.ts';
import { WORLD_STARTS_MS, type Scope } from './virtual-time.ts';

export interface Account {
  readonly user: Uint8Array;
  readonly userId: string;
  readonly name: string;
}

const FOREVER_MS = WORLD_STARTS_MS * 2;

export class VirtualAccounts {
  readonly #chance: Chance;
  readonly #accounts = new Map<string, Account>();
  readonly #callers = new Map<string, Caller>();

  constructor(chance: Chance) {
    this.#chance = chance;
  }

  signUp(name: string): Account {
    const user = this.#id();
    const account = { user, userId: encodeId('usr', user), name };
    this.#accounts.set(hex(user), account);
    return account;
  }

  /** A device's token. */
  signIn(account: Account): { readonly token: string; readonly deviceId: string } {
    const device = this.#id();
    const session = this.#id();
    const caller: Caller = {
      userId: account.userId,
      user: account.user,
      deviceId: encodeId('dev', device),
      device,
      sessionId: encodeId('ses', session),
      session,
      scopes: ['chat'],
      expiresAtMs: FOREVER_MS,
    };
    const token = `token.${caller.sessionId}`;
    this.#callers.set(token, caller);
    return { token, deviceId: caller.deviceId };
  }

  /** The accounts as one gateway's process reaches them. */
  port(scope: Scope): IdentityPort & TokenVerifier {
    return new ScopedAccounts(this, scope, this.#chance.fork(scope.name));
  }

  callerOf(token: string): Caller {
    const caller = this.#callers.get(token);
    if (caller === undefined) throw new ParleyError('TOKEN_INVALID', 'not a token of this server');
    return caller;
  }

  find(user: Uint8Array | undefined): Account {
    const account = user === undefined ? undefined : this.#accounts.get(hex(user));
    if (account === undefined) throw new ParleyError('USER_UNKNOWN', 'there is no such user');
    return account;
  }

  has(user: Uint8Array): boolean {
    return this.#accounts.has(hex(user));
  }

  get all(): readonly Account[] {
    return [...this.#accounts.values()];
  }

  #id(): Uint8Array {
    const raw = this.#chance.bytes(16);
    raw[6] = ((raw[6] ?? 0) & 15) | 0x70;
    raw[8] = ((raw[8] ?? 0) & 63) | 0x80;
    return raw;
  }
}

class ScopedAccounts implements IdentityPort, TokenVerifier {
  readonly #accounts: VirtualAccounts;
  readonly #scope: Scope;
  readonly #chance: Chance;

  constructor(accounts: VirtualAccounts, scope: Scope, chance: Chance) {
    this.#accounts = accounts;
    this.#scope = scope;
    this.#chance = chance;
  }

  verify(token: string): Promise<Caller> {
    return this.#later(() => this.#accounts.callerOf(token));
  }

  unknownUsers(users: readonly Uint8Array[]): Promise<readonly Uint8Array[]> {
    return this.#later(() => users.filter((user) => !this.#accounts.has(user)));
  }

  call(method: IdentityMethod, request: object, context: IdentityContext): Promise<object> {
    return this.#later(() => {
      const { userId } = request as { userId?: string };
      if (method === 'Users.Get') {
        const raw =
          userId === 'me' || userId === undefined ? context.caller?.user : decodeId('usr', userId);
        return userOf(this.#accounts.find(raw));
      }
      return { users: this.#accounts.all.map(userOf) };
    });
  }

  setStatus(): Promise<UserStatus> {
    return Promise.reject(new ParleyError('FEATURE_DISABLED', 'not in this world'));
  }

  getStatus(): Promise<UserStatus> {
    return Promise.reject(new ParleyError('FEATURE_DISABLED', 'not in this world'));
  }

  recordSeen(): Promise<void> {
    return Promise.resolve();
  }

  #later<T>(answer: () => T): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#scope.after(this.#chance.delay(0.05, 5), () => {
        try {
          resolve(answer());
        } catch (error) {
          reject(error as Error);
        }
      });
    });
  }
}

function userOf(account: Account): object {
  const { userId, name } = account;
  return { userId, kind: 'person', username: name, displayName: name, etag: '1' };
}
