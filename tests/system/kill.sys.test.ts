import assert from 'node:assert/strict';
import { after, before, describe, it } from 'mocha';
import { compilerPath, buildInterposer } from './power-cut.ts';
import { runNemesis, seeded, type NemesisReport } from './nemesis-run.ts';
import { ServerUnderTest } from './server-under-test.ts';

describe('a server that dies under load (R016, R034, R138, R144, R210, R224; CONTRACT §9 cases 5, 6, 12, 25)', () => {
  let server: ServerUnderTest;
  before(() => {
    server = new ServerUnderTest();
  });
  after(() => server.remove());

  it('keeps every promise through 5 kills at random moments', async () => {
    const random = seeded(1);
    await server.start();
    const report = await runNemesis({
      server,
      faults: 5,
      random,
      fault: async () => {
        if (random() < 0.5) await server.kill();
        else await server.killAll();
        await server.start();
      },
    });
    judged(report);
  });
});

describe('a machine that loses its power under load (R016, R144, R210)', () => {
  const compiler = compilerPath();
  let server: ServerUnderTest;
  before(() => {
    assert.ok(
      compiler !== undefined,
      'a C compiler is needed to build the interposer (Debian: apt-get install gcc libc6-dev)',
    );
    server = new ServerUnderTest();
  });
  after(() => server.remove());

  it('keeps every promise through 3 cuts that lose, keep or tear what was not synced', async () => {
    const random = seeded(2);
    const interposer = buildInterposer(server.dataDir, server.root);
    await server.start(interposer.env);
    let lost = 0;
    const report = await runNemesis({
      server,
      faults: 3,
      random,
      fault: async () => {
        await server.killAll();
        lost += interposer.cut(random).lost;
        await server.start(interposer.env);
      },
    });
    judged(report);
    assert.ok(lost > 0, 'a cut that loses nothing proves nothing');
  });
});

function judged(report: NemesisReport): void {
  assert.deepEqual(report.violations, []);
  assert.equal(report.unanswered, 0, 'every send was answered in the end');
  assert.ok(report.counts.committed > 100, JSON.stringify(report.counts));
  assert.ok(report.reconnects > 0);
}
