import assert from 'node:assert/strict';
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { InvariantViolation } from '../../core/invariant.ts';
import { after, before, describe, it } from 'mocha';
import type { Mutant } from './mutant.ts';
import { MUTANTS } from './mutants.ts';

const COMPILED = fileURLToPath(new URL('./', import.meta.url));
const CORE = fileURLToPath(new URL('../../core/', import.meta.url));
const SOURCE = fileURLToPath(new URL('../../../', import.meta.url));
const SCRIPTS = join(SOURCE, 'broker/consensus/testdata');
const PUBLISHED = join(SOURCE, 'docs/MUTANTS.md');

/** Of each mutant; the product itself is run for more, in simulation.test.ts. */
const SEEDS_MAX = 12;
const STEPS = 1_500;

/** What noticed a mutant: scripts by name, the first seed and the rule it broke. */
interface Verdict {
  readonly mutant: Mutant;
  readonly scripts: readonly string[];
  readonly seed: string;
}

/** What is called of a mutant's copy of the core. */
interface Copy {
  runTranscript(script: string): string;
  simulate(seed: number, steps: number): unknown;
}

describe('consensus mutants', function () {
  this.timeout(20_000);
  const verdicts: Verdict[] = [];
  const scripts = new Map<string, string>();
  let folder = '';

  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'parley-mutants-'));
    writeFileSync(join(folder, 'package.json'), '{"type":"module"}');
    for (const file of readdirSync(SCRIPTS).sort())
      scripts.set(file.replace('.txt', ''), readFileSync(join(SCRIPTS, file), 'utf8'));
  });

  after(() => rmSync(folder, { recursive: true, force: true }));

  for (const mutant of MUTANTS)
    it(`${mutant.name} is noticed`, async () => {
      const verdict = await judge(mutant, join(folder, mutant.name), scripts);
      verdicts.push(verdict);
      const isNoticed = verdict.scripts.length > 0 || verdict.seed !== '';
      assert.ok(isNoticed, `${mutant.name} survives: ${mutant.fault}`);
    });

  it('docs/MUTANTS.md says what noticed which', () => {
    const text = published(verdicts, scripts.size);
    if (process.env['REWRITE'] === '1') writeFileSync(PUBLISHED, text);
    assert.equal(readFileSync(PUBLISHED, 'utf8'), text);
  });
});

async function judge(
  mutant: Mutant,
  folder: string,
  scripts: ReadonlyMap<string, string>,
): Promise<Verdict> {
  const room = join(folder, 'broker/consensus');
  mkdirSync(join(folder, 'core'), { recursive: true });
  cpSync(join(CORE, 'invariant.js'), join(folder, 'core/invariant.js'));
  for (const file of readdirSync(COMPILED))
    if (file.endsWith('.js') && !file.endsWith('.test.js'))
      cpSync(join(COMPILED, file), join(room, file));
  const path = join(room, `${mutant.file}.js`);
  writeFileSync(path, changed(readFileSync(path, 'utf8'), mutant));
  const load = (file: string): Promise<unknown> => import(pathToFileURL(join(room, file)).href);
  const { runTranscript } = (await load('transcript.js')) as Pick<Copy, 'runTranscript'>;
  const { simulate } = (await load('simulation.js')) as Pick<Copy, 'simulate'>;
  return {
    mutant,
    scripts: [...scripts]
      .filter(([, text]) => answerOf(() => runTranscript(text)) !== text)
      .map(([name]) => name),
    seed: firstFault(SEEDS_MAX, (i) => simulate(i + 1, STEPS)),
  };
}

/** The file with the mutant's one change; blanks and line breaks in `find` stand for any. */
function changed(text: string, mutant: Mutant): string {
  const escaped = mutant.find.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&').replaceAll(/\s+/g, '\\s+');
  const places = [...text.matchAll(new RegExp(escaped, 'g'))];
  assert.equal(
    places.length,
    1,
    `${mutant.name}: its text stands ${places.length} times in ${mutant.file}.js`,
  );
  return text.replace(new RegExp(escaped), () => mutant.replace);
}

function answerOf(run: () => string): string {
  try {
    return run();
  } catch (thrown) {
    return ruleOf(thrown);
  }
}

/** The first of `count` runs that breaks, as `number: rule`; nothing if none does. */
function firstFault(count: number, run: (i: number) => void): string {
  for (let i = 0; i < count; i++) {
    try {
      run(i);
    } catch (thrown) {
      return `${i + 1}: ${ruleOf(thrown)}`;
    }
  }
  return '';
}

/** A copy has its own InvariantViolation, so it is told by its name. */
function ruleOf(thrown: unknown): string {
  if (!(thrown instanceof Error)) return 'thrown';
  return thrown.name === InvariantViolation.name
    ? (thrown as InvariantViolation).rule
    : thrown.name;
}

function published(verdicts: readonly Verdict[], scriptCount: number): string {
  const rows = verdicts.map(({ mutant, scripts, seed }) => {
    const more = scripts.length > 1 ? ` and ${scripts.length - 1} more` : '';
    const cells = [mutant.name, mutant.fault, `${scripts[0] ?? '—'}${more}`, seed || '—'];
    return `| ${cells.join(' | ')} |`;
  });
  const killedBy = (has: (verdict: Verdict) => boolean): number => verdicts.filter(has).length;
  return `# Mutants of the consensus core

Generated by \`broker/consensus/mutants.test.ts\` (\`REWRITE=1\` writes it); every run checks it. Each row
is a fault that a Raft implementation has had or could have, made in a copy of the compiled core. It
must be noticed by one of ${scriptCount} scripts (\`broker/consensus/testdata\`) or of ${SEEDS_MAX} random seeds of ${STEPS} steps.
The last column names the first seed and the rule it broke. That most rows have none there is the
point: random histories alone are weak evidence, a script kills in a millisecond.

${verdicts.length} mutants: ${killedBy((verdict) => verdict.scripts.length > 0)} noticed by scripts, ${killedBy(({ seed }) => seed !== '')} by seeds, ${killedBy((verdict) => verdict.scripts.length === 0 && verdict.seed === '')} by nothing.

| mutant | fault | scripts | seed |
| --- | --- | --- | --- |
${rows.join('\n')}
`;
}
