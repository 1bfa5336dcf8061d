import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import type { Index, ReplicaId, Term } from '../../core/ids.ts';
import { FrameWriter } from '../../storage-engine/wal/frame.ts';
import type { Entry } from '../consensus/message.ts';
import { RaftShardLog } from './raft-shard-log.ts';

const ENTRIES = 200;

/** A log of committed entries that are not applied yet, with these voters. */
function restored(voters: readonly number[]): RaftShardLog {
  const term = 1 as Term;
  const entries = Array.from({ length: ENTRIES }, (_, i): Entry => {
    const index = (i + 1) as Index;
    return { term, index, kind: 'command', payload: Uint8Array.of(i) };
  });
  const configuration = { voters: voters as ReplicaId[], outgoing: [], learners: [] };
  const log = new RaftShardLog({
    shard: 0,
    id: 1 as ReplicaId,
    random: () => 0.5,
    electionTicks: 10,
    heartbeatTicks: 2,
    uncommittedBytesMax: 1e6,
    restored: {
      hard: { term, vote: 1 as ReplicaId, commit: ENTRIES as Index },
      snapshot: { index: 0 as Index, term: 0 as Term, configuration },
      entries,
      applied: 0 as Index,
      isSuspect: false,
    },
    events: { read: () => undefined, reignChanged: () => undefined },
    send: () => undefined,
  });
  log.collect(new FrameWriter());
  assert.equal(log.committed, ENTRIES);
  return log;
}

describe('a shard log in memory', () => {
  it('of who is alone lets go of what is applied, whether it is flushed or not', () => {
    const log = restored([1]);
    log.applied(10);
    assert.equal(log.entry(1).index, 1);
    log.applied(150);
    assert.equal(log.status.first, 151);
    assert.throws(() => log.entry(150), /log.entry-in-log/);
    assert.deepEqual(log.entry(151).payload, Uint8Array.of(150));
    log.trim(100);
    log.trim(150);
    assert.equal(log.status.first, 151);
  });

  it('of several keeps what another may lack until it is flushed', () => {
    const log = restored([1, 2, 3]);
    log.applied(150);
    assert.equal(log.status.first, 1);
    log.trim(100);
    assert.equal(log.status.first, 101);
  });
});
