import assert from 'node:assert/strict';
import { after, before, describe, it } from 'mocha';
import { judged, loseThePower, NEMESIS_ENV, runNemesis, seeded } from '../nemesis-run.ts';
import { buildInterposer } from '../power-cut.ts';
import { ServerUnderTest } from '../server-under-test.ts';

describe('a machine that loses its power under load (R016, R144, R210)', () => {
  let server: ServerUnderTest;
  before(() => {
    server = new ServerUnderTest({ env: NEMESIS_ENV });
  });
  after(() => server.remove());

  it('keeps every promise through 3 cuts that lose, keep or tear what was not synced', async () => {
    const random = seeded(2);
    const interposer = buildInterposer(server.dataDir, server.root);
    await server.start(interposer.env);
    const lost: number[] = [];
    const report = await runNemesis({
      server,
      faults: 3,
      random,
      fault: async () => {
        lost.push((await loseThePower(server, interposer, random)).lost);
      },
    });
    judged(report);
    assert.ok(lost.every(Boolean), `a cut that loses nothing proves nothing: ${lost.join()}`);
  });
});
