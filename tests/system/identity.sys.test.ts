import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { newId, type UserId } from '../../core/ids.ts';
import { AccessTokenVerifier } from '../../services/identity/access-token-verifier.ts';
import { callerOf } from './identity-bench.ts';
import { freshIdentity, HOME, PASSWORD } from './fresh-identity.ts';
import { refusal, refused } from './refusal.ts';

const DAY = 86_400_000;

describe('identity on PostgreSQL', function () {
  this.timeout(20_000);
  const house = freshIdentity();

  describe('signing up and in', () => {
    it('R090 R096 makes an account with an id of its own; the same again signs in, another password does not', async () => {
      const first = await house.signUp('ann');
      assert.equal(first.created, true);
      assert.match(first.user.userId, /^usr_[0-9a-hjkmnp-tv-z]{26}$/);
      assert.equal(first.user.displayName, 'ann');
      const again = await house.signUp('ann');
      assert.equal(again.created, false);
      assert.equal(again.user.userId, first.user.userId);
      assert.notEqual(again.tokens.sessionId, first.tokens.sessionId);
      const other = house.node.identity.signUp(
        { username: 'ann', password: 'another password' },
        HOME,
      );
      await refused(other, 'USERNAME_TAKEN');
    });

    it('ten at once for one name make one account', async () => {
      const all = await Promise.all(Array.from({ length: 10 }, () => house.signUp('racer')));
      assert.equal(all.filter((each) => each.created).length, 1);
      assert.equal(new Set(all.map((each) => each.user.userId)).size, 1);
    });

    it('R093 a user name has 3 to 50 characters of a-z 0-9 . _ -, a password 8 to 128, a name 100', async () => {
      const { identity } = house.node;
      for (const username of ['ab', 'A-b-c', 'has space', 'é'.repeat(3), 'x'.repeat(51), 'a\0bc'])
        await refused(identity.signUp({ username, password: PASSWORD }, HOME), 'BAD_TEXT');
      for (const password of ['1234567', 'x'.repeat(129), '1234567\ud800'])
        await refused(identity.signUp({ username: 'good', password }, HOME), 'WEAK_PASSWORD');
      for (const displayName of ['x'.repeat(101), 'a\0', 'a\ud800', 'a\u0007'])
        await refused(
          identity.signUp({ username: 'good', password: PASSWORD, displayName }, HOME),
          'BAD_TEXT',
        );
      const displayName = '👩‍👩‍👧'.repeat(20);
      const { user } = await identity.signUp(
        { username: 'a.b_c-9', password: '🔑'.repeat(128), displayName },
        HOME,
      );
      assert.equal(user.displayName, displayName);
    });

    it('R091 a wrong password and an unknown name get the same answer, after as much work', async () => {
      await house.signUp('ann');
      const wrong = await refusal(
        house.node.identity.logIn({ username: 'ann', password: 'no' }, HOME),
      );
      const unknown = await refusal(
        house.node.identity.logIn({ username: 'nobody', password: 'no' }, HOME),
      );
      assert.equal(wrong.reason, 'LOGIN_FAILED');
      assert.equal(unknown.message, wrong.message);
      const right = await house.node.identity.logIn({ username: 'ann', password: PASSWORD }, HOME);
      assert.equal(right.user.username, 'ann');
    });

    it('R097 R116 guessing is stopped per name and address; elsewhere the owner still gets in', async () => {
      const node = await house.bench.nodeOn(house.stores, {
        loginFailuresMax: 3,
        loginWindowMs: 60_000,
      });
      const signUp = (): Promise<unknown> =>
        node.identity.signUp({ username: 'ann', password: PASSWORD }, HOME);
      await signUp();
      const guess = (): Promise<unknown> =>
        node.identity.logIn({ username: 'ann', password: 'guess' }, HOME);
      for (let i = 0; i < 3; i++) await refused(guess(), 'LOGIN_FAILED');
      const limited = await refusal(guess());
      assert.equal(limited.reason, 'RATE_LIMITED');
      assert.ok((limited.retryAfterMs ?? 0) > 0 && (limited.retryAfterMs ?? 0) <= 60_000);
      // Signing up anew is no way around it.
      await refused(signUp(), 'RATE_LIMITED');
      const owner = { username: 'ann', password: PASSWORD };
      await node.identity.logIn(owner, { address: '198.51.100.1' });
      node.clock.advance(60_001);
      await node.identity.logIn(owner, HOME);
    });

    it('R095 R155 the database has the seeds’ columns and neither a password nor a token in it', async () => {
      const { tokens } = await house.signUp('ann');
      await house.node.identity.refresh(tokens.refreshToken);
      const columns = await house.bench.sql(
        house.target,
        "select column_name from information_schema.columns where table_name = 'users'",
      );
      const names = columns.map((row) => row['column_name']);
      for (const name of [
        'user_id',
        'username',
        'password_hash',
        'status',
        'profile_pic_url',
        'created_at',
        'last_seen_at',
      ])
        assert.ok(names.includes(name), name);
      const [user] = await house.bench.sql(house.target, 'select password_hash from users');
      assert.match(String(user?.['password_hash']), /^\$argon2id\$v=19\$m=19456,t=2,p=1\$/);
      const everything = JSON.stringify([
        await house.bench.sql(house.target, 'select * from users'),
        await house.bench.sql(house.target, 'select * from sessions'),
      ]);
      for (const secret of [PASSWORD, tokens.refreshToken, tokens.refreshToken.slice(-20)])
        assert.ok(!everything.includes(secret));
      const [length] = await house.bench.sql(
        house.target,
        "select character_maximum_length as n, (select count(*)::int from pg_constraint where conname = 'users_username_key') as uniques from information_schema.columns where table_name = 'users' and column_name = 'username'",
      );
      assert.deepEqual(length, { n: 50, uniques: 1 });
    });

    it('closed takes nobody new; invite takes holders of a code, each use once', async () => {
      const closed = await house.bench.nodeOn(house.stores, { signup: 'closed' });
      const request = { username: 'ann', password: PASSWORD };
      await refused(closed.identity.signUp(request, HOME), 'SIGNUP_CLOSED');
      const invite = await house.bench.nodeOn(house.stores, { signup: 'invite' });
      await refused(invite.identity.signUp(request, HOME), 'SIGNUP_CLOSED');
      const inviteCode = await invite.identity.createSignupCode(1);
      await invite.identity.signUp({ ...request, inviteCode }, HOME);
      const second = { username: 'bob', password: PASSWORD, inviteCode };
      await refused(invite.identity.signUp(second, HOME), 'SIGNUP_CLOSED');
      // Who is in stays in, without a code.
      assert.equal((await invite.identity.signUp(request, HOME)).created, false);
      await refused(invite.identity.createSignupCode(0), 'BAD_FIELD');
    });

    it('a sign-up that fails, or finds its name taken, takes no use of the code', async () => {
      const invite = await house.bench.nodeOn(house.stores, { signup: 'invite' });
      const inviteCode = await invite.identity.createSignupCode(1);
      const request = { username: 'ann', password: PASSWORD, inviteCode };
      // As a kill right behind the use does it: the account's row does not come to be.
      await house.bench.sql(house.target, 'alter table users add constraint nobody check (false)');
      await assert.rejects(invite.identity.signUp(request, HOME));
      await house.bench.sql(house.target, 'alter table users drop constraint nobody');
      const ann = (await invite.identity.signUp(request, HOME)).user.userId;
      const hash = new Uint8Array(32).fill(9);
      await house.stores.accounts.insertSignupCode(hash, 1, 0);
      const [row] = await house.stores.accounts.findAccounts([ann]);
      assert.ok(row !== undefined);
      const twin = { ...row, userId: newId('usr', 1) as UserId };
      assert.equal(await house.stores.accounts.insertAccount(twin, hash), 'taken');
      const bob = { ...twin, username: 'bob' };
      assert.equal(await house.stores.accounts.insertAccount(bob, hash), 'made');
      assert.equal(await house.stores.accounts.insertAccount(bob, hash), 'no_code');
    });

    it('one sign-up that is sent twice at once needs one use of a code', async () => {
      const invite = await house.bench.nodeOn(house.stores, { signup: 'invite' });
      const inviteCode = await invite.identity.createSignupCode(1);
      const request = { username: 'ann', password: PASSWORD, inviteCode };
      const both = await Promise.all([
        invite.identity.signUp(request, HOME),
        invite.identity.signUp(request, HOME),
      ]);
      assert.equal(both.filter(({ created }) => created).length, 1);
    });

    it('a suspended account neither signs in nor refreshes', async () => {
      const { tokens } = await house.signUp('ann');
      await house.bench.sql(house.target, 'update users set suspended_at = now()');
      const login = house.node.identity.logIn({ username: 'ann', password: PASSWORD }, HOME);
      await refused(login, 'ACCOUNT_SUSPENDED');
      await refused(house.node.identity.refresh(tokens.refreshToken), 'ACCOUNT_SUSPENDED');
    });

    it('a changed password ends every other session; the old one no longer works', async () => {
      const phone = (await house.signUp('ann')).tokens;
      const laptop = (await house.signUp('ann')).tokens;
      const change = { oldPassword: PASSWORD, newPassword: 'something else' };
      await refused(
        house.node.identity.changePassword(callerOf(phone), {
          ...change,
          oldPassword: 'wrong one',
        }),
        'LOGIN_FAILED',
      );
      await refused(
        house.node.identity.changePassword(callerOf(phone), { ...change, newPassword: 'short' }),
        'WEAK_PASSWORD',
      );
      const { tokens } = await house.node.identity.changePassword(callerOf(phone), change);
      assert.equal(tokens.sessionId, phone.sessionId);
      assert.deepEqual(
        house.node.revoked.map((each) => each.sessionId),
        [laptop.sessionId],
      );
      await refused(house.node.identity.refresh(laptop.refreshToken), 'SESSION_REVOKED');
      await house.node.identity.refresh(tokens.refreshToken);
      await refused(
        house.node.identity.logIn({ username: 'ann', password: PASSWORD }, HOME),
        'LOGIN_FAILED',
      );
    });
  });

  describe('refresh tokens', () => {
    it('R092 each is good once, and its answer may be asked for again within 10 s', async () => {
      const { tokens } = await house.signUp('ann');
      const first = await house.node.identity.refresh(tokens.refreshToken);
      assert.equal(first.user.username, 'ann');
      assert.equal(first.tokens.sessionId, tokens.sessionId);
      assert.notEqual(first.tokens.refreshToken, tokens.refreshToken);
      house.node.clock.advance(10_000);
      const lost = await house.node.identity.refresh(tokens.refreshToken);
      assert.equal(lost.tokens.refreshToken, first.tokens.refreshToken);
      await house.node.identity.refresh(first.tokens.refreshToken);
    });

    it('case 58: an old refresh token after 10 s revokes the family (R116)', async () => {
      const { tokens } = await house.signUp('ann');
      const { tokens: next } = await house.node.identity.refresh(tokens.refreshToken);
      house.node.clock.advance(10_001);
      await refused(house.node.identity.refresh(tokens.refreshToken), 'REFRESH_REUSED');
      await refused(house.node.identity.refresh(next.refreshToken), 'SESSION_REVOKED');
      assert.deepEqual(
        house.node.revoked.map((each) => each.sessionId),
        [tokens.sessionId],
      );
    });

    it('case 58: one older than the previous revokes at once, even within 10 s', async () => {
      const { tokens } = await house.signUp('ann');
      const { tokens: second } = await house.node.identity.refresh(tokens.refreshToken);
      await house.node.identity.refresh(second.refreshToken);
      await refused(house.node.identity.refresh(tokens.refreshToken), 'REFRESH_REUSED');
      await refused(house.node.identity.refresh(second.refreshToken), 'SESSION_REVOKED');
    });

    it('twenty at once with one token get one successor', async () => {
      const { tokens } = await house.signUp('ann');
      const all = await Promise.all(
        Array.from({ length: 20 }, () => house.node.identity.refresh(tokens.refreshToken)),
      );
      assert.equal(new Set(all.map((each) => each.tokens.refreshToken)).size, 1);
    });

    it('garbage that names a session is refused and does it no harm', async () => {
      const { tokens } = await house.signUp('ann');
      const bytes = Buffer.from(tokens.refreshToken.slice(4), 'base64url');
      bytes[19] = 0;
      const forged = `prt_${bytes.toString('base64url')}`;
      for (const text of [forged, 'prt_', '', tokens.accessToken, 'x'.repeat(10_000)])
        await refused(house.node.identity.refresh(text), 'TOKEN_INVALID');
      await house.node.identity.refresh(tokens.refreshToken);
    });

    it('an unused one lives 30 days, a session 180 days however often it is refreshed', async () => {
      const { tokens } = await house.signUp('idle');
      house.node.clock.advance(30 * DAY);
      await refused(house.node.identity.refresh(tokens.refreshToken), 'TOKEN_EXPIRED');
      let { refreshToken } = (await house.signUp('busy')).tokens;
      for (let day = 20; day < 180; day += 20) {
        house.node.clock.advance(20 * DAY);
        refreshToken = (await house.node.identity.refresh(refreshToken)).tokens.refreshToken;
      }
      house.node.clock.advance(20 * DAY);
      await refused(house.node.identity.refresh(refreshToken), 'TOKEN_EXPIRED');
    });
  });

  describe('sessions', () => {
    it('case 32 (identity): a revoked session is refused everywhere and waits to be announced', async () => {
      const phone = (await house.signUp('ann', { name: 'Phone', platform: 'ios' })).tokens;
      const laptop = (await house.signUp('ann')).tokens;
      const keys = await house.node.identity.verificationKeys();
      const verifier = new AccessTokenVerifier({ keys });
      const nowMs = house.node.clock.nowMs();
      assert.equal(verifier.verify(phone.accessToken, nowMs).sessionId, phone.sessionId);

      const listed = await house.node.identity.listSessions(callerOf(laptop));
      assert.equal(listed.length, 2);
      assert.equal(listed.find((each) => each.current)?.sessionId, laptop.sessionId);
      assert.equal(listed.find((each) => !each.current)?.deviceName, 'Phone');

      await house.node.identity.revokeSession(callerOf(laptop), phone.sessionId);
      await house.node.identity.revokeSession(callerOf(laptop), phone.sessionId);
      assert.equal(house.node.revoked.length, 1, 'told once');
      for (const { sessionId } of house.node.revoked) verifier.revoke(sessionId, nowMs + 600_000);
      await refused(
        Promise.resolve().then(() => verifier.verify(phone.accessToken, nowMs)),
        'SESSION_REVOKED',
      );
      await refused(house.node.identity.refresh(phone.refreshToken), 'SESSION_REVOKED');
      assert.equal((await house.node.identity.listSessions(callerOf(laptop))).length, 1);

      const pending = await house.node.identity.pendingRevocations(10);
      assert.deepEqual(pending, house.node.revoked);
      assert.deepEqual(await house.node.identity.revokedSince(nowMs), pending);
      assert.deepEqual(await house.node.identity.revokedSince(nowMs + 1), []);
      await house.node.identity.markAnnounced([phone.sessionId]);
      assert.deepEqual(await house.node.identity.pendingRevocations(10), []);
    });

    it('signing out is revoking the current one', async () => {
      const { tokens } = await house.signUp('ann');
      await house.node.identity.revokeSession(callerOf(tokens), 'current');
      await refused(house.node.identity.refresh(tokens.refreshToken), 'SESSION_REVOKED');
    });

    it('R097 another’s session can be neither ended nor told from an unknown one', async () => {
      const ann = (await house.signUp('ann')).tokens;
      const bob = (await house.signUp('bob')).tokens;
      await house.node.identity.revokeSession(callerOf(bob), ann.sessionId);
      await refused(house.node.identity.revokeSession(callerOf(bob), 'ses_x'), 'BAD_ID');
      assert.deepEqual(house.node.revoked, []);
      await house.node.identity.refresh(ann.refreshToken);
    });

    it('what has expired is removed, but not a revocation that nobody heard of yet', async () => {
      const { tokens } = await house.signUp('ann');
      await house.signUp('ann');
      await house.node.identity.revokeSession(callerOf(tokens), 'current');
      house.node.clock.advance(32 * DAY);
      await house.node.identity.maintain();
      assert.equal((await house.bench.sql(house.target, 'select 1 from sessions')).length, 1);
      await house.node.identity.markAnnounced([tokens.sessionId]);
      await house.node.identity.maintain();
      assert.equal((await house.bench.sql(house.target, 'select 1 from sessions')).length, 0);
    });
  });

  describe('devices', () => {
    it('a device keeps its id over sign-ins; another’s id makes a new one', async () => {
      const first = (await house.signUp('ann', { name: 'Phone' })).tokens;
      const { deviceId } = first;
      const again = (await house.signUp('ann', { deviceId })).tokens;
      assert.equal(again.deviceId, deviceId);
      const bob = (await house.signUp('bob', { deviceId })).tokens;
      assert.notEqual(bob.deviceId, deviceId);
      await refused(house.signUp('ann', { deviceId: 'phone' }), 'BAD_ID');
    });

    it('is renamed under If-Match, and removed with its sessions', async () => {
      const phone = (await house.signUp('ann', { name: 'Phone' })).tokens;
      const laptop = (await house.signUp('ann')).tokens;
      const { identity } = house.node;
      const caller = callerOf(laptop);
      const [device] = (await identity.listDevices(caller)).filter((each) => each.name === 'Phone');
      assert.ok(device !== undefined);
      const renamed = await identity.updateDevice(
        caller,
        device.deviceId,
        { name: 'Old' },
        device.etag,
      );
      assert.equal(renamed.name, 'Old');
      await refused(
        identity.updateDevice(caller, device.deviceId, { name: 'x' }, device.etag),
        'VERSION_CONFLICT',
      );
      const cleared = await identity.updateDevice(caller, device.deviceId, { name: null });
      assert.equal(cleared.name, '');
      await identity.removeDevice(caller, device.deviceId);
      await refused(identity.refresh(phone.refreshToken), 'SESSION_REVOKED');
      await refused(identity.removeDevice(caller, device.deviceId), 'DEVICE_UNKNOWN');
      await refused(identity.updateDevice(caller, laptop.sessionId, {}), 'BAD_ID');
      assert.equal((await identity.listDevices(caller)).length, 1);
    });

    it('R097 another’s device is unknown', async () => {
      const ann = (await house.signUp('ann')).tokens;
      const bob = (await house.signUp('bob')).tokens;
      await refused(
        house.node.identity.removeDevice(callerOf(bob), ann.deviceId),
        'DEVICE_UNKNOWN',
      );
    });
  });
});
