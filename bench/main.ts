/** `npm run bench -- <scenario> [options]`: starts the server itself unless given a URL. */
import { Command, InvalidArgumentError, Option } from 'commander';
import { K6_SCRIPTS, runK6 } from './k6-scripts.ts';
import { medians } from './medians.ts';
import type { BenchOptions, Report, Scenario } from './options.ts';
import { SCENARIOS } from './scenarios.ts';
import { serverAt, startServer } from './server-process.ts';

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

type RunOptions = BenchOptions & { readonly runs: number };

async function run(name: string, options: RunOptions): Promise<void> {
  const scenario = SCENARIOS[name];
  if (scenario === undefined) throw new TypeError(`no scenario ${name}`);
  const reports: Report[] = [];
  for (let i = 0; i < options.runs; i++) {
    const report = await once(scenario, options);
    reports.push(report);
    // Each run by itself, on standard error: the last line of standard output is the medians'.
    if (options.runs > 1) process.stderr.write(`${JSON.stringify(report)}\n`);
  }
  const report = medians(reports) as Report;
  for (const [field, value] of Object.entries(report))
    process.stderr.write(`${field.padEnd(24)} ${JSON.stringify(value)}\n`);
  const terms = { durability: 'synced before commit', tls: false, replicas: 1 };
  say(JSON.stringify({ scenario: name, ...terms, options, ...report }));
}

async function once(scenario: Scenario, options: BenchOptions): Promise<Report> {
  const server = options.url === undefined ? await startServer() : await serverAt(options.url);
  try {
    return await scenario(server, options);
  } finally {
    await server.stop();
  }
}

function number(name: string, fallback: number, doc: string): Option {
  return new Option(`--${name} <n>`, doc).default(fallback).argParser(wholeNumber);
}

/** A run with what is not a number would measure nothing and say 0. */
function wholeNumber(given: string): number {
  if (!/^\d+$/.test(given)) throw new InvalidArgumentError('It must be a whole number.');
  return Number(given);
}

const program = new Command('bench')
  .description('Measures a Parley server; ends with one JSON line.')
  .argument('<scenario>', [...Object.keys(SCENARIOS), 'k6'].join(', '))
  .argument('[script]', `with k6: ${K6_SCRIPTS.join(', ')}`, 'pairs')
  .option('--url <url>', 'a server that runs already (else one is started here)')
  .addOption(number('seconds', 15, 'measured time'))
  .addOption(number('warm', 4, 'warm-up before it, s'))
  .addOption(number('pairs', 100, 'pairs of users online'))
  .addOption(number('window', 8, 'messages in flight per sender'))
  .addOption(number('conversations', 100, 'conversations over all pairs'))
  .addOption(number('rate', 1000, 'sends a second (rate)'))
  .addOption(number('members', 500, 'members online (group)'))
  .addOption(number('connections', 10_000, 'idle connections (idle)'))
  .addOption(number('readers', 16, 'readers at once (history)'))
  .addOption(number('pages', 0, 'pages a second over all readers; 0 = all they can (history)'))
  .addOption(number('changed', 10, 'conversations that changed (resume)'))
  .addOption(number('beside', 0, 'conversations of a second server, measured in turn (spread)'))
  .addOption(number('turns', 5, 'turns of the two (spread with --beside)'))
  .addOption(number('processes', 1, 'generator processes'))
  .addOption(number('bytes', 1024, 'bytes of a message'))
  .addOption(number('runs', 1, 'runs, each on a server of its own; the line has their medians'))
  .option('--no-marks', 'no delivered receipts')
  .action(async (name: string, script: string, options: RunOptions, command: Command) => {
    const isGiven = (option: string): boolean => command.getOptionValueSource(option) === 'cli';
    if (name === 'k6') process.exitCode = await runK6(script, options, isGiven);
    else await run(name, options);
  });

await program.parseAsync();
