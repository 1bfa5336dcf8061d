import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import type { Index, ReplicaId, Term } from '../../core/ids.ts';
import {
  ConfigurationHistory,
  decodeConfiguration,
  encodeConfiguration,
  firstStep,
  isJoint,
  isWellFormed,
  lastStep,
  membersOf,
  votersOf,
} from './configuration.ts';
import type { Configuration, Entry } from './message.ts';

const ids = (...numbers: number[]): ReplicaId[] => numbers as ReplicaId[];
const at = (index: number): Index => index as Index;
const of = (voters: number[], outgoing: number[] = [], learners: number[] = []): Configuration => ({
  voters: ids(...voters),
  outgoing: ids(...outgoing),
  learners: ids(...learners),
});
const entryOf = (index: number, configuration: Configuration): Entry => ({
  index: at(index),
  term: 1 as Term,
  kind: 'config',
  payload: encodeConfiguration(configuration),
});

describe('configuration', () => {
  it('survives its payload, up to the largest id', () => {
    const configuration = of([1, 2, Number.MAX_SAFE_INTEGER], [1, 4294967296], [7]);
    assert.deepEqual(decodeConfiguration(encodeConfiguration(configuration)), configuration);
  });

  it('has one payload for ever: golden bytes', () => {
    const hex = Buffer.from(encodeConfiguration(of([1, 2], [1], [3]))).toString('hex');
    assert.equal(
      hex,
      '01' +
        '02' +
        '0000000000000001' +
        '0000000000000002' +
        '01' +
        '0000000000000001' +
        '01' +
        '0000000000000003',
    );
  });

  it('refuses a payload that is cut, longer or of another format', () => {
    const payload = encodeConfiguration(of([1, 2, 3]));
    assert.throws(() => decodeConfiguration(payload.subarray(0, 9)), {
      name: 'InvariantViolation',
    });
    assert.throws(() => decodeConfiguration(Uint8Array.of(...payload, 0)), {
      rule: 'configuration.payload-exact',
    });
    assert.throws(() => decodeConfiguration(Uint8Array.of(2, 0, 0, 0)), {
      rule: 'configuration.format-known',
    });
  });

  it('goes through a joint step if and only if the voters change', () => {
    const joint = firstStep(of([1, 2, 3]), { voters: ids(5, 4, 1), learners: [] });
    assert.deepEqual(joint, of([1, 4, 5], [1, 2, 3]));
    assert.ok(isJoint(joint));
    assert.deepEqual(lastStep(joint), of([1, 4, 5]));
    const learner = firstStep(of([1, 2, 3]), { voters: ids(3, 2, 1), learners: ids(4) });
    assert.deepEqual(learner, of([1, 2, 3], [], [4]));
  });

  it('begins no second change while joint', () => {
    assert.throws(() => firstStep(of([1], [2]), { voters: ids(3), learners: [] }), {
      rule: 'configuration.one-change-at-a-time',
    });
  });

  it('names each member once, and a voter on its way to learner still as a voter', () => {
    assert.deepEqual(membersOf(of([3, 1], [1, 2], [2, 9])), ids(1, 2, 3, 9));
    assert.deepEqual(votersOf(of([3, 1], [1, 2], [2, 9])), ids(1, 2, 3));
  });

  it('is made of at least one voter and of no id twice', () => {
    assert.ok(isWellFormed({ voters: ids(1), learners: ids(2) }));
    assert.ok(!isWellFormed({ voters: [], learners: ids(2) }));
    assert.ok(!isWellFormed({ voters: ids(1, 1), learners: [] }));
    assert.ok(!isWellFormed({ voters: ids(1), learners: ids(1) }));
    assert.ok(!isWellFormed({ voters: ids(0), learners: [] }));
    assert.ok(!isWellFormed({ voters: ids(1.5), learners: [] }));
  });
});

describe('configuration history', () => {
  const history = (): ConfigurationHistory => {
    const made = new ConfigurationHistory({
      index: at(5),
      term: 1 as Term,
      configuration: of([1]),
    });
    made.append(entryOf(7, of([1, 2], [1])));
    made.append(entryOf(9, of([1, 2])));
    return made;
  };

  it('tells what was in force at each index', () => {
    assert.deepEqual(history().at(at(6)), of([1]));
    assert.deepEqual(history().at(at(8)), of([1, 2], [1]));
    assert.deepEqual(history().at(at(20)), of([1, 2]));
    assert.throws(() => history().at(at(4)), { rule: 'configuration.index-in-log' });
  });

  it('goes back when entries are truncated, never below the base', () => {
    const cut = history();
    cut.truncateFrom(at(9));
    assert.deepEqual(cut.current, of([1, 2], [1]));
    assert.deepEqual(cut.previous, of([1]));
    cut.truncateFrom(at(6));
    assert.deepEqual(cut.current, of([1]));
    assert.throws(() => cut.truncateFrom(at(5)), { rule: 'configuration.base-never-truncated' });
  });

  it('keeps, when compacted, what is in force at the new base', () => {
    const compacted = history();
    compacted.compact(at(8));
    assert.deepEqual(compacted.at(at(8)), of([1, 2], [1]));
    compacted.compact(at(9));
    assert.deepEqual(compacted.previous, of([1, 2]));
  });
});
