/** Faults in promises and in what must be on a disk before they are made. */
import type { Mutant } from './mutant.ts';

export const DURABILITY_MUTANTS: readonly Mutant[] = [
  {
    name: 'vote-before-sync',
    fault: 'a vote leaves before it is durable (PySyncObj, willemt, daos)',
    file: 'replica',
    find: 'this.outbox.afterPersist(reply);',
    replace: 'this.outbox.now(reply);',
  },
  {
    name: 'candidacy-before-sync',
    fault: 'a vote is asked for before the term and the log are durable',
    file: 'replica',
    find: 'this.outbox.afterPersist(message);',
    replace: 'this.outbox.now(message);',
  },
  {
    name: 'acknowledge-before-sync',
    fault: 'a follower acknowledges before its own fsync (NATS by default)',
    file: 'replica',
    find: "this.outbox.afterPersist({ kind: 'append-reply'",
    replace: "this.outbox.now({ kind: 'append-reply'",
  },
  {
    name: 'leader-counts-unsynced',
    fault: 'a leader, or a shard of one, counts itself before its own fsync (etcd #14370)',
    file: 'replication',
    find: 'id === this.#id ? this.#log.persisted',
    replace: 'id === this.#id ? this.#log.last',
  },
  {
    name: 'own-vote-before-sync',
    fault: 'a sole voter leads before its term is durable and can lead it twice',
    file: 'replica',
    find: 'this.#vote = this.id; this.#askForVotes',
    replace: 'this.#vote = this.id; if (this.#isAlone()) return this.#lead(); this.#askForVotes',
  },
  {
    name: 'vote-not-written',
    fault: 'the vote is not part of what makes the hard state worth writing',
    file: 'raft',
    find: 'told.term !== this.#replica.term || told.vote !== this.#replica.vote; if',
    replace: 'told.term !== this.#replica.term; if',
  },
  {
    name: 'append-aba',
    fault: 'the end of an older write proves a newer one durable (the append ABA of etcd)',
    file: 'raft-log',
    find: 'if (generation !== this.#generation) return;',
    replace: '',
  },
  {
    name: 'truncation-not-written',
    fault: 'the disk keeps entries that the log has replaced',
    file: 'raft-log',
    find: 'this.#truncateFrom = Math.min(this.#truncateFrom ?? from, from);',
    replace: '',
  },
  {
    name: 'promises-outlive-their-term',
    fault: 'what was never written is acknowledged in a term that is over',
    file: 'replica',
    find: 'this.outbox.forgetPromises();',
    replace: '',
  },
  {
    name: 'apply-before-sync',
    fault: 'the state machine runs ahead of its own log',
    file: 'raft-log',
    find: 'const to = Math.min(this.#commit, this.#persisted);',
    replace: 'const to = this.#commit;',
  },
  {
    name: 'stalled-disk-leads',
    fault: 'a leader whose disk hangs keeps its leadership (hashicorp/raft #503)',
    file: 'replica',
    find: 'if (this.#disk.isStalled && !this.#isAlone())',
    replace: 'if (false)',
  },
  {
    name: 'stalled-disk-stands',
    fault: 'a replica whose disk hangs wins the next election too (hashicorp/raft #614)',
    file: 'replica',
    find: 'return !this.#disk.isStalled || this.#isAlone();',
    replace: 'return true;',
  },
];
