/** Accounts, devices and groups that a scenario needs, made through the public interface. */
import http from 'node:http';

const agent = new http.Agent({ keepAlive: true, maxSockets: 16 });
const AT_ONCE = 16;

export interface Account {
  readonly userId: string;
  readonly accessToken: string;
}

export interface Called {
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
}

export function call(
  base: string,
  method: string,
  path: string,
  options: { readonly body?: unknown; readonly token?: string } = {},
): Promise<Called> {
  const data = options.body === undefined ? undefined : Buffer.from(JSON.stringify(options.body));
  const headers: Record<string, string> = {};
  if (data !== undefined) headers['content-type'] = 'application/json';
  if (options.token !== undefined) headers['authorization'] = `Bearer ${options.token}`;
  return new Promise((done, fail) => {
    const request = http.request(new URL(path, base), { method, agent, headers }, (response) => {
      const parts: Buffer[] = [];
      response.on('data', (part: Buffer) => parts.push(part));
      response.on('end', () =>
        done({ status: response.statusCode ?? 0, body: parsed(Buffer.concat(parts).toString()) }),
      );
    });
    request.on('error', fail);
    request.end(data);
  });
}

function parsed(text: string): Readonly<Record<string, unknown>> {
  const value: unknown = text === '' ? {} : JSON.parse(text);
  return typeof value === 'object' && value !== null ? { ...value } : {};
}

/** `count` users, each with one device. A name that is there already signs in. */
export function makeUsers(base: string, prefix: string, count: number): Promise<Account[]> {
  return inParallel(count, (i) => signUp(base, `${prefix}${i}`, ''));
}

/** Further devices of one user. */
export function makeDevices(base: string, name: string, count: number): Promise<Account[]> {
  return inParallel(count, (i) => signUp(base, name, `device ${i}`));
}

async function signUp(base: string, username: string, deviceName: string): Promise<Account> {
  const body = {
    username,
    password: 'correct horse battery',
    device: { name: deviceName, platform: 'bench' },
  };
  const answer = await call(base, 'POST', '/v1/auth/signup', { body });
  const tokens = answer.body['tokens'];
  if (
    typeof tokens === 'object' &&
    tokens !== null &&
    'userId' in tokens &&
    'accessToken' in tokens
  )
    return { userId: String(tokens.userId), accessToken: String(tokens.accessToken) };
  throw new TypeError(
    `sign-up of ${username} failed: ${answer.status} ${JSON.stringify(answer.body)}`,
  );
}

/** The conversation id of a new group of all of them, the first as its owner. */
export async function makeGroup(base: string, members: readonly Account[]): Promise<string> {
  const [owner, ...others] = members;
  const body = {
    requestId: crypto.randomUUID(),
    name: 'bench',
    members: others.map(({ userId }) => userId),
  };
  const answer = await call(base, 'POST', '/v1/conversations', {
    body,
    ...(owner === undefined ? {} : { token: owner.accessToken }),
  });
  if (answer.status !== 201)
    throw new TypeError(`group refused: ${answer.status} ${JSON.stringify(answer.body)}`);
  return String(answer.body['conversationId']);
}

async function inParallel<T>(count: number, make: (i: number) => Promise<T>): Promise<T[]> {
  const made: T[] = [];
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let i = next++; i < count; i = next++) made[i] = await make(i);
  };
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, count) }, worker));
  return made;
}
