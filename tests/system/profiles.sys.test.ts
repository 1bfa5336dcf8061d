import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { USER_WORDS } from '../../services/identity/adapters/migrations/0002-user-words.ts';
import { SEARCH } from '../../services/identity/adapters/pg-accounts.ts';
import { newUserId } from '../../services/identity/new-ids.ts';
import { callerOf } from './identity-bench.ts';
import { freshIdentity, HOME, PASSWORD } from './fresh-identity.ts';
import { refused } from './refusal.ts';

describe('profiles on PostgreSQL', function () {
  this.timeout(20_000);
  const house = freshIdentity();

  it('R093 keys present change, null clears, a stale If-Match changes nothing', async () => {
    const { tokens, user } = await house.signUp('ann');
    const { identity } = house.node;
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
    await house.signUp('bob');
    await refused(identity.updateMe(caller, { username: 'bob' }), 'USERNAME_TAKEN');
    assert.equal((await identity.updateMe(caller, { username: 'ann2' })).username, 'ann2');
    await refused(identity.updateMe(caller, { pictureUrl: 'javascript:x' }), 'BAD_FIELD');
    await refused(identity.updateMe(caller, { privacy: { reads: 'some' } }), 'UNKNOWN_FIELD');
    await refused(identity.updateMe(caller, { pictureMediaId: 'med_1' }), 'BAD_ID');
  });

  it('changes of different keys at one moment all stay', async () => {
    const { tokens } = await house.signUp('ann');
    const caller = callerOf(tokens);
    await Promise.all([
      house.node.identity.updateMe(caller, { displayName: 'A' }),
      house.node.identity.updateMe(caller, { statusText: 'B' }),
      house.node.identity.setStatus(caller, { status: 'busy' }),
    ]);
    const me = await house.node.identity.getUser(caller, 'me');
    assert.equal(me.displayName, 'A');
    assert.equal(me.statusText, 'B');
    assert.equal((await house.node.identity.getStatus(caller, 'me')).status, 'busy');
  });

  it('others see no privacy settings, and last seen as the user allows; it never falls', async () => {
    const ann = (await house.signUp('ann')).tokens;
    const bob = callerOf((await house.signUp('bob')).tokens);
    const { userId, deviceId } = ann;
    await house.node.identity.recordSeen([
      { userId, deviceId, timeMs: 2_000 },
      { userId, deviceId, timeMs: 9_000 },
      { userId, deviceId, timeMs: 5_000 },
    ]);
    await house.node.identity.recordSeen([{ userId, deviceId, timeMs: 1_000 }]);
    const seen = await house.node.identity.getUser(bob, userId);
    assert.equal(seen.lastSeenTimeMs, 9_000);
    assert.equal(seen.privacy, undefined);
    assert.equal((await house.node.identity.listDevices(callerOf(ann)))[0]?.lastSeenTimeMs, 9_000);
    await house.node.identity.updateMe(callerOf(ann), { privacy: { lastSeen: 'none' } });
    assert.equal((await house.node.identity.getUser(bob, userId)).lastSeenTimeMs, undefined);
    assert.equal((await house.node.identity.getUser(callerOf(ann), 'me')).lastSeenTimeMs, 9_000);
  });

  it('search finds user names and words of display names by their beginning, whatever case, accents or width', async () => {
    const make = (username: string, displayName: string): Promise<unknown> =>
      house.node.identity.signUp({ username, password: PASSWORD, displayName }, HOME);
    await make('joanna', 'Joanna');
    await make('annabel', '');
    await make('x.ann-9', "O'Brien (Crew)");
    await make('bob', 'Ángström Señor');
    await make('ann', '');
    await make('zoe', 'Mary Ann');
    await make('li', '').catch(() => undefined);
    await make('wei_1', '王小明');
    const caller = callerOf((await house.signUp('searcher')).tokens);
    const find = async (query: string, pageSize?: number): Promise<string[]> => {
      const request = pageSize === undefined ? { query } : { query, pageSize };
      const users = await house.node.identity.searchUsers(caller, request);
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
    await refused(house.node.identity.searchUsers(caller, { query: 'a\0' }), 'BAD_TEXT');
  });

  it('search follows a changed name, and hides who is suspended', async () => {
    const ann = callerOf((await house.signUp('ann')).tokens);
    const bob = callerOf((await house.signUp('bob')).tokens);
    const find = async (query: string): Promise<string[]> =>
      (await house.node.identity.searchUsers(bob, { query })).map((user) => user.username);
    await house.node.identity.updateMe(ann, { displayName: 'Ann Marie' });
    await house.node.identity.updateMe(ann, { displayName: 'Marie Curie', statusText: 'x' });
    assert.deepEqual([await find('marie'), await find('curie')], [['ann'], ['ann']]);
    await house.node.identity.updateMe(ann, { displayName: 'Curie', username: 'skl' });
    const now = [await find('marie'), await find('curie'), await find('ann'), await find('sk')];
    assert.deepEqual(now, [[], ['skl'], [], ['skl']]);
    await house.bench.sql(
      house.target,
      "update users set suspended_at = now() where username = 'skl'",
    );
    assert.deepEqual(await find('curie'), []);
  });

  it('search reads two ranges of an index, however many users there are', async () => {
    const many = await house.bench.newDatabase();
    const { identity } = await house.bench.node(many);
    await house.bench.sql(
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
    await house.bench.sql(many, `alter database ${many.database} set enable_seqscan = off`);
    const plan = JSON.stringify(await house.bench.sql(many, `explain ${text}`));
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
    const old = await house.bench.newDatabase();
    const { identity } = await house.bench.node(old);
    const request = { username: 'wei_1', password: PASSWORD, displayName: "王小明 O'Neill" };
    const { tokens } = await identity.signUp(request, HOME);
    const words = (): Promise<unknown> =>
      house.bench.sql(old, 'select user_id, word from user_words order by word');
    const kept = await words();
    assert.equal((kept as object[]).length, 7);
    await house.bench.sql(old, 'drop table user_words; drop index users_username_bytes');
    await house.bench.sql(old, 'delete from parley_migrations where number = 2');
    const { identity: next } = await house.bench.node(old);
    assert.deepEqual(await words(), kept);
    assert.equal((await next.searchUsers(callerOf(tokens), { query: '小明' })).length, 1);
  });

  it('R126 the status is kept with the account; who is invisible looks offline to others', async () => {
    const ann = callerOf((await house.signUp('ann')).tokens);
    const bob = callerOf((await house.signUp('bob')).tokens);
    await house.node.identity.setStatus(ann, { status: 'away', statusText: 'lunch' });
    const seen = await house.node.identity.getStatus(bob, ann.userId);
    assert.deepEqual(seen, { userId: ann.userId, status: 'away', statusText: 'lunch' });
    await house.node.identity.setStatus(ann, { status: 'invisible' });
    assert.equal((await house.node.identity.getStatus(bob, ann.userId)).status, 'offline');
    assert.equal((await house.node.identity.getStatus(ann, 'me')).status, 'invisible');
    await refused(house.node.identity.setStatus(ann, { status: 'gone' }), 'UNKNOWN_FIELD');
  });

  it('users are fetched by id, 200 at once, unknown ones left out', async () => {
    const { tokens } = await house.signUp('ann');
    const caller = callerOf(tokens);
    const nobody = newUserId(1);
    const users = await house.node.identity.getUsers(caller, [
      tokens.userId,
      nobody,
      tokens.userId,
    ]);
    assert.deepEqual(
      users.map((user) => user.userId),
      [tokens.userId],
    );
    await refused(house.node.identity.getUsers(caller, Array(201).fill(nobody)), 'BAD_FIELD');
    await refused(house.node.identity.getUsers(caller, ['usr_1']), 'BAD_ID');
    await refused(house.node.identity.getUser(caller, nobody), 'USER_UNKNOWN');
    assert.deepEqual(await house.node.identity.unknownUsers([tokens.userId, nobody]), [nobody]);
    assert.deepEqual(await house.node.identity.unknownUsers([tokens.userId]), []);
  });
});
