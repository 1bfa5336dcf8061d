/**
 * What the state store says of a shard itself: through which entry its state goes, how far its
 * courier came. Disk formats, one value a part, all written in the
 * batch of the flush whose index they name.
 */
import { ByteReader, ByteWriter } from '../../core/bytes.ts';
import type { Index, ReplicaId, Term } from '../../core/ids.ts';
import { invariant } from '../../core/invariant.ts';
import type { Configuration, SnapshotDescriptor } from '../consensus/message.ts';

export const SHARD_PART = { applied: 0, couriers: 1, erased: 2 } as const;

const VERSION = 1;

export interface AppliedMeta {
  /** The state is that of this index; the log goes on behind it. */
  readonly at: SnapshotDescriptor;
  /** Highest stamp applied: stamps never fall, also over a restart. */
  readonly stampMs: number;
}

export function encodeApplied({ at, stampMs }: AppliedMeta): Uint8Array {
  const out = new ByteWriter(64).u8(VERSION).u53(at.index).u53(at.term).u53(stampMs);
  const { voters, outgoing, learners } = at.configuration;
  for (const ids of [voters, outgoing, learners]) {
    out.u16(ids.length);
    for (const id of ids) out.u53(id);
  }
  return out.finish();
}

export function decodeApplied(bytes: Uint8Array): AppliedMeta {
  const input = read(bytes);
  const index = input.u53() as Index;
  const term = input.u53() as Term;
  const stampMs = input.u53();
  const ids = (): ReplicaId[] =>
    Array.from({ length: input.u16() }, () => input.u53() as ReplicaId);
  const configuration: Configuration = { voters: ids(), outgoing: ids(), learners: ids() };
  return { at: { index, term, configuration }, stampMs };
}

/** Per destination shard: membership changes at or below this index of the source are delivered. */
export function encodeCouriers(cursors: Float64Array): Uint8Array {
  const out = new ByteWriter(8 + cursors.length * 8).u8(VERSION).u16(cursors.length);
  for (const cursor of cursors) out.u53(cursor);
  return out.finish();
}

export function decodeCouriers(bytes: Uint8Array): Float64Array {
  const input = read(bytes);
  return Float64Array.from({ length: input.u16() }, () => input.u53());
}

function read(bytes: Uint8Array): ByteReader {
  const input = new ByteReader(bytes);
  const version = input.u8();
  invariant(version === VERSION, 'shard-meta.version-known', { version });
  return input;
}
