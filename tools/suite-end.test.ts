import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { after, describe, it } from 'mocha';
import { failureOf } from './suite-end.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const MOCHA = join(ROOT, 'node_modules/mocha/bin/mocha.js');

describe('npm test', function () {
  this.timeout(20_000);
  const folder = mkdtempSync(join(tmpdir(), 'parley-suite-'));
  after(() => rmSync(folder, { recursive: true, force: true }));

  it('a suite that passed needs no word', () => {
    assert.equal(ending("it('one', () => {});"), undefined);
  });

  it('a suite that is ended with 0 in the middle has failed', () => {
    const body = "it('one', () => {}); it('two', () => process.exit(0)); it('three', () => {});";
    assert.match(ending(body) ?? '', /^\n== made-up: ended before its summary\n/);
  });

  it('of a suite with failures the report begins with them', () => {
    const report = ending(
      "it('one', () => { console.log('1 failing'); throw new Error('so it is'); });",
    );
    assert.match(report ?? '', /^\n== made-up: ended with 1\n1 failing\n\n {2}1\) /);
    assert.match(report ?? '', /so it is/);
  });

  it('of a suite that crashed or was late the report is the end of what it said', () => {
    const said = `the beginning\n${'.'.repeat(20_000)}\nthe end`;
    for (const [code, signal, how] of [
      [70, null, '70'],
      [null, 'SIGTERM', 'SIGTERM'],
    ] as const) {
      const report = failureOf({ name: 'late', code, signal, said }) ?? '';
      assert.match(report, new RegExp(`^\n== late: ended with ${how}\n`));
      assert.ok(report.endsWith('the end\n') && !report.includes('the beginning'), report);
    }
    const passed = failureOf({
      name: 'left',
      code: 7,
      signal: null,
      said: `begins\n  3 passing (1s)\n${said}`,
    });
    assert.ok(passed?.endsWith('the end\n'));
  });

  it('a name that no suite has is refused with those that there are', () => {
    const { status, stderr } = spawnSync(
      process.execPath,
      [join(ROOT, 'tools/test.mjs'), 'unit', 'sytem'],
      {
        encoding: 'utf8',
      },
    );
    assert.equal(status, 1);
    assert.match(stderr, /no suite is named sytem: there are unit, simulation, system, .*speed\n/);
  });

  /** Of a made-up suite, run as the real ones are. */
  function ending(body: string): string | undefined {
    const file = join(folder, 'made-up.test.mjs');
    const mocha = join(ROOT, 'node_modules/mocha/index.js');
    writeFileSync(
      file,
      `import mocha from ${JSON.stringify(mocha)};\nconst { describe, it } = mocha;\ndescribe('made up', () => { ${body} });`,
    );
    const { status, signal, stdout, stderr } = spawnSync(
      process.execPath,
      [MOCHA, '--exit', '--no-color', '--reporter', 'dot', file],
      { cwd: folder, encoding: 'utf8' },
    );
    return failureOf({ name: 'made-up', code: status, signal, said: stdout + stderr });
  }
});
