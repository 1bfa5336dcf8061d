import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { decodeCommand } from '../../core/command-codec.ts';
import { newRawId } from '../../core/ids.ts';
import { callerOf, SCRIPT_EPOCH, ScriptedSession } from '../testing/scripted-session.ts';
import { ID } from '../testing/one-conversation.ts';

describe('session: marks', () => {
  const report = (sequence: number, over: object = {}): object => ({
    receipt: { delivered: [{ conversationId: ID, epoch: SCRIPT_EPOCH, sequence, ...over }] },
  });
  it('merge to one each 200 ms, the highest; in large groups each 2 s', () => {
    const script = new ScriptedSession().live();
    for (const sequence of [1, 2, 5, 3]) script.frame(report(sequence));
    assert.equal(script.count('mark'), 1);
    script.pass(201);
    assert.equal(script.count('mark'), 2);
    const marks = script.effects.flatMap((one) =>
      one.is === 'mark' ? [decodeCommand(one.command)] : [],
    );
    assert.deepEqual(
      marks.map((one) => 'deliveredThrough' in one && one.deliveredThrough),
      [1, 5],
    );
    script.large.add(ID);
    script.pass(3000);
    script.frame(report(6));
    script.frame(report(7));
    script.pass(1000);
    assert.equal(script.count('mark'), 3);
    script.pass(1100);
    assert.equal(script.count('mark'), 4);
  });
  it('are said once more after a hole and with the check: a lost one is not lost for good', () => {
    const caller = callerOf(newRawId(1), 9_000_000);
    const script = new ScriptedSession({ pingIntervalMs: 9_000_000 }, caller).live();
    script.frame(report(5));
    script.session.resync(script.nowMs);
    script.frame({ ping: {} });
    assert.equal(script.count('mark'), 2);
    // The gateway's wheel wakes it a little late.
    script.nowMs += 360_090;
    script.session.tick(script.nowMs);
    script.frame({ ping: {} });
    assert.equal(script.count('mark'), 3);
    script.pass(700_000);
    assert.equal(script.count('mark'), 3);
  });
  it('are said once more by each user at a time of his own: all at once, a busy store refused them again', () => {
    const times = new Set<number>();
    for (let user = 1; user <= 20; user++) {
      const id = new Uint8Array(16).fill(1);
      id[14] = 11 * user;
      const caller = callerOf(id, 9_000_000);
      const script = new ScriptedSession({ pingIntervalMs: 9_000_000 }, caller).live();
      const fromMs = script.nowMs;
      script.frame(report(5));
      while (script.count('mark') < 2) {
        script.pass(1000);
        assert.ok(script.nowMs - fromMs <= 361_000);
      }
      assert.ok(script.nowMs - fromMs >= 300_000);
      times.add(script.nowMs - fromMs);
    }
    assert.ok(times.size >= 10, `${times.size} times`);
  });
  it('of another epoch are ignored, bad ones refused, read implies delivered', () => {
    const script = new ScriptedSession().live();
    script.frame(report(3, { epoch: 5 }));
    assert.equal(script.count('mark'), 0);
    const bad = script.ask(report(-1));
    assert.ok(bad?.error !== undefined && !(bad.error instanceof Uint8Array));
    assert.equal(bad.error.reason, 'BAD_FIELD');
    script.frame({ receipt: { read: [{ conversationId: ID, sequence: 4 }] } });
    const command = decodeCommand(script.take('mark').command);
    assert.ok('readThrough' in command);
    assert.deepEqual([command.deliveredThrough, command.readThrough], [4, 4]);
  });
});
