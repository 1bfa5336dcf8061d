import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'mocha';
import { ParleyError, type Reason } from '../../core/errors.ts';
import { AccessTokenVerifier } from '../../services/identity/access-token-verifier.ts';
import type { DatabaseTarget } from '../../services/identity/adapters/database.ts';
import { USER_WORDS } from '../../services/identity/adapters/migrations/0002-user-words.ts';
import { SEARCH } from '../../services/identity/adapters/pg-accounts.ts';
import { MIGRATIONS, type PgStores } from '../../services/identity/adapters/pg-stores.ts';
import type { SignedIn } from '../../services/identity/contract.ts';
import { newUserId } from '../../services/identity/new-ids.ts';
import { callerOf, IdentityBench, type Node } from './identity-bench.ts';

const HOME = { address: '203.0.113.7' };
const PASSWORD = 'correct horse battery';
const DAY = 86_400_000;

async function refusal(promise: Promise<unknown>): Promise<ParleyError> {
  const thrown = await promise.then(
    () => assert.fail('it was accepted'),
    (cause: unknown) => cause,
  );
  assert.ok(thrown instanceof ParleyError, String(thrown));
  return thrown;
}

async function refused(promise: Promise<unknown>, reason: Reason): Promise<void> {
  assert.equal((await refusal(promise)).reason, reason);
}

describe('identity on PostgreSQL', function () {
  this.timeout(20_000);
  const bench = new IdentityBench();
  let target: DatabaseTarget;
  let node: Node;

  let stores: PgStores;

  before(async () => {
    await bench.start();
    target = await bench.newDatabase();
    ({ stores } = await bench.node(target));
  });
  after(() => bench.stop());
  beforeEach(async () => {
    await bench.empty(target);
    node = await bench.nodeOn(stores);
  });

  const signUp = (username: string, device = {}): Promise<SignedIn & { created: boolean }> =>
    node.identity.signUp({ username, password: PASSWORD, device }, HOME);

  describe('signing up and in', () => {
    it('R090 R096 makes an account with an id of its own; the same again signs in, another password does not', async () => {
      const first = await signUp('ann');
      assert.equal(first.created, true);
      assert.match(first.user.userId, /^usr_[0-9a-hjkmnp-tv-z]{26}$/);
      assert.equal(first.user.displayName, 'ann');
      const again = await signUp('ann');
      assert.equal(again.created, false);
      assert.equal(again.user.userId, first.user.userId);
      assert.notEqual(again.tokens.sessionId, first.tokens.sessionId);
      const other = node.identity.signUp({ username: 'ann', password: 'another password' }, HOME);
      await refused(other, 'USERNAME_TAKEN');
    });

    it('ten at once for one name make one account', async () => {
      const all = await Promise.all(Array.from({ length: 10 }, () => signUp('racer')));
      assert.equal(all.filter((each) => each.created).length, 1);
      assert.equal(new Set(all.map((each) => each.user.userId)).size, 1);
    });

    it('R093 a user name has 3 to 50 characters of a-z 0-9 . _ -, a password 8 to 128, a name 100', async () => {
      const { identity } = node;
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
      await signUp('ann');
      const wrong = await refusal(node.identity.logIn({ username: 'ann', password: 'no' }, HOME));
      const unknown = await refusal(
        node.identity.logIn({ username: 'nobody', password: 'no' }, HOME),
      );
      assert.equal(wrong.reason, 'LOGIN_FAILED');
      assert.equal(unknown.message, wrong.message);
      const right = await node.identity.logIn({ username: 'ann', password: PASSWORD }, HOME);
      assert.equal(right.user.username, 'ann');
    });

    it('R097 R116 guessing is stopped per name and address; elsewhere the owner still gets in', async () => {
      node = await bench.nodeOn(stores, { loginFailuresMax: 3, loginWindowMs: 60_000 });
      await signUp('ann');
      const guess = (): Promise<unknown> =>
        node.identity.logIn({ username: 'ann', password: 'guess' }, HOME);
      for (let i = 0; i < 3; i++) await refused(guess(), 'LOGIN_FAILED');
      const limited = await refusal(guess());
      assert.equal(limited.reason, 'RATE_LIMITED');
      assert.ok((limited.retryAfterMs ?? 0) > 0 && (limited.retryAfterMs ?? 0) <= 60_000);
      // Signing up anew is no way around it.
      await refused(signUp('ann'), 'RATE_LIMITED');
      const owner = { username: 'ann', password: PASSWORD };
      await node.identity.logIn(owner, { address: '198.51.100.1' });
      node.clock.advance(60_001);
      await node.identity.logIn(owner, HOME);
    });

    it('R095 R155 the database has the seeds’ columns and neither a password nor a token in it', async () => {
      const { tokens } = await signUp('ann');
      await node.identity.refresh(tokens.refreshToken);
      const columns = await bench.sql(
        target,
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
      const [user] = await bench.sql(target, 'select password_hash from users');
      assert.match(String(user?.['password_hash']), /^\$argon2id\$v=19\$m=19456,t=2,p=1\$/);
      const everything = JSON.stringify([
        await bench.sql(target, 'select * from users'),
        await bench.sql(target, 'select * from sessions'),
      ]);
      for (const secret of [PASSWORD, tokens.refreshToken, tokens.refreshToken.slice(-20)])
        assert.ok(!everything.includes(secret));
      const [length] = await bench.sql(
        target,
        "select character_maximum_length as n, (select count(*)::int from pg_constraint where conname = 'users_username_key') as uniques from information_schema.columns where table_name = 'users' and column_name = 'username'",
      );
      assert.deepEqual(length, { n: 50, uniques: 1 });
    });

    it('closed takes nobody new; invite takes holders of a code, each use once', async () => {
      const closed = await bench.nodeOn(stores, { signup: 'closed' });
      const request = { username: 'ann', password: PASSWORD };
      await refused(closed.identity.signUp(request, HOME), 'SIGNUP_CLOSED');
      const invite = await bench.nodeOn(stores, { signup: 'invite' });
      await refused(invite.identity.signUp(request, HOME), 'SIGNUP_CLOSED');
      const inviteCode = await invite.identity.createSignupCode(1);
      await invite.identity.signUp({ ...request, inviteCode }, HOME);
      const second = { username: 'bob', password: PASSWORD, inviteCode };
      await refused(invite.identity.signUp(second, HOME), 'SIGNUP_CLOSED');
      // Who is in stays in, without a code.
      assert.equal((await invite.identity.signUp(request, HOME)).created, false);
      await refused(invite.identity.createSignupCode(0), 'BAD_FIELD');
    });

    it('a suspended account neither signs in nor refreshes', async () => {
      const { tokens } = await signUp('ann');
      await bench.sql(target, 'update users set suspended_at = now()');
      const login = node.identity.logIn({ username: 'ann', password: PASSWORD }, HOME);
      await refused(login, 'ACCOUNT_SUSPENDED');
      await refused(node.identity.refresh(tokens.refreshToken), 'ACCOUNT_SUSPENDED');
    });

    it('a changed password ends every other session; the old one no longer works', async () => {
      const phone = (await signUp('ann')).tokens;
      const laptop = (await signUp('ann')).tokens;
      const change = { oldPassword: PASSWORD, newPassword: 'something else' };
      await refused(
        node.identity.changePassword(callerOf(phone), { ...change, oldPassword: 'wrong one' }),
        'LOGIN_FAILED',
      );
      await refused(
        node.identity.changePassword(callerOf(phone), { ...change, newPassword: 'short' }),
        'WEAK_PASSWORD',
      );
      const { tokens } = await node.identity.changePassword(callerOf(phone), change);
      assert.equal(tokens.sessionId, phone.sessionId);
      assert.deepEqual(
        node.revoked.map((each) => each.sessionId),
        [laptop.sessionId],
      );
      await refused(node.identity.refresh(laptop.refreshToken), 'SESSION_REVOKED');
      await node.identity.refresh(tokens.refreshToken);
      await refused(
        node.identity.logIn({ username: 'ann', password: PASSWORD }, HOME),
        'LOGIN_FAILED',
      );
    });
  });

  describe('refresh tokens', () => {
    it('R092 each is good once, and its answer may be asked for again within 10 s', async () => {
      const { tokens } = await signUp('ann');
      const first = await node.identity.refresh(tokens.refreshToken);
      assert.equal(first.user.username, 'ann');
      assert.equal(first.tokens.sessionId, tokens.sessionId);
      assert.notEqual(first.tokens.refreshToken, tokens.refreshToken);
      node.clock.advance(10_000);
      const lost = await node.identity.refresh(tokens.refreshToken);
      assert.equal(lost.tokens.refreshToken, first.tokens.refreshToken);
      await node.identity.refresh(first.tokens.refreshToken);
    });

    it('case 58: an old refresh token after 10 s revokes the family (R116)', async () => {
      const { tokens } = await signUp('ann');
      const { tokens: next } = await node.identity.refresh(tokens.refreshToken);
      node.clock.advance(10_001);
      await refused(node.identity.refresh(tokens.refreshToken), 'REFRESH_REUSED');
      await refused(node.identity.refresh(next.refreshToken), 'SESSION_REVOKED');
      assert.deepEqual(
        node.revoked.map((each) => each.sessionId),
        [tokens.sessionId],
      );
    });

    it('case 58: one older than the previous revokes at once, even within 10 s', async () => {
      const { tokens } = await signUp('ann');
      const { tokens: second } = await node.identity.refresh(tokens.refreshToken);
      await node.identity.refresh(second.refreshToken);
      await refused(node.identity.refresh(tokens.refreshToken), 'REFRESH_REUSED');
      await refused(node.identity.refresh(second.refreshToken), 'SESSION_REVOKED');
    });

    it('twenty at once with one token get one successor', async () => {
      const { tokens } = await signUp('ann');
      const all = await Promise.all(
        Array.from({ length: 20 }, () => node.identity.refresh(tokens.refreshToken)),
      );
      assert.equal(new Set(all.map((each) => each.tokens.refreshToken)).size, 1);
    });

    it('garbage that names a session is refused and does it no harm', async () => {
      const { tokens } = await signUp('ann');
      const bytes = Buffer.from(tokens.refreshToken.slice(4), 'base64url');
      bytes[19] = 0;
      const forged = `prt_${bytes.toString('base64url')}`;
      for (const text of [forged, 'prt_', '', tokens.accessToken, 'x'.repeat(10_000)])
        await refused(node.identity.refresh(text), 'TOKEN_INVALID');
      await node.identity.refresh(tokens.refreshToken);
    });

    it('an unused one lives 30 days, a session 180 days however often it is refreshed', async () => {
      const { tokens } = await signUp('idle');
      node.clock.advance(30 * DAY);
      await refused(node.identity.refresh(tokens.refreshToken), 'TOKEN_EXPIRED');
      let { refreshToken } = (await signUp('busy')).tokens;
      for (let day = 20; day < 180; day += 20) {
        node.clock.advance(20 * DAY);
        refreshToken = (await node.identity.refresh(refreshToken)).tokens.refreshToken;
      }
      node.clock.advance(20 * DAY);
      await refused(node.identity.refresh(refreshToken), 'TOKEN_EXPIRED');
    });
  });

  describe('sessions', () => {
    it('case 32 (identity): a revoked session is refused everywhere and waits to be announced', async () => {
      const phone = (await signUp('ann', { name: 'Phone', platform: 'ios' })).tokens;
      const laptop = (await signUp('ann')).tokens;
      const keys = await node.identity.verificationKeys();
      const verifier = new AccessTokenVerifier({ keys });
      const nowMs = node.clock.nowMs();
      assert.equal(verifier.verify(phone.accessToken, nowMs).sessionId, phone.sessionId);

      const listed = await node.identity.listSessions(callerOf(laptop));
      assert.equal(listed.length, 2);
      assert.equal(listed.find((each) => each.current)?.sessionId, laptop.sessionId);
      assert.equal(listed.find((each) => !each.current)?.deviceName, 'Phone');

      await node.identity.revokeSession(callerOf(laptop), phone.sessionId);
      await node.identity.revokeSession(callerOf(laptop), phone.sessionId);
      assert.equal(node.revoked.length, 1, 'told once');
      for (const { sessionId } of node.revoked) verifier.revoke(sessionId, nowMs + 600_000);
      await refused(
        Promise.resolve().then(() => verifier.verify(phone.accessToken, nowMs)),
        'SESSION_REVOKED',
      );
      await refused(node.identity.refresh(phone.refreshToken), 'SESSION_REVOKED');
      assert.equal((await node.identity.listSessions(callerOf(laptop))).length, 1);

      const pending = await node.identity.pendingRevocations(10);
      assert.deepEqual(pending, node.revoked);
      assert.deepEqual(await node.identity.revokedSince(nowMs), pending);
      assert.deepEqual(await node.identity.revokedSince(nowMs + 1), []);
      await node.identity.markAnnounced([phone.sessionId]);
      assert.deepEqual(await node.identity.pendingRevocations(10), []);
    });

    it('signing out is revoking the current one', async () => {
      const { tokens } = await signUp('ann');
      await node.identity.revokeSession(callerOf(tokens), 'current');
      await refused(node.identity.refresh(tokens.refreshToken), 'SESSION_REVOKED');
    });

    it('R097 another’s session can be neither ended nor told from an unknown one', async () => {
      const ann = (await signUp('ann')).tokens;
      const bob = (await signUp('bob')).tokens;
      await node.identity.revokeSession(callerOf(bob), ann.sessionId);
      await refused(node.identity.revokeSession(callerOf(bob), 'ses_x'), 'BAD_ID');
      assert.deepEqual(node.revoked, []);
      await node.identity.refresh(ann.refreshToken);
    });

    it('what has expired is removed, but not a revocation that nobody heard of yet', async () => {
      const { tokens } = await signUp('ann');
      await signUp('ann');
      await node.identity.revokeSession(callerOf(tokens), 'current');
      node.clock.advance(32 * DAY);
      await node.identity.maintain();
      assert.equal((await bench.sql(target, 'select 1 from sessions')).length, 1);
      await node.identity.markAnnounced([tokens.sessionId]);
      await node.identity.maintain();
      assert.equal((await bench.sql(target, 'select 1 from sessions')).length, 0);
    });
  });

  describe('devices', () => {
    it('a device keeps its id over sign-ins; another’s id makes a new one', async () => {
      const first = (await signUp('ann', { name: 'Phone' })).tokens;
      const { deviceId } = first;
      const again = (await signUp('ann', { deviceId })).tokens;
      assert.equal(again.deviceId, deviceId);
      const bob = (await signUp('bob', { deviceId })).tokens;
      assert.notEqual(bob.deviceId, deviceId);
      await refused(signUp('ann', { deviceId: 'phone' }), 'BAD_ID');
    });

    it('is renamed under If-Match, and removed with its sessions', async () => {
      const phone = (await signUp('ann', { name: 'Phone' })).tokens;
      const laptop = (await signUp('ann')).tokens;
      const { identity } = node;
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
      const ann = (await signUp('ann')).tokens;
      const bob = (await signUp('bob')).tokens;
      await refused(node.identity.removeDevice(callerOf(bob), ann.deviceId), 'DEVICE_UNKNOWN');
    });
  });

  describe('profiles', () => {
    it('R093 keys present change, null clears, a stale If-Match changes nothing', async () => {
      const { tokens, user } = await signUp('ann');
      const { identity } = node;
      const caller = callerOf(tokens);
      const changed = await identity.updateMe(
        caller,
        {
          displayName: 'Ann Ö.',
          pictureUrl: 'https://img.example/ann.png',
          statusText: 'Hi\nthere',
          privacy: { lastSeen: 'none' },
        },
        user.etag,
      );
      assert.equal(changed.displayName, 'Ann Ö.');
      assert.deepEqual(changed.privacy, { reads: 'all', lastSeen: 'none' });
      assert.notEqual(changed.etag, user.etag);
      await refused(identity.updateMe(caller, { statusText: 'x' }, user.etag), 'VERSION_CONFLICT');
      const cleared = await identity.updateMe(caller, { displayName: null, statusText: null });
      assert.equal(cleared.displayName, 'ann');
      assert.equal(cleared.statusText, undefined);
      assert.equal(cleared.pictureUrl, 'https://img.example/ann.png');
      await signUp('bob');
      await refused(identity.updateMe(caller, { username: 'bob' }), 'USERNAME_TAKEN');
      assert.equal((await identity.updateMe(caller, { username: 'ann2' })).username, 'ann2');
      await refused(identity.updateMe(caller, { pictureUrl: 'javascript:x' }), 'BAD_FIELD');
      await refused(identity.updateMe(caller, { privacy: { reads: 'some' } }), 'UNKNOWN_FIELD');
      await refused(identity.updateMe(caller, { pictureMediaId: 'med_1' }), 'BAD_ID');
    });

    it('changes of different keys at one moment all stay', async () => {
      const { tokens } = await signUp('ann');
      const caller = callerOf(tokens);
      await Promise.all([
        node.identity.updateMe(caller, { displayName: 'A' }),
        node.identity.updateMe(caller, { statusText: 'B' }),
        node.identity.setStatus(caller, { status: 'busy' }),
      ]);
      const me = await node.identity.getUser(caller, 'me');
      assert.equal(me.displayName, 'A');
      assert.equal(me.statusText, 'B');
      assert.equal((await node.identity.getStatus(caller, 'me')).status, 'busy');
    });

    it('others see no privacy settings, and last seen as the user allows; it never falls', async () => {
      const ann = (await signUp('ann')).tokens;
      const bob = callerOf((await signUp('bob')).tokens);
      const { userId, deviceId } = ann;
      await node.identity.recordSeen([
        { userId, deviceId, timeMs: 2_000 },
        { userId, deviceId, timeMs: 9_000 },
        { userId, deviceId, timeMs: 5_000 },
      ]);
      await node.identity.recordSeen([{ userId, deviceId, timeMs: 1_000 }]);
      const seen = await node.identity.getUser(bob, userId);
      assert.equal(seen.lastSeenTimeMs, 9_000);
      assert.equal(seen.privacy, undefined);
      assert.equal((await node.identity.listDevices(callerOf(ann)))[0]?.lastSeenTimeMs, 9_000);
      await node.identity.updateMe(callerOf(ann), { privacy: { lastSeen: 'none' } });
      assert.equal((await node.identity.getUser(bob, userId)).lastSeenTimeMs, undefined);
      assert.equal((await node.identity.getUser(callerOf(ann), 'me')).lastSeenTimeMs, 9_000);
    });

    it('search finds user names and words of display names by their beginning, whatever case, accents or width', async () => {
      const make = (username: string, displayName: string): Promise<unknown> =>
        node.identity.signUp({ username, password: PASSWORD, displayName }, HOME);
      await make('joanna', 'Joanna');
      await make('annabel', '');
      await make('x.ann-9', "O'Brien (Crew)");
      await make('bob', 'Ángström Señor');
      await make('ann', '');
      await make('zoe', 'Mary Ann');
      await make('li', '').catch(() => undefined);
      await make('wei_1', '王小明');
      const caller = callerOf((await signUp('searcher')).tokens);
      const find = async (query: string, pageSize?: number): Promise<string[]> => {
        const request = pageSize === undefined ? { query } : { query, pageSize };
        const users = await node.identity.searchUsers(caller, request);
        return users.map((user) => user.username);
      };
      const anns = ['ann', 'annabel', 'x.ann-9', 'zoe'];
      assert.deepEqual(await find('ANN'), anns);
      assert.deepEqual(await find('@ann'), anns);
      assert.deepEqual(await find('ａｎｎ', 1), ['ann']);
      assert.deepEqual(await find('angstr'), ['bob']);
      assert.deepEqual(await find('senor'), ['bob']);
      assert.deepEqual(await find('mary a'), ['zoe']);
      assert.deepEqual(await find('brien'), ['x.ann-9']);
      assert.deepEqual(await find('crew'), ['x.ann-9']);
      assert.deepEqual(await find('小明'), ['wei_1']);
      assert.deepEqual(await find('wei_'), ['wei_1']);
      for (const none of ['_', '%', 'we%', 'w_i', 'oanna']) assert.deepEqual(await find(none), []);
      assert.deepEqual(await find('  '), []);
      await refused(node.identity.searchUsers(caller, { query: 'a\0' }), 'BAD_TEXT');
    });

    it('search follows a changed name, and hides who is suspended', async () => {
      const ann = callerOf((await signUp('ann')).tokens);
      const bob = callerOf((await signUp('bob')).tokens);
      const find = async (query: string): Promise<string[]> =>
        (await node.identity.searchUsers(bob, { query })).map((user) => user.username);
      await node.identity.updateMe(ann, { displayName: 'Ann Marie' });
      await node.identity.updateMe(ann, { displayName: 'Marie Curie', statusText: 'x' });
      assert.deepEqual([await find('marie'), await find('curie')], [['ann'], ['ann']]);
      await node.identity.updateMe(ann, { displayName: 'Curie', username: 'skl' });
      const now = [await find('marie'), await find('curie'), await find('ann'), await find('sk')];
      assert.deepEqual(now, [[], ['skl'], [], ['skl']]);
      await bench.sql(target, "update users set suspended_at = now() where username = 'skl'");
      assert.deepEqual(await find('curie'), []);
    });

    it('search reads two ranges of an index, however many users there are', async () => {
      const many = await bench.newDatabase();
      const { identity } = await bench.node(many);
      await bench.sql(
        many,
        `insert into users select gen_random_uuid(), 'user' || n, '', 'person', '',
          'user' || n || ' person ' || n, null, '', 'online', '', 'all', 'all', now(), now(),
          null, null, 1 from generate_series(1, 2000) as n;
        ${USER_WORDS.sql.slice(USER_WORDS.sql.indexOf('insert into'))}
        analyze users; analyze user_words;`,
      );
      const text = ["'person 4'", `'person 4\u{10ffff}'`, '400', '50'].reduce(
        (sql, value, i) => sql.replaceAll(`$${i + 1}`, value),
        SEARCH.text,
      );
      // So few users are read faster as a whole; what has no index would be even so.
      await bench.sql(many, `alter database ${many.database} set enable_seqscan = off`);
      const plan = JSON.stringify(await bench.sql(many, `explain ${text}`));
      for (const index of ['users_username_bytes', 'user_words_word', 'users_pkey'])
        assert.match(plan, new RegExp(index));
      assert.doesNotMatch(plan, /Seq Scan/);
      const request = { username: 'searcher', password: PASSWORD };
      const caller = callerOf((await identity.signUp(request, HOME)).tokens);
      const found = await identity.searchUsers(caller, { query: 'PERSON 40' });
      assert.deepEqual(
        found.map((user) => user.username),
        ['user40', ...Array.from({ length: 10 }, (_, i) => `user40${i}`)],
      );
    });

    it('the names of accounts older than the search are found after the migration', async () => {
      const old = await bench.newDatabase();
      const { identity } = await bench.node(old);
      const request = { username: 'wei_1', password: PASSWORD, displayName: "王小明 O'Neill" };
      const { tokens } = await identity.signUp(request, HOME);
      const words = (): Promise<unknown> =>
        bench.sql(old, 'select user_id, word from user_words order by word');
      const kept = await words();
      assert.equal((kept as object[]).length, 7);
      await bench.sql(old, 'drop table user_words; drop index users_username_bytes');
      await bench.sql(old, 'delete from parley_migrations where number = 2');
      const { identity: next } = await bench.node(old);
      assert.deepEqual(await words(), kept);
      assert.equal((await next.searchUsers(callerOf(tokens), { query: '小明' })).length, 1);
    });

    it('R126 the status is kept with the account; who is invisible looks offline to others', async () => {
      const ann = callerOf((await signUp('ann')).tokens);
      const bob = callerOf((await signUp('bob')).tokens);
      await node.identity.setStatus(ann, { status: 'away', statusText: 'lunch' });
      const seen = await node.identity.getStatus(bob, ann.userId);
      assert.deepEqual(seen, { userId: ann.userId, status: 'away', statusText: 'lunch' });
      await node.identity.setStatus(ann, { status: 'invisible' });
      assert.equal((await node.identity.getStatus(bob, ann.userId)).status, 'offline');
      assert.equal((await node.identity.getStatus(ann, 'me')).status, 'invisible');
      await refused(node.identity.setStatus(ann, { status: 'gone' }), 'UNKNOWN_FIELD');
    });

    it('users are fetched by id, 200 at once, unknown ones left out', async () => {
      const { tokens } = await signUp('ann');
      const caller = callerOf(tokens);
      const nobody = newUserId(1);
      const users = await node.identity.getUsers(caller, [tokens.userId, nobody, tokens.userId]);
      assert.deepEqual(
        users.map((user) => user.userId),
        [tokens.userId],
      );
      await refused(node.identity.getUsers(caller, Array(201).fill(nobody)), 'BAD_FIELD');
      await refused(node.identity.getUsers(caller, ['usr_1']), 'BAD_ID');
      await refused(node.identity.getUser(caller, nobody), 'USER_UNKNOWN');
      assert.deepEqual(await node.identity.unknownUsers([tokens.userId, nobody]), [nobody]);
      assert.deepEqual(await node.identity.unknownUsers([tokens.userId]), []);
    });
  });

  describe('service tokens and keyed requests', () => {
    it('a service token is shown once, kept as a hash, scoped and revocable', async () => {
      const { identity } = node;
      const { token, serviceToken } = await identity.createServiceToken({
        name: 'billing',
        scopes: ['broker', 'act_as', 'broker'],
      });
      assert.deepEqual(serviceToken.scopes, ['broker', 'act_as']);
      assert.deepEqual((await identity.verifyServiceToken(token)).scopes, ['act_as', 'broker']);
      const stored = await bench.sql(
        target,
        'select name, encode(token_hash, $$hex$$) as h from service_tokens',
      );
      assert.ok(!JSON.stringify(stored).includes(token.slice(4)));
      await identity.revokeServiceToken(serviceToken.tokenId);
      await refused(identity.verifyServiceToken(token), 'TOKEN_INVALID');
      assert.equal((await identity.listServiceTokens()).length, 1);
      await refused(identity.verifyServiceToken('pst_x'), 'TOKEN_INVALID');
      await refused(identity.revokeServiceToken('nonsense'), 'BAD_FIELD');
      await refused(identity.createServiceToken({ name: 'x', scopes: ['root'] }), 'BAD_FIELD');
      await refused(identity.createServiceToken({ name: 'x', scopes: [] }), 'BAD_FIELD');
      await refused(identity.createServiceToken({ name: ' ', scopes: ['chat'] }), 'BAD_FIELD');
    });

    it('a keyed request has one effect: replayed, refused while it runs, in conflict when it differs', async () => {
      const { identity, clock } = node;
      const request = { callerId: 'usr_1', method: 'Invites.Create', key: 'k', requestHash: 'h' };
      const claims = await Promise.allSettled(
        Array.from({ length: 5 }, () => identity.claimKeyed(request)),
      );
      assert.equal(claims.filter((each) => each.status === 'fulfilled').length, 1);
      await refused(identity.claimKeyed(request), 'IDEMPOTENCY_IN_PROGRESS');
      await identity.completeKeyed(request, '{"id":1}');
      assert.deepEqual(await identity.claimKeyed(request), {
        kind: 'replayed',
        result: '{"id":1}',
      });
      await refused(
        identity.claimKeyed({ ...request, requestHash: 'other' }),
        'IDEMPOTENCY_CONFLICT',
      );
      const failed = { ...request, key: 'k2' };
      await identity.claimKeyed(failed);
      await identity.abandonKeyed(failed);
      assert.deepEqual(await identity.claimKeyed(failed), { kind: 'claimed' });
      // Its process died: a minute later somebody else may do it.
      clock.advance(60_001);
      assert.deepEqual(await identity.claimKeyed(failed), { kind: 'claimed' });
      clock.advance(DAY + 1);
      await identity.maintain();
      assert.deepEqual(await identity.claimKeyed(request), { kind: 'claimed' });
    });
  });

  describe('nodes, keys and a database that comes and goes', () => {
    it('two nodes that start at once on an empty database migrate once and share their keys', async () => {
      const empty = await bench.newDatabase();
      const nodes = await Promise.all([bench.node(empty), bench.node(empty), bench.node(empty)]);
      const applied = await bench.sql(empty, 'select number from parley_migrations');
      assert.deepEqual(
        applied.map(({ number }) => number),
        MIGRATIONS.map(({ number }) => number),
      );
      const [one, two] = nodes;
      assert.ok(one !== undefined && two !== undefined);
      const { tokens } = await one.identity.signUp({ username: 'ann', password: PASSWORD }, HOME);
      const verifier = new AccessTokenVerifier({ keys: await two.identity.verificationKeys() });
      assert.equal(verifier.verify(tokens.accessToken, one.clock.nowMs()).userId, tokens.userId);
      await two.identity.refresh(tokens.refreshToken);
    });

    it('another key file is refused with what to do', async () => {
      const wrong = await refusal(bench.nodeOn(stores, {}, new Uint8Array(32).fill(8)));
      assert.match(wrong.message, /PARLEY_KEY_FILE/);
    });

    it('a migration that was applied in another form is refused', async () => {
      const other = await bench.newDatabase();
      await bench.node(other);
      await bench.sql(other, "update parley_migrations set checksum = 'x'");
      assert.match((await refusal(bench.node(other))).message, /another version of migration 1/);
    });

    it('while the database is away calls answer BACKEND_UNAVAILABLE; once back they work again', async () => {
      const { tokens } = await signUp('ann');
      const caller = callerOf(tokens);
      await bench.postgres.stop();
      await refused(node.identity.getUser(caller, 'me'), 'BACKEND_UNAVAILABLE');
      await refused(node.identity.refresh(tokens.refreshToken), 'BACKEND_UNAVAILABLE');
      await bench.start();
      assert.equal((await node.identity.getUser(caller, 'me')).username, 'ann');
      await node.identity.refresh(tokens.refreshToken);
    });

    it('connections cut under it are replaced without anybody noticing', async () => {
      const { tokens } = await signUp('ann');
      await bench.sql(
        bench.target('postgres'),
        "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() and application_name = 'parley'",
      );
      assert.equal((await node.identity.getUser(callerOf(tokens), 'me')).username, 'ann');
    });
  });
});
