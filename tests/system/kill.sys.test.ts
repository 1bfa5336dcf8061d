import { after, before, describe, it } from 'mocha';
import { judged, NEMESIS_ENV, runNemesis, seeded } from './nemesis-run.ts';
import { ServerUnderTest } from './server-under-test.ts';

describe('a server that dies under load (R016, R034, R138, R144, R210, R224; CONTRACT §9 cases 5, 6, 12, 25)', () => {
  let server: ServerUnderTest;
  before(() => {
    server = new ServerUnderTest({ env: NEMESIS_ENV });
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
