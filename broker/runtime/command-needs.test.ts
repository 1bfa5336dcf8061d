import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { SILENT } from '../../core/observe.ts';
import { Tasks } from '../../core/tasks.ts';
import { idOf, markCommand } from '../conversation/test-kit.ts';
import { CommandNeeds, type CommandNeedsParts } from './command-needs.ts';
import { VirtualTime } from './test-kit.ts';

describe('what a command needs', () => {
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
      startTally: () => ({ user: idOf(2), through: 0, own: 0, ownMentionAll: 0 }),
      completeMark: (given: Uint8Array) => given,
      pin: () => pins++,
      unpin: () => pins--,
    };
    const reads = { rows: () => Promise.resolve([]) };
    const parts = { machine, reads, tasks, timers: time } as unknown as CommandNeedsParts;
    const held = {
      command,
      bytes: command.length,
      answerer: { committed: () => undefined, refused: () => undefined },
      request: 1,
      isCompleted: false,
    };
    const ends: unknown[] = [];
    new CommandNeeds(parts).load(held, (error) => ends.push(error));
    await time.advance(50);
    assert.deepEqual([ends, pins], [[], 1]);
    release();
    await time.advance(50);
    assert.deepEqual([ends, pins, held.isCompleted], [[undefined], 0, true]);
  });
});
