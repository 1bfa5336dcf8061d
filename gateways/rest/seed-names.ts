/**
 * The seeds' own endpoint names (R120, R121, R124-R127, CONTRACT §4) at the root: each is made of
 * calls of section 2, so what it appends and refuses is the same.
 */
import { ParleyError } from '../../core/errors.ts';
import type { IdentityPort } from '../ports.ts';
import type { Caller } from '../session/caller.ts';
import { badField } from '../session/refusals.ts';
import type { Surroundings } from '../session/session-contract.ts';
import { oneOf } from '../session/refusals.ts';
import type { Answer } from './answer.ts';
import type { CallerContext, Calls } from './calls.ts';
import type { Fields } from './request-input.ts';
import {
  groupColumns,
  listOf,
  memberColumns,
  numberOf,
  objectOf,
  rfc3339,
  textOf,
  type Json,
} from './seed-columns.ts';
import { SeedMessages } from './seed-messages.ts';
import { conversationOf, need, onlyFields, textField } from './seed-fields.ts';
import { newRawId, encodeUuid } from '../../core/ids.ts';

export interface SeedContext extends CallerContext {
  /** The Idempotency-Key as a UUID; '' = none. */
  readonly key: string;
}

export interface SeedRoute {
  /** Needs no token. */
  readonly isPublic: boolean;
  answer(fields: Fields, context: SeedContext): Promise<Answer>;
}

type Handler = (fields: Fields, context: SeedContext) => Promise<Answer>;

const STATUSES = ['online', 'away', 'busy', 'invisible'] as const;

export class SeedNames {
  readonly #calls: Calls;
  readonly #identity: IdentityPort;
  readonly #surroundings: Surroundings;
  readonly #routes = new Map<string, SeedRoute>();
  readonly #paths = new Set<string>();

  constructor(calls: Calls, identity: IdentityPort, surroundings: Surroundings) {
    this.#calls = calls;
    this.#identity = identity;
    this.#surroundings = surroundings;
    const messages = new SeedMessages(calls, surroundings);
    for (const name of ['/messages', '/send-message'])
      this.#add(`POST ${name}`, (fields, context) => messages.send(fields, context));
    for (const name of ['/messages', '/get-chat-history'])
      this.#add(`GET ${name}`, (fields, context) => messages.history(fields, context));
    this.#add('GET /get-messages', (fields, context) => messages.incoming(fields, context));
    this.#add('GET /conversations', (fields, context) => messages.conversations(fields, context));
    this.#add('POST /signup', (fields, context) => this.#signUp(fields, context), true);
    this.#add('POST /login', (fields, context) => this.#logIn(fields, context), true);
    this.#add('POST /refresh-token', (fields, context) => this.#refresh(fields, context), true);
    this.#add('POST /update-status', (fields, context) => this.#setStatus(fields, context));
    this.#add('GET /get-status', (fields, context) => this.#getStatus(fields, context));
    this.#add('POST /create-group', (fields, context) => this.#createGroup(fields, context));
    this.#add('POST /add-member', (fields, context) => this.#addMember(fields, context));
    this.#add('POST /remove-member', (fields, context) => this.#removeMember(fields, context));
  }

  match(verb: string, path: string): SeedRoute | undefined {
    return this.#routes.get(`${verb} ${path}`);
  }

  /** Whether this path is one of the names, with whatever verb. */
  has(path: string): boolean {
    return this.#paths.has(path);
  }

  #add(name: string, answer: Handler, isPublic = false): void {
    this.#routes.set(name, { isPublic, answer });
    this.#paths.add(name.slice(name.indexOf(' ') + 1));
  }

  // ---- R124

  async #signUp(fields: Fields, context: SeedContext): Promise<Answer> {
    onlyFields(fields, ['username', 'password', 'device_id', 'display_name']);
    const request = { ...credentials(fields), displayName: textField(fields, 'display_name') };
    return this.#signedIn(201, 'Auth.SignUp', request, context);
  }

  async #logIn(fields: Fields, context: SeedContext): Promise<Answer> {
    onlyFields(fields, ['username', 'password', 'device_id']);
    return this.#signedIn(200, 'Auth.LogIn', credentials(fields), context);
  }

  async #refresh(fields: Fields, context: SeedContext): Promise<Answer> {
    onlyFields(fields, ['refresh_token']);
    const request = { refreshToken: need(fields, 'refresh_token') };
    return this.#signedIn(200, 'Auth.Refresh', request, context);
  }

  async #signedIn(
    status: number,
    method: 'Auth.SignUp' | 'Auth.LogIn' | 'Auth.Refresh',
    request: Fields,
    context: SeedContext,
  ): Promise<Answer> {
    const { json } = await this.#calls.call(method, request, context);
    const tokens = objectOf(json['tokens']);
    return {
      status,
      json: {
        user_id: tokens['userId'],
        device_id: tokens['deviceId'],
        access_token: tokens['accessToken'],
        refresh_token: tokens['refreshToken'],
        expires_in: Math.floor(numberOf(tokens['expiresInMs']) / 1000),
      },
    };
  }

  // ---- R126

  async #setStatus(fields: Fields, context: SeedContext): Promise<Answer> {
    onlyFields(fields, ['status', 'status_text']);
    const caller = callerOf(context);
    const status = oneOf(need(fields, 'status'), STATUSES, 'status');
    const change = { status, statusText: textField(fields, 'status_text') };
    return statusAnswer(await this.#identity.setStatus(caller, change));
  }

  async #getStatus(fields: Fields, context: SeedContext): Promise<Answer> {
    onlyFields(fields, ['user_id']);
    const caller = callerOf(context);
    const userId = textField(fields, 'user_id') || caller.userId;
    return statusAnswer(await this.#identity.getStatus(caller, userId));
  }

  // ---- R127

  async #createGroup(fields: Fields, context: SeedContext): Promise<Answer> {
    onlyFields(fields, ['group_name', 'member_ids']);
    const members = fields['member_ids'] ?? [];
    if (!Array.isArray(members)) throw badField('member_ids', 'is not a list');
    const requestId = context.key || encodeUuid(newRawId(this.#surroundings.wallMs()));
    const request = { requestId, name: need(fields, 'group_name'), members };
    const { json, replayed } = await this.#calls.call('Conversations.Create', request, context);
    return {
      status: 201,
      json: groupColumns(json),
      ...(replayed ? { headers: { 'idempotent-replayed': 'true' } } : {}),
    };
  }

  async #addMember(fields: Fields, context: SeedContext): Promise<Answer> {
    onlyFields(fields, ['group_id', 'chat_id', 'channel_id', 'user_id', 'role']);
    const conversationId = conversationOf(fields);
    const userId = need(fields, 'user_id');
    const request = { conversationId, userIds: [userId], role: textField(fields, 'role') };
    const { json } = await this.#calls.call('Conversations.AddMembers', request, context);
    const [member] = listOf(json['members']);
    return { status: 200, json: memberColumns(conversationId, member ?? { userId }) };
  }

  /** The columns are those of the membership that has just ended. */
  async #removeMember(fields: Fields, context: SeedContext): Promise<Answer> {
    onlyFields(fields, ['group_id', 'chat_id', 'channel_id', 'user_id']);
    const conversationId = conversationOf(fields);
    const userId = need(fields, 'user_id');
    const member = await this.#member(conversationId, userId, context);
    await this.#calls.call('Conversations.RemoveMember', { conversationId, userId }, context);
    return { status: 200, json: memberColumns(conversationId, member) };
  }

  async #member(conversationId: string, userId: string, context: SeedContext): Promise<Json> {
    let pageToken = '';
    for (let page = 0; page < MEMBER_PAGES_MAX; page++) {
      const request = { conversationId, pageSize: 200, pageToken };
      const { json } = await this.#calls.call('Conversations.ListMembers', request, context);
      const found = listOf(json['members']).find((member) => member['userId'] === userId);
      if (found !== undefined) return found;
      pageToken = textOf(json['nextPageToken']);
      if (pageToken === '') break;
    }
    return { userId };
  }
}

const MEMBER_PAGES_MAX = 50;

function credentials(fields: Fields): Fields {
  const deviceId = textField(fields, 'device_id');
  return {
    username: need(fields, 'username'),
    password: need(fields, 'password'),
    device: { deviceId },
  };
}

function callerOf(context: CallerContext): Caller {
  if (context.caller === undefined)
    throw new ParleyError('TOKEN_INVALID', 'an access token is needed');
  return context.caller;
}

function statusAnswer(status: Awaited<ReturnType<IdentityPort['getStatus']>>): Answer {
  return {
    status: 200,
    json: {
      user_id: status.userId,
      status: status.status,
      status_text: status.statusText,
      last_seen: status.lastSeenTimeMs === 0 ? null : rfc3339(status.lastSeenTimeMs),
    },
  };
}
