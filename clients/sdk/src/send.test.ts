import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import type { ServerFrame } from './contract.ts';
import { ClientError } from './errors.ts';
import { memoryStore } from './stores/memory.ts';
import { under } from './stores/store-port.ts';
import { ANA, BO, CY, messages, say, texts, World } from '../test/world.ts';

describe('sending', () => {
  it('a row has one key in echo, commit, push, page and after reload (S1)', async () => {
    const world = new World();
    const ana = await world.started(ANA);
    const timeline = ana.client.direct(BO).timeline();
    const ref = ana.client.direct(BO).send(say('one'));
    const seen = new Set<string>();
    timeline.subscribe(() => {
      const rows = messages(timeline);
      assert.equal(rows.length, 1);
      seen.add(rows[0]?.key ?? '');
    });
    await world.advance(300);
    assert.deepEqual([...seen], [ref.key]);
    await ana.client.stop();
    const again = await world.started(ANA, { store: ana.store });
    const reloaded = again.client.direct(BO).timeline();
    await world.advance(100);
    assert.deepEqual(
      messages(reloaded).map((row) => row.key),
      [ref.key],
    );
    // Another device of hers gets it by page.
    const tablet = await world.started(ANA);
    const paged = tablet.client.direct(BO).timeline();
    await world.advance(300);
    assert.deepEqual(
      messages(paged).map((row) => row.key),
      [ref.key],
    );
  });

  it('pending rows stand last in the order of writing; others enter above them (S2)', async () => {
    const world = new World();
    const ana = await world.started(ANA);
    const timeline = ana.client.direct(BO).timeline();
    world.server.onRequest = (frame) =>
      frame.send === undefined
        ? undefined
        : { error: { reason: 'OVERLOADED', retryAfterMs: 5_000 } };
    ana.client.direct(BO).send(say('mine 1'));
    ana.client.direct(BO).send(say('mine 2'));
    await world.advance(100);
    world.server.say(world.server.direct(ANA, BO), BO, 'theirs');
    await world.advance(200);
    assert.deepEqual(texts(timeline), ['theirs', 'mine 1', 'mine 2']);
    world.server.onRequest = () => undefined;
    await world.advance(7_000);
    assert.deepEqual(texts(timeline), ['theirs', 'mine 1', 'mine 2']);
    assert.deepEqual(
      messages(timeline).map((row) => row.sequence),
      [1, 2, 3],
    );
  });

  it('committing changes neither key nor place nor state store of a row (S3)', async () => {
    const world = new World();
    const ana = await world.started(ANA);
    const timeline = ana.client.direct(BO).timeline();
    const ref = ana.client.direct(BO).send(say('one'));
    const before = messages(timeline)[0];
    await world.advance(300);
    const after = messages(timeline)[0];
    assert.equal(before?.key, after?.key);
    assert.equal(after?.state, ref.state);
    assert.equal(before?.state, after?.state);
  });

  it('offline: rows at once, SENT in order after the network is back, none FAILED (CLIENT §4 6)', async () => {
    const world = new World();
    const ana = await world.started(ANA);
    world.server.isUp = false;
    world.server.cut();
    await world.advance(200);
    const refs = ['a', 'b', 'c'].map((text) => ana.client.direct(BO).send(say(text)));
    await world.advance(10_000);
    assert.equal(ana.client.connection.get().phase, 'offline');
    for (const ref of refs) assert.equal(ref.state.get().is, 'SENDING');
    await ana.client.stop();
    const again = await world.started(ANA, { store: ana.store });
    const timeline = again.client.direct(BO).timeline();
    await world.advance(100);
    assert.deepEqual(texts(timeline), ['a', 'b', 'c']);
    world.server.isUp = true;
    again.host.signal('online');
    await world.advance(2_000);
    assert.deepEqual(
      messages(timeline).map((row) => [row.sequence, row.state?.get().is]),
      [
        [1, 'SENT'],
        [2, 'SENT'],
        [3, 'SENT'],
      ],
    );
  });

  it('draft and outbox change in one transaction: a crash leaves the text in exactly one (S4)', async () => {
    for (let allowed = 0; allowed < 6; allowed++) {
      const world = new World();
      const inner = memoryStore();
      let left = Number.POSITIVE_INFINITY;
      const store = {
        open: () => inner.open(),
        close: () => inner.close(),
        claim: () => inner.claim(),
        wipe: (database: 'own' | 'cache') => inner.wipe(database),
        readOwn: inner.readOwn.bind(inner),
        readCache: inner.readCache.bind(inner),
        writeCache: inner.writeCache.bind(inner),
        // Dies at some write: that one and all after it never happen.
        writeOwn: (...args: Parameters<typeof inner.writeOwn>) => {
          left -= 1;
          return left < 0 ? new Promise<never>(() => undefined) : inner.writeOwn(...args);
        },
      };
      const ana = await world.started(ANA, { store });
      ana.client.direct(BO).draft.set({ text: 'precious' });
      await world.advance(400);
      left = allowed;
      ana.client.direct(BO).send(say('precious'));
      await world.advance(400);
      ana.crash();
      const drafts = await inner.readOwn('drafts', under());
      const outbox = await inner.readOwn('outbox', under());
      const onServer = world.server.direct(ANA, BO).head;
      const places = drafts.length + Math.max(outbox.length, onServer);
      assert.equal(
        places,
        1,
        `after ${allowed} writes: ${drafts.length} ${outbox.length} ${onServer}`,
      );
    }
  });

  it('nothing is transmitted before its number is stored (S4, S5)', async () => {
    const world = new World();
    const ana = await world.started(ANA);
    const stored: number[] = [];
    world.server.onRequest = (frame) => {
      if (frame.send !== undefined) stored.push(frame.send.clientSeq);
      return undefined;
    };
    const checked: Promise<void>[] = [];
    const server = world.server;
    server.onRequest = (frame) => {
      if (frame.send === undefined) return undefined;
      const { clientSeq, clientMessageId } = frame.send;
      checked.push(
        ana.store.readOwn('outbox', under()).then((pairs) => {
          const held = pairs
            .map((pair) => pair.value as { key: string; number?: { clientSeq: number } })
            .find((entry) => entry.key === clientMessageId);
          // Settled already, or there under this very number.
          if (held !== undefined) assert.equal(held.number?.clientSeq, clientSeq);
        }),
      );
      return undefined;
    };
    for (let i = 0; i < 10; i++) ana.client.direct(BO).send(say(`m${i}`));
    await world.advance(500);
    await Promise.all(checked);
    assert.equal(checked.length, 10);
  });

  it('lost commits: the same number goes again, one row each, in order (S5, CONTRACT §9 6, CLIENT §4 4)', async () => {
    const world = new World();
    const ana = await world.started(ANA);
    world.server.onFrame = (frame) => (frame.commit === undefined ? [frame] : []);
    const timeline = ana.client.direct(BO).timeline();
    const refs = Array.from({ length: 20 }, (_, i) => ana.client.direct(BO).send(say(`m${i}`)));
    await world.advance(20);
    world.server.onFrame = (frame: ServerFrame) => [frame];
    world.server.cut();
    await world.advance(3_000);
    assert.equal(world.server.direct(ANA, BO).head, 20);
    assert.deepEqual(
      texts(timeline),
      Array.from({ length: 20 }, (_, i) => `m${i}`),
    );
    for (const ref of refs) assert.equal(ref.state.get().is, 'SENT');
  });

  it('no more than 16 are in flight in a conversation (S5)', async () => {
    const world = new World();
    const ana = await world.started(ANA);
    let inFlight = 0;
    world.server.onFrame = (frame) => (frame.commit === undefined ? [frame] : []);
    world.server.onRequest = (frame) => {
      if (frame.send !== undefined) inFlight += 1;
      return undefined;
    };
    for (let i = 0; i < 50; i++) ana.client.direct(CY).send(say(`m${i}`));
    await world.advance(5);
    // Rows seen as stubs settle too, so hold those back as well.
    assert.ok(inFlight >= 16);
  });

  it('the first of a pipeline refused: the rest goes again in order (CONTRACT §9 10)', async () => {
    const world = new World();
    const ana = await world.started(ANA);
    const timeline = ana.client.direct(BO).timeline();
    let refusals = 1;
    world.server.onRequest = (frame) =>
      frame.send?.body.message?.text?.body === 'bad' && refusals-- > 0
        ? { error: { reason: 'BLOCKED' } }
        : undefined;
    const bad = ana.client.direct(BO).send(say('bad'));
    for (const text of ['x', 'y', 'z']) ana.client.direct(BO).send(say(text));
    await world.advance(500);
    assert.deepEqual(
      world.server.direct(ANA, BO).rows.map((row) => row.body?.message?.text?.body),
      ['x', 'y', 'z'],
    );
    const state = bad.state.get();
    assert.deepEqual(state, { is: 'FAILED', reason: 'BLOCKED', retryable: true });
    await assert.rejects(bad.accepted, (e) => e instanceof ClientError && e.reason === 'BLOCKED');
    bad.retry();
    await world.advance(500);
    assert.equal(bad.state.get().is, 'SENT');
    assert.deepEqual(texts(timeline), ['x', 'y', 'z', 'bad']);
    assert.equal((await bad.accepted).sequence, 4);
    // S6: retry keeps the key.
    assert.equal(world.server.direct(ANA, BO).rows[3]?.clientMessageId, bad.key);
  });

  it('a restored phone reuses a number: what is there settles by key, the rest goes under a new outbox (S5, CONTRACT §9 11)', async () => {
    const world = new World();
    const store = memoryStore();
    const ana = await world.started(ANA, { store, deviceId: 'dev_ana' });
    for (const text of ['1', '2']) ana.client.direct(BO).send(say(text));
    await world.advance(300);
    world.server.isUp = false;
    world.server.cut();
    await world.advance(100);
    ana.client.direct(BO).send(say('kept'));
    await world.advance(100);
    await ana.client.stop();
    const backup = await copyOf(store);
    world.server.isUp = true;
    const first = await world.started(ANA, { store, deviceId: 'dev_ana' });
    await world.advance(2_000);
    first.client.direct(BO).send(say('after the backup'));
    await world.advance(500);
    await first.client.stop();
    // The backup still has 'kept' queued, and its next numbers are used up.
    const restored = await world.started(ANA, { store: backup, deviceId: 'dev_ana', seed: 99 });
    const timeline = restored.client.direct(BO).timeline();
    restored.client.direct(BO).send(say('new one'));
    await world.advance(3_000);
    const expected = ['1', '2', 'kept', 'after the backup', 'new one'];
    const rows = world.server.direct(ANA, BO).rows;
    assert.deepEqual(
      rows.map((row) => row.body?.message?.text?.body),
      expected,
    );
    assert.deepEqual(texts(timeline), expected);
    assert.notEqual(rows[4]?.outboxId, rows[0]?.outboxId);
  });

  it('an edit that was accepted long ago settles by its row: pages of messages do not hold it (S5)', async () => {
    const world = new World();
    const ana = await world.started(ANA);
    const direct = ana.client.direct(BO);
    const first = direct.send(say('one'));
    await world.advance(300);
    // Accepted, and neither the answer nor the row is heard.
    world.server.onFrame = (frame) =>
      frame.commit === undefined && frame.rows === undefined ? [frame] : [];
    const edit = direct.edit(first.key, say('one, changed'));
    await world.advance(300);
    const rows = (): number => world.server.direct(ANA, BO).rows.length;
    assert.equal(rows(), 2);
    // So many were accepted since that the window has forgotten it.
    world.server.onRequest = (frame) =>
      frame.send?.clientMessageId === edit.key ? { error: { reason: 'TOO_OLD' } } : undefined;
    world.server.cut();
    await world.advance(10_000);
    assert.equal(rows(), 2);
    assert.equal((await edit.accepted).sequence, 2);
  });

  it('after 24 h in the queue it is FAILED; retry sends one copy (S6, CLIENT §4 7)', async () => {
    const world = new World();
    const ana = await world.started(ANA);
    world.server.isUp = false;
    world.server.cut();
    await ana.host.advance(100);
    const ref = ana.client.direct(BO).send(say('late'));
    await ana.host.advance(23 * 3600_000);
    assert.equal(ref.state.get().is, 'SENDING');
    await ana.host.advance(2 * 3600_000);
    assert.deepEqual(ref.state.get(), { is: 'FAILED', reason: 'DEADLINE', retryable: true });
    world.server.isUp = true;
    ana.host.signal('online');
    await ana.host.advance(2_000);
    assert.equal(world.server.direct(ANA, BO).head, 0);
    ref.retry();
    await ana.host.advance(500);
    assert.equal(ref.state.get().is, 'SENT');
    assert.equal(world.server.direct(ANA, BO).head, 1);
  });

  it('a FAILED one whose row appears after all is SENT (S6)', async () => {
    const world = new World();
    const ana = await world.started(ANA);
    world.server.onFrame = (frame) =>
      frame.commit === undefined && frame.rows === undefined && frame.token === undefined
        ? [frame]
        : [];
    const timeline = ana.client.direct(BO).timeline();
    const ref = ana.client.direct(BO).send(say('ghost'));
    await ana.host.advance(50);
    world.server.isUp = false;
    world.server.cut();
    await ana.host.advance(25 * 3600_000);
    assert.equal(ref.state.get().is, 'FAILED');
    world.server.onFrame = (frame) => [frame];
    world.server.isUp = true;
    ana.host.signal('online');
    await ana.host.advance(3_000);
    assert.equal(ref.state.get().is, 'SENT');
    assert.equal((await ref.accepted).sequence, 1);
    assert.deepEqual(texts(timeline), ['ghost']);
  });

  it('cancel works until the first transmission, and what was to follow it says so (S6)', async () => {
    const world = new World();
    const ana = await world.started(ANA);
    world.server.isUp = false;
    world.server.cut();
    await world.advance(100);
    const timeline = ana.client.direct(BO).timeline();
    const first = ana.client.direct(BO).send(say('first'));
    const second = ana.client.direct(BO).send(say('second'), { after: first.key });
    await world.advance(100);
    assert.equal(first.cancel(), true);
    assert.equal(first.cancel(), false);
    await world.advance(100);
    assert.deepEqual(second.state.get(), { is: 'FAILED', reason: 'CANCELED', retryable: false });
    assert.deepEqual(texts(timeline), ['second']);
    world.server.isUp = true;
    ana.host.signal('online');
    await world.advance(2_000);
    const third = ana.client.direct(BO).send(say('third'));
    await world.advance(300);
    assert.equal(third.cancel(), false);
  });

  it('a reply and a reaction to a message still under way follow it with its sequence', async () => {
    const world = new World();
    const ana = await world.started(ANA);
    world.server.isUp = false;
    world.server.cut();
    await world.advance(100);
    const chat = ana.client.direct(BO);
    const timeline = chat.timeline();
    const question = chat.send(say('question'));
    chat.send(say('answer'), { replyTo: question.key });
    chat.react(question.key, '👍', true);
    await world.advance(100);
    assert.deepEqual(messages(timeline)[0]?.reactions, [{ emoji: '👍', count: 1, me: true }]);
    world.server.isUp = true;
    ana.host.signal('online');
    await world.advance(2_000);
    const rows = messages(timeline);
    assert.equal(rows[1]?.content?.replyTo, 1);
    assert.equal(rows[1]?.quote?.text, 'question');
    assert.deepEqual(rows[0]?.reactions, [{ emoji: '👍', count: 1, me: true }]);
    assert.equal(rows[0]?.change, undefined);
    assert.equal(world.server.direct(ANA, BO).head, 3);
  });

  it('an edit shows at once and stays; one refused is taken back and says why', async () => {
    const world = new World();
    const ana = await world.started(ANA);
    const chat = ana.client.direct(BO);
    const timeline = chat.timeline();
    const ref = chat.send(say('tpyo'));
    await world.advance(300);
    chat.edit(ref.key, say('typo'));
    assert.deepEqual(texts(timeline), ['typo']);
    await world.advance(300);
    assert.deepEqual(texts(timeline), ['typo']);
    assert.equal(messages(timeline)[0]?.edited, true);
    assert.equal(messages(timeline)[0]?.change, undefined);
    world.server.onRequest = (frame) =>
      frame.send?.body.edit === undefined ? undefined : { error: { reason: 'EDIT_WINDOW_PASSED' } };
    const late = chat.edit(ref.key, say('too late'));
    assert.deepEqual(texts(timeline), ['too late']);
    await world.advance(300);
    assert.deepEqual(texts(timeline), ['typo']);
    assert.equal(messages(timeline)[0]?.change, late);
    assert.equal(late.state.get().is, 'FAILED');
  });

  it('an offline edit against a delete: deleted (CLIENT §4 41)', async () => {
    const world = new World();
    const ana = await world.started(ANA);
    const chat = ana.client.direct(BO);
    const timeline = chat.timeline();
    const ref = chat.send(say('text'));
    await world.advance(300);
    world.server.isUp = false;
    world.server.cut();
    await world.advance(100);
    const edit = chat.edit(ref.key, say('edited offline'));
    world.server.append(world.server.direct(ANA, BO), ANA, { delete: { target: { sequence: 1 } } });
    world.server.isUp = true;
    ana.host.signal('online');
    await world.advance(2_000);
    assert.deepEqual(texts(timeline), ['(deleted)']);
    assert.deepEqual(edit.state.get(), { is: 'FAILED', reason: 'TARGET_DELETED', retryable: true });
  });

  it('an offline-made group keeps its sends until Create answered, then in order (CONTRACT §9 3)', async () => {
    const world = new World();
    const ana = await world.started(ANA);
    world.server.isUp = false;
    world.server.cut();
    await world.advance(100);
    const crew = ana.client.createGroup({ name: 'Crew', members: [BO, CY] });
    assert.equal(crew.info.get().name, 'Crew');
    assert.equal(crew.info.get().onServer, false);
    crew.send(say('one'));
    crew.send(say('two'));
    await world.advance(100);
    await ana.client.stop();
    world.server.isUp = true;
    const again = await world.started(ANA, { store: ana.store });
    await world.advance(1_000);
    const group = world.server.conversations.get(crew.id);
    assert.deepEqual(
      group?.rows.map((row) => row.body?.message?.text?.body ?? 'created'),
      ['created', 'one', 'two'],
    );
    assert.equal(again.client.conversation(crew.id).info.get().onServer, true);
    assert.equal(again.client.conversations({ filter: 'groups' }).get().total, 1);
  });

  it('a group made offline and sent to after a reload numbers its sends in this outbox (S5)', async () => {
    const world = new World();
    const ana = await world.started(ANA);
    world.server.onRequest = (frame) =>
      frame.call === undefined ? undefined : { error: { reason: 'OVERLOADED', retryAfterMs: 500 } };
    const { id } = ana.client.createGroup({ name: 'Crew', members: [BO] });
    await world.advance(100);
    ana.crash();
    const again = await world.started(ANA, { store: ana.store });
    const ref = again.client.conversation(id).send(say('one'));
    const outboxes: (string | undefined)[] = [];
    world.server.onRequest = (frame) => {
      if (frame.send !== undefined) outboxes.push(frame.send.outboxId);
      return undefined;
    };
    await world.advance(10_000);
    assert.equal((await ref.accepted).sequence, 2);
    assert.deepEqual(
      outboxes.map((outbox) => outbox?.length),
      [36],
    );
  });

  it('sends of a group that was refused stay, and say so', async () => {
    const world = new World();
    const ana = await world.started(ANA);
    world.server.onRequest = (frame) =>
      frame.call?.method === 'Conversations.Create'
        ? { error: { reason: 'USER_UNKNOWN' } }
        : undefined;
    const crew = ana.client.createGroup({ name: 'Crew', members: ['usr_nobody'] });
    const ref = crew.send(say('hello?'));
    await world.advance(500);
    assert.equal(crew.info.get().failed, 'USER_UNKNOWN');
    assert.equal(crew.info.get().canSend, false);
    assert.equal(ref.state.get().is, 'SENDING');
  });

  it('sends of a group that was made and left before its maker heard of it are refused', async () => {
    const world = new World();
    const ana = await world.started(ANA);
    world.server.onRequest = (frame) =>
      frame.call?.method === 'Conversations.Create' || frame.send !== undefined
        ? { error: { reason: 'NOT_A_MEMBER' } }
        : undefined;
    const crew = ana.client.createGroup({ name: 'Crew', members: [BO] });
    const ref = crew.send(say('hello?'));
    await world.advance(500);
    assert.deepEqual(ref.state.get(), { is: 'FAILED', reason: 'NOT_A_MEMBER', retryable: true });
    assert.equal(crew.info.get().canSend, false);
    assert.deepEqual(await ana.store.readOwn('groups', under()), []);
  });

  it('content too large is refused here, and nothing of it is kept', async () => {
    const world = new World();
    const ana = await world.started(ANA);
    assert.throws(
      () => ana.client.direct(BO).send(say('x'.repeat(70_000))),
      (e) => e instanceof ClientError && e.reason === 'PAYLOAD_TOO_LARGE',
    );
    assert.deepEqual(await ana.store.readOwn('outbox', under()), []);
  });
});

async function copyOf(
  store: ReturnType<typeof memoryStore>,
): Promise<ReturnType<typeof memoryStore>> {
  const copy = memoryStore();
  const fence = await copy.claim();
  for (const table of ['meta', 'outbox', 'lanes', 'drafts'] as const) {
    const puts = (await store.readOwn(table, under())).map((pair) => ({ table, ...pair }));
    await copy.writeOwn(puts, fence);
  }
  for (const table of ['meta', 'conversations', 'messages', 'users'] as const) {
    const puts = (await store.readCache(table, under())).map((pair) => ({ table, ...pair }));
    await copy.writeCache(puts, fence);
  }
  return copy;
}
