/**
 * Sign-up, sign-in and keeping the session fresh over REST (CONTRACT §7). `credential` is what
 * createClient asks for: one refresh at a time, whoever asks, and the refresh token is stored before
 * the access token is handed out, so a crash never loses the family.
 */
import type { Credential, CredentialWhy } from './client-interface.ts';
import type { DeviceId, Tokens, User, WireError } from './contract.ts';
import { ClientError, errorOf } from './errors.ts';

/** What survives a restart. Keep it as secret as a password. */
export interface StoredSession {
  readonly refreshToken: string;
  readonly accessToken: string;
  /** Local wall clock. */
  readonly expireTimeMs: number;
  /** Life of the access token when it was issued. */
  readonly lifeMs?: number;
  readonly userId: string;
  readonly deviceId: string;
  readonly sessionId: string;
}

export interface SessionStore {
  load(): Promise<StoredSession | undefined>;
  save(session: StoredSession | undefined): Promise<void>;
}

export interface AuthOptions {
  readonly url: string;
  readonly sessions?: SessionStore;
  readonly device?: { readonly name?: string; readonly platform?: string };
  readonly fetch?: typeof fetch;
  readonly nowMs?: () => number;
  /** Runs `fn` while no other tab of this profile does (Web Locks). */
  readonly exclusive?: <T>(fn: () => Promise<T>) => Promise<T>;
}

export interface SignUp {
  readonly username: string;
  readonly password: string;
  readonly displayName?: string;
}

export interface Auth {
  signUp(o: SignUp): Promise<User>;
  logIn(o: { readonly username: string; readonly password: string }): Promise<User>;
  /** Ends the session on the server (as far as reachable) and here. */
  signOut(): Promise<void>;
  /** The session held, if any. */
  current(): Promise<StoredSession | undefined>;
  credential(why: CredentialWhy): Promise<Credential>;
}

/** An access token with less life than this, or than a quarter of its own, is refreshed first. */
const FRESH_MS = 15_000;
const REQUEST_MS = 15_000;

export function createAuth(options: AuthOptions): Auth {
  return new RestAuth(options);
}

export function memorySessions(): SessionStore {
  let held: StoredSession | undefined;
  return {
    load: async () => held,
    save: async (session) => {
      held = session;
    },
  };
}

interface AuthAnswer {
  readonly tokens: Tokens;
  readonly user?: User;
}

class RestAuth implements Auth {
  readonly #options: AuthOptions;
  readonly #sessions: SessionStore;
  #refreshing: Promise<StoredSession> | undefined;
  /** The last device id here: signing in again is the same device, so its outbox stays its own. */
  #deviceId: DeviceId | undefined;

  constructor(options: AuthOptions) {
    this.#options = options;
    this.#sessions = options.sessions ?? memorySessions();
  }

  async signUp(o: SignUp): Promise<User> {
    return this.#enter('/v1/auth/signup', o);
  }

  async logIn(o: { readonly username: string; readonly password: string }): Promise<User> {
    return this.#enter('/v1/auth/login', o);
  }

  async signOut(): Promise<void> {
    const session = await this.#sessions.load();
    await this.#sessions.save(undefined);
    if (session === undefined) return;
    try {
      await this.#request('DELETE', '/v1/auth/sessions/current', { token: session.accessToken });
    } catch {
      // Unreachable or already revoked: gone here; there it ends with its own life.
    }
  }

  async current(): Promise<StoredSession | undefined> {
    return this.#sessions.load();
  }

  /** A property, so that it may be handed to createClient as it is. */
  readonly credential = async (why: CredentialWhy): Promise<Credential> => {
    const held = await this.#sessions.load();
    if (held === undefined) throw new ClientError('TOKEN_INVALID', 'not signed in');
    const isFresh = held.expireTimeMs - this.#now() > freshMs(held);
    const session = why === 'start' && isFresh ? held : await this.#refreshOnce(held);
    return {
      token: session.accessToken,
      userId: session.userId,
      deviceId: session.deviceId,
      expiresInMs: session.expireTimeMs - this.#now(),
    };
  };

  async #enter(path: string, fields: object): Promise<User> {
    const deviceId = this.#deviceId ?? (await this.#sessions.load())?.deviceId;
    const device = { ...this.#options.device, ...(deviceId === undefined ? {} : { deviceId }) };
    const answer = (await this.#request('POST', path, {
      body: { ...fields, device },
    })) as AuthAnswer;
    await this.#keep(answer.tokens);
    return answer.user ?? { userId: answer.tokens.userId };
  }

  #refreshOnce(held: StoredSession): Promise<StoredSession> {
    this.#refreshing ??= this.#exclusive(() => this.#refresh(held)).finally(() => {
      this.#refreshing = undefined;
    });
    return this.#refreshing;
  }

  async #refresh(held: StoredSession): Promise<StoredSession> {
    // Another tab may have refreshed while this one waited its turn.
    const now = (await this.#sessions.load()) ?? held;
    if (now.accessToken !== held.accessToken && now.expireTimeMs - this.#now() > freshMs(now))
      return now;
    const body = { refreshToken: now.refreshToken };
    const answer = (await this.#request('POST', '/v1/auth/refresh', { body })) as AuthAnswer;
    return this.#keep(answer.tokens);
  }

  async #keep(tokens: Tokens): Promise<StoredSession> {
    const session: StoredSession = {
      refreshToken: tokens.refreshToken,
      accessToken: tokens.accessToken,
      expireTimeMs: this.#now() + tokens.expiresInMs,
      lifeMs: tokens.expiresInMs,
      userId: tokens.userId,
      deviceId: tokens.deviceId,
      sessionId: tokens.sessionId,
    };
    this.#deviceId = tokens.deviceId;
    await this.#sessions.save(session);
    return session;
  }

  #exclusive<T>(fn: () => Promise<T>): Promise<T> {
    return this.#options.exclusive === undefined ? fn() : this.#options.exclusive(fn);
  }

  #now(): number {
    return (this.#options.nowMs ?? Date.now)();
  }

  async #request(
    method: string,
    path: string,
    o: { readonly body?: unknown; readonly token?: string },
  ): Promise<unknown> {
    const call = this.#options.fetch ?? fetch;
    const headers: Record<string, string> = {};
    if (o.body !== undefined) headers['content-type'] = 'application/json';
    if (o.token !== undefined) headers['authorization'] = `Bearer ${o.token}`;
    const init: RequestInit = { method, headers, signal: AbortSignal.timeout(REQUEST_MS) };
    if (o.body !== undefined) init.body = JSON.stringify(o.body);
    let response: Response;
    try {
      response = await call(this.#options.url.replace(/\/$/, '') + path, init);
    } catch (cause) {
      throw new ClientError('BACKEND_UNAVAILABLE', 'the server cannot be reached', { cause });
    }
    const text = await response.text();
    const answer = text === '' ? {} : (parse(text) ?? {});
    if (!response.ok) throw errorOf(answer as WireError);
    return answer;
  }
}

function freshMs(session: StoredSession): number {
  return Math.min(FRESH_MS, (session.lifeMs ?? Number.POSITIVE_INFINITY) / 4);
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // A proxy's page in place of an answer.
    return { reason: 'BACKEND_UNAVAILABLE', message: 'the answer was not JSON' };
  }
}
