/**
 * `npm run check`: everything that a change must pass before it is merged, the same here and in CI.
 * All steps run, and the last lines name those that failed. `--fast` leaves the tests out.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { contentDifferences, readFolder } from './folder-content.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const GENERATED = 'proto/gen';
const OUTPUT_BYTES_MAX = 64 << 20;

interface Outcome {
  /** Why it failed; empty = it passed. */
  readonly trouble: string;
  /** Why there was nothing to do, if so. */
  readonly leftOut?: string;
}

type Step = readonly [name: string, run: () => Outcome];

const PASSED: Outcome = { trouble: '' };

const STEPS: readonly Step[] = [
  ['generated from proto/', generatedFromProto],
  ['generated tables', () => program('dist/tools/generate.js', ['--check'])],
  ['buf lint', () => bin('buf', ['lint'])],
  ['buf breaking', breaking],
  ['format', () => bin('biome', ['format', '.'])],
  ['lint', () => bin('oxlint', ['--type-aware', '--deny-warnings'])],
  ['types', () => bin('tsc', ['-b'])],
  ['dead code', () => bin('knip', ['--no-progress', '--no-config-hints'])],
];

/** The committed descriptors are those that the sources yield, file by file, none missing or left over. */
function generatedFromProto(): Outcome {
  const folder = mkdtempSync(join(tmpdir(), 'parley-generated-'));
  try {
    const made = bin('buf', ['generate', '--output', folder]);
    if (made.trouble !== '') return made;
    const differences = contentDifferences(
      readFolder(join(folder, GENERATED)),
      readFolder(join(ROOT, GENERATED)),
    );
    if (differences.length === 0) return PASSED;
    const lines = differences.map(({ path, is }) => `${GENERATED}/${path}: ${is}`);
    return { trouble: `${lines.join('\n')}\nRun: npm run generate` };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/**
 * What is published may never break: the newest release tag is what clients in the field were built
 * from. Before the first release nobody was promised anything, so only the last commit is compared:
 * an incompatible change is then noticed when it is made, and may be made on purpose.
 */
function breaking(): Outcome {
  const git = (...args: string[]): string | undefined => {
    const { status, stdout } = spawnSync('git', args, { cwd: ROOT, encoding: 'utf8' });
    return status === 0 ? stdout.trim() : undefined;
  };
  const against =
    git('describe', '--tags', '--abbrev=0', '--match', 'v*') ?? git('rev-parse', 'HEAD~1');
  if (against === undefined)
    return { trouble: '', leftOut: 'no git history to compare the contract with' };
  const archive = spawnSync('git', ['archive', '--format=tar', against, 'buf.yaml', 'proto'], {
    cwd: ROOT,
    maxBuffer: OUTPUT_BYTES_MAX,
  });
  if (archive.status !== 0)
    return { trouble: '', leftOut: `${against} holds no contract to compare with` };
  const folder = mkdtempSync(join(tmpdir(), 'parley-contract-'));
  try {
    // A file of its own: works in linked worktrees too, where .git is not a folder.
    const file = join(folder, 'contract.tar');
    writeFileSync(file, archive.stdout);
    return bin('buf', ['breaking', '--against', file]);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function bin(name: string, args: readonly string[]): Outcome {
  return command(join(ROOT, 'node_modules/.bin', name), args);
}

function program(path: string, args: readonly string[]): Outcome {
  return command(process.execPath, [join(ROOT, path), ...args]);
}

function command(file: string, args: readonly string[]): Outcome {
  const result = spawnSync(file, args, {
    cwd: ROOT,
    encoding: 'utf8',
    maxBuffer: OUTPUT_BYTES_MAX,
  });
  if (result.error !== undefined) return { trouble: String(result.error) };
  if (result.status === 0) return PASSED;
  const said = `${result.stdout}${result.stderr}`.trim();
  return { trouble: said === '' ? `ended with ${String(result.status ?? result.signal)}` : said };
}

/** The tests take minutes: their output goes straight to the terminal. */
function tests(): Outcome {
  const { status } = spawnSync(process.execPath, [join(ROOT, 'tools/test.mjs')], {
    cwd: ROOT,
    stdio: 'inherit',
  });
  return status === 0 ? PASSED : { trouble: 'see above' };
}

function main(): void {
  const isFast = process.argv.includes('--fast');
  const { version }: { version?: unknown } = JSON.parse(
    readFileSync(join(ROOT, 'package.json'), 'utf8'),
  ) as { version?: unknown };
  say(`parley ${String(version)}, Node ${process.versions.node}`);
  const failed: string[] = [];
  for (const [name, run] of isFast ? STEPS : [...STEPS, ['tests', tests] as const]) {
    const began = performance.now();
    const { trouble, leftOut } = run();
    const seconds = ((performance.now() - began) / 1000).toFixed(1);
    const verdict =
      trouble !== '' ? 'FAILED' : leftOut === undefined ? 'ok' : `left out: ${leftOut}`;
    say(`${name.padEnd(24)} ${seconds.padStart(6)} s  ${verdict}`);
    if (trouble === '') continue;
    failed.push(name);
    say(`${trouble.replace(/^/gm, '    ')}\n`);
  }
  if (isFast) say('tests                    left out: --fast');
  say(failed.length === 0 ? '\nEverything passed.' : `\nFAILED: ${failed.join(', ')}`);
  process.exitCode = failed.length === 0 ? 0 : 1;
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

main();
