/**
 * Loads the configuration: flags over environment over defaults, judged by the one table
 * (config-table.ts). Every problem is reported at once; what comes out is frozen and filled.
 * No other room reads process.env: each gets its slice (config-slices.ts).
 */
import { resolve } from 'node:path';
import { Command } from 'commander';
import { ParleyError } from '../core/errors.ts';
import { CONFIG_TABLE, type Config, type ConfigEntry } from './config-table.ts';
import { Secret } from './secret.ts';

export type { Config } from './config-table.ts';

/** Where settings come from; a test hands in its own. */
export interface ConfigSources {
  /** Arguments after the program's name. */
  readonly flags: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly workingDir: string;
  /** Text of a `<NAME>_FILE` secret; throws if it cannot be read. */
  readonly readText: (path: string) => string;
}

export interface LoadedConfig {
  readonly config: Config;
  /** Things that do not stop a start but deserve a line: an unknown PARLEY_ variable. */
  readonly warnings: readonly string[];
}

type ConfigName = keyof Config;
type Value = string | number | readonly string[] | Secret;

/** Names of the table in its order. */
export function configNames(): readonly ConfigName[] {
  return Object.keys(CONFIG_TABLE).filter((name): name is ConfigName =>
    Object.hasOwn(CONFIG_TABLE, name),
  );
}

/** `httpPort` → `PARLEY_HTTP_PORT`. */
export function envNameOf(name: ConfigName): string {
  return `PARLEY_${name.replaceAll(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}`;
}

/** `httpPort` → `--http-port`. */
export function flagNameOf(name: ConfigName): string {
  return `--${name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

/** A commander command that knows all flags: for `--help` and for parsing. */
export function configCommand(name: string): Command {
  const command = new Command(name).allowUnknownOption().allowExcessArguments();
  for (const setting of configNames()) {
    const entry = CONFIG_TABLE[setting];
    if (entry.type === 'secret') continue;
    const doc = `${entry.doc.split('. ')[0]} (${envNameOf(setting)})`;
    command.option(`${flagNameOf(setting)} <${entry.unit === '' ? 'value' : entry.unit}>`, doc);
  }
  return command;
}

/**
 * The filled configuration. Throws one BAD_FIELD whose message lists every problem, a line each.
 */
export function loadConfig(sources: ConfigSources): LoadedConfig {
  const problems: string[] = [];
  const flags = readFlags(sources.flags, problems);
  const values: Record<string, Value> = {};
  for (const name of configNames()) {
    const entry: ConfigEntry = CONFIG_TABLE[name];
    const flag = flags[name];
    const given =
      typeof flag === 'string'
        ? { source: flagNameOf(name), text: flag }
        : fromEnvironment(name, entry, sources, problems);
    values[name] =
      given === undefined
        ? valueOf(entry, defaultText(entry), sources.workingDir)
        : checked(given, entry, sources.workingDir, problems);
  }
  const config = filled(values);
  if (problems.length === 0) checkTogether(config, problems);
  if (problems.length > 0)
    throw new ParleyError(
      'BAD_FIELD',
      `the configuration is not valid:\n- ${problems.join('\n- ')}`,
    );
  return { config: Object.freeze(config), warnings: unknownVariables(sources.env) };
}

/** Defaults alone, as a test or a tool needs them. */
export function defaultConfig(overrides: Partial<Config> = {}): Config {
  const { config } = loadConfig({
    flags: [],
    env: {},
    workingDir: process.cwd(),
    readText: () => '',
  });
  const keyFile = overrides.dataDir === undefined ? config.keyFile : `${overrides.dataDir}.key`;
  return Object.freeze({ ...config, keyFile, ...overrides });
}

interface Given {
  /** How the user named it, for messages. */
  readonly source: string;
  readonly text: string;
}

function fromEnvironment(
  name: ConfigName,
  entry: ConfigEntry,
  sources: ConfigSources,
  problems: string[],
): Given | undefined {
  const env = envNameOf(name);
  const text = sources.env[env];
  const file = entry.type === 'secret' ? sources.env[`${env}_FILE`] : undefined;
  if (text !== undefined && file !== undefined)
    problems.push(`set ${env} or ${env}_FILE, not both`);
  if (text !== undefined) return { source: env, text };
  if (file === undefined) return undefined;
  try {
    return {
      source: `${env}_FILE`,
      text: sources.readText(resolve(sources.workingDir, file)).trim(),
    };
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'error';
    problems.push(`${env}_FILE: cannot read ${file} (${code})`);
    return undefined;
  }
}

function readFlags(flags: readonly string[], problems: string[]): Record<string, unknown> {
  const command = configCommand('parley').exitOverride();
  command.configureOutput({ writeErr: () => undefined });
  try {
    const { operands, unknown } = command.parseOptions([...flags]);
    for (const left of [...operands, ...unknown]) problems.push(`${left}: there is no such flag`);
  } catch (cause) {
    problems.push(cause instanceof Error ? cause.message.replace(/^error: /, '') : 'bad flags');
  }
  return command.opts();
}

/** The value, or a line in `problems` and the default in its place so that the others are judged too. */
function checked(given: Given, entry: ConfigEntry, dir: string, problems: string[]): Value {
  const wrong = problemOf(entry, given.text);
  if (wrong === undefined) return valueOf(entry, given.text, dir);
  const shown = entry.type === 'secret' ? 'its value' : JSON.stringify(given.text);
  problems.push(`${given.source}: ${shown} ${wrong}`);
  return valueOf(entry, defaultText(entry), dir);
}

function problemOf(entry: ConfigEntry, text: string): string | undefined {
  switch (entry.type) {
    case 'integer': {
      const number = /^-?\d{1,15}$/.test(text.trim()) ? Number(text) : Number.NaN;
      if (number >= entry.min && number <= entry.max) return undefined;
      return `is not a whole number from ${entry.min} to ${entry.max} (${entry.unit})`;
    }
    case 'choice':
      return entry.choices.includes(text) ? undefined : `is none of ${entry.choices.join(', ')}`;
    case 'list':
      return listOf(text).every((item) => entry.pattern.test(item))
        ? undefined
        : `is not a list of ${entry.unit} separated by commas`;
    case 'path':
      return text.includes('\0') ? 'is not a path' : undefined;
    case 'text':
    case 'secret':
      return entry.pattern.test(text) ? undefined : `is not a valid ${entry.unit || 'value'}`;
  }
}

function valueOf(entry: ConfigEntry, text: string, workingDir: string): Value {
  switch (entry.type) {
    case 'integer':
      return Number(text);
    case 'list':
      return Object.freeze(listOf(text));
    case 'path':
      return text === '' ? '' : resolve(workingDir, text);
    case 'secret':
      return new Secret(text);
    case 'choice':
    case 'text':
      return text;
  }
}

function defaultText(entry: ConfigEntry): string {
  return entry.type === 'list' ? entry.default.join(',') : String(entry.default);
}

function listOf(text: string): string[] {
  return text
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '');
}

/** The one place where the checked values take the table's static type. */
function filled(values: Record<string, Value>): Config {
  // Decode boundary: each value was made by its own entry of CONFIG_TABLE, whose type is EntryOf<Config[name]>.
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion
  const config = values as unknown as Config;
  return config.keyFile === '' ? { ...config, keyFile: `${config.dataDir}.key` } : config;
}

/** Rules between settings. */
function checkTogether(config: Config, problems: string[]): void {
  const atMost = (low: ConfigName, high: ConfigName): void => {
    if (Number(config[low]) > Number(config[high]))
      problems.push(`${envNameOf(low)} must not exceed ${envNameOf(high)}`);
  };
  atMost('accessTokenTtlMs', 'refreshTtlMs');
  atMost('refreshTtlMs', 'refreshTotalTtlMs');
  atMost('socketBufferSoftBytes', 'socketBufferHardBytes');
  atMost('frameRate', 'frameBurst');
  atMost('uncommittedShardBytesMax', 'uncommittedStoreBytesMax');
  atMost('walSegmentBytes', 'walBytesMax');
  if (config.keyFile.startsWith(`${config.dataDir}/`))
    problems.push(
      `${envNameOf('keyFile')} lies inside the data directory, so every backup would hold the key beside the data`,
    );
  const ports = [config.httpPort, config.wsPort, config.grpcPort].filter((port) => port !== 0);
  if (new Set(ports).size < ports.length)
    problems.push('PARLEY_HTTP_PORT, PARLEY_WS_PORT and PARLEY_GRPC_PORT must differ');
}

function unknownVariables(env: ConfigSources['env']): string[] {
  const known = new Set(
    configNames().flatMap((name) => [envNameOf(name), `${envNameOf(name)}_FILE`]),
  );
  return Object.keys(env)
    .filter((name) => name.startsWith('PARLEY_') && !known.has(name))
    .sort()
    .map((name) => `${name} is set but there is no such setting`);
}
