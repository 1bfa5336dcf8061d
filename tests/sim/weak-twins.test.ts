/** What a broken node does is seen: each twin by what it breaks, within a few worlds. */
import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { Chance } from './chance.ts';
import { swarmOf, type Swarm } from './swarm.ts';
import * as twins from './weak-twins.ts';
import { World } from './world.ts';

const WORLDS_MAX = 12;
const ACTS = 60;

/** Quiet but for power cuts: what a world breaks is the twin's doing. */
function swarm(seed: number): Swarm {
  const made = swarmOf(seed, new Chance(seed).fork('swarm'), ACTS);
  const cut = { kind: 'power-cut', atMs: made.chaosMs / 2, seed } as const;
  return { ...made, sdkShare: 0, isAboutPhones: false, users: 4, devicesEach: 2, faults: [cut] };
}

const BROKEN: readonly {
  readonly name: string;
  readonly twin: (seed: number) => twins.Weakness;
  readonly seenAs: RegExp;
}[] = [
  {
    name: 'acknowledges before it syncs',
    twin: twins.acknowledgesUnsynced,
    // Recovery itself sees most of it: the log says how far it was synced.
    seenAs: /^lost|^wrong-answer|did not come up/,
  },
  { name: 'loses the end of its log', twin: twins.losesTail, seenAs: /^lost|^replicas-differ/ },
  { name: 'applies a send twice', twin: twins.appliesTwice, seenAs: /^duplicate/ },
  { name: 'applies sends in another order', twin: twins.reorders, seenAs: /^wrong-answer/ },
  {
    name: 'replays its log in another order',
    twin: twins.replaysInAnotherOrder,
    seenAs: /^replicas-differ|^wrong-answer|^lost/,
  },
  { name: 'lets marks fall', twin: twins.marksFall, seenAs: /^mark-falls/ },
  {
    name: 'delivers to who was removed',
    twin: twins.deliversToFormerMembers,
    seenAs: /^not his|^shown-after-removal/,
  },
  {
    name: 'serves what was deleted',
    twin: twins.servesDeletedText,
    seenAs: /^deleted-served|it was deleted/,
  },
];

describe('weak twins in the simulated world', function () {
  this.timeout(120_000);

  for (const { name, twin, seenAs } of BROKEN)
    it(`a node that ${name} is caught`, async () => {
      const seen: string[] = [];
      for (let seed = 1; seed <= WORLDS_MAX; seed++) {
        const { violations } = await new World(swarm(seed), undefined, twin(seed)).run();
        if (violations.some((violation) => seenAs.test(violation))) return;
        seen.push(...violations);
      }
      assert.fail(`not in ${WORLDS_MAX} worlds; seen instead: ${seen.slice(0, 5).join('; ')}`);
    });

  it('a log that appends a send twice is told from a broken one: nothing stands twice (G5)', async () => {
    for (let seed = 1; seed <= 4; seed++) {
      const { violations } = await new World(
        swarm(seed),
        undefined,
        twins.repeatsSends(seed),
      ).run();
      assert.deepEqual(violations, [], `seed ${seed}`);
    }
  });

  it('the same worlds of sound parts are sound', async () => {
    for (let seed = 1; seed <= 4; seed++)
      assert.deepEqual((await new World(swarm(seed)).run()).violations, [], `seed ${seed}`);
  });
});
