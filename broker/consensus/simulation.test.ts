import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { SCOPES } from './scopes.ts';
import { simulate } from './simulation.ts';
import { searchSmallScope } from './small-scope.ts';

const SEEDS = 200;
const STEPS = 5_000;

describe('consensus simulation', function () {
  this.timeout(30_000);

  it(`keeps every promise over ${SEEDS} seeds, and each healed shard serves again`, () => {
    let committed = 0;
    let crashes = 0;
    let elections = 0;
    for (let seed = 1; seed <= SEEDS; seed++) {
      try {
        const result = simulate(seed, STEPS);
        committed += result.committed;
        crashes += result.crashes;
        elections += result.elections;
      } catch (thrown) {
        throw new Error(`seed ${seed}: simulate(${seed}, ${STEPS}) in simulation.ts`, {
          cause: thrown,
        });
      }
    }
    // A simulation in which nothing happens proves nothing.
    assert.ok(committed > 10_000, `${committed} entries committed`);
    assert.ok(crashes > 1_000, `${crashes} crashes`);
    assert.ok(elections > SEEDS * 2, `${elections} elections`);
  });

  it('gives the same history for the same seed', () => {
    assert.deepEqual(simulate(7, STEPS), simulate(7, STEPS));
  });

  for (const scope of SCOPES)
    it(`keeps every promise in all histories of ${scope.replicas} replicas, ${scope.crashes} crashes, ${scope.candidacies} candidacies, up to ${scope.statesMax} states`, () => {
      const { states } = searchSmallScope(scope);
      assert.ok(states > 100, `${states} states`);
    });
});
