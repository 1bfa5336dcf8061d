/** A short form of `npm run sim`: enough worlds to notice what a change broke. */
import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { Chance } from './chance.ts';
import { swarmOf } from './swarm.ts';
import { World, type Outcome } from './world.ts';

const WORLDS = 60;
const ACTS = 60;
const AT_ONCE = 10;
/** Longer worlds that found something once: edits numbered twice, a commit heard again that undid an
 * edit, a wait that nobody ended, a join undone by an older removal. */
const PINNED: readonly number[] = [
  10050, 10188, 10309, 10784, 10970, 11091, 20007, 20313, 22562, 23074, 50321, 50507, 51562,
];
const PINNED_ACTS = 150;

function run(seed: number, acts: number = ACTS): Promise<Outcome> {
  return new World(swarmOf(seed, new Chance(seed).fork('swarm'), acts)).run();
}

describe('a simulated world (R016, R138, R139, R141, R144, S1, S5, S7)', function () {
  this.timeout(60_000);
  it('is the same history for the same seed, and another for another', async () => {
    // In 2 an application lets go of what it looked at.
    const digests = new Set<string>();
    for (const seed of [2, 7]) {
      const [first, again] = [await run(seed), await run(seed)];
      assert.equal(first.digest, again.digest);
      assert.deepEqual(first.counts, again.counts);
      digests.add(first.digest);
    }
    assert.equal(digests.size, 2);
  });

  it('keeps them in the worlds that broke one once', async () => {
    for (const seed of PINNED) {
      const { violations } = await run(seed, PINNED_ACTS);
      assert.deepEqual(violations, [], `npm run sim -- --seed ${seed}`);
    }
  });

  for (let from = 1; from <= WORLDS; from += AT_ONCE)
    it(`keeps every promise under swarms of faults: seeds ${from} to ${from + AT_ONCE - 1}`, async () => {
      for (let seed = from; seed < from + AT_ONCE; seed++) {
        const { violations } = await run(seed);
        assert.deepEqual(violations, [], `npm run sim -- --seed ${seed} --acts ${ACTS}`);
      }
    });
});
