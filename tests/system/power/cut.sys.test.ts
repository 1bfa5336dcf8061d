import assert from 'node:assert/strict';
import { after, before, describe, it } from 'mocha';
import { judged, runNemesis, seeded } from '../nemesis-run.ts';
import { buildInterposer } from '../power-cut.ts';
import { ServerUnderTest } from '../server-under-test.ts';

describe('a machine that loses its power under load (R016, R144, R210)', () => {
  let server: ServerUnderTest;
  before(() => {
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
