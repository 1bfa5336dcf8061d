/** The REST side of a test: what no hand at a browser would do. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { PASSWORD } from './person.ts';

export interface Caller {
  readonly url: string;
  readonly token: string;
  readonly userId: string;
}

interface Answer {
  readonly tokens: { readonly accessToken: string; readonly userId: string };
}

export async function logIn(url: string, username: string): Promise<Caller> {
  const answer = (await call(`POST ${url}/v1/auth/login`, {
    username,
    password: PASSWORD,
    device: { name: 'a script' },
  })) as Answer;
  return { url, token: answer.tokens.accessToken, userId: answer.tokens.userId };
}

/** `to`: a conversation id or `direct:usr_…`; `message` as in CONTRACT §5. */
export async function sendMessage(caller: Caller, to: string, message: unknown): Promise<void> {
  const path = `${caller.url}/v1/conversations/${encodeURIComponent(to)}/messages`;
  await call(`POST ${path}`, { body: { message } }, caller.token);
}

export async function deleteMessage(caller: Caller, id: string, sequence: number): Promise<void> {
  const path = `${caller.url}/v1/conversations/${encodeURIComponent(id)}/messages/${sequence}`;
  await call(`DELETE ${path}`, {}, caller.token);
}

export async function markUnread(caller: Caller, id: string): Promise<void> {
  const path = `${caller.url}/v1/conversations/${encodeURIComponent(id)}/me`;
  await call(`PATCH ${path}`, { markedUnread: true }, caller.token);
}

/** `to`: the verb and the address, as in `POST http://…`. */
async function call(to: string, body: unknown, token?: string): Promise<unknown> {
  const [method = '', url = ''] = to.split(' ');
  const response = await fetch(url, {
    method,
    headers: {
      'content-type': 'application/json',
      'idempotency-key': randomUUID(),
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
    },
    body: JSON.stringify(body),
  });
  const text = await response.text();
  assert.ok(response.ok, `${to}: ${response.status} ${text}`);
  return JSON.parse(text);
}
