import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { AccessTokenVerifier } from '../../services/identity/access-token-verifier.ts';
import { Database } from '../../services/identity/adapters/database.ts';
import { migrate } from '../../services/identity/adapters/migrate.ts';
import { MIGRATIONS } from '../../services/identity/adapters/pg-stores.ts';
import { callerOf } from './identity-bench.ts';
import { freshIdentity, HOME, PASSWORD } from './fresh-identity.ts';
import { refusal, refused } from './refusal.ts';

const DAY = 86_400_000;

describe('nodes of identity on PostgreSQL', function () {
  this.timeout(20_000);
  const house = freshIdentity();

  describe('service tokens and keyed requests', () => {
    it('a service token is shown once, kept as a hash, scoped and revocable', async () => {
      const { identity } = house.node;
      const { token, serviceToken } = await identity.createServiceToken({
        name: 'billing',
        scopes: ['broker', 'act_as', 'broker'],
      });
      assert.deepEqual(serviceToken.scopes, ['broker', 'act_as']);
      assert.deepEqual((await identity.verifyServiceToken(token)).scopes, ['act_as', 'broker']);
      const stored = await house.bench.sql(
        house.target,
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
      const { identity, clock } = house.node;
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
      const empty = await house.bench.newDatabase();
      const nodes = await Promise.all([
        house.bench.node(empty),
        house.bench.node(empty),
        house.bench.node(empty),
      ]);
      const applied = await house.bench.sql(empty, 'select number from parley_migrations');
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
      const wrong = await refusal(house.bench.nodeOn(house.stores, {}, new Uint8Array(32).fill(8)));
      assert.match(wrong.message, /PARLEY_KEY_FILE/);
    });

    it('a migration that was applied in another form is refused', async () => {
      const other = await house.bench.newDatabase();
      await house.bench.node(other);
      await house.bench.sql(other, "update parley_migrations set checksum = 'x'");
      assert.match(
        (await refusal(house.bench.node(other))).message,
        /another version of migration 1/,
      );
    });

    it('while the database is away calls answer BACKEND_UNAVAILABLE; once back they work again', async () => {
      const { tokens } = await house.signUp('ann');
      const caller = callerOf(tokens);
      await house.bench.postgres.stop();
      await refused(house.node.identity.getUser(caller, 'me'), 'BACKEND_UNAVAILABLE');
      await refused(house.node.identity.refresh(tokens.refreshToken), 'BACKEND_UNAVAILABLE');
      await house.bench.start();
      assert.equal((await house.node.identity.getUser(caller, 'me')).username, 'ann');
      await house.node.identity.refresh(tokens.refreshToken);
    });

    it('a migration takes as long as it needs; only other queries have a deadline', async () => {
      const database = new Database({
        target: await house.bench.newDatabase(),
        poolMax: 1,
        queryDeadlineMs: 150,
      });
      try {
        const slow = 'create table slow (n integer); select pg_sleep(0.4)';
        assert.deepEqual(await migrate(database, [{ number: 1, name: 'slow', sql: slow }]), [1]);
        await refused(
          database.query({ name: 'sleep', text: 'select pg_sleep(0.4)' }, []),
          'BACKEND_UNAVAILABLE',
        );
      } finally {
        await database.stop();
      }
    });

    it('connections cut under it are replaced without anybody noticing', async () => {
      const { tokens } = await house.signUp('ann');
      await house.bench.sql(
        house.bench.target('postgres'),
        "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() and application_name = 'parley'",
      );
      assert.equal((await house.node.identity.getUser(callerOf(tokens), 'me')).username, 'ann');
    });
  });
});
