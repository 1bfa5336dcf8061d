import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { newId, type DeviceId, type SessionId, type UserId } from '../../core/ids.ts';
import { Accounts } from './accounts.ts';
import type { Devices } from './devices.ts';
import { LoginThrottle } from './login-throttle.ts';
import type { AccountRow, AccountStore, RevokeMatch } from './ports.ts';
import type { Sessions } from './sessions.ts';

const CLOCK = { nowMs: () => 1_800_000_000_000, monotonicMs: () => 1000 };
const ORIGIN = { address: '198.51.100.7' };

/** One account; a password's hash is the password itself. */
class House {
  readonly revoked: RevokeMatch[] = [];
  readonly verified: string[] = [];
  /** Runs between a password that was found right and the session that it opens. */
  beforeOpen: () => Promise<void> = () => Promise.resolve();
  row: AccountRow = {
    userId: newId('usr', 1) as UserId,
    username: 'ann',
    passwordHash: 'right password',
    kind: 'person',
    displayName: '',
    pictureMediaId: '',
    pictureUrl: '',
    status: 'online',
    statusText: '',
    readsPrivacy: 'all',
    lastSeenPrivacy: 'all',
    createTimeMs: 1,
    updateTimeMs: 1,
    lastSeenTimeMs: undefined,
    version: 1,
    isSuspended: false,
  };
  readonly sessionId = newId('ses', 2) as SessionId;
  readonly accounts: Accounts = new Accounts({
    store: {
      findByUsername: (name: string) =>
        Promise.resolve(name === this.row.username ? this.row : undefined),
      findAccounts: () => Promise.resolve([this.row]),
      setPasswordHash: async (
        _user: UserId,
        { replaced, passwordHash }: { replaced: string; passwordHash: string },
      ) => {
        if (this.row.passwordHash !== replaced) return false;
        this.row = { ...this.row, passwordHash };
        return true;
      },
    } as unknown as AccountStore,
    passwords: {
      hash: (password) => Promise.resolve(password),
      verify: async (hash, password) => {
        this.verified.push(hash);
        await new Promise((resolve) => setImmediate(resolve));
        return hash === password;
      },
      stop: () => Promise.resolve(),
    },
    throttle: new LoginThrottle(CLOCK, { loginFailuresMax: 5, loginWindowMs: 60_000 }),
    sessions: {
      open: async (userId: UserId, deviceId: DeviceId) => {
        await this.beforeOpen();
        return { userId, deviceId, sessionId: this.sessionId };
      },
      revoke: async (match: RevokeMatch) => void this.revoked.push(match),
      renew: () => Promise.resolve({}),
    } as unknown as Sessions,
    devices: { signIn: () => Promise.resolve(newId('dev', 3)) } as unknown as Devices,
    clock: CLOCK,
    signup: 'open',
    nobodysHash: 'nobody',
  });

  logIn(password: string): Promise<string> {
    return this.accounts
      .logIn({ username: 'ann', password }, ORIGIN)
      .then(() => 'signed in', reasonOf);
  }
}

function reasonOf(error: unknown): string {
  return (error as { reason?: string }).reason ?? String(error);
}

describe('signing in', () => {
  it('guesses made side by side learn no more than those made one after another', async () => {
    const house = new House();
    const guesses = Array.from({ length: 40 }, (_, i) => house.logIn(`wrong ${i}`));
    const told = await Promise.all([...guesses, house.logIn('right password')]);
    assert.equal(told.filter((one) => one === 'LOGIN_FAILED').length, 5);
    assert.equal(told.filter((one) => one === 'RATE_LIMITED').length, 36);
    const signUps = Array.from({ length: 9 }, () =>
      house.accounts
        .signUp({ username: 'ann', password: 'right password' }, { address: '198.51.100.8' })
        .then(() => 'signed in', reasonOf),
    );
    assert.deepEqual(new Set(await Promise.all(signUps)), new Set(['signed in']));
  });
  it('many devices of a user sign in at once', async () => {
    const house = new House();
    const told = await Promise.all(Array.from({ length: 40 }, () => house.logIn('right password')));
    assert.deepEqual(new Set(told), new Set(['signed in']));
  });
  it('with a password that is changed meanwhile leaves no session behind', async () => {
    const house = new House();
    const { userId } = house.row;
    const caller = {
      userId,
      deviceId: newId('dev', 4) as DeviceId,
      sessionId: newId('ses', 4) as SessionId,
    };
    house.beforeOpen = async () => {
      const request = { oldPassword: 'right password', newPassword: 'another password' };
      await house.accounts.changePassword(caller, request);
    };
    assert.equal(await house.logIn('right password'), 'LOGIN_FAILED');
    assert.deepEqual(house.revoked.at(-1), { userId, sessionId: house.sessionId });
    house.beforeOpen = () => Promise.resolve();
    assert.equal(await house.logIn('another password'), 'signed in');
  });
  it('of two changes of a password at once one wins, the other fails', async () => {
    const house = new House();
    const change = (newPassword: string): Promise<string> => {
      const caller = {
        userId: house.row.userId,
        deviceId: newId('dev', 4) as DeviceId,
        sessionId: newId('ses', 4) as SessionId,
      };
      return house.accounts
        .changePassword(caller, { oldPassword: 'right password', newPassword })
        .then(() => 'changed', reasonOf);
    };
    const told = await Promise.all([change('the first one'), change('the second one')]);
    assert.deepEqual(told.toSorted(), ['LOGIN_FAILED', 'changed']);
    assert.equal(house.revoked.length, 1);
  });
  it('an unknown name costs a hash of the configured costs as well', async () => {
    const house = new House();
    await house.accounts
      .logIn({ username: 'bob', password: 'any password' }, ORIGIN)
      .catch(() => undefined);
    assert.deepEqual(house.verified, ['nobody']);
  });
});
