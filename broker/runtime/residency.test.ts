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
import { encodeSparse } from '../../storage-engine/sparse.ts';
import type { ConversationMachine, StateUnit } from '../conversation/contract.ts';
import { idOf } from '../conversation/test-kit.ts';
import { Residency } from './residency.ts';
import { VirtualTime } from './testing/virtual-time.ts';

const CONVERSATION = idOf(1, 4);
const VALUE = new Uint8Array(1);

interface Loaded {
  readonly units: readonly StateUnit[];
  /** How often the store was asked: for keys, for a range. */
  readonly gets: number;
  readonly ranges: number;
}

/** Loads the conversation out of these entries; its header names these users, if any. */
async function load(
  entries: readonly StateEntry[],
  named: Uint8Array | undefined,
): Promise<Loaded> {
  let [gets, ranges] = [0, 0];
  const state = {
    getMany: (keys: readonly Uint8Array[]) => {
      gets++;
      return Promise.resolve(
        keys.map((key) => entries.find((entry) => compareBytes(entry.key, key) === 0)?.value),
      );
    },
    range: ({ gte, lt, limit = STATE_RANGE_LIMIT_MAX }: StateRange) => {
      ranges++;
      return Promise.resolve(
        entries
          .filter(({ key }) => compareBytes(key, gte) >= 0 && compareBytes(key, lt) < 0)
          .slice(0, limit),
      );
    },
  } as unknown as StateStore;
  const units: StateUnit[] = [];
  const machine = {
    residentBytes: 0,
    residentCount: 0,
    sendersOf: () => named,
    isResident: () => units.length > 0,
    load: (_: Uint8Array, found: readonly StateUnit[]) => void units.push(...found),
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
  residency.conversation(machine, CONVERSATION, () => {
    isDone = true;
  });
  await time.settle();
  assert.deepEqual(failures, []);
  assert.ok(isDone);
  return { units, gets, ranges };
}

describe('residency', () => {
  it('loads a conversation whole, however many wrote in it', async () => {
    const writers = STATE_RANGE_LIMIT_MAX + 10;
    const entries: StateEntry[] = [{ key: headerKey(CONVERSATION), value: VALUE }];
    for (let writer = 1; writer <= writers; writer++)
      entries.push({ key: senderRecordKey(CONVERSATION, idOf(writer)), value: VALUE });
    const { units } = await load(entries, undefined);
    assert.equal(units.length, writers + 1);
    assert.deepEqual(units.at(-1)?.user, idOf(writers));
  });

  it('loads a small one by the keys that its header names, without a range', async () => {
    const entries: StateEntry[] = [
      { key: headerKey(CONVERSATION), value: VALUE },
      { key: senderRecordKey(CONVERSATION, idOf(2)), value: VALUE },
      { key: senderRecordKey(CONVERSATION, idOf(3)), value: VALUE },
    ];
    const named = new Uint8Array([...idOf(1), ...idOf(2), ...idOf(3)]);
    const { units, gets, ranges } = await load(entries, named);
    assert.deepEqual(
      units.map(({ kind, user }) => [kind, [...user]]),
      [
        [0, []],
        [2, [...idOf(2)]],
        [2, [...idOf(3)]],
      ],
    );
    assert.deepEqual([gets, ranges], [2, 0]);
    assert.equal((await load([], named)).units.length, 0);
  });

  it('loads what was stored without its zeros, and what was stored before that was done', async () => {
    const value = (i: number): Uint8Array => Uint8Array.of(1, ...new Uint8Array(30), i);
    const entries: StateEntry[] = [
      { key: headerKey(CONVERSATION), value: encodeSparse(value(1)).slice() },
      { key: senderRecordKey(CONVERSATION, idOf(2)), value: encodeSparse(value(2)).slice() },
      { key: senderRecordKey(CONVERSATION, idOf(3)), value: value(3) },
    ];
    for (const named of [new Uint8Array([...idOf(2), ...idOf(3)]), undefined]) {
      const { units } = await load(entries, named);
      assert.deepEqual(
        units.map((unit) => unit.value),
        [value(1), value(2), value(3)],
      );
    }
  });
});
