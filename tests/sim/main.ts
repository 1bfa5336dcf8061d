/** npm run sim -- --seed 42 [--acts N] [--trace] | --seeds 1..200 */
import { parseArgs } from 'node:util';
import { Chance } from './chance.ts';
import { swarmOf } from './swarm.ts';
import { World } from './world.ts';

const ACTS = 150;

const { values } = parseArgs({
  options: {
    seed: { type: 'string' },
    seeds: { type: 'string' },
    acts: { type: 'string' },
    trace: { type: 'boolean' },
  },
});

const [first, last] = rangeOf(values.seed ?? values.seeds ?? '1..100');
const acts = Number(values.acts ?? ACTS);
const started = performance.now();
let failed = 0;
let events = 0;
let virtualMs = 0;
process.on('unhandledRejection', (error) => {
  process.stderr.write(`a promise was rejected and nobody cared: ${String(error)}\n`);
  process.exitCode = 1;
});
for (let seed = first; seed <= last; seed++) {
  const swarm = swarmOf(seed, new Chance(seed).fork('swarm'), acts);
  const trace = values.trace === true ? say : undefined;
  const outcome = await new World(swarm, trace).run();
  events += outcome.counts['events'] ?? 0;
  virtualMs += outcome.counts['virtualMs'] ?? 0;
  if (first === last) say(JSON.stringify(swarm));
  if (first === last) say(JSON.stringify({ ...outcome.counts, digest: outcome.digest }));
  if (outcome.violations.length === 0) continue;
  failed++;
  process.exitCode = 1;
  say(
    `seed ${seed} FAILED: npm run sim -- --seed ${seed}${acts === ACTS ? '' : ` --acts ${acts}`}`,
  );
  for (const violation of outcome.violations.slice(0, 8)) say(`    ${violation}`);
}
const seconds = (performance.now() - started) / 1000;
say(
  `${last - first + 1} worlds, ${failed} failed, ${events} events, ${(virtualMs / 3_600_000).toFixed(2)} virtual hours in ${seconds.toFixed(1)} s`,
);

function rangeOf(given: string): [number, number] {
  const [low, high] = given.split('..').map(Number);
  return [low ?? 1, high ?? low ?? 1];
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
