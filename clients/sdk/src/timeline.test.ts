import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import type { Timeline } from './client-interface.ts';
import { ROWS_MAX } from './timeline.ts';
import { ANA, BO, CY, keys, messages, type Phone, say, texts, World } from '../test/world.ts';

async function withHistory(count: number): Promise<{ world: World; ana: Phone }> {
  const world = new World();
  const talk = world.server.direct(ANA, BO);
  for (let i = 1; i <= count; i++) world.server.say(talk, BO, `m${i}`);
  return { world, ana: await world.started(ANA) };
}

function sequences(timeline: Timeline): number[] {
  return messages(timeline).map((row) => row.sequence ?? 0);
}

describe('timeline', () => {
  it('opens at the end with a page, and reads older ones as they are asked for', async () => {
    const { world, ana } = await withHistory(170);
    const timeline = ana.client.direct(BO).timeline();
    await world.advance(300);
    assert.deepEqual(sequences(timeline), range(121, 170));
    assert.equal(timeline.get().rows[0]?.is, 'hole');
    assert.equal(timeline.get().first, 1);
    assert.equal(timeline.get().head, 170);
    for (const from of [71, 21, 1]) {
      await Promise.all([timeline.more('older'), world.advance(100)]);
      assert.equal(sequences(timeline)[0], from);
    }
    assert.ok(timeline.get().rows.every((row) => row.is === 'message'));
    const lists = world.server.calls.filter((method) => method === 'Messages.List').length;
    await timeline.more('older');
    assert.equal(world.server.calls.filter((method) => method === 'Messages.List').length, lists);
  });

  it('a page that was cut for its size is not taken for the end of history', async () => {
    const { world, ana } = await withHistory(170);
    world.server.pageMessagesMax = 7;
    const timeline = ana.client.direct(BO).timeline();
    await world.advance(300);
    const dense = (): void => {
      const all = sequences(timeline);
      assert.deepEqual(all, range(all[0] ?? 0, all.at(-1) ?? 0));
      assert.ok(timeline.get().rows.every((row, i) => row.is === 'message' || i === 0));
    };
    dense();
    for (let i = 0; i < 30 && sequences(timeline)[0] !== 1; i++) {
      await Promise.all([timeline.more('older'), world.advance(100)]);
      dense();
    }
    assert.deepEqual(sequences(timeline), range(1, 170));
    // Downwards on a device that holds none of it.
    const other = await world.started(ANA);
    const middle = other.client.direct(BO).timeline({ sequence: 80 });
    await world.advance(300);
    assert.ok(sequences(middle).includes(80));
    for (let i = 0; i < 30 && !middle.get().atEnd; i++)
      await Promise.all([middle.more('newer'), world.advance(100)]);
    const all = sequences(middle);
    assert.deepEqual(all, range(all[0] ?? 0, 170));
    // By time: the place itself, not the middle of what was read.
    const { timeMs = 0 } = world.server.direct(ANA, BO).rows[39] ?? {};
    await Promise.all([middle.moveTo({ at: new Date(timeMs) }), world.advance(300)]);
    assert.ok(sequences(middle).includes(40));
  });

  it('what was read once is read from the device, also offline', async () => {
    const { world, ana } = await withHistory(120);
    const timeline = ana.client.direct(BO).timeline();
    await world.advance(300);
    await Promise.all([timeline.more('older'), world.advance(100)]);
    timeline.close();
    world.server.isUp = false;
    world.server.cut();
    await world.advance(100);
    const again = ana.client.direct(BO).timeline();
    await ana.host.advance(0);
    assert.deepEqual(sequences(again), range(71, 120));
    await again.more('older');
    assert.deepEqual(sequences(again), range(21, 120));
    await again.more('older');
    assert.equal(again.get().failed, 'BACKEND_UNAVAILABLE');
    assert.equal(again.get().rows[0]?.is, 'hole');
    world.server.isUp = true;
    ana.host.signal('online');
    await world.advance(2_000);
    assert.equal(again.get().failed, undefined);
    await Promise.all([again.more('older'), world.advance(200)]);
    assert.equal(sequences(again)[0], 1);
  });

  it('history that fails says so in place, and a retry brings it (CLIENT §4 44)', async () => {
    const { world, ana } = await withHistory(120);
    const timeline = ana.client.direct(BO).timeline();
    await world.advance(300);
    world.server.onRequest = (frame) =>
      frame.call?.method === 'Messages.List'
        ? { error: { reason: 'SHARD_UNAVAILABLE' } }
        : undefined;
    await Promise.all([timeline.more('older'), world.advance(100)]);
    assert.equal(timeline.get().failed, 'SHARD_UNAVAILABLE');
    assert.equal(timeline.get().loading, undefined);
    world.server.onRequest = () => undefined;
    await Promise.all([timeline.more('older'), world.advance(100)]);
    assert.equal(timeline.get().failed, undefined);
    assert.equal(sequences(timeline)[0], 21);
  });

  it('never holds more than 200 rows, whichever way one scrolls (S14)', async () => {
    const { world, ana } = await withHistory(500);
    const timeline = ana.client.direct(BO).timeline();
    await world.advance(300);
    for (let i = 0; i < 9; i++) {
      await Promise.all([timeline.more('older'), world.advance(50)]);
      assert.ok(messages(timeline).length <= ROWS_MAX);
    }
    assert.equal(sequences(timeline)[0], 1);
    assert.equal(timeline.get().atEnd, false);
    assert.equal(timeline.get().below, 300);
    for (let i = 0; i < 6; i++) await Promise.all([timeline.more('newer'), world.advance(50)]);
    assert.deepEqual(sequences(timeline), range(301, 500));
    assert.equal(timeline.get().atEnd, true);
    assert.equal(timeline.get().below, 0);
  });

  it('a fourth timeline closes the one opened first (S14)', async () => {
    const world = new World();
    const ana = await world.started(ANA);
    for (const user of [BO, CY]) world.server.say(world.server.direct(ANA, user), user, 'hi');
    await world.advance(300);
    const first = ana.client.direct(BO).timeline();
    await world.advance(100);
    for (let i = 0; i < 3; i++) ana.client.direct(CY).timeline();
    world.server.say(world.server.direct(ANA, BO), BO, 'more');
    await world.advance(100);
    assert.ok(!texts(first).includes('more'));
  });

  it('a row that did not change is the same object, whatever else does (S3)', async () => {
    const { world, ana } = await withHistory(5);
    const timeline = ana.client.direct(BO).timeline();
    await world.advance(300);
    const before = timeline.get().rows;
    world.server.append(world.server.direct(ANA, BO), BO, {
      edit: { target: { sequence: 3 }, message: { text: { body: 'edited' } } },
    });
    await world.advance(100);
    const after = timeline.get().rows;
    assert.deepEqual(keys(after), keys(before));
    assert.deepEqual(
      after.map((row, i) => row === before[i]),
      [true, true, false, true, true],
    );
  });

  it('receipts move ticks and render no row (S10)', async () => {
    const world = new World();
    const ana = await world.started(ANA);
    const chat = ana.client.direct(BO);
    const timeline = chat.timeline();
    for (let i = 0; i < 5; i++) chat.send(say(`m${i}`));
    await world.advance(300);
    let rowsTold = 0;
    timeline.subscribe(() => {
      rowsTold += 1;
    });
    const told: number[] = [];
    for (const row of messages(timeline)) row.state?.subscribe(() => told.push(row.sequence ?? 0));
    world.server.mark(BO, 'delivered', { conversationId: chat.id, sequence: 3 });
    await world.advance(100);
    assert.deepEqual(
      told.sort((a, b) => a - b),
      [1, 2, 3],
    );
    world.server.mark(BO, 'delivered', { conversationId: chat.id, sequence: 2 });
    world.server.mark(BO, 'read', { conversationId: chat.id, sequence: 5 });
    await world.advance(100);
    assert.equal(told.length, 3 + 5);
    assert.equal(rowsTold, 0);
    assert.deepEqual(
      messages(timeline).map((row) => row.state?.get().is),
      Array(5).fill('READ'),
    );
  });

  it('jumps to a sequence, a time and a key, in one page at most (CLIENT §4 25)', async () => {
    const { world, ana } = await withHistory(400);
    const timeline = ana.client.direct(BO).timeline();
    await world.advance(300);
    world.server.calls.length = 0;
    await Promise.all([timeline.moveTo({ sequence: 1 }), world.advance(100)]);
    assert.equal(sequences(timeline)[0], 1);
    assert.equal(timeline.get().atEnd, false);
    assert.ok(world.server.calls.filter((method) => method === 'Messages.List').length <= 2);
    const key = messages(timeline)[10]?.key ?? '';
    await timeline.moveTo({ key });
    assert.ok(messages(timeline).some((row) => row.key === key));
    await timeline.moveTo('latest');
    assert.equal(sequences(timeline).at(-1), 400);
    assert.equal(timeline.get().atEnd, true);
  });

  it('opens at the first unread; the line there stays while one reads', async () => {
    const world = new World();
    const talk = world.server.direct(ANA, BO);
    for (let i = 1; i <= 100; i++) world.server.say(talk, BO, `m${i}`);
    world.server.mark(ANA, 'read', { conversationId: talk.id, sequence: 60 });
    const ana = await world.started(ANA);
    const chat = ana.client.direct(BO);
    const timeline = chat.timeline('first-unread');
    await world.advance(300);
    assert.equal(timeline.get().newFrom, 61);
    assert.ok(sequences(timeline).includes(61) && sequences(timeline).includes(60));
    chat.markRead(100);
    await world.advance(300);
    assert.equal(timeline.get().newFrom, 61);
  });

  it('own words said elsewhere draw no unread line', async () => {
    const world = new World();
    const talk = world.server.direct(ANA, BO);
    for (let i = 1; i <= 3; i++) world.server.say(talk, BO, `m${i}`);
    world.server.mark(ANA, 'read', { conversationId: talk.id, sequence: 3 });
    world.server.say(talk, ANA, 'from my other device');
    const ana = await world.started(ANA);
    const timeline = ana.client.direct(BO).timeline('first-unread');
    await world.advance(300);
    assert.equal(timeline.get().newFrom, undefined);
    assert.equal(texts(timeline).at(-1), 'from my other device');
  });

  it('who reads history is not moved: arrivals stay out of the rows and count below (CLIENT §4 27)', async () => {
    const { world, ana } = await withHistory(60);
    const chat = ana.client.direct(BO);
    const timeline = chat.timeline();
    await world.advance(300);
    const before = timeline.get().rows;
    timeline.follow(false);
    for (let i = 0; i < 50; i++) world.server.say(world.server.direct(ANA, BO), BO, `new ${i}`);
    await world.advance(200);
    assert.equal(timeline.get().rows, before);
    assert.equal(timeline.get().below, 50);
    timeline.follow(true);
    await world.advance(200);
    assert.equal(timeline.get().below, 0);
    assert.equal(texts(timeline).at(-1), 'new 49');
  });

  it('who sends looks at the end again', async () => {
    const { world, ana } = await withHistory(60);
    const chat = ana.client.direct(BO);
    const timeline = chat.timeline();
    await world.advance(300);
    timeline.follow(false);
    world.server.say(world.server.direct(ANA, BO), BO, 'meanwhile');
    await world.advance(100);
    chat.send(say('mine'));
    assert.equal(texts(timeline).at(-1), 'mine');
    await world.advance(300);
    assert.deepEqual(texts(timeline).slice(-2), ['meanwhile', 'mine']);
  });

  it('a hole left by a long absence closes by itself, a page at a time, under one key', async () => {
    const { world, ana } = await withHistory(30);
    const timeline = ana.client.direct(BO).timeline();
    await world.advance(300);
    world.server.isUp = false;
    world.server.cut();
    await world.advance(50);
    for (let i = 0; i < 300; i++) world.server.say(world.server.direct(ANA, BO), BO, `away ${i}`);
    const holeKeys = new Set<string>();
    timeline.subscribe(() => {
      for (const row of timeline.get().rows) if (row.is === 'hole') holeKeys.add(row.key);
    });
    world.server.isUp = true;
    ana.host.signal('online');
    await world.advance(3_000);
    assert.equal(texts(timeline).at(-1), 'away 299');
    assert.equal(messages(timeline).length, ROWS_MAX);
    const all = sequences(timeline);
    assert.deepEqual(all, range(all[0] ?? 0, 330));
    assert.ok(holeKeys.has('hole.30'));
  });

  it('a quoted message comes with the reply, also from far above', async () => {
    const { world, ana } = await withHistory(120);
    world.server.say(world.server.direct(ANA, BO), BO, 'as I said', { replyTo: 3 });
    const timeline = ana.client.direct(BO).timeline();
    await world.advance(500);
    const quote = messages(timeline).at(-1)?.quote;
    assert.equal(quote?.sequence, 3);
    assert.equal(quote?.text, 'm3');
    assert.equal(quote?.sender, BO);
    world.server.append(world.server.direct(ANA, BO), BO, { delete: { target: { sequence: 3 } } });
    await world.advance(300);
    assert.equal(messages(timeline).at(-1)?.quote?.deleted, true);
  });

  it('a quote that was bare for want of a connection comes with the next', async () => {
    const { world, ana } = await withHistory(120);
    world.server.say(world.server.direct(ANA, BO), BO, 'as I said', { replyTo: 3 });
    await world.advance(300);
    world.server.isUp = false;
    world.server.cut();
    await world.advance(100);
    const timeline = ana.client.direct(BO).timeline();
    await world.advance(300);
    assert.deepEqual(messages(timeline).at(-1)?.quote, { sequence: 3 });
    world.server.isUp = true;
    ana.host.signal('online');
    await world.advance(5_000);
    assert.equal(messages(timeline).at(-1)?.quote?.text, 'm3');
    // Read once: it is on the device now, and no connection asks again.
    const pages = (): number =>
      world.server.calls.filter((method) => method === 'Messages.List').length;
    const before = pages();
    world.server.cut();
    await world.advance(5_000);
    assert.equal(pages(), before);
  });

  it('two senders with one clientMessageId are two rows with two keys (S1)', async () => {
    const world = new World();
    const ana = await world.started(ANA);
    const chat = ana.client.direct(BO);
    const timeline = chat.timeline();
    const ref = chat.send(say('mine'));
    await world.advance(300);
    const talk = world.server.direct(ANA, BO);
    const row = talk.add({
      sequence: 2,
      timeMs: 1,
      senderUserId: BO,
      clientMessageId: ref.key,
      body: { message: { text: { body: 'copycat' } } },
    });
    world.server.touch(talk);
    world.server.fanOut(talk, row, undefined);
    await world.advance(300);
    assert.deepEqual(texts(timeline), ['mine', 'copycat']);
    assert.equal(new Set(keys(timeline.get().rows)).size, 2);
    assert.equal(messages(timeline)[0]?.key, ref.key);
  });

  it('another’s row with the key of a message under way does not settle it (S6)', async () => {
    const world = new World();
    const ana = await world.started(ANA);
    world.server.onRequest = (frame) =>
      frame.send === undefined
        ? undefined
        : { error: { reason: 'OVERLOADED', retryAfterMs: 60_000 } };
    const chat = ana.client.direct(BO);
    const ref = chat.send(say('mine'));
    await world.advance(100);
    const talk = world.server.direct(ANA, BO);
    const row = talk.add({
      sequence: 1,
      timeMs: 1,
      senderUserId: BO,
      clientMessageId: ref.key,
      body: { message: { text: { body: 'forged' } } },
    });
    world.server.touch(talk);
    world.server.fanOut(talk, row, undefined);
    await world.advance(300);
    assert.equal(ref.state.get().is, 'SENDING');
  });

  it('nor does one that a page brings (S6)', async () => {
    const { world, ana } = await withHistory(80);
    world.server.onRequest = (frame) =>
      frame.send === undefined
        ? undefined
        : { error: { reason: 'OVERLOADED', retryAfterMs: 60_000 } };
    const chat = ana.client.direct(BO);
    const ref = chat.send(say('mine'));
    const held = world.server.direct(ANA, BO).messages.get(70);
    assert.ok(held);
    world.server.direct(ANA, BO).messages.set(70, { ...held, clientMessageId: ref.key });
    const timeline = chat.timeline();
    await world.advance(500);
    assert.ok(sequences(timeline).includes(70));
    assert.equal(ref.state.get().is, 'SENDING');
  });

  it('rows of a service, a tombstone and a sealed message have their own kinds', async () => {
    const world = new World();
    const ana = await world.started(ANA);
    const group = world.server.group(BO, '11111111-1111-4111-8111-111111111111', {
      name: 'Crew',
      members: [ANA],
    });
    await world.advance(300);
    const timeline = ana.client.conversation(group.id).timeline();
    world.server.append(group, BO, { member: { change: 'added', userIds: [CY], by: BO } });
    world.server.append(group, BO, { sealed: { scheme: 'mls', countable: true } });
    await world.advance(300);
    assert.deepEqual(
      timeline.get().rows.map((row) => row.is),
      ['service', 'service', 'waiting'],
    );
  });

  it('trimmed rows leave the device and the screen', async () => {
    const { world, ana } = await withHistory(6);
    const timeline = ana.client.direct(BO).timeline();
    await world.advance(300);
    world.server.append(world.server.direct(ANA, BO), BO, { trim: { from: 1, through: 3 } });
    await world.advance(300);
    assert.deepEqual(texts(timeline), ['m4', 'm5', 'm6']);
    const stored = await ana.store.readCache('messages', { from: [], through: ['\uffff'] });
    assert.ok(stored.every((pair) => Number(pair.key[1]) > 3));
  });
});

function range(from: number, through: number): number[] {
  return Array.from({ length: through - from + 1 }, (_, i) => from + i);
}
