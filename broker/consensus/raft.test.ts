import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import type { Index, ReplicaId, Term } from '../../core/ids.ts';
import { RAFT_LIMITS, type RaftLimits, type RestoredReplica } from './contract.ts';
import { newShard, Raft } from './raft.ts';

const ONE = 1 as ReplicaId;

function raftOf(restored: RestoredReplica, limits: Partial<RaftLimits> = {}): Raft {
  return new Raft({
    id: ONE,
    random: () => 0,
    electionTicks: 10,
    heartbeatTicks: 2,
    limits: { ...RAFT_LIMITS, ...limits },
    claimPayload: Uint8Array.of(7),
    restored,
  });
}

/** Performs effects on a disk that syncs at once, until there are none. */
function settle(raft: Raft): number[] {
  const applied: number[] = [];
  while (raft.hasEffects()) {
    const { token, committed } = raft.take();
    if (token !== undefined) raft.persisted(token);
    if (committed === undefined) continue;
    for (let at = committed.from; at <= committed.to; at = (at + 1) as Index) applied.push(at);
    raft.applied(committed.to);
  }
  return applied;
}

function soleLeader(limits: Partial<RaftLimits> = {}): Raft {
  const raft = raftOf(newShard([ONE]), limits);
  raft.campaign();
  settle(raft);
  return raft;
}

describe('raft of a sole voter', () => {
  it('leads after one tick and two syncs, its claim first', () => {
    const raft = raftOf(newShard([ONE]));
    raft.tick();
    assert.deepEqual(settle(raft), [1]);
    assert.ok(raft.isReady);
    assert.equal(raft.entry(1 as Index).kind, 'claim');
    assert.deepEqual(raft.entry(1 as Index).payload, Uint8Array.of(7));
  });

  it('shares the bytes it was given, from proposal to apply', () => {
    const raft = soleLeader();
    const payload = Uint8Array.of(1, 2, 3);
    const result = raft.propose([payload]);
    assert.deepEqual(result, { ok: true, term: 1, first: 2, last: 2 });
    const effects = raft.take();
    assert.equal(effects.append[0]?.payload, payload);
    assert.equal(raft.entry(2 as Index).payload, payload);
  });

  it('commits a batch when its sync ends, not before', () => {
    const raft = soleLeader();
    raft.propose([Uint8Array.of(1), Uint8Array.of(2)]);
    const { token, committed } = raft.take();
    assert.equal(committed, undefined);
    assert.equal(raft.commitIndex, 1);
    assert.ok(token !== undefined);
    raft.persisted(token);
    assert.deepEqual(raft.take().committed, { from: 2, to: 3 });
  });

  it('lets the newest of several tokens speak for all', () => {
    const raft = soleLeader();
    raft.propose([Uint8Array.of(1)]);
    const first = raft.take().token;
    raft.propose([Uint8Array.of(2)]);
    const second = raft.take().token;
    assert.ok(first !== undefined && second !== undefined);
    raft.persisted(second);
    assert.equal(raft.commitIndex, 3);
    assert.throws(() => raft.persisted(first), { rule: 'raft.token-returns-once' });
  });

  it('answers reads at once and asks nobody', () => {
    const raft = soleLeader();
    assert.deepEqual(raft.readIndex(5), { ok: true });
    assert.deepEqual(raft.readIndex(6), { ok: true });
    const effects = raft.take();
    assert.deepEqual(effects.reads, [
      { context: 5, index: 1 },
      { context: 6, index: 1 },
    ]);
    assert.equal(effects.token, undefined);
  });

  it('refuses reads beyond its bound, and those that wait for its claim', () => {
    const raft = soleLeader({ pendingReadsMax: 1 });
    raft.readIndex(1);
    assert.deepEqual(raft.readIndex(2), { ok: false, why: 'overloaded', leader: 1 });
    const young = raftOf(newShard([ONE]));
    assert.deepEqual(young.readIndex(1), { ok: false, why: 'not_leader', leader: 0 });
    young.campaign();
    const { token } = young.take();
    assert.ok(token !== undefined);
    young.persisted(token);
    assert.deepEqual(young.readIndex(1), { ok: false, why: 'not_ready', leader: 1 });
  });

  it('refuses what would outgrow the uncommitted bytes, all of a batch or none', () => {
    const raft = soleLeader({ uncommittedBytesMax: 100 });
    assert.equal(raft.propose([new Uint8Array(200)]).ok, true);
    assert.deepEqual(raft.propose([new Uint8Array(1)]), {
      ok: false,
      why: 'overloaded',
      leader: 1,
    });
    assert.equal(raft.lastIndex, 2);
    settle(raft);
    assert.equal(raft.propose([new Uint8Array(60), new Uint8Array(40)]).ok, true);
  });

  it('breaks on an entry that should have been refused before', () => {
    const raft = soleLeader({ entryBytesMax: 10 });
    assert.throws(() => raft.propose([new Uint8Array(11)]), { rule: 'raft.entry-bounded' });
    assert.throws(() => raft.propose([]), { rule: 'raft.proposes-something' });
  });

  it('has nothing to do when nothing happened', () => {
    const raft = soleLeader();
    assert.equal(raft.hasEffects(), false);
    for (let i = 0; i < 100; i++) raft.tick();
    assert.equal(raft.hasEffects(), false);
    assert.equal(raft.role, 'leader');
  });

  it('writes no commit index on its own, and carries it with the next entries', () => {
    const raft = soleLeader();
    raft.propose([Uint8Array.of(1)]);
    settle(raft);
    assert.equal(raft.hasEffects(), false);
    raft.propose([Uint8Array.of(2)]);
    assert.deepEqual(raft.take().hard, { term: 1, vote: 1, commit: 2 });
  });

  it('goes on after a restart from a flushed state: replays what the state lacks', () => {
    const raft = soleLeader();
    raft.propose([Uint8Array.of(1), Uint8Array.of(2), Uint8Array.of(3)]);
    settle(raft);
    const blank = newShard([ONE]);
    const restarted = raftOf({
      ...blank,
      hard: { term: 1 as Term, vote: ONE, commit: 1 as Index },
      snapshot: { ...blank.snapshot, index: 2 as Index, term: 1 as Term },
      entries: [raft.entry(3 as Index), raft.entry(4 as Index)],
      applied: 2 as Index,
    });
    restarted.tick();
    assert.deepEqual(settle(restarted), [3, 4, 5]);
    assert.equal(restarted.term, 2);
    assert.equal(restarted.status().first, 3);
  });

  it('does not stand while suspect', () => {
    const raft = raftOf({ ...newShard([ONE]), isSuspect: true });
    for (let i = 0; i < 50; i++) raft.tick();
    raft.campaign();
    assert.equal(raft.hasEffects(), false);
  });

  it('waits for a slow first sync in the term it began', () => {
    const raft = raftOf(newShard([ONE]));
    raft.tick();
    const { token } = raft.take();
    for (let i = 0; i < 50; i++) raft.tick();
    assert.equal(raft.term, 1);
    assert.ok(token !== undefined);
    raft.persisted(token);
    assert.equal(raft.role, 'leader');
  });

  it('ignores an applied index of before', () => {
    const raft = soleLeader();
    raft.propose([Uint8Array.of(1)]);
    settle(raft);
    raft.applied(1 as Index);
    assert.equal(raft.status().applied, 2);
  });

  it('costs little per entry: 6 in a batch stay far from 20 µs each even on a busy machine', () => {
    const raft = soleLeader();
    const batch = Array.from({ length: 6 }, () => new Uint8Array(100));
    const started = process.cpuUsage().user;
    const count = 60_000;
    for (let i = 0; i < count / 6; i++) {
      raft.propose(batch);
      settle(raft);
      if (i % 500 === 0) raft.compact(raft.status().applied);
    }
    const microseconds = (process.cpuUsage().user - started) / count;
    assert.ok(microseconds < 20, `${microseconds} µs per entry`);
  });
});

describe('raft options', () => {
  it('that contradict each other are refused', () => {
    const options = {
      id: ONE,
      random: () => 0,
      electionTicks: 10,
      heartbeatTicks: 2,
      limits: RAFT_LIMITS,
      claimPayload: new Uint8Array(0),
      restored: newShard([ONE]),
    };
    assert.throws(() => new Raft({ ...options, id: 0 as ReplicaId }), {
      rule: 'replica.id-positive',
    });
    assert.throws(() => new Raft({ ...options, heartbeatTicks: 10 }), {
      rule: 'replica.heartbeats-before-elections',
    });
    assert.throws(() => newShard([ONE, ONE]), { rule: 'raft.new-voters' });
  });
});
