import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import type { Index, ReplicaId } from '../../core/ids.ts';
import { RAFT_LIMITS } from './contract.ts';
import { FollowerProgress } from './follower-progress.ts';

const at = (index: number): Index => index as Index;
const limits = { ...RAFT_LIMITS, inflightMessagesMax: 3, inflightBytesMax: 100 };
const probing = (next: number): FollowerProgress =>
  new FollowerProgress(2 as ReplicaId, at(next), { limits, isActive: true });

function replicating(match: number): FollowerProgress {
  const follower = probing(match + 1);
  follower.acknowledged(at(match), at(1));
  return follower;
}

describe('follower progress', () => {
  it('probes with one append at a time until the follower answers', () => {
    const follower = probing(5);
    assert.equal(follower.isPaused, false);
    follower.sent(at(9), 10);
    assert.equal(follower.isPaused, true);
    assert.equal(follower.next, 5);
    follower.acknowledged(at(9), at(1));
    assert.equal(follower.state, 'replicate');
    assert.equal(follower.next, 10);
  });

  it('sends ahead of the answers until a bound, by count or by bytes', () => {
    const byCount = replicating(4);
    for (const last of [5, 6, 7]) byCount.sent(at(last), 1);
    assert.ok(byCount.isFull && byCount.isPaused);
    byCount.acknowledged(at(6), at(1));
    assert.ok(!byCount.isFull && !byCount.isPaused);
    const byBytes = replicating(4);
    byBytes.sent(at(5), 100);
    assert.ok(byBytes.isFull && byBytes.isPaused);
  });

  it('lets a heartbeat answer through one more when full', () => {
    const follower = replicating(4);
    for (const last of [5, 6, 7]) follower.sent(at(last), 1);
    follower.resume();
    assert.ok(follower.isFull && !follower.isPaused);
  });

  it('goes back to what it knows after a refusal, and ignores a refusal of what it knows', () => {
    const follower = replicating(4);
    follower.sent(at(9), 1);
    assert.equal(follower.rejected(at(4), at(2)), false);
    assert.equal(follower.rejected(at(9), at(4)), true);
    assert.deepEqual([follower.state, follower.next, follower.match], ['probe', 5, 4]);
  });

  it('jumps to the hint while probing, never below what is acknowledged', () => {
    const follower = probing(20);
    assert.equal(follower.rejected(at(19), at(7)), true);
    assert.equal(follower.next, 8);
    assert.equal(follower.rejected(at(19), at(3)), false);
    assert.equal(follower.rejected(at(7), at(0)), true);
    assert.equal(follower.next, 1);
  });

  it('sends nothing beside a snapshot, and goes on behind it or from where it was', () => {
    const sent = replicating(4);
    sent.sendsSnapshot(at(30));
    assert.ok(sent.isPaused);
    sent.snapshotEnded(true);
    assert.deepEqual([sent.state, sent.next, sent.isPaused], ['probe', 31, true]);
    const failed = replicating(4);
    failed.sendsSnapshot(at(30));
    failed.snapshotEnded(false);
    assert.deepEqual([failed.state, failed.next], ['probe', 5]);
  });

  it('leaves the snapshot as soon as the follower reaches what the log still holds', () => {
    const follower = replicating(4);
    follower.sendsSnapshot(at(30));
    follower.acknowledged(at(10), at(20));
    assert.equal(follower.state, 'snapshot');
    follower.acknowledged(at(19), at(20));
    assert.deepEqual([follower.state, follower.next], ['replicate', 20]);
  });

  it('never goes back for an old acknowledgement', () => {
    const follower = replicating(9);
    assert.equal(follower.acknowledged(at(5), at(1)), false);
    assert.deepEqual([follower.match, follower.next], [9, 10]);
  });
});
