/** People and their devices, made through the public interface. */
import assert from 'node:assert/strict';
import { call } from '../../../bench/accounts.ts';

export interface Account {
  readonly username: string;
  readonly userId: string;
  readonly deviceId: string;
  readonly sessionId: string;
  readonly accessToken: string;
  readonly refreshToken: string;
}

export const PASSWORD = 'correct horse battery';
const AT_ONCE = 16;
let made = 0;

/** A new user with one device. */
export function person(url: string, name = 'someone'): Promise<Account> {
  return signUp(url, `${name}-${process.pid}-${++made}`, '');
}

export async function people(url: string, count: number): Promise<Account[]> {
  const all: Account[] = [];
  while (all.length < count)
    all.push(
      ...(await Promise.all(
        Array.from({ length: Math.min(AT_ONCE, count - all.length) }, () => person(url)),
      )),
    );
  return all;
}

/** A further device of the same user. */
export function device(url: string, account: Account, name: string): Promise<Account> {
  return signUp(url, account.username, name);
}

export async function refresh(url: string, account: Account): Promise<Account> {
  const body = { refreshToken: account.refreshToken };
  const answer = await call(url, 'POST', '/v1/auth/refresh', { body });
  assert.equal(answer.status, 200, JSON.stringify(answer.body));
  return { ...account, ...(answer.body['tokens'] as Account) };
}

async function signUp(url: string, username: string, deviceName: string): Promise<Account> {
  const body = { username, password: PASSWORD, device: { name: deviceName, platform: 'test' } };
  const answer = await call(url, 'POST', '/v1/auth/signup', { body });
  assert.ok(answer.status === 201 || answer.status === 200, JSON.stringify(answer.body));
  return { username, ...(answer.body['tokens'] as Omit<Account, 'username'>) };
}
