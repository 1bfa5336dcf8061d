import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import type { ReplicaId } from '../../core/ids.ts';
import { Election } from './election.ts';
import { seededRandom } from './simulation.ts';

const ticksUntilDue = (election: Election): number => {
  let ticks = 1;
  while (!election.tick()) ticks++;
  return ticks;
};

describe('election', () => {
  it('comes due between one and two election timeouts, spread over them', () => {
    const random = seededRandom(1);
    const due = Array.from({ length: 200 }, () => ticksUntilDue(new Election(10, random)));
    assert.equal(Math.min(...due), 10);
    assert.equal(Math.max(...due), 19);
    assert.ok(new Set(due).size >= 9);
  });

  it('holds the lease for the shortest timeout after the leader was heard', () => {
    const election = new Election(10, () => 0.9);
    for (let i = 0; i < 9; i++) election.tick();
    assert.equal(election.isLeaseHeld, true);
    election.tick();
    assert.equal(election.isLeaseHeld, false);
    election.heard();
    assert.equal(election.isLeaseHeld, true);
  });

  it('after a hint comes due by rank, two ticks apart', () => {
    const due = [0, 1, 2].map((rank) => {
      const election = new Election(10, () => 0);
      election.hasten(rank);
      return ticksUntilDue(election);
    });
    assert.deepEqual(due, [1, 3, 5]);
  });

  it('hears the first answer of each voter only', () => {
    const voters = [1, 2, 3] as ReplicaId[];
    const election = new Election(10, () => 0);
    election.record(1 as ReplicaId, true);
    election.record(2 as ReplicaId, false);
    election.record(2 as ReplicaId, true);
    assert.equal(election.outcome({ voters, outgoing: [], learners: [] }), 'pending');
  });
});
