/**
 * The same calls on each carrier: WebSocket as JSON (on the faster port), WebSocket as protobuf (on
 * the HTTP port), REST. Every answer is read by the method's own type, so a field that the contract
 * does not have fails the test that meets it.
 */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { afterEach, beforeEach } from 'mocha';
import type { Plain } from '../../../proto/codec.ts';
import type * as conversations from '../../../proto/gen/parley/client/v1/conversations_pb.ts';
import type * as messages from '../../../proto/gen/parley/client/v1/messages_pb.ts';
import type * as sync from '../../../proto/gen/parley/client/v1/sync_pb.ts';
import type * as users from '../../../proto/gen/parley/client/v1/users_pb.ts';
import type { Conversation, User } from '../../../proto/gen/parley/v1/types_pb.ts';
import { methodNamed } from '../../../gateways/methods.ts';
import type { MethodName } from '../../../gateways/session/method-names.ts';
import { TestClient, type Down } from '../../../gateways/testing/test-client.ts';
import type { Account } from './accounts.ts';

export type Carrier = 'json' | 'proto' | 'rest';
export const CARRIERS: readonly Carrier[] = ['json', 'proto', 'rest'];
export const SOCKETS: readonly ('json' | 'proto')[] = ['json', 'proto'];

export function nameOf(carrier: Carrier): string {
  return carrier === 'rest' ? 'REST' : `WebSocket (${carrier})`;
}

interface Responses {
  'Messages.Send': messages.Commit;
  'Messages.List': messages.ListMessagesResponse;
  'Messages.ListRows': messages.ListRowsResponse;
  'Messages.ListReceipts': messages.ListReceiptsResponse;
  'Messages.Report': messages.ReportResponse;
  'Sync.ListConversations': sync.ListConversationsResponse;
  'Sync.SyncConversation': sync.SyncConversationResponse;
  'Conversations.Create': Conversation;
  'Conversations.Get': Conversation;
  'Conversations.Update': Conversation;
  'Conversations.Close': Conversation;
  'Conversations.SetMyState': Conversation;
  'Conversations.AddMembers': conversations.MembersChanged;
  'Conversations.UpdateMember': conversations.MembersChanged;
  'Conversations.RemoveMember': conversations.MembersChanged;
  'Conversations.ListMembers': conversations.ListMembersResponse;
  'Users.Get': User;
  'Users.UpdateMe': User;
  'Auth.ListSessions': users.ListSessionsResponse;
  'Auth.RevokeSession': users.RevokeSessionResponse;
}

export interface Refusal {
  readonly reason: string;
  readonly code: string;
  readonly message: string;
  readonly details: Readonly<Record<string, string>>;
}

export type Reply<T> = { readonly done: Plain<T> } | { readonly refusal: Refusal };

export interface Sent {
  readonly to: string;
  readonly outboxId?: string;
  readonly clientSeq?: number;
  readonly after?: number;
  readonly clientMessageId?: string;
  readonly body: object;
}

/** One user on one carrier. */
export class Speaker {
  readonly account: Account;
  readonly carrier: Carrier;
  /** undefined on REST. */
  readonly socket: TestClient | undefined;
  readonly #url: string;
  token: string;

  constructor(url: string, account: Account, carrier: Carrier, socket: TestClient | undefined) {
    this.#url = url;
    this.account = account;
    this.carrier = carrier;
    this.socket = socket;
    this.token = account.accessToken;
  }

  get userId(): string {
    return this.account.userId;
  }

  /** Sends go as `send` frames where there are frames. */
  async call<M extends keyof Responses>(
    method: M,
    request: object,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<Reply<Responses[M]>> {
    if (this.socket === undefined) return this.#rest(method, request, headers);
    const answer =
      method === 'Messages.Send'
        ? await this.socket.ask({ send: request })
        : await this.socket.call(method, request);
    return replyOf<Responses[M]>(method, answer);
  }

  /** The response; a refusal fails the test. */
  async do<M extends keyof Responses>(method: M, request: object): Promise<Plain<Responses[M]>> {
    const reply = await this.call(method, request);
    assert.ok('done' in reply, `${method}: ${JSON.stringify(reply)}`);
    return reply.done;
  }

  /** The reason of a refusal; anything else fails the test. */
  async refused(method: keyof Responses, request: object): Promise<string> {
    return (await this.refusal(method, request)).reason;
  }

  async refusal(method: keyof Responses, request: object): Promise<Refusal> {
    const reply = await this.call(method, request);
    assert.ok('refusal' in reply, `${method} was not refused: ${JSON.stringify(reply)}`);
    return reply.refusal;
  }

  /** A text without an outbox. */
  say(to: string, body: string): Promise<Plain<messages.Commit>> {
    return this.do('Messages.Send', { to, clientMessageId: randomUUID(), body: text(body) });
  }

  send(sent: Sent): Promise<Plain<messages.Commit>> {
    return this.do('Messages.Send', { clientMessageId: randomUUID(), ...sent });
  }

  group(members: readonly { userId: string }[], more: object = {}): Promise<Plain<Conversation>> {
    return this.do('Conversations.Create', {
      requestId: randomUUID(),
      name: 'a group',
      members: members.map(({ userId }) => userId),
      ...more,
    });
  }

  async #rest<M extends keyof Responses>(
    method: M,
    request: object,
    headers: Readonly<Record<string, string>>,
  ): Promise<Reply<Responses[M]>> {
    const { input, output } = methodNamed(method);
    const answer = await restCall(this.#url, {
      method,
      fields: { ...input.toJson(request as Uint8Array) },
      token: this.token,
      headers,
    });
    if (answer.status >= 300) return { refusal: refusalIn(answer.body) };
    return { done: output.fromJson(answer.body) as Plain<Responses[M]> };
  }
}

const opened: TestClient[] = [];

/** Ends the connections that a test opened, not those of hooks. Call it inside `describe`. */
export function closeAfterEach(): void {
  beforeEach(() => {
    opened.length = 0;
  });
  afterEach(() => {
    for (const client of opened.splice(0)) client.close();
  });
}

/** A connection that has not said anything yet. */
export async function connect(url: string, format: 'json' | 'proto'): Promise<TestClient> {
  const edge = `${url.replace('http', 'ws')}/v1/ws`;
  const faster = format === 'json' ? String((await meta(url))['webSocketUrl']) : edge;
  const client = new TestClient({ url: faster, format });
  opened.push(client);
  return client.opened();
}

export async function speaker(
  url: string,
  account: Account,
  carrier: Carrier,
  hello: Record<string, unknown> = {},
): Promise<Speaker> {
  if (carrier === 'rest') return new Speaker(url, account, carrier, undefined);
  const client = await connect(url, carrier);
  const answer = await client.hello(account.accessToken, hello);
  assert.ok(answer.ready !== undefined, JSON.stringify(answer));
  return new Speaker(url, account, carrier, client);
}

export type Live = Speaker & { readonly socket: TestClient };

/** A device with a live connection: in the carrier's own form, where it has one. */
export async function online(
  url: string,
  account: Account,
  carrier: Carrier = 'json',
): Promise<Live> {
  return (await speaker(url, account, carrier === 'rest' ? 'json' : carrier)) as Live;
}

export function text(body: string): object {
  return { message: { text: { body } } };
}

export interface RestRequest {
  readonly method: MethodName;
  readonly fields: Readonly<Record<string, unknown>>;
  readonly token: string;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface RestAnswer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Readonly<Record<string, unknown>>;
}

/** A unary method in its HTTP form: names of the path from the fields, the rest as query or body. */
export async function restCall(url: string, request: RestRequest): Promise<RestAnswer> {
  const { verb, path } = methodNamed(request.method).http;
  const rest: Record<string, unknown> = { ...request.fields };
  const filled = path.replaceAll(/\{(\w+)\}/g, (_, name: string) => {
    const field = name.replaceAll(/_(\w)/g, (__, letter: string) => letter.toUpperCase());
    const { [field]: value } = rest;
    delete rest[field];
    return encodeURIComponent(typeof value === 'string' ? value : JSON.stringify(value ?? ''));
  });
  const target = new URL(filled, url);
  if (verb === 'GET') target.search = new URLSearchParams(queryOf(rest)).toString();
  return rawRest(target, {
    method: verb,
    headers: { authorization: `Bearer ${request.token}`, ...request.headers },
    ...(verb === 'GET' ? {} : { body: JSON.stringify(rest) }),
  });
}

export async function rawRest(target: URL, init: RequestInit): Promise<RestAnswer> {
  const response = await fetch(target, init);
  const said = await response.text();
  const body = said === '' ? {} : (JSON.parse(said) as Record<string, unknown>);
  return { status: response.status, headers: response.headers, body };
}

export function refusalIn(body: Readonly<Record<string, unknown>>): Refusal {
  const { code, reason, message, metadata = {} } = body;
  const told = { code: String(code), reason: String(reason), message: String(message) };
  return { ...told, details: metadata as Refusal['details'] };
}

async function meta(url: string): Promise<Record<string, unknown>> {
  return (await (await fetch(new URL('/v1/meta', url))).json()) as Record<string, unknown>;
}

function replyOf<T>(method: MethodName, answer: Down): Reply<T> {
  const { commit, error, result } = answer;
  if (error !== undefined) {
    const { code, reason, message, metadata } = error;
    return { refusal: { code, reason, message, details: metadata } };
  }
  if (commit !== undefined) return { done: commit as Plain<T> };
  const response: unknown = result?.response;
  const { output } = methodNamed(method);
  const isBytes = response instanceof Uint8Array;
  return { done: (isBytes ? output.decode(response) : output.fromJson(response)) as Plain<T> };
}

function queryOf(fields: Readonly<Record<string, unknown>>, prefix = ''): [string, string][] {
  return Object.entries(fields).flatMap(([name, value]): [string, string][] => {
    if (Array.isArray(value)) return value.map((one) => [prefix + name, String(one)]);
    if (typeof value === 'object' && value !== null)
      return queryOf(value as Record<string, unknown>, `${prefix}${name}.`);
    return [[prefix + name, String(value)]];
  });
}
