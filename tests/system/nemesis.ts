/**
 * `npm run nemesis`: the whole of it: 50 kills of real processes and 20 power cuts under load.
 * `--kills`, `--cuts` and `--seed` change that; the last line is JSON and the exit code says it all.
 */
import { Command } from 'commander';
import { buildInterposer } from './power-cut.ts';
import {
  loseThePower,
  NEMESIS_ENV,
  runNemesis,
  seeded,
  type NemesisReport,
} from './nemesis-run.ts';
import { ServerUnderTest } from './server-under-test.ts';

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

async function kills(count: number, seed: number): Promise<NemesisReport> {
  const server = new ServerUnderTest({ env: NEMESIS_ENV });
  const random = seeded(seed);
  try {
    await server.start();
    const fault = async (): Promise<void> => {
      if (random() < 0.5) await server.kill();
      else await server.killAll();
      await server.start();
    };
    return await runNemesis({ server, faults: count, random, fault, say });
  } finally {
    await server.remove();
  }
}

async function cuts(count: number, seed: number): Promise<NemesisReport> {
  const server = new ServerUnderTest({ env: NEMESIS_ENV });
  const random = seeded(seed);
  try {
    const interposer = buildInterposer(server.dataDir, server.root);
    await server.start(interposer.env);
    const fault = async (): Promise<void> => {
      const { unsynced, lost, torn } = await loseThePower(server, interposer, random);
      say(`power cut: ${unsynced} writes not synced, ${lost} lost, ${torn} torn`);
    };
    return await runNemesis({ server, faults: count, random, fault, say });
  } finally {
    await server.remove();
  }
}

function report(name: string, result: NemesisReport): boolean {
  for (const violation of result.violations)
    say(`${name}: ${violation.promise}: ${violation.text}`);
  return result.violations.length === 0 && result.unanswered === 0;
}

async function main(options: {
  readonly kills: number;
  readonly cuts: number;
  readonly seed: number;
}): Promise<void> {
  const killed = await kills(options.kills, options.seed);
  const cut = await cuts(options.cuts, options.seed + 1);
  const isGood = [report('kills', killed), report('cuts', cut)].every(Boolean);
  say(
    JSON.stringify({
      seed: options.seed,
      kills: { faults: killed.faults, ...killed.counts },
      cuts: { faults: cut.faults, ...cut.counts },
      good: isGood,
    }),
  );
  process.exitCode = isGood ? 0 : 1;
}

const program = new Command('nemesis')
  .option('--kills <n>', 'kills of real processes', Number, 50)
  .option('--cuts <n>', 'power cuts', Number, 20)
  .option('--seed <n>', 'seed of the choices', Number, 1)
  .action(main);
await program.parseAsync();
