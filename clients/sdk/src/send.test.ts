import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
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
    const reason = 'EDIT_WINDOW_PASSED';
    assert.deepEqual(late.state.get(), { is: 'FAILED', reason, retryable: false });
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
    assert.deepEqual(edit.state.get(), {
      is: 'FAILED',
      reason: 'TARGET_DELETED',
      retryable: false,
    });
  });

  it('content as large as it may be is sent, and what is behind it (S5)', async () => {
    const world = new World();
    const ana = await world.started(ANA);
    const chat = ana.client.direct(BO);
    const large = chat.send(say('"'.repeat(32_000)));
    const behind = chat.send(say('behind'));
    await world.advance(2_000);
    assert.deepEqual([large.state.get().is, behind.state.get().is], ['SENT', 'SENT']);
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
