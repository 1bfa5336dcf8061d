import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import type { Timeline } from './client-interface.ts';
import type { ServerFrame } from './contract.ts';
import { ANA, BO, messages, type Phone, World } from '../test/world.ts';

const LIST = 'Messages.List';

/** A phone that was offline when a screen of replies to messages which it does not hold was opened. */
async function opened(count: number): Promise<{ world: World; ana: Phone; timeline: Timeline }> {
  const world = new World();
  const talk = world.server.direct(ANA, BO);
  for (let i = 1; i <= 400; i++) world.server.say(talk, BO, `m${i}`);
  const ana = await world.started(ANA);
  for (let i = 1; i <= count; i++) world.server.say(talk, BO, `re ${i}`, { replyTo: i });
  await world.advance(300);
  world.server.isUp = false;
  world.server.cut();
  await world.advance(100);
  const timeline = ana.client.direct(BO).timeline();
  await world.advance(300);
  while (messages(timeline).length < count)
    await Promise.all([timeline.more('older'), world.advance(50)]);
  assert.equal(bare(timeline), count);
  world.server.isUp = true;
  ana.host.signal('online');
  return { world, ana, timeline };
}

function bare(timeline: Timeline): number {
  return messages(timeline).filter(({ quote }) => quote !== undefined && quote.text === undefined)
    .length;
}

/** Quotes asked for, as the server hears of them; `answer` may refuse one. */
function asked(world: World, answer: (sequence: number) => ServerFrame | undefined): number[] {
  const sequences: number[] = [];
  world.server.onRequest = (frame) => {
    const request = frame.call?.request as { sequence?: number } | undefined;
    if (frame.call?.method !== LIST || request?.sequence === undefined) return undefined;
    sequences.push(request.sequence);
    return answer(request.sequence);
  };
  return sequences;
}

describe('quotes', () => {
  it('a quote asked for before its message was deleted, and answered after, stays deleted (S7)', async () => {
    const world = new World();
    const talk = world.server.direct(ANA, BO);
    for (let i = 1; i <= 120; i++) world.server.say(talk, BO, `m${i}`);
    const ana = await world.started(ANA);
    world.server.say(talk, BO, 'as I said', { replyTo: 3 });
    let isOvertaken = false;
    world.server.onRequest = (frame) => {
      const request = frame.call?.request as { sequence?: number } | undefined;
      if (frame.call?.method !== 'Messages.List' || request?.sequence !== 3) return undefined;
      // The page was read, and the delete is pushed before it.
      const result = { messages: talk.page(3, 3), asOf: talk.head, first: 1, head: talk.head };
      const answer = { result: structuredClone(result) };
      isOvertaken = true;
      world.server.append(talk, BO, { delete: { target: { sequence: 3 } } });
      return answer;
    };
    const timeline = ana.client.direct(BO).timeline();
    await world.advance(2_000);
    assert.ok(isOvertaken);
    const quote = messages(timeline).at(-1)?.quote;
    assert.equal(quote?.deleted, true);
    assert.equal(quote?.text, '');
  });

  it('a screen of bare quotes is read a few at a time, and leaves calls to others (S14)', async () => {
    const { world, ana, timeline } = await opened(150);
    const sequences = asked(world, () => undefined);
    const held: (() => void)[] = [];
    let most = 0;
    world.server.onFrame = (frame, connection) => {
      const isPage = (frame.result as { asOf?: number } | undefined)?.asOf !== undefined;
      if (!isPage) return [frame];
      const copy = structuredClone(frame);
      held.push(() => connection.pushRaw(copy));
      most = Math.max(most, held.length);
      ana.host.after(20, () => held.shift()?.());
      return [];
    };
    await world.advance(5_000);
    assert.equal(bare(timeline), 0);
    assert.deepEqual(
      messages(timeline).map(({ quote }) => quote?.text),
      Array.from({ length: 150 }, (_, i) => `m${i + 1}`),
    );
    assert.equal(sequences.length, 150);
    // The timeline may read a page of its own beside them.
    assert.ok(most >= 2 && most <= 5, `${most} at once`);
  });

  it('quotes that the server had no time for come later on the same connection, once each', async () => {
    const { world, ana, timeline } = await opened(20);
    const atMs: number[] = [];
    const sequences = asked(world, () => {
      atMs.push(ana.host.monotonicMs());
      if (atMs.length > 4) return undefined;
      return { error: { reason: 'RATE_LIMITED', retryAfterMs: 6_000 } };
    });
    const attempts = (): number => world.server.attempts;
    await world.advance(3_000);
    const before = attempts();
    assert.equal(atMs.length, 4);
    await world.advance(5_000);
    assert.equal(bare(timeline), 0);
    assert.equal(sequences.length, 24);
    assert.ok((atMs[4] ?? 0) - (atMs[0] ?? 0) >= 6_000);
    assert.equal(attempts(), before);
  });

  it('a quote that goes on failing is asked for ever more rarely, and delays no other', async () => {
    const { world, timeline } = await opened(30);
    const sequences = asked(world, (sequence) =>
      sequence === 1 ? { error: { reason: 'INVARIANT' } } : undefined,
    );
    await world.advance(5_000);
    assert.equal(bare(timeline), 1);
    await world.advance(600_000);
    const tries = sequences.filter((each) => each === 1).length;
    assert.ok(tries > 10 && tries < 40, `${tries} tries`);
    assert.equal(sequences.length, 29 + tries);
    timeline.close();
    await world.advance(600_000);
    const after = sequences.filter((each) => each === 1).length;
    assert.ok(after <= tries + 1, 'nobody looks at it any more');
  });

  it('a quote that is refused for good stays bare and is not asked for again', async () => {
    const { world, ana, timeline } = await opened(5);
    const sequences = asked(world, (sequence) =>
      sequence === 2 ? { error: { reason: 'MESSAGE_UNKNOWN' } } : undefined,
    );
    await world.advance(60_000);
    assert.equal(bare(timeline), 1);
    assert.deepEqual(sequences, [1, 2, 3, 4, 5]);
    await ana.client.stop();
    assert.equal(ana.host.timerCount, 0);
  });

  it('a client that stops leaves no timer behind of quotes that wait', async () => {
    const { world, ana } = await opened(5);
    asked(world, () => ({ error: { reason: 'OVERLOADED', retryAfterMs: 60_000 } }));
    await world.advance(5_000);
    await ana.client.stop();
    assert.equal(ana.host.timerCount, 0);
  });
});
