import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { SILENT } from '../../core/observe.ts';
import { Tasks } from '../../core/tasks.ts';
import { idOf, markCommand } from '../conversation/test-kit.ts';
import { CommandNeeds, type CommandNeedsParts } from './command-needs.ts';
import type { Held } from './lanes.ts';
import { VirtualTime } from './testing/virtual-time.ts';

function heldOf(command: Uint8Array): Held {
  const answerer = { committed: () => undefined, refused: () => undefined };
  return { command, bytes: command.length, answerer, request: 1, isCompleted: false };
}

describe('what a command needs', () => {
  it('a mark that jumps far holds few rows at once', async () => {
    const time = new VirtualTime();
    const command = markCommand(idOf(1), idOf(2), { read: 5000 });
    const counted: number[] = [];
    const machine = {
      isResident: () => true,
      markNeedsRows: () => ({ from: 10, to: 5000 }),
      view: () => ({ conversation: idOf(1), head: 6000, buckets: [], overlayCount: 0 }),
      startTally: () => ({ add: (rows: readonly number[]) => counted.push(...rows) }),
      completeMark: (given: Uint8Array) => given,
      pin: () => undefined,
      unpin: () => undefined,
    };
    let longest = 0;
    const reads = {
      rows: (_: unknown, from: number, through: number) => {
        longest = Math.max(longest, through - from + 1);
        return Promise.resolve(Array.from({ length: through - from + 1 }, (_row, i) => from + i));
      },
    };
    const tasks = new Tasks({ max: 1, log: SILENT });
    const parts = { machine, reads, tasks, timers: time } as unknown as CommandNeedsParts;
    let isDone = false;
    new CommandNeeds(parts).load(heldOf(command), () => (isDone = true));
    await time.advance(10);
    assert.ok(isDone && longest <= 1024);
    assert.deepEqual(
      counted,
      Array.from({ length: 4990 }, (_, i) => 11 + i),
    );
  });

  it('waits while too much is under way elsewhere: a busy store is no fault of a shard', async () => {
    const time = new VirtualTime();
    const tasks = new Tasks({ max: 1, log: SILENT });
    let release: () => void = () => undefined;
    tasks.run('other', () => new Promise<void>((done) => (release = done)));
    const command = markCommand(idOf(1), idOf(2), { read: 3 });
    let pins = 0;
    const machine = {
      isResident: () => true,
      markNeedsRows: () => ({ from: 0, to: 3 }),
      view: () => ({ conversation: idOf(1), head: 3, buckets: [], overlayCount: 0 }),
      startTally: () => ({ add: () => undefined }),
      completeMark: (given: Uint8Array) => given,
      pin: () => pins++,
      unpin: () => pins--,
    };
    const reads = { rows: () => Promise.resolve([]) };
    const parts = { machine, reads, tasks, timers: time } as unknown as CommandNeedsParts;
    const held = heldOf(command);
    const ends: unknown[] = [];
    new CommandNeeds(parts).load(held, (error) => ends.push(error));
    await time.advance(50);
    assert.deepEqual([ends, pins], [[], 1]);
    release();
    await time.advance(50);
    assert.deepEqual([ends, pins, held.isCompleted], [[undefined], 0, true]);
  });
});
