/**
 * The operator's command line: `npm run parley -- token create --scope broker --name billing`.
 * Works beside a running server and without one. Exit codes: 0 done, 1 refused or failed, 2 wrong
 * usage. What a script wants (the token) goes to stdout, what a person wants to stderr.
 */
import { readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { ParleyError, toParleyError } from '../core/errors.ts';
import { loadConfig, type Config } from '../server/config.ts';
import { createInvite, createToken, listTokens, revokeToken } from '../server/token-commands.ts';

const EXIT_FAILED = 1;
const EXIT_USAGE = 2;

function configOf(command: Command): Config {
  const { dataDir }: { dataDir?: string } = command.optsWithGlobals();
  const flags = dataDir === undefined ? [] : ['--data-dir', dataDir];
  const { config } = loadConfig({
    flags,
    env: process.env,
    workingDir: process.cwd(),
    readText: (path) => readFileSync(path, 'utf8'),
  });
  return config;
}

function tokenCommand(): Command {
  const token = new Command('token').description('tokens of bots and internal services');
  token
    .command('create')
    .description('make a token; it is shown this once')
    .requiredOption('--name <name>', 'what it is for')
    .requiredOption(
      '--scope <scope...>',
      'what it may: chat, act_as, import, broker, events:read, notify, admin (gRPC needs broker, publishing for users act_as as well)',
    )
    .action(async (options: { name: string; scope: string[] }, command: Command) => {
      const scopes = options.scope.flatMap((scope) => scope.split(','));
      const made = await createToken(configOf(command), { name: options.name, scopes });
      out(made.token);
      say(
        `Token ${made.serviceToken.tokenId} (${scopes.join(', ')}). Keep it: it is not shown again.`,
      );
    });
  token
    .command('list')
    .description('all tokens, without their text')
    .option('--json', 'one JSON array')
    .action(async (options: { json?: boolean }, command: Command) => {
      const tokens = await listTokens(configOf(command));
      if (options.json === true) return out(JSON.stringify(tokens));
      if (tokens.length === 0) return say('There are no tokens.');
      for (const { tokenId, name, scopes, createTimeMs, revokeTimeMs } of tokens) {
        const state = revokeTimeMs === undefined ? 'live' : `revoked ${dayOf(revokeTimeMs)}`;
        out(
          `${tokenId}  ${dayOf(createTimeMs)}  ${state.padEnd(18)}  ${scopes.join(',')}  ${name}`,
        );
      }
    });
  token
    .command('revoke <token-id>')
    .description('make a token useless, for ever')
    .action(async (tokenId: string, _options: object, command: Command) => {
      const { name } = await revokeToken(configOf(command), tokenId);
      say(`Token ${tokenId} (${name}) is revoked.`);
    });
  return token;
}

function inviteCommand(): Command {
  const invite = new Command('invite').description('codes for PARLEY_SIGNUP=invite');
  invite
    .command('create')
    .description('make a code that admits new accounts')
    .option('--uses <count>', 'accounts it admits', '1')
    .action(async (options: { uses: string }, command: Command) => {
      out(await createInvite(configOf(command), Number(options.uses)));
      say(`This code admits ${options.uses} new account(s).`);
    });
  return invite;
}

async function main(): Promise<void> {
  const program = new Command('parley')
    .description('Operate a Parley server.')
    .option('--data-dir <path>', 'the server’s data directory (PARLEY_DATA_DIR)')
    .exitOverride();
  for (const command of [tokenCommand(), inviteCommand()]) {
    command.exitOverride();
    for (const leaf of command.commands) leaf.exitOverride().showHelpAfterError();
    program.addCommand(command);
  }
  try {
    await program.parseAsync();
  } catch (thrown) {
    process.exitCode = exitCodeOf(thrown);
  }
}

function exitCodeOf(thrown: unknown): number {
  // Commander has printed its complaint, or the help that was asked for.
  if (thrown instanceof CommanderError) return thrown.exitCode === 0 ? 0 : EXIT_USAGE;
  const error = toParleyError(thrown);
  say(`parley: ${error.message} (${error.reason})`);
  if (!(thrown instanceof ParleyError) && thrown instanceof Error) say(String(thrown.stack));
  return EXIT_FAILED;
}

function dayOf(timeMs: number): string {
  return new Date(timeMs).toISOString().slice(0, 10);
}

function out(line: string): void {
  process.stdout.write(`${line}\n`);
}

function say(line: string): void {
  process.stderr.write(`${line}\n`);
}

await main();
