import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { compareBytes } from '../../core/bytes.ts';
import { SILENT } from '../../core/observe.ts';
import { Tasks } from '../../core/tasks.ts';
import {
  STATE_RANGE_LIMIT_MAX,
  type StateEntry,
  type StateRange,
  type StateStore,
} from '../../storage-engine/contract.ts';
import { headerKey, senderRecordKey } from '../../storage-engine/keys.ts';
import type { ConversationMachine, StateUnit } from '../conversation/contract.ts';
import { idOf } from '../conversation/test-kit.ts';
import { Residency } from './residency.ts';
import { VirtualTime } from './testing/virtual-time.ts';

describe('residency', () => {
  it('loads a conversation whole, however many wrote in it', async () => {
    const conversation = idOf(1, 4);
    const value = new Uint8Array(1);
    const writers = STATE_RANGE_LIMIT_MAX + 10;
    const entries: StateEntry[] = [{ key: headerKey(conversation), value }];
    for (let writer = 1; writer <= writers; writer++)
      entries.push({ key: senderRecordKey(conversation, idOf(writer)), value });
    const state = {
      getMany: (keys: readonly Uint8Array[]) => Promise.resolve(keys.map(() => value)),
      range: ({ gte, lt, limit = STATE_RANGE_LIMIT_MAX }: StateRange) =>
        Promise.resolve(
          entries
            .filter(({ key }) => compareBytes(key, gte) >= 0 && compareBytes(key, lt) < 0)
            .slice(0, limit),
        ),
    } as unknown as StateStore;
    const loaded: StateUnit[] = [];
    const machine = {
      residentBytes: 0,
      residentCount: 0,
      isResident: () => loaded.length > 0,
      load: (_: Uint8Array, units: readonly StateUnit[]) => void loaded.push(...units),
    } as unknown as ConversationMachine;
    const time = new VirtualTime();
    const failures: unknown[] = [];
    const residency = new Residency({
      state,
      timers: time,
      tasks: new Tasks({ max: 4, log: SILENT, failed: (_, error) => void failures.push(error) }),
      bytesMax: 1e9,
      machines: [machine],
      accounts: [],
    });
    let isDone = false;
    residency.conversation(machine, conversation, () => {
      isDone = true;
    });
    await time.settle();
    assert.deepEqual(failures, []);
    assert.ok(isDone);
    assert.equal(loaded.length, writers + 1);
    assert.deepEqual(loaded.at(-1)?.user, idOf(writers));
  });
});
