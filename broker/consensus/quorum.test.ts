import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import type { ReplicaId } from '../../core/ids.ts';
import type { Configuration } from './message.ts';
import { isQuorum, quorumValue, voteOutcome } from './quorum.ts';

const ids = (...numbers: number[]): ReplicaId[] => numbers as ReplicaId[];
const of = (voters: number[], outgoing: number[] = [], learners: number[] = []): Configuration => ({
  voters: ids(...voters),
  outgoing: ids(...outgoing),
  learners: ids(...learners),
});
const held =
  (values: Record<number, number>) =>
  (id: ReplicaId): number =>
    values[id] ?? 0;

describe('quorum', () => {
  it('of n voters is the highest value that more than half of them have reached', () => {
    for (let n = 1; n <= 7; n++) {
      const voters = Array.from({ length: n }, (_, i) => i + 1);
      for (let have = 0; have <= n; have++) {
        const reached = quorumValue(of(voters), (id) => (id <= have ? 5 : 2));
        assert.equal(reached, have > n / 2 ? 5 : 2, `${have} of ${n}`);
      }
    }
  });

  it('of a joint configuration needs both halves, each by its own majority', () => {
    const joint = of([1, 4, 5], [1, 2, 3]);
    assert.equal(quorumValue(joint, held({ 1: 9, 4: 9, 5: 9 })), 0);
    assert.equal(quorumValue(joint, held({ 1: 9, 2: 9, 3: 9 })), 0);
    assert.equal(quorumValue(joint, held({ 1: 9, 2: 8, 5: 7 })), 7);
  });

  it('does not hear learners', () => {
    assert.equal(
      isQuorum(of([1, 2, 3], [], [4, 5]), (id) => id === 1 || id > 3),
      false,
    );
    assert.equal(
      isQuorum(of([1, 2, 3], [], [4, 5]), (id) => id < 3),
      true,
    );
  });

  it('lets an election end as soon as what is missing cannot turn it', () => {
    const votes = (entries: [number, boolean][]): Map<ReplicaId, boolean> =>
      new Map(entries as [ReplicaId, boolean][]);
    assert.equal(voteOutcome(of([1, 2, 3]), votes([[1, true]])), 'pending');
    assert.equal(
      voteOutcome(
        of([1, 2, 3]),
        votes([
          [1, true],
          [2, true],
        ]),
      ),
      'won',
    );
    assert.equal(
      voteOutcome(
        of([1, 2, 3]),
        votes([
          [2, false],
          [3, false],
        ]),
      ),
      'lost',
    );
    assert.equal(
      voteOutcome(
        of([1, 2, 3, 4]),
        votes([
          [1, true],
          [2, true],
        ]),
      ),
      'pending',
    );
    assert.equal(
      voteOutcome(
        of([1, 2, 3, 4]),
        votes([
          [3, false],
          [4, false],
        ]),
      ),
      'lost',
    );
    assert.equal(
      voteOutcome(
        of([1], [2]),
        votes([
          [1, true],
          [2, false],
        ]),
      ),
      'lost',
    );
  });

  it('of nobody does not exist', () => {
    assert.throws(() => quorumValue(of([]), () => 1), { rule: 'quorum.has-voters' });
  });
});
