import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { ParleyError } from '../../core/errors.ts';
import type { UserId } from '../../core/ids.ts';
import { KnownUsers } from './known-users.ts';
import { newUserId } from './new-ids.ts';

function newIds(count: number): UserId[] {
  return Array.from({ length: count }, () => newUserId(1));
}

/** A store that knows some ids and counts what it is asked. */
function storeOf(known: readonly UserId[]): {
  asked: number[];
  existing: (ids: readonly UserId[]) => Promise<readonly UserId[]>;
} {
  const asked: number[] = [];
  return {
    asked,
    existing: async (ids) => {
      asked.push(ids.length);
      return ids.filter((id) => known.includes(id));
    },
  };
}

describe('known users', () => {
  it('asked at one moment share a query, and those found are not asked for again', async () => {
    const [a, b, c, stranger] = newIds(4);
    assert.ok(a && b && c && stranger);
    const store = storeOf([a, b, c]);
    const users = new KnownUsers(store);
    const answers = await Promise.all([
      users.unknown([a, b]),
      users.unknown([b, stranger]),
      users.unknown([c, c]),
      users.unknown([]),
    ]);
    assert.deepEqual(answers, [[], [stranger], [], []]);
    assert.deepEqual(store.asked, [4]);
    assert.deepEqual(await users.unknown([a, b, c]), []);
    assert.deepEqual(store.asked, [4]);
    assert.deepEqual(await users.unknown([stranger]), [stranger]);
    assert.deepEqual(store.asked, [4, 1], 'a stranger may sign up meanwhile');
  });

  it('a query stays within its bound however many are asked for', async () => {
    const ids = newIds(2_500);
    const store = storeOf([]);
    assert.equal((await new KnownUsers(store).unknown(ids)).length, 2_500);
    assert.deepEqual(store.asked, [1_000, 1_000, 500]);
  });

  it('a failed query fails those who asked, and no later one', async () => {
    let isAway = true;
    const users = new KnownUsers({
      existing: async (ids) => {
        if (isAway) throw new ParleyError('BACKEND_UNAVAILABLE', 'away');
        return ids;
      },
    });
    const ids = newIds(1);
    await assert.rejects(users.unknown(ids), ParleyError);
    isAway = false;
    assert.deepEqual(await users.unknown(ids), []);
  });
});
