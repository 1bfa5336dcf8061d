import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { hex } from '../../core/bytes.ts';
import { MemoryStateStore, StateMedium } from '../../storage-engine/memory-state-store.ts';
import { allBlocksRanges, blockRange, shardKey } from '../../storage-engine/keys.ts';
import { idOf } from '../conversation/test-kit.ts';
import { ERASED_RANGES_MAX, ErasedRanges } from './erased-ranges.ts';
import { storedOverlayRange } from './overlays.ts';
import { SHARD_PART } from './shard-meta.ts';
import { StampClock } from './stamp-clock.ts';
import { StoreMaintenance } from './store-maintenance.ts';
import { TestNode } from './testing/test-node.ts';
import { VirtualTime } from './testing/virtual-time.ts';

const HOUR_MS = 3_600_000;

class RecordingState extends MemoryStateStore {
  readonly compacted: string[] = [];

  override compactRange(gte?: Uint8Array): Promise<void> {
    this.compacted.push(hex(gte ?? new Uint8Array(0)));
    return super.compactRange();
  }
}

interface Life {
  readonly state: RecordingState;
  readonly erased: ErasedRanges;
  readonly maintenance: StoreMaintenance;
}

async function life(time: VirtualTime, medium: StateMedium): Promise<Life> {
  const state = new RecordingState({ medium });
  await state.open();
  const erased = new ErasedRanges();
  const kept = await state.get(shardKey(3, SHARD_PART.erased));
  if (kept !== undefined) erased.restore(3, kept);
  const stamps = new StampClock(time);
  const courierFloors = (): number[] => [];
  const parts = { state, clock: time, stamps, erased, courierFloors };
  return { state, erased, maintenance: new StoreMaintenance(parts) };
}

async function erase({ state, erased }: Life, conversations: readonly Uint8Array[]): Promise<void> {
  const erasures = conversations.map((conversation) => ({ conversation, sequence: 1, bucket: 7 }));
  const batch = state.newBatch();
  batch.put(shardKey(3, SHARD_PART.erased), erased.add(3, erasures));
  await batch.write({ sync: true });
}

function rangesOf(conversation: Uint8Array): string[] {
  const overlays = storedOverlayRange(conversation, 0, 1);
  return [blockRange(7, conversation), overlays].map(({ gte }) => hex(gte));
}

describe('maintenance of a store', () => {
  it('ranges of erased bodies are compacted within the hour, also those that a restart came between', async () => {
    const time = new VirtualTime();
    const medium = new StateMedium();
    const first = await life(time, medium);
    await erase(first, [idOf(1), idOf(2)]);
    await time.advance(HOUR_MS / 2);
    await first.maintenance.step();
    assert.deepEqual(first.state.compacted, []);
    medium.kill();
    const second = await life(time, medium);
    await second.maintenance.step();
    await time.advance(2 * 60_000);
    await second.maintenance.step();
    assert.deepEqual(second.state.compacted, rangesOf(idOf(1)));
    medium.kill();
    // What was done is not done again, what was not is.
    const third = await life(time, medium);
    await time.advance(2 * 60_000);
    await third.maintenance.step();
    assert.deepEqual(third.state.compacted, rangesOf(idOf(2)));
    assert.equal(await third.state.get(shardKey(3, SHARD_PART.erased)), undefined);
    assert.ok(third.erased.isEmpty);
  });

  it('too many to remember one by one are all blocks at once, not forgotten', async () => {
    const time = new VirtualTime();
    const medium = new StateMedium();
    const first = await life(time, medium);
    const many = Array.from({ length: ERASED_RANGES_MAX + 5 }, (_, i) => idOf(i));
    await erase(first, many);
    medium.kill();
    const second = await life(time, medium);
    await time.advance(HOUR_MS);
    await second.maintenance.step();
    await second.maintenance.step();
    assert.deepEqual(
      second.state.compacted,
      allBlocksRanges().map(({ gte }) => hex(gte)),
    );
    assert.ok(second.erased.isEmpty);
  });

  it('the list has the bytes of format 1', () => {
    const erased = new ErasedRanges();
    const value = erased.add(0, [{ conversation: idOf(5), sequence: 9, bucket: 0x0102 }]);
    assert.equal(hex(value), `0100010000000201${hex(idOf(5))}`);
  });

  it('a flush leaves the list behind, and a start takes it up', async () => {
    const node = await TestNode.started();
    const erased = new ErasedRanges();
    const value = erased.add(2, [{ conversation: idOf(5), sequence: 9, bucket: 0 }]);
    await node.flushed();
    const state = new MemoryStateStore({ medium: node.medium });
    await state.open();
    const batch = state.newBatch();
    batch.put(shardKey(2, SHARD_PART.erased), value);
    await batch.write({ sync: true });
    await node.restart();
    await node.time.advance(3 * 60_000);
    const again = new MemoryStateStore({ medium: node.medium });
    await again.open();
    assert.equal(await again.get(shardKey(2, SHARD_PART.erased)), undefined);
  });
});
