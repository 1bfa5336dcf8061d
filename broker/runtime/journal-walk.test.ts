import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { EMPTY } from '../../core/bytes.ts';
import { RowView, encodeRow } from '../../core/row.ts';
import { journalKey } from '../../storage-engine/keys.ts';
import { MemoryStateStore, StateMedium } from '../../storage-engine/memory-state-store.ts';
import { idOf } from '../conversation/test-kit.ts';
import type { Courier } from './courier.ts';
import { JournalBuilder } from './journal-builder.ts';
import type { JournalMembership } from './journal.ts';
import { resumeCourier, trimJournal } from './journal-walk.ts';

const SHARD = 2;
const CONVERSATION = idOf(1, 4);

function rowOf(timeMs: number): Uint8Array {
  const nobody = idOf(0);
  return encodeRow({
    bodyKind: 1,
    flags: 0,
    sequence: 1,
    timeMs,
    ordinal: 1,
    mentionAllOrdinal: 0,
    clientSeq: 1,
    target: 0,
    sender: nobody,
    device: nobody,
    outbox: nobody,
    clientMessageId: nobody,
    payloadHash: nobody,
    mentions: EMPTY,
    body: EMPTY,
  });
}

/** A journal of values with five entries each, a membership at every index; value n is n days old. */
async function journal(values: number): Promise<MemoryStateStore> {
  const state = new MemoryStateStore({ medium: new StateMedium() });
  await state.open();
  const batch = state.newBatch();
  for (let value = 0; value < values; value++) {
    const firstIndex = 5 * value + 1;
    const builder = new JournalBuilder();
    const row = rowOf(value);
    for (let index = firstIndex; index < firstIndex + 5; index++) {
      builder.row(index, CONVERSATION, new RowView(row));
      builder.membership(index, CONVERSATION, { user: idOf(index), joined: true, sequence: 1 });
    }
    const bytes = builder.cut()?.value ?? assert.fail('a journal was built');
    batch.put(journalKey(SHARD, firstIndex), bytes);
  }
  await batch.write({ sync: true });
  return state;
}

describe('walks of the journal', () => {
  it('a courier finds everything above its floor, also within the value that holds it', async () => {
    for (const floor of [0, 4, 5, 7, 99]) {
      const found: number[] = [];
      let isComplete = false;
      const courier = {
        floor,
        reign: 1,
        found: (changes: readonly JournalMembership[]) =>
          void found.push(...changes.map(({ index }) => index)),
        complete: () => {
          isComplete = true;
        },
      } as unknown as Courier;
      await resumeCourier(await journal(20), SHARD, courier);
      assert.ok(isComplete);
      const above = Array.from({ length: 100 - floor }, (_, i) => floor + 1 + i);
      assert.deepEqual(
        found.filter((index) => index > floor),
        above,
      );
    }
  });

  it('what a courier still needs stays however old, and what is young stays though nobody does', async () => {
    const left = async (keep: { sinceMs: number; aboveIndex: number }): Promise<number> => {
      const state = await journal(10);
      await trimJournal(state, SHARD, keep);
      const entries = await state.range({ gte: journalKey(SHARD, 0), lt: journalKey(SHARD, 1e6) });
      return entries.length;
    };
    assert.equal(await left({ sinceMs: 100, aboveIndex: 1000 }), 0);
    assert.equal(await left({ sinceMs: 100, aboveIndex: 14 }), 8);
    assert.equal(await left({ sinceMs: 100, aboveIndex: 15 }), 7);
    assert.equal(await left({ sinceMs: 4, aboveIndex: 1000 }), 6);
  });
});
