/**
 * How Raft's writes lie in the WAL: one record an entry, one for the hard state, in the order in
 * which Effects lists them; and how a replica is made of what a start finds there.
 *
 * A claim is told from a command by its first byte: commands begin with their version (1).
 */
import { readU53, viewOf, writeU53 } from '../../core/bytes.ts';
import type { Index, ReplicaId, Term } from '../../core/ids.ts';
import { invariant } from '../../core/invariant.ts';
import { RECORD_KIND, type ShardRemains, type WalRecord } from '../../storage-engine/contract.ts';
import type { FrameWriter } from '../../storage-engine/wal/frame.ts';
import type { Effects, RestoredReplica } from '../consensus/contract.ts';
import type { Entry, EntryKind, HardState, SnapshotDescriptor } from '../consensus/message.ts';

export const CLAIM_VERSION = 0xc1;
const VOTE_BYTES = 8;

/** The claim of a term: whose it is. Its fence is the entry's term. */
export function claimPayload(id: ReplicaId): Uint8Array {
  const payload = new Uint8Array(16);
  payload[0] = CLAIM_VERSION;
  writeU53(viewOf(payload), 8, id);
  return payload;
}

/** Packs the writes of one take into the frame. Returns how many payload bytes these were. */
export function packEffects(shard: number, effects: Effects, frame: FrameWriter): number {
  let bytes = 0;
  const { hard } = effects;
  if (hard !== undefined) {
    const vote = new Uint8Array(VOTE_BYTES);
    writeU53(viewOf(vote), 0, hard.vote);
    frame.add(RECORD_KIND.hardState, shard, { term: hard.term, index: hard.commit }, vote);
    bytes += VOTE_BYTES;
  }
  if (effects.truncateFrom !== undefined) {
    const place = { term: 0, index: effects.truncateFrom - 1 };
    frame.add(RECORD_KIND.truncate, shard, place, NO_PAYLOAD);
  }
  // LIMIT: snapshots from peers come with replication; one replica never installs one.
  invariant(effects.installSnapshot === undefined, 'store.no-snapshot-yet', { shard });
  for (const entry of effects.append) {
    const kind = entry.kind === 'config' ? RECORD_KIND.config : RECORD_KIND.entry;
    frame.add(kind, shard, entry, entry.payload);
    bytes += entry.payload.length;
  }
  return bytes;
}

/** A replica as state and WAL give it back. `at` is what the state durably contains. */
export function restoreReplica(
  at: SnapshotDescriptor,
  remains: ShardRemains | undefined,
): RestoredReplica {
  const entries = (remains?.log ?? []).filter((record) => record.index > at.index).map(toEntry);
  const first = entries[0];
  invariant(
    first === undefined || first.index === at.index + 1,
    'store.wal-continues-state',
    () => ({ first: first?.index ?? 0, applied: at.index }),
  );
  const last = entries.at(-1)?.index ?? at.index;
  const hard = readHardState(remains?.hardState, at);
  return {
    // The commit index may have been recorded beyond what was cut off the end: never beyond the log.
    hard: { ...hard, commit: Math.min(Math.max(hard.commit, at.index), last) as Index },
    snapshot: at,
    entries,
    applied: at.index,
    isSuspect: false,
  };
}

function readHardState(record: WalRecord | undefined, at: SnapshotDescriptor): HardState {
  if (record === undefined) return { term: at.term, vote: 0 as ReplicaId, commit: at.index };
  invariant(record.payload.length === VOTE_BYTES, 'store.vote-length');
  const vote = readU53(viewOf(record.payload), 0) as ReplicaId;
  const isOld = record.term < at.term;
  return {
    term: Math.max(record.term, at.term) as Term,
    vote: isOld ? (0 as ReplicaId) : vote,
    commit: record.index,
  };
}

function toEntry(record: WalRecord): Entry {
  return { term: record.term, index: record.index, kind: kindOf(record), payload: record.payload };
}

function kindOf(record: WalRecord): EntryKind {
  if (record.kind === RECORD_KIND.config) return 'config';
  invariant(record.kind === RECORD_KIND.entry, 'store.log-record-kind', { kind: record.kind });
  return record.payload[0] === CLAIM_VERSION ? 'claim' : 'command';
}

const NO_PAYLOAD: Uint8Array = new Uint8Array(0);
