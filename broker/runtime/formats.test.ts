/** Golden bytes: disk formats of this room change only by a decision record. */
import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { hex } from '../../core/bytes.ts';
import type { Index, ReplicaId, Term } from '../../core/ids.ts';
import { ROW_FIXED_BYTES, ROW_FLAG, RowView, encodeRow } from '../../core/row.ts';
import { FrameWriter, frameBody, readRecords } from '../../storage-engine/wal/frame.ts';
import type { Entry, HardState } from '../consensus/message.ts';
import { idOf } from '../conversation/test-kit.ts';
import { redactedRow } from './erasures.ts';
import { JournalBuilder } from './journal-builder.ts';
import { decodeJournal } from './journal.ts';
import { decodeStoredOverlay, encodeStoredOverlay } from './overlays.ts';
import { decodeApplied, decodeCouriers, encodeApplied, encodeCouriers } from './shard-meta.ts';
import { CLAIM_VERSION, claimPayload, packEffects, restoreReplica } from './wal-records.ts';

const A = idOf(1, 0xa1);
const BO = idOf(2, 0xb0);

function row(sequence: number): Uint8Array {
  return encodeRow({
    bodyKind: 1,
    flags: ROW_FLAG.countable,
    sequence,
    timeMs: 1_700_000_000_000,
    ordinal: sequence,
    mentionAllOrdinal: 0,
    clientSeq: 1,
    target: 0,
    sender: BO,
    device: A,
    outbox: A,
    clientMessageId: A,
    payloadHash: A,
    mentions: BO,
    body: new Uint8Array([1, 2, 3]),
  });
}

describe('disk formats of the runtime', () => {
  it('journal', () => {
    const builder = new JournalBuilder();
    builder.row(7, A, new RowView(row(3)));
    builder.row(8, A, new RowView(row(4)));
    builder.register(9, A, BO);
    builder.register(10, A, BO);
    builder.membership(11, A, { user: BO, joined: true, sequence: 4 });
    builder.entry(12);
    const cut = builder.cut();
    assert.ok(cut !== undefined);
    assert.equal(cut.firstIndex, 7);
    assert.equal(
      hex(cut.value),
      '010700000000000000' +
        '0c00000000000000' +
        '0068e5cf8b010000' +
        '01000000' +
        'a1a1a1a1a1a1a1a1a1a1a1a100000001' +
        '0800000000000000' +
        '0068e5cf8b010000' +
        '0400000000000000' +
        '0400000000000000' +
        '0300000000000000' +
        '02000000' +
        '02000000' +
        '0100' +
        'b0b0b0b0b0b0b0b0b0b0b0b000000002' +
        '0a00000000000000' +
        '01000000' +
        'a1a1a1a1a1a1a1a1a1a1a1a100000001' +
        'b0b0b0b0b0b0b0b0b0b0b0b000000002' +
        '01' +
        '0400000000000000' +
        '0b00000000000000',
    );
    assert.equal(builder.cut(), undefined);
    const { changes, memberships } = decodeJournal(cut.value);
    assert.deepEqual(memberships, cut.memberships);
    assert.deepEqual(changes[0]?.registers, [{ user: BO, index: 10 }]);
  });

  it('the journal of many conversations, each with its own registers, and of the next cut', () => {
    const builder = new JournalBuilder();
    const id = (n: number): Uint8Array => {
      const bytes = new Uint8Array(16).fill(7);
      bytes[15] = n & 255;
      bytes[14] = n >> 8;
      return bytes;
    };
    for (const first of [1, 50_000]) {
      let index = first;
      for (let n = 0; n < 300; n++) {
        builder.changed(index++, id(n), { head: n, ordinal: n + 1, timeMs: first + n });
        for (let user = 0; user <= n % 7; user++) builder.register(index++, id(n), id(1000 + user));
      }
      builder.register(index, id(3), id(1001));
      const { firstIndex, lastIndex, changes } = decodeJournal(
        builder.cut()?.value ?? new Uint8Array(0),
      );
      assert.deepEqual([firstIndex, lastIndex, changes.length], [first, index, 300]);
      for (const [n, change] of changes.entries()) {
        assert.deepEqual(change.conversation, id(n));
        assert.deepEqual([change.head, change.ordinal, change.timeMs], [n, n + 1, first + n]);
        assert.deepEqual([change.rows, change.kinds, change.firstSequence], [0, 0, 0]);
        const users = change.registers.map(({ user }) => user);
        const expected = Array.from({ length: (n % 7) + 1 }, (_, user) => id(1000 + user));
        assert.deepEqual(users, expected);
      }
      assert.equal(changes[3]?.registers[1]?.index, index);
    }
  });

  it('what is applied of a shard, and how far its couriers came', () => {
    const voters = [1 as ReplicaId];
    const configuration = { voters, outgoing: [], learners: [] };
    const applied = {
      at: { index: 300 as Index, term: 2 as Term, configuration },
      stampMs: 1_700_000_000_000,
    };
    const bytes = encodeApplied(applied);
    assert.equal(
      hex(bytes),
      '012c0100000000000002000000000000000068e5cf8b010000' + '01000100000000000000' + '00000000',
    );
    assert.deepEqual(decodeApplied(bytes), applied);
    const cursors = encodeCouriers(Float64Array.of(1, 500));
    assert.equal(hex(cursors), '0102000100000000000000f401000000000000');
    assert.deepEqual(decodeCouriers(cursors), Float64Array.of(1, 500));
  });

  it('overlay', () => {
    const overlay = { changeSequence: 258, value: new Uint8Array([9, 8]) };
    const bytes = encodeStoredOverlay(overlay);
    assert.equal(hex(bytes), '02010000000000000908');
    assert.deepEqual(decodeStoredOverlay(bytes), overlay);
  });

  it('a redacted row keeps its fixed part and hash and nothing of what it said', () => {
    const redacted = new RowView(redactedRow(row(3)));
    assert.equal(redacted.bytes.length, ROW_FIXED_BYTES);
    assert.equal(redacted.body.length + redacted.mentions.length, 0);
    assert.ok(redacted.has(ROW_FLAG.redacted) && redacted.has(ROW_FLAG.countable));
    assert.deepEqual([redacted.sequence, redacted.payloadHash], [3, A]);
  });

  it('what Raft writes comes back as it was: vote, entries, claims told from commands', () => {
    const entries: Entry[] = [
      { term: 3 as Term, index: 5 as Index, kind: 'claim', payload: claimPayload(1 as ReplicaId) },
      { term: 3 as Term, index: 6 as Index, kind: 'command', payload: new Uint8Array([1, 9]) },
    ];
    const frame = new FrameWriter();
    const hard = { term: 3 as Term, vote: 1 as ReplicaId, commit: 4 as Index };
    packEffects(2, { ...NO_EFFECTS, hard, append: entries }, frame);
    const records = [...readRecords(frameBody(frame.take()))];
    assert.equal(hex(records[0]?.payload ?? A), '0100000000000000');
    assert.equal(records[1]?.payload[0], CLAIM_VERSION);
    const configuration = { voters: [1 as ReplicaId], outgoing: [], learners: [] };
    const at = { index: 4 as Index, term: 2 as Term, configuration };
    const restored = restoreReplica(at, {
      shard: records[0]?.shard ?? (2 as never),
      hardState: records[0],
      snapshot: undefined,
      log: records.slice(1),
      lastTerm: 3 as Term,
      lastIndex: 6 as Index,
    });
    assert.deepEqual(restored.entries, entries);
    assert.deepEqual(restored.hard, hard);
    assert.equal(restored.applied, 4);
  });

  it('a log that does not go on where the state ends is refused', () => {
    const configuration = { voters: [1 as ReplicaId], outgoing: [], learners: [] };
    const at = { index: 4 as Index, term: 2 as Term, configuration };
    const frame = new FrameWriter();
    frame.add(1, 2, { term: 2, index: 6 }, new Uint8Array([1, 9]));
    const log = [...readRecords(frameBody(frame.take()))];
    const remains = { shard: 2 as never, hardState: undefined, snapshot: undefined, log };
    assert.throws(
      () => restoreReplica(at, { ...remains, lastTerm: at.term, lastIndex: 6 as Index }),
      /store.wal-continues-state/,
    );
  });

  it('a replica begins in no term before its state, votes anew there, and commits nothing it lacks', () => {
    const configuration = { voters: [1 as ReplicaId], outgoing: [], learners: [] };
    const at = { index: 4 as Index, term: 5 as Term, configuration };
    const restored = (hard: HardState): HardState => {
      const frame = new FrameWriter();
      packEffects(2, { ...NO_EFFECTS, hard }, frame);
      const [hardState] = [...readRecords(frameBody(frame.take()))];
      const remains = { shard: 2 as never, snapshot: undefined, log: [], hardState };
      return restoreReplica(at, { ...remains, lastTerm: at.term, lastIndex: at.index }).hard;
    };
    const vote = 1 as ReplicaId;
    assert.deepEqual(restored({ term: 3 as Term, vote, commit: 2 as Index }), {
      term: 5,
      vote: 0,
      commit: 4,
    });
    assert.deepEqual(restored({ term: 5 as Term, vote, commit: 9 as Index }), {
      term: 5,
      vote: 1,
      commit: 4,
    });
  });
});

const NO_EFFECTS = {
  hard: undefined,
  truncateFrom: undefined,
  append: [],
  installSnapshot: undefined,
  token: undefined,
  sendNow: [],
  sendAfterPersist: [],
  committed: undefined,
  reads: [],
  refusedReads: [],
  soft: undefined,
} as const;
