import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import {
  acceptanceCases,
  citationsOf,
  conformanceCases,
  mayCite,
  requirementRows,
  sdkInvariants,
} from './citations.ts';

function cited(path: string, text: string): string[] {
  return citationsOf(path, text).map(({ what, title }) => `${what} | ${title}`);
}

describe('citations', () => {
  it('a title names the rows and cases that its test proves', () => {
    const text = `it('the commit follows the sync (R016, R144; CONTRACT §9 cases 5, 6 and 8–10)', () => {});`;
    const title = 'the commit follows the sync (R016, R144; CONTRACT §9 cases 5, 6 and 8–10)';
    assert.deepEqual(
      cited('broker/x.test.ts', text),
      ['R016', 'R144', 'case 5', 'case 6', 'case 8', 'case 9', 'case 10'].map(
        (what) => `${what} | ${title}`,
      ),
    );
  });

  it('a range of rows is every row in it', () => {
    assert.deepEqual(cited('x.test.ts', `describe('R014–R016', () => {});`), [
      'R014 | R014–R016',
      'R015 | R014–R016',
      'R016 | R014–R016',
    ]);
  });

  it('a comment counts for the test below it', () => {
    const text = `
      // R030: what was queued comes at once.
      it('first', () => {});
      it(
        "second",
        () => { /* R031 */ },
      );`;
    assert.deepEqual(cited('x.test.ts', text), ['R030 | first', 'R031 | ']);
  });

  it('a title in quotes of any kind is read whole, with escaped quotes inside', () => {
    assert.deepEqual(cited('x.test.ts', "it('it\\'s R001', f); it(`R002 ${'x'}`, f);"), [
      "R001 | it's R001",
      "R002 | R002 ${'x'}",
    ]);
  });

  it('a case in a browser test is one of the client’s, elsewhere one of the protocol’s', () => {
    const text = `it('case 5 holds', f); it('CLIENT §4 case 9', f);`;
    assert.deepEqual(cited('tests/browser/chat.sys.test.ts', text), [
      'CLIENT case 5 | case 5 holds',
      'CLIENT case 9 | CLIENT §4 case 9',
    ]);
    assert.deepEqual(cited('tests/system/chat.sys.test.ts', text), [
      'case 5 | case 5 holds',
      'CLIENT case 9 | CLIENT §4 case 9',
    ]);
  });

  it('the SDK’s invariants are cited by the clients and by what crosses rooms, nowhere else', () => {
    const text = `describe('S4 one transaction, S3-bucket and S20 are none', f);`;
    const title = 'S4 one transaction, S3-bucket and S20 are none';
    assert.deepEqual(cited('clients/sdk/src/outbox.test.ts', text), [`S4 | ${title}`]);
    assert.deepEqual(cited('broker/x.test.ts', text), []);
  });

  it('the same number under the same title counts once', () => {
    assert.deepEqual(cited('x.test.ts', `/* R001 R001 */ it('R001 of R001', f);`), [
      'R001 | R001 of R001',
    ]);
  });

  it('tests, shared suites, simulations and benches may cite; product code may not', () => {
    for (const path of ['core/ids.test.ts', 'server/links/link-contract.ts', 'tests/sim/world.ts'])
      assert.ok(mayCite(path), path);
    for (const path of ['core/ids.ts', 'tools/citations.ts', 'services/identity/profiles.ts'])
      assert.ok(!mayCite(path), path);
  });

  it('rows and cases are read from the documents, and prose about them is not', () => {
    assert.deepEqual(requirementRows('# x\n- R001 Send. S1\n  R002 no\n- C1 no\n- R003 Keep.'), [
      { row: 'R001', text: 'Send. S1' },
      { row: 'R003', text: 'Keep.' },
    ]);
    assert.deepEqual(
      conformanceCases(
        '1 prose\n## 9 Conformance\ntext\n```\n1 both first -> one order\n2 again, the same\n```\n3 x',
      ),
      [
        { row: 'case 1', text: 'both first -> one order' },
        { row: 'case 2', text: 'again, the same' },
      ],
    );
    const client = '- S1 Key.\n- S12 Two.\n1. no\n## 4 Acceptance\n1. Send: fast.\n2. Twice: once.';
    assert.deepEqual(
      [...sdkInvariants(client), ...acceptanceCases(client)].map(({ row }) => row),
      ['S1', 'S12', 'CLIENT case 1', 'CLIENT case 2'],
    );
  });
});
