import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { hex } from '../../core/bytes.ts';
import { InvariantViolation } from '../../core/invariant.ts';
import { BODY_KIND } from '../../core/row.ts';
import { BUCKET_MS } from './header.ts';
import { createConversationMachine } from './machine.ts';
import { Direct, idOf, sendCommand, sequenceOf, Shard } from './test-kit.ts';

describe('residency', () => {
  it('knows what does not exist, once it was looked for', () => {
    const machine = createConversationMachine();
    const command = sendCommand({ to: idOf(1, 3), from: idOf(1) });
    assert.deepEqual(machine.needs(command), { conversation: true, target: 0 });
    machine.load(idOf(1, 3), []);
    assert.deepEqual(machine.needs(command), { conversation: false, target: 0 });
    assert.equal(machine.isResident(idOf(1, 3)), true);
    assert.equal(machine.view(idOf(1, 3)), undefined);
    assert.equal(machine.evict(idOf(1, 3)), true);
    assert.equal(machine.residentCount, 0);
  });

  it('keeps a conversation while a command on it is in flight', () => {
    const direct = new Direct();
    direct.send(direct.a);
    direct.shard.flush();
    const { machine } = direct.shard;
    const command = sendCommand({
      to: direct.id,
      from: direct.b,
      outbox: idOf(5, 7),
      clientSeq: 1,
    });
    machine.pin(command);
    machine.pin(command);
    assert.equal(machine.evict(direct.id), false);
    machine.unpin(command);
    assert.equal(machine.evict(direct.id), false);
    machine.unpin(command);
    assert.equal(machine.evict(direct.id), true);
  });

  it('releases a pin when the command is applied', () => {
    const direct = new Direct();
    direct.send(direct.a);
    direct.shard.flush();
    assert.equal(direct.shard.machine.evict(direct.id), true);
  });

  it('keeps what is not yet durable, also what changed again during the flush', () => {
    const direct = new Direct();
    direct.send(direct.a);
    const { shard, id } = direct;
    assert.equal(shard.machine.evict(id), false);
    shard.store(shard.machine.takeDirty());
    assert.equal(shard.machine.evict(id), false);
    direct.send(direct.a);
    shard.machine.flushed();
    assert.equal(shard.machine.evict(id), false);
    const again = shard.machine.takeDirty();
    assert.equal(again.length, 1);
    shard.store(again);
    shard.machine.flushed();
    assert.equal(shard.machine.evict(id), true);
    assert.equal(shard.me(id, direct.b).unreadCount, 2);
  });

  it('of a large group rewrites the page of the member who marks, not the others', () => {
    const shard = new Shard();
    const users = Array.from({ length: 200 }, (_, i) => idOf(i + 2));
    const { id } = shard.createGroup(idOf(1), users);
    shard.send({ to: id, from: idOf(1), outbox: idOf(1, 7), clientSeq: 1 });
    assert.deepEqual(
      shard.flush().map((unit) => [unit.kind, unit.page]),
      [
        [0, 0],
        [1, 0],
        [1, 1],
        [1, 2],
        [1, 3],
        [2, 0],
      ],
    );
    shard.mark(id, idOf(100), { read: 2 });
    assert.deepEqual(
      shard.flush().map((unit) => [unit.kind, unit.page]),
      [[1, 1]],
    );
  });

  it('keeps a conversation whose overlay is not yet durable, and tells the overlay', () => {
    const direct = new Direct();
    const { shard, id, a } = direct;
    direct.send(a);
    shard.flush();
    const applied = direct.send(a, { bodyKind: BODY_KIND.edit, target: 1 });
    shard.store(shard.machine.takeDirty());
    assert.equal(shard.machine.evict(id), false);
    assert.equal(shard.machine.hasTarget(id, 1), true);
    assert.deepEqual(shard.machine.overlay(id, 1), applied.overlay?.value);
    shard.machine.flushed();
    assert.equal(shard.machine.evict(id), true);
    assert.equal(shard.machine.hasTarget(id, 1), false);
    assert.equal(shard.machine.overlay(id, 1), undefined);
  });

  it('names the least recently used first, and only what may go', () => {
    const machine = createConversationMachine();
    const ids = Array.from({ length: 200 }, (_, i) => idOf(i, 3));
    for (const id of ids) machine.load(id, []);
    const command = sendCommand({ to: idOf(1, 3), from: idOf(1) });
    machine.pin(command);
    machine.apply(1, sendCommand({ to: idOf(0, 3), from: idOf(1) }));
    const order: string[] = [];
    machine.eachEvictable((id) => {
      order.push(hex(id));
      machine.evict(id);
      return order.length < 198;
    });
    assert.deepEqual(
      order,
      ids.slice(2).map((id) => hex(id)),
    );
    assert.equal(machine.residentCount, 2);
  });

  it('gives memory back, and room is used again', () => {
    const shard = new Shard();
    const users = Array.from({ length: 100 }, (_, i) => idOf(i + 2));
    const ids = Array.from({ length: 20 }, (_, i) => {
      const { id } = shard.createGroup(idOf(1), users, {}, i);
      shard.send({ to: id, from: idOf(2), outbox: idOf(1, 7), clientSeq: 1 });
      return id;
    });
    const full = shard.machine.residentBytes;
    assert.ok(full > 20 * 100 * 100);
    shard.flush();
    for (const id of ids) assert.equal(shard.machine.evict(id), true);
    assert.equal(shard.machine.residentBytes, 0);
    for (const id of ids) shard.load(id);
    assert.ok(shard.machine.residentBytes <= full);
    assert.equal(shard.me(ids[7] ?? idOf(0), idOf(101)).unreadCount, 1);
  });

  it('ignores a load of what is resident: that is as new or newer', () => {
    const direct = new Direct();
    direct.send(direct.a);
    direct.shard.flush();
    direct.send(direct.a);
    direct.shard.load(direct.id);
    assert.equal(direct.shard.machine.view(direct.id)?.head, 2);
  });
});

describe('applying', () => {
  it('never lets time fall in a conversation (CONTRACT §9 case 18)', () => {
    const direct = new Direct();
    const first = direct.send(direct.a);
    direct.shard.nowMs -= 60_000;
    const second = direct.send(direct.b);
    assert.ok(first.answer.is === 'commit' && second.answer.is === 'commit');
    assert.equal(second.answer.timeMs, first.answer.timeMs);
    assert.ok(second.answer.sequence > first.answer.sequence);
  });

  it('lists the 30-day buckets that have rows', () => {
    const direct = new Direct();
    direct.send(direct.a);
    direct.send(direct.a);
    const firstMs = direct.shard.nowMs;
    direct.shard.nowMs += 2 * BUCKET_MS;
    direct.send(direct.a);
    direct.shard.restart();
    direct.shard.load(direct.id);
    const bucket = Math.floor(firstMs / BUCKET_MS);
    assert.deepEqual(direct.shard.machine.view(direct.id)?.buckets, [
      { bucket, firstSequence: 1, firstTimeMs: firstMs - 1 },
      { bucket: bucket + 2, firstSequence: 3, firstTimeMs: direct.shard.nowMs },
    ]);
  });

  it('takes settings from the shard’s log, and brings them back from their unit', () => {
    const shard = new Shard();
    assert.equal(shard.machine.settings.membersMax, 500);
    shard.settings({ membersMax: 3, editsMax: 9 });
    const { settings } = shard.machine;
    assert.deepEqual([settings.membersMax, settings.editsMax], [3, 9]);
    const { id } = shard.createGroup(idOf(1), [idOf(2)]);
    assert.equal(shard.machine.view(id)?.epoch, 1_700_000_000);
    assert.equal(shard.machine.view(id)?.membersMax, 3);
    shard.restart();
    assert.deepEqual(shard.machine.settings, settings);
    assert.equal(shard.machine.residentCount, 0);
  });

  it('of what is not resident or not a conversation’s is a broken invariant, not an answer', () => {
    const machine = createConversationMachine();
    const command = sendCommand({ to: idOf(1, 3), from: idOf(1) });
    assert.throws(() => machine.apply(1, command), InvariantViolation);
    assert.throws(() => machine.pin(command), InvariantViolation);
    machine.load(idOf(1, 3), []);
    command[1] = 32;
    assert.throws(() => machine.apply(1, command), InvariantViolation);
  });

  it('tells different effects apart in its checksum', () => {
    const run = (texts: readonly string[]): number => {
      const direct = new Direct();
      for (const text of texts) direct.send(direct.a, { text });
      return direct.shard.machine.effectsChecksum;
    };
    assert.equal(run(['one', 'two']), run(['one', 'two']));
    assert.notEqual(run(['one', 'two']), run(['one', 'too']));
    assert.notEqual(run(['one']), run(['one', 'two']));
  });

  it('hands out rows that stay as they were, however many follow', () => {
    const direct = new Direct();
    const first = direct.send(direct.a, { text: 'the first' });
    const copy = first.row?.slice();
    for (let i = 0; i < 300; i++) direct.send(direct.a, { text: 'x'.repeat(1000 + i * 90) });
    assert.deepEqual(first.row, copy);
    assert.equal(sequenceOf(direct.send(direct.a)), 302);
  });
});
