/** Accounts and groups that a script needs, made over HTTP in its setup. */
import http from 'k6/http';
import { URL_BASE } from './surroundings.ts';

export interface Account {
  readonly userId: string;
  readonly accessToken: string;
}

const AT_ONCE = 16;
const JSON_HEADERS = { 'content-type': 'application/json' };

/** WebSocket URL that the server names: the faster port where there is one. */
export function webSocketUrl(): string {
  const meta = http.get(`${URL_BASE}/v1/meta`).json() as { webSocketUrl?: string };
  return meta.webSocketUrl ?? `${URL_BASE.replace('http', 'ws')}/v1/ws`;
}

/** `count` new users with one device each; their names are those of this run alone. */
export function makeUsers(count: number): Account[] {
  const run = Date.now().toString(36);
  const made: Account[] = [];
  while (made.length < count) {
    const size = Math.min(AT_ONCE, count - made.length);
    const requests = Array.from({ length: size }, (_, i) => signUp(`k6-${run}-${made.length + i}`));
    for (const response of http.batch(requests)) {
      const { tokens } = response.json() as { tokens?: Account };
      if (tokens === undefined)
        throw new TypeError(`sign-up refused: ${response.status} ${response.status_text}`);
      made.push({ userId: tokens.userId, accessToken: tokens.accessToken });
    }
  }
  return made;
}

function signUp(username: string): {
  method: string;
  url: string;
  body: string;
  params: { headers: Record<string, string> };
} {
  const body = { username, password: 'correct horse battery', device: { name: 'k6' } };
  return {
    method: 'POST',
    url: `${URL_BASE}/v1/auth/signup`,
    body: JSON.stringify(body),
    params: { headers: JSON_HEADERS },
  };
}

/** The conversation id of a new group of all of them, the first as its owner. */
export function makeGroup(members: readonly Account[]): string {
  const [owner, ...others] = members;
  const body = {
    requestId: crypto.randomUUID(),
    name: 'k6',
    members: others.map(({ userId }) => userId),
  };
  const headers = { ...JSON_HEADERS, authorization: `Bearer ${owner?.accessToken ?? ''}` };
  const answer = http.post(`${URL_BASE}/v1/conversations`, JSON.stringify(body), { headers });
  if (answer.status !== 201)
    throw new TypeError(`group refused: ${answer.status} ${answer.status_text}`);
  return (answer.json() as { conversationId: string }).conversationId;
}
