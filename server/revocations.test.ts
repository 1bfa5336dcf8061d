import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { ParleyError } from '../core/errors.ts';
import { newId, type SessionId, type UserId } from '../core/ids.ts';
import { SILENT } from '../core/observe.ts';
import type { Revocation } from '../services/identity/contract.ts';
import { Revocations } from './revocations.ts';

function revocation(): Revocation {
  return {
    userId: newId('usr', 1) as UserId,
    sessionId: newId('ses', 1) as SessionId,
    timeMs: 1,
  };
}

/** The rows, and everybody who must be told. */
class House {
  readonly rows: Revocation[] = [];
  readonly refused = new Set<SessionId>();
  readonly logged = new Set<SessionId>();
  down: 'nothing' | 'gateway' | 'database' | 'log' = 'nothing';
  readonly revocations = new Revocations({
    pending: async (limit) => {
      this.#fail('database');
      return this.rows.slice(0, limit);
    },
    markAnnounced: async (ids) => {
      this.#fail('database');
      for (const id of ids)
        this.rows.splice(
          this.rows.findIndex(({ sessionId }) => sessionId === id),
          1,
        );
    },
    refuse: async (ended) => {
      this.#fail('gateway');
      for (const { sessionId } of ended) this.refused.add(sessionId);
    },
    append: async ({ sessionId }) => {
      if (this.down === 'log') return false;
      this.logged.add(sessionId);
      return true;
    },
    log: SILENT,
  });

  end(): Revocation {
    const one = revocation();
    this.rows.push(one);
    this.revocations.ended([one]);
    return one;
  }

  #fail(what: House['down']): void {
    if (this.down === what) throw new ParleyError('BACKEND_UNAVAILABLE', 'away');
  }
}

function settled(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 5));
}

describe('revocations', () => {
  it('a thousand sessions that end at once are all refused and announced, and nobody is failed', async () => {
    const house = new House();
    for (let i = 0; i < 1000; i++) house.end();
    await settled();
    assert.deepEqual([house.refused.size, house.logged.size, house.rows.length], [1000, 1000, 0]);
  });
  it('whoever could not be told is told at the next sweep (case 32)', async () => {
    for (const down of ['gateway', 'database', 'log'] as const) {
      const house = new House();
      house.down = down;
      const { sessionId } = house.end();
      await settled();
      assert.equal(house.rows.length, 1, `${down}: it must not count as announced`);
      house.down = 'nothing';
      house.revocations.sweep();
      await settled();
      assert.ok(house.refused.has(sessionId) && house.logged.has(sessionId), down);
      assert.equal(house.rows.length, 0);
    }
  });
  it('after a stop nothing is begun', async () => {
    const house = new House();
    await house.revocations.stop();
    house.end();
    await settled();
    assert.equal(house.rows.length, 1);
  });
});
