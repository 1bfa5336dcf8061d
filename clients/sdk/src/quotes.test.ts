import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { ANA, BO, messages, World } from '../test/world.ts';

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
});
