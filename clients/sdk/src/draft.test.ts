import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { under } from './stores/store-port.ts';
import { ANA, BO, messages, say, World } from '../test/world.ts';

describe('drafts', () => {
  it('what an edit set aside is saved with it, and is the draft again once the edit is made (S4)', async () => {
    const world = new World();
    const ana = await world.started(ANA);
    const chat = ana.client.direct(BO);
    const timeline = chat.timeline();
    chat.send(say('first'));
    await world.advance(300);
    const editOf = messages(timeline)[0]?.key ?? '';
    chat.draft.set({ text: 'first, corrected', editOf, aside: 'half a thought' });
    await world.advance(400);
    ana.crash();
    const again = await world.started(ANA, { store: ana.store });
    const same = again.client.direct(BO);
    assert.equal(same.draft.get().aside, 'half a thought');
    same.timeline();
    await world.advance(300);
    same.edit(editOf, say('first, corrected'));
    assert.deepEqual(same.draft.get(), { text: 'half a thought' });
    // Durable with the edit, not 300 ms after it.
    await world.advance(50);
    const [saved] = await again.store.readOwn('drafts', under());
    assert.deepEqual(saved?.value, { text: 'half a thought' });
  });
});
