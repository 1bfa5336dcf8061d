import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import type { Index, ReplicaId, Term } from '../../core/ids.ts';
import type { Entry } from './message.ts';
import { newShard } from './raft.ts';
import { RaftLog } from './raft-log.ts';

const at = (index: number): Index => index as Index;
const entry = (index: number, term: number, bytes = 1): Entry => ({
  index: at(index),
  term: term as Term,
  kind: 'command',
  payload: new Uint8Array(bytes),
});
const blank = newShard([1 as ReplicaId]);

/** A log that holds entries of these terms, all handed to the disk and durable. */
function logOf(...terms: number[]): RaftLog {
  const entries = terms.map((term, i) => entry(i + 1, term));
  return new RaftLog({ ...blank, hard: { ...blank.hard, term: 99 as Term }, entries });
}

describe('raft log', () => {
  it('hands each entry to the disk once, in order', () => {
    const log = logOf();
    log.append(entry(1, 1));
    log.append(entry(2, 1));
    assert.deepEqual(
      log.takeWrites().append.map(({ index }) => index),
      [1, 2],
    );
    assert.equal(log.hasWork(), false);
    log.append(entry(3, 1));
    assert.deepEqual(
      log.takeWrites().append.map(({ index }) => index),
      [3],
    );
  });

  it('tells the disk to truncate only what the disk was told of', () => {
    const log = logOf(1);
    log.merge([entry(2, 1), entry(3, 1)]);
    log.merge([entry(2, 2)]);
    const writes = log.takeWrites();
    assert.equal(writes.truncateFrom, undefined);
    assert.deepEqual(
      writes.append.map(({ index, term }) => [index, term]),
      [[2, 2]],
    );
  });

  it('truncates once, at the lowest place, for two conflicts in one turn', () => {
    const log = logOf(1, 1, 1, 1);
    log.merge([entry(4, 2)]);
    log.merge([entry(2, 3)]);
    const writes = log.takeWrites();
    assert.equal(writes.truncateFrom, 2);
    assert.deepEqual(
      writes.append.map(({ index, term }) => [index, term]),
      [[2, 3]],
    );
    assert.equal(log.persisted, 1);
  });

  it('takes the end of an older write as no proof for what replaced it', () => {
    const log = logOf(1);
    log.merge([entry(2, 1)]);
    log.takeWrites();
    const older = log.generation;
    log.merge([entry(2, 2)]);
    log.takeWrites();
    log.persistedTo(at(2), older);
    assert.equal(log.persisted, 1);
    log.persistedTo(at(2), log.generation);
    assert.equal(log.persisted, 2);
  });

  it('never truncates a committed entry', () => {
    const log = logOf(1, 1);
    log.commitTo(at(2));
    assert.throws(() => log.merge([entry(2, 2)]), { rule: 'log.committed-never-truncated' });
  });

  it('never takes its commit index back, nor beyond its end', () => {
    const log = logOf(1, 1);
    log.commitTo(at(2));
    assert.throws(() => log.commitTo(at(1)), { rule: 'log.committed-never-regresses' });
    assert.throws(() => log.commitTo(at(3)), { rule: 'log.committed-within-log' });
  });

  it('hands out to apply what is committed and durable, each once', () => {
    const log = logOf(1);
    log.append(entry(2, 1));
    log.append(entry(3, 1));
    log.commitTo(at(3));
    assert.deepEqual(log.takeCommitted(), { from: 1, to: 1 });
    log.takeWrites();
    log.persistedTo(at(2), log.generation);
    assert.deepEqual(log.takeCommitted(), { from: 2, to: 2 });
    assert.equal(log.takeCommitted(), undefined);
    assert.throws(() => log.appliedTo(at(3)), { rule: 'log.applied-was-handed' });
  });

  it('forgets only what is applied and durable, and still knows the term below its first entry', () => {
    const log = logOf(1, 2, 2);
    log.commitTo(at(2));
    log.takeCommitted();
    assert.throws(() => log.compact(at(1)), { rule: 'log.compacts-only-applied' });
    log.appliedTo(at(2));
    log.compact(at(2));
    assert.equal(log.first, 3);
    assert.equal(log.termAt(at(2)), 2);
    assert.equal(log.termAt(at(1)), undefined);
    assert.throws(() => log.entry(at(2)), { rule: 'log.entry-in-log' });
  });

  it('counts the payload bytes that wait for their commit', () => {
    const log = logOf(1);
    log.commitTo(at(1));
    log.append(entry(2, 1, 10));
    log.append(entry(3, 1, 20));
    assert.equal(log.uncommittedBytes, 30);
    log.commitTo(at(2));
    assert.equal(log.uncommittedBytes, 20);
    log.merge([entry(3, 2, 7)]);
    assert.equal(log.uncommittedBytes, 7);
  });

  it('gives entries up to a size, but always at least one', () => {
    const log = logOf();
    for (let i = 1; i <= 4; i++) log.append(entry(i, 1, 10));
    assert.equal(log.slice(at(1), 25).length, 2);
    assert.equal(log.slice(at(3), 5).length, 1);
    assert.equal(log.slice(at(5), 100).length, 0);
  });

  it('judges another log by its last term first, then by its length', () => {
    const log = logOf(1, 2, 2);
    assert.ok(log.isUpToDate(at(3), 2 as Term));
    assert.ok(log.isUpToDate(at(1), 3 as Term));
    assert.ok(!log.isUpToDate(at(2), 2 as Term));
    assert.ok(!log.isUpToDate(at(9), 1 as Term));
  });

  it('names the last place that could agree with a log that ends earlier or in an older term', () => {
    const log = logOf(1, 1, 3, 3, 5);
    assert.deepEqual(log.lastAgreement(at(5), 4 as Term), { index: 4, term: 3 });
    assert.deepEqual(log.lastAgreement(at(4), 2 as Term), { index: 2, term: 1 });
    assert.deepEqual(log.lastAgreement(at(9), 9 as Term), { index: 5, term: 5 });
    assert.deepEqual(log.lastAgreement(at(3), 0 as Term), { index: 0, term: 0 });
  });

  it('refuses to be restored with a hole, a falling term or fewer entries than are committed', () => {
    const hard = { ...blank.hard, term: 9 as Term };
    const open = (entries: Entry[], commit = 0): RaftLog =>
      new RaftLog({ ...blank, hard: { ...hard, commit: at(commit) }, entries });
    assert.throws(() => open([entry(2, 1)]), { rule: 'log.restored-dense' });
    assert.throws(() => open([entry(1, 2), entry(2, 1)]), { rule: 'log.restored-terms-rise' });
    assert.throws(() => open([entry(1, 10)]), { rule: 'log.restored-within-term' });
    assert.throws(() => open([entry(1, 1)], 2), { rule: 'log.restored-holds-committed' });
  });
});
